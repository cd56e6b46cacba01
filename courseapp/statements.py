"""Plain statements on paths that everybody waits for: past the ORM, and planned once for a connection.

PostgreSQL would else plan each anew, which takes longer than carrying it out.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, TypeVar

import psycopg
from django.db import connection
from django.db.models import Model
from psycopg.rows import tuple_row

Row = tuple[Any, ...]
_Model = TypeVar("_Model", bound=Model)


def ask(statement: str, values: Sequence[Any], *, binary: bool = True) -> list[Row]:
    """Its rows. `statement` has %s for each value; moments and days are given as `connection.ops` adapts them.

    `binary`: how values come back, which is faster; for `instances` they have to come as Django reads them, as text.
    """
    if connection.vendor != "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())
    connection.ensure_connection()
    with connection.wrap_database_errors:
        fast = psycopg.Cursor(connection.connection, row_factory=tuple_row)
        return fast.execute(statement.encode(), values, prepare=True, binary=binary).fetchall()


@cache
def columns(model: type[Model]) -> str:
    return ", ".join(field.column or "" for field in model._meta.concrete_fields)


def instances(model: type[_Model], rows: Iterable[Row]) -> list[_Model]:
    """Of the rows of a statement that gives `columns(model)`, asked for with `binary=False`: what the model's manager would give."""
    names, converters = _reading(model)
    found = []
    for row in rows:
        values = list(row)
        for number, convert, column in converters:
            for one in convert:
                values[number] = one(values[number], column, connection)
        found.append(model.from_db(connection.alias, names, values))
    return found


@cache
def _reading(model: type[Model]) -> tuple[list[str], list[tuple[int, list[Any], Any]]]:
    """The names of its fields, and what makes their values of the database's: (number of the field, one after the other, column)."""
    fields = model._meta.concrete_fields
    compiler = model._default_manager.all().query.get_compiler(connection.alias)
    converters = compiler.get_converters([field.get_col(model._meta.db_table) for field in fields])
    return [field.attname for field in fields], [(number, *converter) for number, converter in converters.items()]
