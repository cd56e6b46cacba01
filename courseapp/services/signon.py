"""Signing in by an identity provider: whose account it is, and whether there is one to be made.

What a provider says counts for as much as the settings say (`courseapp.providers.Trust`), and never connects to an account that has
not been shown to be the same person's: otherwise whoever gets an address written into some directory would own a classmate's account.
"""

from dataclasses import dataclass
from typing import Any

from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from courseapp.models import Enrollment, Identity, User
from courseapp.providers import GOOGLE, OIDC, Trust
from courseapp.services import people
from courseapp.services.people import Known

LONGEST_NAME = 40


@dataclass(frozen=True)
class Said:
    """What a provider said of somebody, sorted into what counts and what does not."""

    provider: str
    emails: tuple[str, ...]
    """Confirmed, the main one first."""
    unconfirmed: tuple[str, ...]
    username: str
    institutional_id: str
    in_hosted_domain: bool

    @property
    def known(self) -> Known:
        return Known.of(emails=self.emails, usernames=[self.username], ids=[self.institutional_id])

    @property
    def names(self) -> tuple[str, ...]:
        """What staff may look for on their roster."""
        return tuple(name for name in (*self.emails, self.username, self.institutional_id) if name)


def said(account: SocialAccount, addresses: list[EmailAddress]) -> Said:
    """Sort what came back from the provider; `addresses` as allauth reads them, each with the provider's word on it."""
    trust: Trust = settings.SIGN_ON.trust.get(account.provider, Trust())
    claims = _claims(account.extra_data)
    confirmed = [row.email for row in addresses if _is_yes(row.verified) and _may_confirm(account.provider, row.email, claims)]
    return Said(
        provider=account.provider,
        emails=tuple(confirmed),
        unconfirmed=tuple(row.email for row in addresses if row.email not in confirmed),
        username=_without_domain(_one(claims, trust.username_claim)),
        institutional_id=_one(claims, trust.institutional_id_claim),
        in_hosted_domain=not trust.hosted_domain or _one(claims, "hd").lower() == trust.hosted_domain,
    )


def accounts_of(known: Known) -> list[User]:
    """The accounts that surely are the person's, by what they are known by; more than one when staff knows them as two people.

    What a roster says never opens an account of the administration: whoever may edit a roster would become whoever may do everything.
    """
    on_roster = [Q(enrollments__username__iexact=name) for name in known.usernames]
    on_roster += [Q(enrollments__institutional_id__iexact=number) for number in known.institutional_ids]
    fits = [found & Q(is_staff=False, is_superuser=False) for found in on_roster]
    fits += [Q(vouched=True, institutional_id__iexact=number) for number in known.institutional_ids]
    fits += [Q(identities__kind=Identity.Kind.USERNAME, identities__value__iexact=name) for name in known.usernames]
    fits += [Q(identities__kind=Identity.Kind.INSTITUTIONAL_ID, identities__value__iexact=number) for number in known.institutional_ids]
    fits += [Q(emailaddress__verified=True, emailaddress__email__iexact=email) for email in known.emails | known.aliases]
    found = {user.pk: user for fit in fits for user in User.objects.filter(fit)}
    return [found[pk] for pk in sorted(found)]


def is_anothers(user: User, account: SocialAccount) -> bool:
    """The provider already knows the user as somebody else: an address or a NetID may be given to a new person when its owner has gone."""
    others = SocialAccount.objects.filter(user=user, provider=account.provider).exclude(uid=account.uid)
    return bool(others.exists())


def is_claimed(email: str) -> bool:
    """An account signs in by this address. Where `accounts_of` does not find it, its owner never showed that the address is theirs."""
    return User.objects.filter(email__iexact=email).exists()


@transaction.atomic
def remember(*, user: User, said: Said) -> list[Enrollment]:
    """Keep what the provider showed to be the person's, and give them the places that wait for it."""
    for email in said.emails:
        others = EmailAddress.objects.filter(verified=True, email__iexact=email).exclude(user=user)
        if not others.exists():
            row = EmailAddress.objects.filter(user=user, email__iexact=email).first() or EmailAddress(user=user, email=email.lower())
            row.verified = True
            row.primary = row.primary or not EmailAddress.objects.filter(user=user, primary=True).exists()
            row.save()
    for kind, value in ((Identity.Kind.USERNAME, said.username), (Identity.Kind.INSTITUTIONAL_ID, said.institutional_id)):
        if value and not Identity.objects.filter(kind=kind, value__iexact=value).exists():
            Identity.objects.create(user=user, kind=kind, value=value, provider=said.provider)
    return people.take_up(user=user)


def _claims(data: dict[str, Any]) -> dict[str, Any]:
    """OpenID Connect keeps the ID token and the user info apart; others say it flat."""
    if "userinfo" in data or "id_token" in data:
        return {**(data.get("id_token") or {}), **(data.get("userinfo") or {})}
    return data


def _one(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name) if name else None
    if isinstance(value, list):  # SAML lists every attribute
        value = value[0] if len(value) == 1 else None
    text = str(value).strip() if isinstance(value, str | int) and not isinstance(value, bool) else ""
    return text if len(text) <= LONGEST_NAME else ""  # cut off it might be somebody else's


def _is_yes(word: object) -> bool:
    """Some providers write the truth as text, and the text "false" is not it."""
    return word is True or (isinstance(word, str) and word.lower() == "true")


def _may_confirm(provider: str, email: str, claims: dict[str, Any]) -> bool:
    """Google confirms its own addresses and those of the organisations that it runs; others it has only asked once.

    OIDC_EMAIL_DOMAINS is for a provider that says nothing of an address. One that says it is not confirmed is believed.
    """
    if provider == GOOGLE:
        return email.lower().endswith("@gmail.com") or bool(claims.get("hd"))
    word = claims.get("email_verified") if provider == OIDC else None
    return word is None or _is_yes(word)


def _without_domain(name: str) -> str:
    """ab123@example.edu, as some directories write a username, is ab123 where that domain's names are usernames."""
    before, _, domain = name.rpartition("@")
    return before if before and domain.lower() in settings.NETID_DOMAINS else name
