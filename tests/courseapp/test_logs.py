"""Log records: one JSON object or one line each, with what they are about, and without what is nobody's business."""

import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest
from django.conf import LazySettings
from django.test import Client, RequestFactory

from courseapp import logs
from courseapp.models import User


class Kept(logging.Handler):
    def __init__(self, formatter: logging.Formatter) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    @property
    def objects(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def kept() -> Iterator[Kept]:
    handler = Kept(logs.Json())
    root = logging.getLogger()
    before = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield handler
    root.removeHandler(handler)
    root.setLevel(before)


def record(message: str, *args: object, **extra: object) -> logging.LogRecord:
    made = logging.LogRecord("grading.execution", logging.WARNING, __file__, 1, message, args, None)
    vars(made).update(extra)
    return made


def test_a_record_is_one_json_object() -> None:
    found = json.loads(logs.Json().format(record("Run %s\nis late", 7, queue="cpu")))
    moment = found.pop("time")
    assert found == {"level": "WARNING", "logger": "grading.execution", "message": "Run 7\nis late", "queue": "cpu"}
    assert moment.endswith("+00:00")


def test_records_say_which_run_and_which_request_they_are_about() -> None:
    request = RequestFactory().get("/")
    request.request_id = "abc12345"  # type: ignore[attr-defined]  # as the middleware does
    request.user = User(pk=12)
    with logs.about_request(request), logs.about_run(9):
        found = json.loads(logs.Json().format(record("x")))
        line = logs.Line().format(record("x"))
    assert (found["request"], found["run"], found["user"]) == ("abc12345", 9, 12)
    assert line.endswith(" WARNING grading.execution request=abc12345 user=12 run=9: x")
    assert logs.Line().format(record("x")).endswith(" WARNING grading.execution: x")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("Mail to maya.okafor+1@cs.example.edu failed", "Mail to <address> failed"),
        ("Error at redis://:s3cret@127.0.0.1:6379/0", "Error at redis://…@127.0.0.1:6379/0"),
        ("postgres://site:pa55@db/courseapp", "postgres://…@db/courseapp"),
        ("Authorization: Bearer abcdefghijklmnop.q", "Authorization: Bearer …"),
        ("{'Authorization': 'Token 0123456789abcdef0123'}", "{'Authorization': 'Token …'}"),
        ("GET /accounts/password/reset/key/4-c8x-12ab/ 500", "GET /accounts/password/reset/key/… 500"),
        ("GET /accounts/confirm-email/MQ:1t/ 200", "GET /accounts/confirm-email/… 200"),
        (
            "no answer from https://login.example.edu/token?code=4/0Ab&state=x (timeout)",
            "no answer from https://login.example.edu/token?… (timeout)",
        ),
        ("Run 7 waits; the token is raised", "Run 7 waits; the token is raised"),
    ],
)
def test_addresses_and_secrets_are_taken_out(said: str, kept: str) -> None:
    assert json.loads(logs.Json().format(record(said)))["message"] == kept
    assert logs.Line().format(record(said)).endswith(f": {kept}")


def test_a_long_word_is_gone_through_once() -> None:
    began = time.thread_time()
    logs.redacted("a" * 1_000_000)
    assert time.thread_time() - began < 2


def test_they_are_taken_out_of_what_exceptions_say_too() -> None:
    made = record("failed")
    try:
        raise ValueError("550 no mailbox maya@example.edu")
    except ValueError:
        made.exc_info = sys.exc_info()
    for formatter in (logs.Json(), logs.Line()):
        text = formatter.format(made)
        assert "550 no mailbox <address>" in text
        assert "maya" not in text


@pytest.mark.django_db
def test_each_request_is_one_line_with_its_number(kept: Kept) -> None:
    user = User.objects.create_user("mo1", "maya@example.edu", "a long password", first_name="Maya")
    client = Client()
    client.force_login(user)
    answer = client.get("/?next=maya@example.edu&token=secret")
    [line] = [line for line in kept.objects if line["logger"] == "courseapp.access"]
    took = line.pop("ms")
    del line["time"]
    assert line == {
        "level": "INFO",
        "logger": "courseapp.access",
        "message": f"GET / 200, {took} ms",
        "method": "GET",
        "path": "/",
        "route": "",
        "status": 200,
        "request": answer["X-Request-ID"],
        "user": user.pk,
    }
    assert len(answer["X-Request-ID"]) == 32


def test_what_is_not_there_is_logged_in_one_line_and_without_its_query(client: Client, kept: Kept) -> None:
    answer = client.get("/no%0Asuch page?code=import+os")
    said = {line["logger"]: (line["message"].split(",")[0], line["request"]) for line in kept.objects if isinstance(line["message"], str)}
    assert said == {
        "courseapp.access": ("GET /no%0Asuch%20page 404", answer["X-Request-ID"]),
        "django.request": ("Not Found: /no\\nsuch page", answer["X-Request-ID"]),
    }


def test_what_machines_ask_every_few_seconds_is_not_logged(client: Client, kept: Kept) -> None:
    client.get("/healthz")
    assert kept.lines == []


@pytest.mark.parametrize(
    ("trusted", "sent", "taken"),
    [
        ("X-Request-ID", "proxy-0123456789.a", True),
        ("", "proxy-0123456789.a", False),
        ("X-Request-ID", "short", False),
        ("X-Request-ID", "a b; c=d e", False),
        ("X-Request-ID", "x" * 65, False),
    ],
)
def test_the_proxys_number_is_taken_where_it_is_trusted(
    trusted: str, sent: str, taken: bool, client: Client, settings: LazySettings
) -> None:
    settings.TRUSTED_REQUEST_ID_HEADER = trusted
    answer = client.get("/healthz", headers={"X-Request-ID": sent})
    assert (answer["X-Request-ID"] == sent) is taken
