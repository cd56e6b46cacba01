"""Handing in over HTTP: what only a request can show."""

import resource
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import time_machine
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from courseapp.models import Enrollment, Role
from grading.models import Component, Submission
from tests.factories import EnrollmentFactory, HomeworkFactory, component

pytestmark = pytest.mark.django_db

NOW = datetime(2023, 10, 23, 3, 59, 30, tzinfo=UTC)  # half a minute before the due minute ends
MB = 1024**2
JSON = {"accept": "application/json"}


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel(NOW, tick=False):
        yield


@pytest.fixture
def practice() -> Component:
    return component(HomeworkFactory.create(slug="hw1"), "practice")


@pytest.fixture
def student(practice: Component, client: Client) -> Enrollment:
    found = EnrollmentFactory.create(course=practice.homework.course)
    assert found.user
    client.force_login(found.user)
    return found


def address(practice: Component, page: str = "submit") -> str:
    return f"/c/{practice.homework.course.slug}/homework/hw1/practice/{page}/"


def code(size: int = 6) -> SimpleUploadedFile:
    return SimpleUploadedFile("mlp.py", b"#" * size)


def test_an_upload_is_received_when_its_headers_are(practice: Component, student: Enrollment, client: Client) -> None:
    answer = client.post(address(practice), {"files": [code(3 * MB)], "own_work": "yes"}, headers=JSON)
    made = Submission.objects.get()
    assert (answer.status_code, answer.json()) == (201, {"redirect": f"/c/{practice.homework.course.slug}/submissions/{made.pk}/"})
    assert (made.received_at, made.days_late, made.files.get().size) == (NOW, 0, 3 * MB)


def test_the_start_that_a_trusted_proxy_states_counts(
    practice: Component, student: Enrollment, client: Client, settings: LazySettings
) -> None:
    late = {"files": [code()], "own_work": "yes", "confirm_late": "1"}
    with time_machine.travel(NOW.timestamp() + 60, tick=False):
        client.post(address(practice), late, headers={**JSON, "x-request-start": f"t={NOW.timestamp()}"})
        settings.TRUSTED_PROXY_START_HEADER = "X-Request-Start"
        client.post(address(practice), {**late, "files": [code()]}, headers={**JSON, "x-request-start": f"t={NOW.timestamp()}"})
    assert [(row.days_late, row.received_at) for row in Submission.objects.order_by("number")][1] == (0, NOW)
    assert Submission.objects.get(number=1).days_late == 1


def test_a_refusal_is_said_to_a_script(practice: Component, student: Enrollment, client: Client) -> None:
    answer = client.post(address(practice), {"files": [SimpleUploadedFile("MLP.py", b"x")], "own_work": "yes"}, headers=JSON)
    assert (answer.status_code, answer.json()) == (
        400,
        {
            "error": "These files cannot be handed in:",
            "details": ["mlp.py is missing; “MLP.py” was sent: rename it to mlp.py."],
            "kept": "Nothing was handed in. What you handed in before stays as it is.",
        },
    )


def test_a_disk_that_fills_up_while_the_file_arrives_is_said(practice: Component, student: Enrollment, client: Client) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MB, before[1]))
    try:
        answer = client.post(address(practice), {"own_work": "yes", "files": [code(9 * MB)]}, headers=JSON)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (answer.status_code, answer.json()["error"]) == (
        507,
        "The server could not write your files (File too large). Send them again later.",
    )
    assert not Submission.objects.exists()
    assert client.post(address(practice), {"own_work": "yes", "files": [code(9 * MB)]}, headers=JSON).status_code == 201


def test_what_staff_hand_in_is_never_kept_in_part(practice: Component, client: Client) -> None:
    course = practice.homework.course
    ta, student = EnrollmentFactory.create(course=course, role=Role.TA), EnrollmentFactory.create(course=course)
    Component.objects.filter(pk=practice.pk).update(files_allowed=["*.py"])
    assert ta.user
    client.force_login(ta.user)

    def send() -> int:
        files = [code(), SimpleUploadedFile("other.py", b"#" * 9 * MB)]
        return client.post(address(practice, "on-behalf"), {"student": student.pk, "reason": "Sent by mail.", "files": files}).status_code

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * MB, before[1]))
    try:
        assert send() == 400
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not Submission.objects.exists()
    assert send() == 302
    assert Submission.objects.get().files.count() == 2


def test_a_missing_folder_for_arriving_files_is_said(
    practice: Component, student: Enrollment, client: Client, settings: LazySettings, tmp_path: Path
) -> None:
    settings.FILE_UPLOAD_TEMP_DIR = tmp_path / "gone"
    answer = client.post(address(practice), {"own_work": "yes", "files": [code(2 * MB)]}, headers=JSON)
    assert answer.status_code == 507


def test_a_body_larger_than_any_hand_in_is_refused_before_it_is_read(
    practice: Component, student: Enrollment, client: Client, settings: LazySettings
) -> None:
    settings.MAX_BODY_MB = 1
    answer = client.post(address(practice), {"own_work": "yes", "files": [code(2 * MB)]}, headers=JSON)
    assert (answer.status_code, answer.json()["error"]) == (413, "The upload has 2 MB; accepted are 1 MB.")
    assert client.post(address(practice), {"own_work": "yes", "files": [code(MB // 2)]}, headers=JSON).status_code == 201


def test_the_time_that_staff_state_is_course_time(practice: Component, client: Client) -> None:
    course = practice.homework.course
    ta, student = EnrollmentFactory.create(course=course, role=Role.TA), EnrollmentFactory.create(course=course)
    assert ta.user
    client.force_login(ta.user)
    data = {"student": student.pk, "reason": "Sent by mail.", "stated_at": "2023-10-22T21:30", "files": [code()]}
    assert client.post(address(practice, "on-behalf"), data).status_code == 302
    assert Submission.objects.get().stated_at == datetime(2023, 10, 23, 1, 30, tzinfo=UTC)


def test_a_confirmation_of_no_number_is_no_confirmation(practice: Component, student: Enrollment, client: Client) -> None:
    with time_machine.travel(NOW.timestamp() + 60, tick=False):
        client.post(address(practice), {"files": [code()], "own_work": "yes"}, headers=JSON)
        made = Submission.objects.get()
        for days, state in (("many", "unconfirmed"), ("9" * 5000, "unconfirmed"), ("1", "accepted")):
            assert client.post(f"/c/{practice.homework.course.slug}/submissions/{made.pk}/confirm/", {"days": days}).status_code == 302
            made.refresh_from_db()
            assert made.state == state
