"""The database's clock: the one time that leases and queues are reckoned with, whatever the clocks of the machines say."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection

_offset = timedelta(0)


def database_now() -> datetime:
    """The database's present moment (aware, UTC), plus the offset that a test has set. Moves on inside a transaction."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT clock_timestamp()")
            moment: datetime = cursor.fetchone()[0]
        else:
            cursor.execute("SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')")
            moment = datetime.fromisoformat(cursor.fetchone()[0]).replace(tzinfo=UTC)
    return as_now(moment)


def as_now(moment: datetime) -> datetime:
    """What `database_now` makes of the moment (aware) that a statement of one's own has read."""
    return moment.astimezone(UTC) + _offset


def now_in_sql(shift: timedelta) -> tuple[str, Any]:
    """An expression with one %s, and the value for it: the database's present moment plus `shift`, within a statement of one's own."""
    if connection.vendor == "postgresql":
        return "(statement_timestamp() + %s)", _offset + shift
    return "%s", connection.ops.adapt_datetimefield_value(database_now() + shift)


@contextmanager
def shifted(by: timedelta) -> Iterator[None]:
    """Let `database_now` run `by` ahead (behind, when negative) in this process."""
    global _offset
    before, _offset = _offset, _offset + by
    try:
        yield
    finally:
        _offset = before
