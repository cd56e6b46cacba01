"""What is deleted is what has had its time: never what a receipt or a grade rests on."""

import io
import logging
import os
import threading
import time
from contextlib import suppress
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from allauth.usersessions.models import UserSession
from django.conf import LazySettings
from django.contrib.sessions.models import Session
from django.core.management import call_command
from django.utils import timezone

from courseapp import blobs, tasks
from courseapp.models import OutboxMail
from grading.models import Bundle, RunCurves, RunLog, RunResult, Submission
from tests import factories

pytestmark = pytest.mark.django_db
DAY = 86_400


@pytest.fixture(autouse=True)
def store(settings: LazySettings, tmp_path: Path) -> Path:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    return tmp_path


def retention(*options: str) -> str:
    out = io.StringIO()
    call_command("retention", *options, stdout=out)
    return out.getvalue()


def aged(path: Path, days: float) -> Path:
    moment = time.time() - days * DAY
    os.utime(path, (moment, moment))
    return path


def mail(days: float, *, sent: bool = True, attempts: int = 1) -> OutboxMail:
    moment = timezone.now() - timedelta(days=days)
    made = OutboxMail.objects.create(to="a@example.edu", subject="x", body="", not_before=moment, attempts=attempts)
    OutboxMail.objects.filter(pk=made.pk).update(created_at=moment, sent_at=moment if sent else None)
    return made


def test_old_mail_goes_and_what_still_waits_stays() -> None:
    old, given_up = mail(181), mail(181, sent=False, attempts=12)
    recent, waiting = mail(179), mail(300, sent=False, attempts=3)
    listed = retention("--dry-run")
    assert f"mail: 2\n  mail {old.pk} of " in listed
    assert "a@example.edu" not in listed
    assert OutboxMail.objects.count() == 4
    retention()
    assert set(OutboxMail.objects.values_list("pk", flat=True)) == {recent.pk, waiting.pk}
    assert not OutboxMail.objects.filter(pk=given_up.pk).exists()


def test_sessions_go_when_they_are_over() -> None:
    for key, hours in (("over", -1), ("open", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + timedelta(hours=hours))
    assert "sessions: 1\n  1 that are over\n" in retention()
    assert [session.session_key for session in Session.objects.all()] == ["open"]


def test_where_somebody_was_signed_in_goes_with_the_session() -> None:
    user = factories.UserFactory.create()
    for key, hours in (("over", -1), ("open", 1)):
        Session.objects.create(session_key=key, session_data="", expire_date=timezone.now() + timedelta(hours=hours))
    for key in ("over", "open", "gone"):
        UserSession.objects.create(user=user, session_key=key, ip="203.0.113.9", user_agent="x")
    assert "devices: 1\n  2 of sessions that are over\n" in retention("--dry-run")
    retention()
    assert [device.session_key for device in UserSession.objects.all()] == ["open"]


def test_what_a_killed_upload_left_behind_goes_after_a_day(store: Path) -> None:
    left = [aged(store / name, 2) for name in ("part-ab12", "tmpx3_9.upload.pdf", "notes.txt") if (store / name).write_text("x")]
    (store / "part-new").touch()
    retention()
    assert sorted(path.name for path in store.iterdir()) == ["notes.txt", "part-new"]
    assert len(left) == 3


def test_a_file_that_no_row_names_goes_and_every_other_stays(store: Path) -> None:
    homework = factories.HomeworkFactory.create()
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), files={"a.py": b"a = 1\n"})
    Bundle.objects.update(digest=blobs.put_bytes(b"bundle").sha256)
    homework.starter_sha256 = blobs.put_bytes(b"starter").sha256
    homework.save()
    unused, recent = blobs.put_bytes(b"nobody's").sha256, blobs.put_bytes(b"nobody's yet").sha256
    for path in store.glob("??/*"):
        aged(path, 29 if path.name == recent else 31)
    assert f"unused files: 1\n  {unused}, 8 B, of " in retention()
    named = {submission.files.get().sha256, homework.starter_sha256, Bundle.objects.get().digest}
    assert {path.name for path in store.glob("??/*")} == {recent, *named}


def test_a_file_that_is_handed_in_again_meanwhile_stays(store: Path) -> None:
    sha256 = blobs.put_bytes(b"nobody's").sha256
    path = aged(store / blobs.name(sha256), 31)
    blobs.put_bytes(b"nobody's")
    assert blobs.forget(sha256, unused_for=timedelta(days=30)) is False
    aged(path, 31)
    assert blobs.forget(sha256, unused_for=timedelta(days=30)) is True


def test_putting_and_deleting_the_same_file_at_once_never_loses_it(store: Path) -> None:
    stop = threading.Event()
    sha256 = blobs.put_bytes(b"wanted").sha256

    def delete() -> None:
        while not stop.is_set():
            with suppress(FileNotFoundError):
                aged(store / blobs.name(sha256), 31)
            blobs.forget(sha256, unused_for=timedelta(seconds=1))

    thread = threading.Thread(target=delete)
    thread.start()
    try:
        for _ in range(100):
            assert blobs.put_bytes(b"wanted").sha256 == sha256
    finally:
        stop.set()
        thread.join()


def printed(starts_on: date) -> RunResult:
    practice = factories.component(factories.HomeworkFactory.create(course__starts_on=starts_on), "practice")
    submission = factories.SubmissionFactory.create(component=practice)
    run = factories.RunFactory.create(submission=submission, progress={"output": "Hello"})
    RunLog.objects.create(run=run, token=run.token, seq=0, text="Hello")
    RunCurves.objects.create(run=run, token=run.token, data={"lines": 1})
    made: RunResult = factories.RunResultFactory.create(run=run, output="Hello", check_results=[{"title": "One"}], message="No.")
    return made


def test_what_runs_printed_goes_a_year_after_the_course_and_their_points_stay() -> None:
    today = timezone.now().date()
    past, present = printed(today - timedelta(weeks=15, days=367)), printed(today - timedelta(weeks=15, days=363))
    assert f"run outputs: 1\n  {past.run.submission.component.homework.course.slug}: what 1 runs printed or left behind" in retention()
    for row in (past, present):
        row.refresh_from_db()
        row.run.refresh_from_db()
    assert (past.output, past.run.progress) == ("", {})
    assert [past.run.log_pieces.count(), past.run.curves.count(), present.run.log_pieces.count(), present.run.curves.count()] == [
        0,
        0,
        1,
        1,
    ]
    assert (past.points, past.check_results, past.message) == (Decimal(40), [{"title": "One"}], "No.")
    assert (present.output, present.run.progress) == ("Hello", {"output": "Hello"})
    assert Submission.objects.count() == 2


def test_nought_days_keep_it_for_good(settings: LazySettings, store: Path) -> None:
    settings.RETENTION_MAIL_DAYS = settings.RETENTION_LAB_DAYS = settings.RETENTION_FILE_DAYS = settings.RETENTION_OUTPUT_DAYS = 0
    mail(9_999)
    aged(store / blobs.name(blobs.put_bytes(b"x").sha256), 9_999)
    printed(date(2001, 1, 1))
    names = ("mail", "sessions", "devices", "temporary files", "unused files", "lab files", "run outputs")
    assert retention().splitlines() == [*(f"{name}: nothing" for name in names), "Deleted."]


def test_the_daily_task_says_what_it_deletes(caplog: pytest.LogCaptureFixture) -> None:
    old = mail(181)
    with caplog.at_level(logging.INFO):
        tasks.apply_retention()
    assert caplog.messages == [f"Retention deletes mail: mail {old.pk} of {timezone.now() - timedelta(days=181):%Y-%m-%d}."]
    assert OutboxMail.objects.count() == 0
