"""How log records look, and what they carry: which request, which run, whose account's number.

Never names, addresses, tokens or code: messages are written without them, and what a library or an exception brings along is taken
out of the finished line.
"""

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from typing import Any

from django.http import HttpRequest
from django.utils.functional import LazyObject
from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.json import JsonFormatter

_request: ContextVar[HttpRequest | None] = ContextVar("request", default=None)
_run: ContextVar[int | None] = ContextVar("run", default=None)

_SECRETS = (
    (re.compile(r"://[^/@\s\"']*@"), "://…@"),
    (re.compile(r"\b(Bearer|Token|Basic)(\W+)[\w.~+/=-]{16,}", re.IGNORECASE), r"\1\2…"),
    (re.compile(r"(/accounts/(?:\S*/key|confirm-email)/)[^\s\"'?]+"), r"\1…"),
    (re.compile(r"(https?://[^\s\"'?]+)\?[^\s\"']+"), r"\1?…"),
    # Tried at the beginning of a word only: a long word without an @ would be gone through from each of its letters.
    (re.compile(r"(?<![\w.+%-])[\w.+%-]{1,64}@[\w-]+(?:\.[\w-]+)+"), "<address>"),
)


@contextmanager
def about_request(request: HttpRequest) -> Iterator[None]:
    """Records made in here carry the request's id, and its sender's number once that is known."""
    token = _request.set(request)
    try:
        yield
    finally:
        _request.reset(token)


@contextmanager
def about_run(pk: int) -> Iterator[None]:
    token = _run.set(pk)
    try:
        yield
    finally:
        _run.reset(token)


def sender_pk(request: HttpRequest) -> int | None:
    """The number of the account that sent the request, if somebody has looked: asking now might ask the database."""
    found = vars(request)
    user = found.get("_cached_user") or found.get("user")
    return None if user is None or isinstance(user, LazyObject) else user.pk


def context(record: logging.LogRecord) -> dict[str, Any]:
    """What the record is about; Django hands the request along with what it says after the answer."""
    found: dict[str, Any] = {}
    handed = getattr(record, "request", None)
    request = handed if isinstance(handed, HttpRequest) else _request.get()
    if request is not None:
        found["request"] = getattr(request, "request_id", None)
        found["user"] = sender_pk(request)
    found["run"] = _run.get()
    return {name: value for name, value in found.items() if value is not None}


def redacted(text: str) -> str:
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Line(logging.Formatter):
    """One line for people: time, level, logger, what it is about, message."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname} {name}{about}: {message}", style="{")

    def format(self, record: logging.LogRecord) -> str:
        record.about = "".join(f" {name}={value}" for name, value in context(record).items())
        return redacted(super().format(record))


class Json(JsonFormatter):
    """One JSON object a line. Of what a record carries besides its message, only plain values are kept."""

    def __init__(self) -> None:
        # A request among the extras would be written with its query, where tokens may be.
        reserved = [*RESERVED_ATTRS, "request", "server_time", "about"]
        names = {"levelname": "level", "name": "logger", "exc_info": "exception"}
        super().__init__("{levelname}{name}{message}", style="{", timestamp="time", rename_fields=names, reserved_attrs=reserved)

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        for name in [name for name, value in log_data.items() if not isinstance(value, str | int | float | datetime)]:
            del log_data[name]
        log_data.update(context(record))

    def format(self, record: logging.LogRecord) -> str:
        return redacted(super().format(record))


def configuration(form: str, level: str) -> Mapping[str, Any]:
    """For `logging.config.dictConfig`; everything goes to standard error."""
    formatter = {"line": "courseapp.logs.Line", "json": "courseapp.logs.Json"}[form]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"chosen": {"()": formatter}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "chosen"}},
        "root": {"handlers": ["stderr"], "level": level},
    }
