"""`manage.py api_token EMAIL`: a personal token for the API, printed once."""

import argparse

from django.core.management.base import BaseCommand, CommandError

from courseapp.models import ApiToken, User
from courseapp.services import tokens


class Command(BaseCommand):
    help = "Make a personal API token for an account and print its key, which is not kept anywhere."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("email", help="the account's e-mail address")
        parser.add_argument("--scope", action="append", choices=ApiToken.Scope.values, help="may be repeated (default: read and submit)")
        parser.add_argument(
            "--days", type=int, default=tokens.DEFAULT_DAYS, help=f"1 to {tokens.MOST_DAYS} (default {tokens.DEFAULT_DAYS})"
        )
        parser.add_argument("--name", default="made by manage.py api_token")

    def handle(self, *args: object, email: str, scope: list[str] | None, days: int, name: str, **options: object) -> None:
        if not 1 <= days <= tokens.MOST_DAYS:
            raise CommandError(f"--days {days} is not accepted; accepted are 1 to {tokens.MOST_DAYS}.")
        if not 1 <= len(name) <= 60:
            raise CommandError(f"--name has {len(name)} characters; accepted are 1 to 60.")
        user = User.objects.filter(email__iexact=email).first()
        if user is None or not user.is_active:
            raise CommandError(f"{email} is {'not an account here' if user is None else 'switched off'}; no token was made.")
        try:
            token, key = tokens.make(user=user, name=name, scopes=scope or ["read", "submit"], days=days)
        except tokens.TooMany as refusal:
            raise CommandError(f"{email}: {refusal}") from refusal
        self.stdout.write(key)
        self.stderr.write(f"For {user.email}, scopes {', '.join(token.scopes)}, until {token.expires_at:%Y-%m-%d}. It is shown only now.")
