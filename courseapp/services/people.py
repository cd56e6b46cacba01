"""Who belongs to the course: taking up a place that waits, leaving, coming back."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import or_

from allauth.account.models import EmailAddress
from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.dispatch import Signal

from courseapp.models import Enrollment, Identity, User

dropped = Signal()
"""Sent in the transaction of a drop, with `enrollment`: other apps end there what the person still has going."""


@dataclass(frozen=True)
class Known:
    """What somebody is known by beyond doubt, in lower case. `aliases` are addresses that follow from a username."""

    emails: frozenset[str] = frozenset()
    aliases: frozenset[str] = frozenset()
    usernames: frozenset[str] = frozenset()
    institutional_ids: frozenset[str] = frozenset()

    @classmethod
    def of(cls, *, emails: Iterable[str], usernames: Iterable[str] = (), vouched: Iterable[str] = (), ids: Iterable[str] = ()) -> "Known":
        """`usernames` are what a provider said, `vouched` what staff called an account: a name that nobody may have meant as an address."""
        addresses, names = lowered(emails), lowered(usernames)
        aliases = frozenset(f"{name}@{domain}" for name in names for domain in settings.NETID_DOMAINS)
        return cls(addresses, aliases - addresses, names | lowered(vouched) | before_the_at(addresses), lowered(ids))

    def ways(self) -> list[Q]:
        """How a place may name them, in the order in which it is believed."""
        by = (("email", self.emails), ("email", self.aliases), ("username", self.usernames), ("institutional_id", self.institutional_ids))
        return [Q((f"{field}__iexact", value)) for field, values in by for value in sorted(values)]


def lowered(values: Iterable[str]) -> frozenset[str]:
    return frozenset(value.lower() for value in values if value)


def before_the_at(emails: Iterable[str]) -> frozenset[str]:
    """The usernames in addresses of NETID_DOMAINS."""
    split = (email.rpartition("@") for email in emails)
    return frozenset(name for name, _, domain in split if name and domain in settings.NETID_DOMAINS)


def known(user: User) -> Known:
    """An account's own names are believed only when staff made it; addresses and a provider's names when they were shown to be theirs."""
    said: dict[str, list[str]] = {kind: [] for kind in Identity.Kind.values}
    for kind, value in Identity.objects.filter(user=user).values_list("kind", "value"):
        said[kind].append(value)
    return Known.of(
        emails=EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True),
        usernames=said[Identity.Kind.USERNAME],
        vouched=[user.username] if user.vouched else [],
        ids=[*said[Identity.Kind.INSTITUTIONAL_ID], *([user.institutional_id] if user.vouched else [])],
    )


def waiting(known_as: Known) -> Enrollment | None:
    """A place that waits for somebody known like this."""
    for key in known_as.ways():
        if place := Enrollment.objects.filter(key, user=None, state=Enrollment.State.ACTIVE).order_by("course_id", "pk").first():
            return place
    return None


@transaction.atomic
def take_up(*, user: User) -> list[Enrollment]:
    """Give the user the places that wait for them: by an address that they have verified, else by their username or institutional id.

    The last two are believed only of accounts that staff made and of names that an identity provider which decides them has said:
    nobody may choose a classmate's NetID and get the classmate's place.
    """
    taken = set(Enrollment.objects.filter(user=user).values_list("course_id", flat=True))
    found: list[Enrollment] = []
    for key in known(user).ways():
        places = Enrollment.objects.select_for_update().filter(key, user=None).exclude(course__in=taken)
        for enrollment in places.order_by("course_id", "pk"):
            if enrollment.course_id in taken:
                continue
            enrollment.user = user
            enrollment.save(update_fields=["user"])
            taken.add(enrollment.course_id)
            found.append(enrollment)
    return found


@transaction.atomic
def seat(*, enrollment: Enrollment) -> User | None:
    """Give a place that waits to somebody who has an account already, by the same rules as at their sign-in."""
    may_be = Known.of(emails=[enrollment.email], usernames=[enrollment.username], ids=[enrollment.institutional_id])
    fits = [Q(emailaddress__verified=True, emailaddress__email__iexact=email) for email in may_be.emails | may_be.aliases]
    for kind, values in (("username", may_be.usernames), ("institutional_id", may_be.institutional_ids)):
        for value in values:
            fits.append(Q(("vouched", True), (f"{kind}__iexact", value)))
            fits.append(Q(identities__kind=kind, identities__value__iexact=value))
    for user in User.objects.filter(reduce(or_, fits)).distinct().order_by("pk"):
        if enrollment in take_up(user=user):
            return user
    return None


@transaction.atomic
def drop(*, enrollment: Enrollment) -> bool:
    """End the person's access at once; everything that they handed in is kept. False: they had left before."""
    row = Enrollment.objects.select_for_update().get(pk=enrollment.pk)
    if row.state == Enrollment.State.DROPPED:
        return False
    row.state = enrollment.state = Enrollment.State.DROPPED
    row.save(update_fields=["state"])
    dropped.send(Enrollment, enrollment=row)
    return True


@transaction.atomic
def enroll_again(*, enrollment: Enrollment) -> bool:
    """The same place as before, with everything in it. False: they had not left."""
    row = Enrollment.objects.select_for_update().get(pk=enrollment.pk)
    if row.state == Enrollment.State.ACTIVE:
        return False
    row.state = enrollment.state = Enrollment.State.ACTIVE
    row.save(update_fields=["state"])
    return True
