"""Columns with a meaning of their own."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import models


class DigestField(models.CharField):  # type: ignore[type-arg]  # Django's class takes no parameter at run time
    """The SHA-256 of a kept file. What these columns name is what a backup takes along and retention leaves alone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("max_length", 64)
        super().__init__(*args, **options)

    def deconstruct(self) -> Any:
        name, _, args, options = super().deconstruct()
        return name, "django.db.models.CharField", args, options  # for the database it is one: no migration when a column becomes one


def digest_columns() -> Iterator[tuple[str, str]]:
    """Table and column of every one of them."""
    for model in apps.get_models():
        for field in model._meta.local_fields:
            if isinstance(field, DigestField):
                yield model._meta.db_table, str(field.column)


def digests_sql() -> str:
    """A statement that lists every file that some row names, each once."""
    parts = [f'SELECT "{column}" FROM "{table}" WHERE "{column}" <> \'\'' for table, column in digest_columns()]  # noqa: S608  # our own names
    return " UNION ".join(parts)
