"""Mail is a row first, written with what it tells of; a worker sends it afterwards.

A mail is claimed, sent, and marked. A sender that dies in between leaves a claim that runs out, and the mail is sent then: so none is
lost, and one is doubled only when a machine dies right after sending it. Both copies then carry the same Message-ID.
"""

import logging
import smtplib
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.core.mail import EmailMessage, get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db import models, transaction

from courseapp import bell
from courseapp.clock import database_now
from courseapp.models import OutboxMail

log = logging.getLogger(__name__)

BATCH = 10
CLAIM = timedelta(minutes=5)
"""Longer than a batch takes when every mail runs into EMAIL_TIMEOUT."""
FIRST_PAUSE, LONGEST_PAUSE = timedelta(seconds=30), timedelta(hours=6)
MOST_ATTEMPTS = 12

_OF_THIS_MAIL = (smtplib.SMTPRecipientsRefused, smtplib.SMTPSenderRefused, smtplib.SMTPDataError, ValueError)


def post(to: str, subject: str, body: str) -> OutboxMail:
    """Have a mail sent when the caller's transaction commits. It never waits for a mail server, nor for the broker."""
    mail = OutboxMail.objects.create(to=to, subject=" ".join(subject.split())[:200], body=body, not_before=database_now())
    transaction.on_commit(partial(bell.ring, "courseapp.tasks.send_outbox", "system"), robust=True)
    return mail


def send_waiting() -> int:
    """Send what waits, in batches, until nothing does or the mail server does not answer. How many were sent."""
    sent = 0
    while batch := _claim():
        done, reachable = _send(batch)
        sent += done
        if not reachable:
            break
    return sent


def _claim() -> list[OutboxMail]:
    with transaction.atomic():
        now = database_now()
        waiting = OutboxMail.objects.select_for_update(skip_locked=True).filter(
            sent_at=None, not_before__lte=now, attempts__lt=MOST_ATTEMPTS
        )
        batch = list(waiting.order_by("not_before", "pk")[:BATCH])
        for mail in batch:
            mail.attempts += 1
            mail.not_before = now + CLAIM
        OutboxMail.objects.bulk_update(batch, ["attempts", "not_before"])
    return batch


def _send(batch: list[OutboxMail]) -> tuple[int, bool]:
    """How many were sent, and whether the mail server answered to the end."""
    connection = get_connection()
    sent = 0
    for position, mail in enumerate(batch):
        try:
            _message(mail, connection).send()
        except _OF_THIS_MAIL as error:
            _failed(mail, error)
        except Exception as error:  # noqa: BLE001  # whatever a mail backend raises, the mail is kept and tried again
            for one in batch[position:]:
                _failed(one, error)
            return sent, False
        else:
            _held(mail).update(sent_at=database_now(), last_error="")
            sent += 1
    return sent, True


def _message(mail: OutboxMail, connection: BaseEmailBackend) -> EmailMessage:
    domain = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
    number = f"<{mail.created_at:%Y%m%d%H%M%S%f}.{mail.pk}@{domain}>"
    return EmailMessage(mail.subject, mail.body, to=[mail.to], connection=connection, headers={"Message-ID": number})


def _failed(mail: OutboxMail, error: Exception) -> None:
    pause = min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** (mail.attempts - 1))
    reason = f"{type(error).__name__}: {error}"
    log.warning("Mail %s was not sent (try %s of %s): %s", mail.pk, mail.attempts, MOST_ATTEMPTS, reason)
    _held(mail).update(last_error=reason.replace("\0", ""), not_before=database_now() + pause)


def _held(mail: OutboxMail) -> "models.QuerySet[OutboxMail]":
    """The row while this claim of it is the newest."""
    return OutboxMail.objects.filter(pk=mail.pk, attempts=mail.attempts, sent_at=None)
