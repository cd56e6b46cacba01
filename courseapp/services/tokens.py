"""Personal API tokens: made once, shown once, and good until they expire, are revoked, or their owner's account is switched off."""

import hashlib
import re
import secrets
from collections.abc import Collection
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from courseapp.models import ApiToken, User
from courseapp.services import outbox

DEFAULT_DAYS = 90
MOST_DAYS = 366
MOST_LIVE = 50
SHOWN = 10
USED_EVERY = timedelta(minutes=1)
_KEY = re.compile(r"cat_[A-Za-z0-9_-]{43}")


class TooMany(Exception):  # noqa: N818  # it is an answer, not a fault
    """The sentence to show to who wants yet another token."""


@transaction.atomic
def make(*, user: User, name: str, scopes: Collection[str], days: int = DEFAULT_DAYS) -> tuple[ApiToken, str]:
    """A new token and its key, which nobody can read again. Its owner is told by mail, for it is a way into the account."""
    now = timezone.now()
    if live(user, now).count() >= MOST_LIVE:
        raise TooMany(f"You have {MOST_LIVE} tokens that work; revoke one that you no longer use.")
    key = f"cat_{secrets.token_urlsafe(32)}"
    made = ApiToken.objects.create(
        user=user,
        name=name,
        prefix=key[:SHOWN],
        digest=_digest(key),
        scopes=[scope.value for scope in ApiToken.Scope if scope.value in scopes],
        created_at=now,
        expires_at=now + timedelta(days=days),
    )
    if user.email:
        told = f"Hello {user.display_name},\n\nThe API token “{name}” ({made.prefix}…) was made for your account.\n\n"
        ask = f"Was it not you? Revoke it, and set a new password.\n{settings.SITE_URL}/accounts/tokens/\n"
        outbox.post(user.email, "A new API token was made for your account.", told + ask)
    return made, key


def find(key: str) -> ApiToken | None:
    """The token of this key, if it works now, with its owner; and note that it was used."""
    if not _KEY.fullmatch(key):
        return None
    now = timezone.now()
    good = ApiToken.objects.filter(digest=_digest(key), revoked_at=None, expires_at__gt=now, user__is_active=True)
    found = good.select_related("user").first()
    if found is not None and (found.last_used_at is None or now - found.last_used_at >= USED_EVERY):
        ApiToken.objects.filter(pk=found.pk).update(last_used_at=now)
    return found


def revoke(*, token: ApiToken) -> None:
    if token.revoked_at is None:
        token.revoked_at = timezone.now()
        token.save(update_fields=["revoked_at"])


def live(user: User, now: datetime) -> QuerySet[ApiToken]:
    return ApiToken.objects.filter(user=user, revoked_at=None, expires_at__gt=now)


def _digest(key: str) -> str:
    """A plain hash: the key has 256 random bits, so there is nothing to guess that a slow hash would protect."""
    return hashlib.sha256(key.encode()).hexdigest()
