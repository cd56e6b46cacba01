"""What happens in the course when somebody signs in or shows that an address is theirs, and when the database is opened."""

from contextlib import suppress
from pathlib import Path
from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.signals import social_account_added
from django.contrib.auth.signals import user_logged_in
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.signals import connection_created
from django.dispatch import receiver

from courseapp.models import User
from courseapp.services import people, signon


@receiver(user_logged_in)
def signed_in(user: User, **_: Any) -> None:
    people.take_up(user=user)


@receiver(email_confirmed)
def address_confirmed(email_address: EmailAddress, **_: Any) -> None:
    people.take_up(user=email_address.user)


@receiver(social_account_added)
def connected(sociallogin: SocialLogin, **_: Any) -> None:
    signon.remember(user=sociallogin.user, said=signon.said(sociallogin.account, sociallogin.email_addresses))


@receiver(connection_created)
def keep_to_ourselves(connection: BaseDatabaseWrapper, **_: Any) -> None:
    """SQLite makes its files readable by everybody; in a data folder that others can enter, nothing else would be in their way."""
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]  # SQLite's wrapper has it
        return
    for ending in ("", "-wal", "-shm"):
        file = Path(f"{connection.settings_dict['NAME']}{ending}")
        with suppress(OSError):  # not there, or another user's
            if file.stat().st_mode & 0o077:
                file.chmod(0o600)
