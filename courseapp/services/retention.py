"""What is not needed any more, and how long it is kept all the same.

A rule names what it would delete before it does: the command prints it, the daily task logs it. Nothing that a receipt or a grade rests
on falls under any rule: hand-ins, their files, receipts, results with their checks, and the homework's own files stay.
"""

import logging
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from allauth.usersessions.models import UserSession
from django.conf import settings
from django.contrib.sessions.models import Session
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from django.db.models import Q

from courseapp import blobs
from courseapp.clock import database_now
from courseapp.fields import digests_sql
from courseapp.formats import filesize
from courseapp.models import OutboxMail
from courseapp.services.outbox import MOST_ATTEMPTS

log = logging.getLogger(__name__)

PART_AGE = timedelta(days=1)
"""No upload takes so long: a temporary file of that age was left behind by a process that was killed."""

_TEMPORARY = re.compile(r"part-\w+|tmp\w+\.upload.*")


@dataclass(frozen=True)
class Doomed:
    """One thing that has had its time, as a person reads of it. `delete` looks again: it may have come back into use."""

    label: str
    delete: Callable[[], object]


@dataclass(frozen=True)
class Rule:
    name: str
    find: Callable[[], Sequence[Doomed]]


def apply() -> None:
    """All rules. What they delete is in the log first."""
    for rule in rules:
        for one in rule.find():
            log.info("Retention deletes %s: %s.", rule.name, one.label)
            one.delete()


def mail() -> list[Doomed]:
    """Sent, or given up, so many days ago."""
    if not settings.RETENTION_MAIL_DAYS:
        return []
    before = database_now() - timedelta(days=settings.RETENTION_MAIL_DAYS)
    old = OutboxMail.objects.filter(Q(sent_at__lt=before) | Q(sent_at=None, attempts__gte=MOST_ATTEMPTS, created_at__lt=before))
    rows = old.order_by("pk").values_list("pk", "created_at")
    return [Doomed(f"mail {pk} of {created:%Y-%m-%d}", old.filter(pk=pk).delete) for pk, created in rows]


def sessions() -> list[Doomed]:
    """Over, so that their cookie signs nobody in any more."""
    over = Session.objects.filter(expire_date__lt=database_now())
    number = over.count()
    return [Doomed(f"{number} that are over", over.delete)] if number else []


def devices() -> list[Doomed]:
    """Where somebody was signed in, once they are not any more."""
    open_now = Session.objects.filter(expire_date__gte=database_now()).values("session_key")
    over = UserSession.objects.exclude(session_key__in=open_now)
    number = over.count()
    return [Doomed(f"{number} of sessions that are over", over.delete)] if number else []


def temporary_files() -> list[Doomed]:
    """What a process that was killed in the middle of an upload left behind."""
    found = [(path, stat) for path, stat in _files("*") if _TEMPORARY.fullmatch(path.name) and _age(stat) > PART_AGE]
    return [Doomed(_described(path, stat), partial(path.unlink, missing_ok=True)) for path, stat in found]


def unused_files() -> list[Doomed]:
    """Kept files that no row names and that nobody has put for so many days."""
    if not settings.RETENTION_FILE_DAYS:
        return []
    age = timedelta(days=settings.RETENTION_FILE_DAYS)
    with connection.cursor() as cursor:
        cursor.execute(digests_sql())
        named = {row[0] for row in cursor.fetchall()}
    unused = [(path, stat) for path, stat in _files("??/*") if path.name not in named and _age(stat) > age]
    return [Doomed(_described(path, stat), partial(blobs.forget, path.name, unused_for=age)) for path, stat in unused]


def _files(pattern: str) -> Iterator[tuple[Path, os.stat_result]]:
    """Of the store, where that is a folder of this machine; elsewhere the store has rules of its own."""
    if not isinstance(default_storage, FileSystemStorage):
        return
    for path in sorted(Path(default_storage.location).glob(pattern)):
        with suppress(FileNotFoundError):  # an upload that has ended meanwhile
            if path.is_file():
                yield path, path.stat()


def _age(stat: os.stat_result) -> timedelta:
    return timedelta(seconds=time.time() - stat.st_mtime)


def _described(path: Path, stat: os.stat_result) -> str:
    return f"{path.name}, {filesize(stat.st_size)}, of {datetime.fromtimestamp(stat.st_mtime, UTC):%Y-%m-%d}"


rules = [
    Rule("mail", mail),
    Rule("sessions", sessions),
    Rule("devices", devices),
    Rule("temporary files", temporary_files),
    Rule("unused files", unused_files),
]
"""In the order in which they are applied; other apps add theirs when they are ready."""
