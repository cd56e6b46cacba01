import smtplib
import socket
import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core import mail
from django.core.mail.backends.base import BaseEmailBackend
from django.core.mail.message import EmailMessage
from django.db import connection, transaction

from courseapp.clock import database_now, shifted
from courseapp.models import OutboxMail
from courseapp.services import outbox
from courseapp.tasks import send_outbox

pytestmark = pytest.mark.django_db


class RefusingBackend(BaseEmailBackend):
    """A mail server that knows one address."""

    def send_messages(self, email_messages: Sequence[EmailMessage]) -> int:
        for message in email_messages:
            if message.to != ["known@example.edu"]:
                raise smtplib.SMTPRecipientsRefused({message.to[0]: (550, b"no such user")})
            mail.outbox.append(message)
        return len(email_messages)


@pytest.fixture
def refusing(settings: LazySettings) -> None:
    settings.EMAIL_BACKEND = "tests.courseapp.test_outbox.RefusingBackend"
    mail.outbox = []


@pytest.fixture
def no_server(settings: LazySettings) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", port


def waiting() -> list[dict[str, Any]]:
    return [dict(row) for row in OutboxMail.objects.filter(sent_at=None).order_by("pk").values("to", "attempts", "last_error")]


def test_a_posted_mail_is_sent_once() -> None:
    outbox.post("ada@example.edu", "Receipt", "Here it is.")
    assert outbox.send_waiting() == 1
    assert outbox.send_waiting() == 0
    [sent] = mail.outbox
    assert (sent.to, sent.subject, sent.body) == (["ada@example.edu"], "Receipt", "Here it is.")
    row = OutboxMail.objects.get()
    assert (row.attempts, row.last_error) == (1, "")
    assert row.sent_at is not None


def test_the_task_sends() -> None:
    outbox.post("ada@example.edu", "Receipt", "Here it is.")
    send_outbox()
    assert len(mail.outbox) == 1


def test_more_than_a_batch_is_sent_in_the_order_of_posting() -> None:
    for number in range(outbox.BATCH + 3):
        outbox.post("ada@example.edu", f"{number}", "")
    assert outbox.send_waiting() == outbox.BATCH + 3
    assert [sent.subject for sent in mail.outbox] == [f"{number}" for number in range(outbox.BATCH + 3)]


def test_a_subject_of_several_lines_becomes_one() -> None:
    outbox.post("ada@example.edu", "Homework 1\nBcc: all@example.edu", "")
    outbox.send_waiting()
    assert mail.outbox[0].subject == "Homework 1 Bcc: all@example.edu"


def test_nothing_is_posted_when_the_transaction_fails() -> None:
    with transaction.atomic():
        outbox.post("ada@example.edu", "Receipt", "")
        transaction.set_rollback(True)
    assert not OutboxMail.objects.exists()


def test_a_refused_address_is_kept_with_its_reason_and_holds_up_nobody(refusing: None) -> None:
    outbox.post("gone@example.edu", "1", "")
    outbox.post("known@example.edu", "2", "")
    assert outbox.send_waiting() == 1
    assert [sent.subject for sent in mail.outbox] == ["2"]
    [kept] = waiting()
    assert (kept["to"], kept["attempts"]) == ("gone@example.edu", 1)
    assert "no such user" in kept["last_error"]


def test_a_server_that_does_not_answer_is_tried_again_later_and_less_often(no_server: None, settings: LazySettings) -> None:
    for number in range(3):
        outbox.post("ada@example.edu", f"{number}", "")
    assert outbox.send_waiting() == 0
    assert [(one["attempts"], one["last_error"].split(":")[0]) for one in waiting()] == [(1, "ConnectionRefusedError")] * 3
    assert outbox.send_waiting() == 0
    assert [one["attempts"] for one in waiting()] == [1, 1, 1]
    with shifted(timedelta(seconds=31)):
        outbox.send_waiting()
        assert [one["attempts"] for one in waiting()] == [2, 2, 2]
    with shifted(timedelta(seconds=62)):
        outbox.send_waiting()
        assert [one["attempts"] for one in waiting()] == [2, 2, 2]
    settings.EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
    with shifted(timedelta(seconds=92)):
        assert outbox.send_waiting() == 3


def test_after_the_last_try_it_stays_with_its_reason(refusing: None) -> None:
    outbox.post("gone@example.edu", "1", "")
    for day in range(20):
        with shifted(timedelta(days=day)):
            outbox.send_waiting()
    assert [(one["attempts"], "no such user" in one["last_error"]) for one in waiting()] == [(outbox.MOST_ATTEMPTS, True)]


def test_a_mail_whose_sender_died_is_sent_when_the_claim_has_run_out() -> None:
    outbox.post("ada@example.edu", "Receipt", "")
    OutboxMail.objects.update(attempts=1, not_before=database_now() + outbox.CLAIM)
    assert outbox.send_waiting() == 0
    with shifted(outbox.CLAIM + timedelta(seconds=1)):
        assert outbox.send_waiting() == 1


def test_both_copies_of_a_doubled_mail_have_one_message_id() -> None:
    outbox.post("ada@example.edu", "Receipt", "")
    outbox.send_waiting()
    OutboxMail.objects.update(sent_at=None, not_before=database_now())
    outbox.send_waiting()
    first, second = (sent.message()["Message-ID"] for sent in mail.outbox)
    assert first == second


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_send_every_mail_once() -> None:
    for number in range(25):
        outbox.post("ada@example.edu", f"{number}", "")
    start = threading.Barrier(4)
    counts: list[int] = []

    def work() -> None:
        try:
            start.wait()
            counts.append(outbox.send_waiting())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == 25
    assert sorted(int(sent.subject) for sent in mail.outbox) == list(range(25))
