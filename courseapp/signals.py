"""What happens in the course when somebody signs in or shows that an address is theirs."""

from typing import Any

from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.contrib.auth.signals import user_logged_in
from django.dispatch import receiver

from courseapp.models import User
from courseapp.services import people


@receiver(user_logged_in)
def signed_in(user: User, **_: Any) -> None:
    people.take_up(user=user)


@receiver(email_confirmed)
def address_confirmed(email_address: EmailAddress, **_: Any) -> None:
    people.take_up(user=email_address.user)
