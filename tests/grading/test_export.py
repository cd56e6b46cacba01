"""A person's data as one zip file: all of theirs, nobody else's, and of results what the pages show them."""

import io
import json
import re
import stat
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import time_machine
from allauth.account.models import EmailAddress
from django.core.files.storage import default_storage
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from courseapp import blobs, zips
from courseapp.models import Enrollment, OutboxMail, User
from grading.models import Component, PointsByHand, RunCurves, RunResult, Submission
from grading.services import receipts
from tests import factories

pytestmark = pytest.mark.django_db

CHECKS = [
    {"title": "Shape", "points": "20", "max_points": "25", "visibility": "visible", "passed": False, "judged": True, "message": "Wrong."},
    {"title": "Secret", "points": "19", "max_points": "25", "visibility": "hidden", "passed": False, "judged": True, "message": "Input 7."},
]


@pytest.fixture(autouse=True)
def _before_the_due_time() -> Iterator[None]:
    with time_machine.travel("2023-10-20 18:00Z", tick=False):
        yield


@pytest.fixture
def submission() -> Submission:
    practice = factories.component(factories.HomeworkFactory.create(slug="hw1", course__slug="dl"), "practice")
    made = factories.SubmissionFactory.create(component=practice, files={"src/mlp.py": b"x = 1\n"})
    run = factories.RunFactory.create(submission=made)
    factories.RunResultFactory.create(run=run, points=39, check_results=CHECKS, output="Hello\n", staff_message="Staff only.")
    return made


def owner(submission: Submission) -> User:
    assert submission.enrollment.user is not None
    return submission.enrollment.user


def fetched(user: User) -> zipfile.ZipFile:
    client = Client()
    client.force_login(user)
    answer = client.post(reverse("your-data"))
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/zip")
    assert answer["Content-Disposition"] == 'attachment; filename="my-data-2023-10-20.zip"'
    return zipfile.ZipFile(io.BytesIO(answer.getvalue()))


def facts(archive: zipfile.ZipFile, name: str = "courses/dl/hw1-practice-1/hand-in.json") -> Any:
    return json.loads(archive.read(name))


def test_it_holds_profile_courses_hand_ins_files_and_receipts(submission: Submission) -> None:
    user = owner(submission)
    OutboxMail.objects.create(to=user.email.upper(), subject="Receipt", body="Kept.", not_before=submission.received_at)
    archive = fetched(user)
    assert archive.testzip() is None
    folder = "courses/dl/hw1-practice-1"
    assert archive.namelist() == [
        "README.txt",
        "profile.json",
        "mail.json",
        "courses/dl/course.json",
        f"{folder}/hand-in.json",
        f"{folder}/receipt.txt",
        f"{folder}/files/src/mlp.py",
    ]
    assert archive.read(f"{folder}/files/src/mlp.py") == b"x = 1\n"
    assert archive.read(f"{folder}/receipt.txt").decode() == receipts.document(submission)
    profile = facts(archive, "profile.json")
    assert (profile["email"], profile["first_name"]) == (user.email, user.first_name)
    assert facts(archive, "mail.json")[0]["subject"] == "Receipt"
    assert facts(archive, "courses/dl/course.json")["role"] == "student"
    assert facts(archive)["receipt"] == submission.receipt_code


def test_results_are_as_the_page_shows_them(submission: Submission) -> None:
    found = facts(fetched(owner(submission)))
    assert found["result"]["checks"] == [
        {"title": "Shape", "outcome": "passed in part", "points": "20", "out_of": "25", "message": "Wrong."},
        {"title": "1 hidden check", "outcome": "hidden", "points": "19", "out_of": "25", "message": "Stays hidden."},
    ]
    assert (found["score"]["points"], found["score"]["out_of"], found["result"]["output"]) == ("39.00", "50.00", "Hello\n")
    assert "Input 7." not in json.dumps(found)
    assert "Staff only." not in json.dumps(found)


def test_a_score_that_is_not_published_is_not_in_it(submission: Submission) -> None:
    run, staff = submission.runs.get(), factories.EnrollmentFactory.create(course=submission.component.homework.course, role="ta")
    RunCurves.objects.create(run=run, token=run.token, data={"lines": 1})
    for points, reason in ((7, "By eye."), (None, "Taken back.")):
        PointsByHand.objects.create(submission=submission, points=points, reason=reason, set_by=staff, created_at=submission.received_at)
    before = facts(fetched(owner(submission)))
    assert [(row["points"], row["reason"]) for row in before["points_by_hand"]] == [("7.00", "By eye."), (None, "Taken back.")]
    assert before["curves"] == {"lines": 1}
    Component.objects.update(score_release="after_published")
    found = facts(fetched(owner(submission)))
    assert found["points_by_hand"] == []
    assert (found["score"], found["note"]) == (None, "The score is shown when the scores are published.")
    assert [check["points"] for check in found["result"]["checks"]] == ["20", None]
    assert re.findall(r"\b39\b", json.dumps(found["result"])) == []  # not as part of a digest


def test_how_a_result_was_run_is_there_without_what_is_secret(submission: Submission) -> None:
    RunResult.objects.update(provenance={"runtime": "torch", "seed": 5, "host": "runner-7", "durations": {"done": 0.3}})
    digest = submission.runs.get().bundle.autograder_digest
    found = facts(fetched(owner(submission)))["result"]
    assert found["how_it_was_run"] == {"took": "at most 2 s", "autograder_digest": digest, "runtime": "torch"}
    assert found["graded_by_an_earlier_version"] is False
    homework = submission.component.homework
    homework.bundle = factories.BundleFactory.create()
    homework.save()
    assert facts(fetched(owner(submission)))["result"]["graded_by_an_earlier_version"] is True


def test_of_a_course_that_one_left_it_holds_the_work_and_no_results(submission: Submission) -> None:
    Enrollment.objects.update(state=Enrollment.State.DROPPED)
    archive = fetched(owner(submission))
    assert archive.read("courses/dl/hw1-practice-1/files/src/mlp.py") == b"x = 1\n"
    assert {"result", "score"} & set(facts(archive)) == set()


def test_nobody_elses_work_is_in_it(submission: Submission) -> None:
    course = submission.component.homework.course
    for role in ("student", "instructor"):
        other = factories.EnrollmentFactory.create(course=course, role=role)
        assert other.user is not None
        names = fetched(other.user).namelist()
        assert names == ["README.txt", "profile.json", "mail.json", "courses/dl/course.json"]


@pytest.mark.parametrize(("verified", "bodies"), [(False, []), (True, ["Kept."])])
def test_mail_to_an_address_that_was_only_written_down_is_not_in_it(submission: Submission, verified: bool, bodies: list[str]) -> None:
    user = owner(submission)
    EmailAddress.objects.create(user=user, email="classmate@example.edu", verified=verified)
    OutboxMail.objects.create(to="classmate@example.edu", subject="Receipt", body="Kept.", not_before=submission.received_at)
    assert [mail["body"] for mail in facts(fetched(user), "mail.json")] == bodies


def test_the_page_offers_it_and_a_visitor_is_sent_to_the_sign_in(client: Client, submission: Submission) -> None:
    assert client.post(reverse("your-data"))["Location"].startswith(reverse("account_login"))
    client.force_login(owner(submission))
    page = client.get(reverse("your-data")).content.decode()
    assert "Download your data" in page
    assert 'aria-current="page">Your data</a>' in page


def test_another_site_cannot_have_it_made(submission: Submission) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(owner(submission))
    assert client.post(reverse("your-data")).status_code == 403


def test_a_file_that_the_site_lost_does_not_break_the_rest(submission: Submission) -> None:
    default_storage.delete(blobs.name(submission.files.get().sha256))
    archive = fetched(owner(submission))
    assert archive.testzip() is None
    assert archive.read("courses/dl/hw1-practice-1/files/src/mlp.py.missing.txt").startswith(b"The site has lost src/mlp.py")


def test_it_is_made_in_little_memory_whatever_its_size() -> None:
    megabytes = 40

    def content() -> Iterator[bytes]:
        for number in range(megabytes):
            yield bytes([number]) * 2**20

    tracemalloc.start()
    try:
        total = sum(len(piece) for piece in zips.stream([("a.bin", content())]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 0
    assert peak < 8 * 2**20


def test_the_command_writes_the_same_for_staff_of_the_machine(submission: Submission, tmp_path: Path) -> None:
    target = tmp_path / "ada.zip"
    call_command("export_person", owner(submission).email.upper(), output=target, stdout=io.StringIO())
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == fetched(owner(submission)).namelist()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    with pytest.raises(CommandError, match="is there already; accepted is the name of a new file"):
        call_command("export_person", owner(submission).email, output=target)
    with pytest.raises(CommandError, match=r"Nobody signs in as nobody@example\.edu\."):
        call_command("export_person", "nobody@example.edu")
    with pytest.raises(CommandError, match=r"gone/ada\.zip could not be written: .* Nothing was kept\."):
        call_command("export_person", owner(submission).email, output=tmp_path / "gone" / "ada.zip")
