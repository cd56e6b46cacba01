"""Plain statements on paths that everybody waits for: planned once for a connection, and sent together.

On PostgreSQL each statement would else be planned anew, and wait for the answer to the one before it; on a busy machine that waiting is
most of the time. SQLite is in this process: there each is carried out where it is asked.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import psycopg
from django.db import connection
from psycopg.rows import tuple_row

Row = tuple[Any, ...]


class Answer:
    """What a statement came to; there once the block has ended that it was asked in."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def rows(self) -> list[Row]:
        with connection.wrap_database_errors:
            return list(self._cursor.fetchall())

    @property
    def changed(self) -> int:
        """How many rows it has changed."""
        return int(self._cursor.rowcount)


@contextmanager
def together() -> Iterator[None]:
    """What is asked within goes to the database in one message, in order. Errors are Django's, and come at the end of the block."""
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()
    with connection.wrap_database_errors, connection.connection.pipeline():
        yield


def ask(statement: str, values: Sequence[Any]) -> Answer:
    """Within `together`. `statement` has %s for each value; moments and days are given as `connection.ops` adapts them."""
    if connection.vendor != "postgresql":
        cursor = connection.cursor()
        cursor.execute(statement, values)
        return Answer(cursor)
    fast = psycopg.Cursor(connection.connection, row_factory=tuple_row)
    fast.execute(statement.encode(), values, prepare=True, binary=True)
    return Answer(fast)
