"""How allauth behaves here."""

import base64
import hashlib
import logging
import secrets
from typing import Any, NoReturn

from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.core.internal.httpkit import get_client_ip
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialApp, SocialLogin
from allauth.socialaccount.providers.base import AuthProcess
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest
from django.shortcuts import redirect, render

from courseapp.models import User
from courseapp.services import outbox, people, signon
from courseapp.services.signon import Said

log = logging.getLogger(__name__)

# What the owner is told by mail when the ways into an account change, by allauth's names for it.
NOTICES = {
    "account/email/email_changed": "The primary address of your account is another one now.",
    "account/email/email_deleted": "An address was removed from your account.",
    "account/email/password_changed": "The password of your account was changed.",
    "account/email/password_reset": "The password of your account was set anew by a link in a mail.",
    "account/email/password_set": "A password was set for your account.",
    "mfa/email/recovery_codes_generated": "New recovery codes were made for your account.",
    "mfa/email/totp_activated": "An authenticator app was set up for your account.",
    "mfa/email/totp_deactivated": "The authenticator app of your account was switched off.",
    "mfa/email/webauthn_added": "A passkey was added to your account.",
    "mfa/email/webauthn_removed": "A passkey was removed from your account.",
    "socialaccount/email/account_connected": "{provider} was connected with your account: it opens it now.",
    "socialaccount/email/account_disconnected": "{provider} was disconnected from your account.",
}
_NEW_PASSWORDS = {"account/email/password_changed", "account/email/password_reset", "account/email/password_set"}
_ENDED = "With it every device was signed out, and API tokens that were made before do not work any more.\n\n"
_WAS_IT_YOU = """Was it you? Then there is nothing to do.

If not: sign out everywhere else, revoke API tokens that you did not make, and set a new password.
{site}/accounts/sessions/
{site}/accounts/tokens/
{site}/accounts/password/reset/
"""


class Adapter(DefaultAccountAdapter):  # type: ignore[misc]  # allauth ships no types
    """Accounts come from the roster: nobody signs up by themselves."""

    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": "The address or the password is not right. Try again, or set a new password.",
        "incorrect_password": "This is not your current password.",
        "enter_current_password": "This is not your current password.",
        "too_many_login_attempts": "Too many tries. Wait five minutes, or set a new password.",
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002  # allauth's signature
        return False

    def send_notification_mail(
        self, template_prefix: str, user: User, context: dict[str, Any] | None = None, email: str | None = None
    ) -> None:
        """By the outbox: a mail server that does not answer is in nobody's way. Such a mail holds nothing that opens an account."""
        to = email or user.email
        if to and template_prefix in NOTICES:
            provider = (context or {}).get("provider")
            sentence = NOTICES[template_prefix].format(provider=provider.name if provider else "")
            ended = _ENDED if template_prefix in _NEW_PASSWORDS else ""
            outbox.post(to, sentence, f"Hello {user.display_name},\n\n{sentence}\n\n{ended}{_WAS_IT_YOU.format(site=settings.SITE_URL)}")

    def get_client_ip(self, request: HttpRequest) -> str:
        """A web server that listens on a socket file names no address; the limits that count by account still hold."""
        return get_client_ip(request) or "127.0.0.1"


class SocialAdapter(DefaultSocialAccountAdapter):  # type: ignore[misc]  # as above
    """An identity provider opens the account that is surely the person's, or makes one where a place waits; else a page says why not."""

    error_messages = {
        **DefaultSocialAccountAdapter.error_messages,
        "no_password": "This is your only way in. Set a password first, then disconnect it.",
    }

    def list_apps(self, request: HttpRequest, provider: str | None = None, client_id: str | None = None) -> list[SocialApp]:
        """Only those of the settings: the database is no way to add somebody to be believed."""
        return [app for app in super().list_apps(request, provider=provider, client_id=client_id) if app.pk is None]

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        said = signon.said(sociallogin.account, sociallogin.email_addresses)
        if not said.in_hosted_domain:
            self._refuse(request, sociallogin, said, "domain")
        owners = signon.accounts_of(said.known)
        if sociallogin.state.get("process") == AuthProcess.CONNECT:
            if any(owner != request.user for owner in owners):
                messages.error(request, f"{sociallogin.provider.name} knows you by a name of another account here. Nothing was connected.")
                raise ImmediateHttpResponse(redirect("socialaccount_connections"))
        elif sociallogin.is_existing:
            signon.remember(user=sociallogin.user, said=said)
        elif len(owners) > 1:
            self._refuse(request, sociallogin, said, "two accounts")
        elif owners and signon.is_anothers(owners[0], sociallogin.account):
            self._refuse(request, sociallogin, said, "another's")
        elif owners:
            sociallogin.connect(request, owners[0])
        else:
            self._make(request, sociallogin, said)

    def _make(self, request: HttpRequest, sociallogin: SocialLogin, said: Said) -> None:
        """Save an account with what the provider is believed, and the roster's address where it gave none."""
        place = people.waiting(said.known)
        if place is None and not (settings.SIGN_ON_ACCOUNTS == "anyone" and said.emails):
            self._refuse(request, sociallogin, said, "no place" if said.names else "nothing confirmed")
        email = said.emails[0] if said.emails else (place.email if place else "")
        if signon.is_claimed(email):
            self._refuse(request, sociallogin, said, "claimed", email=email)
        user = sociallogin.user
        user.email, user.username = email, said.username
        if place is not None:
            user.first_name, user.last_name = user.first_name or place.first_name, user.last_name or place.last_name
        sociallogin.email_addresses = [EmailAddress(email=row, verified=True, primary=row == email) for row in said.emails]
        self.save_user(request, sociallogin)
        signon.remember(user=user, said=said)

    def _refuse(self, request: HttpRequest, sociallogin: SocialLogin, said: Said, reason: str, **more: str) -> NoReturn:
        context = {"provider": sociallogin.provider, "said": said, "reason": reason, **more}
        raise ImmediateHttpResponse(render(request, "socialaccount/refused.html", context, status=403))

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:  # noqa: ARG002  # allauth's signature
        """Whoever gets an account has it from `pre_social_login`."""
        return False


class FactorAdapter(DefaultMFAAdapter):  # type: ignore[misc]  # as above
    """The second factor, in this site's words, with its secrets locked up: whoever reads a copy of the database cannot make codes."""

    error_messages = {
        **DefaultMFAAdapter.error_messages,
        "add_email_blocked": "No address can be added while a second factor is on. Switch it off, add the address, switch it on again.",
        "cannot_generate_recovery_codes": "Recovery codes stand in for a second factor. Set one up first.",
        "incorrect_code": "This code is not right, or its time is over. Enter the newest one.",
        "unverified_email": "Confirm all your email addresses first, or remove those that are not yours.",
    }

    def encrypt(self, text: str) -> str:
        return _locks().encrypt(text.encode()).decode()

    def decrypt(self, encrypted_text: str) -> str:
        """What no key opens is answered by a secret that nobody has: such a factor fits no code, and staff take it away."""
        try:
            return _locks().decrypt(encrypted_text.encode()).decode()
        except InvalidToken:
            log.error("A second factor cannot be read: neither SECRET_KEY nor SECRET_KEY_FALLBACKS fits it.")
            return base64.b32encode(secrets.token_bytes(20)).decode()

    def generate_authenticator_name(self, user: User, type: Authenticator.Type) -> str:  # allauth's name
        number = Authenticator.objects.filter(user=user, type=type).count() + 1
        return "Passkey" if number == 1 else f"Passkey {number}"


def _locks() -> MultiFernet:
    """Made of the keys that sign sessions: a former one still opens what it closed."""
    digests = (hashlib.sha256(b"second factor" + key.encode()).digest() for key in (settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS))
    return MultiFernet([Fernet(base64.urlsafe_b64encode(digest)) for digest in digests])
