"""Every address against everybody: the table of docs/people.md, held. A URL that is missing from it fails.

`in` is 200, `to` a redirect, `made` 201, `no` 404 (what one may not see looks like what is not there), `login` a redirect to the
sign-in page, `bad` 400: the request was let in and its form refused, `auth` 401, as the API asks for a sign-in.
"""

from collections.abc import Iterator

import pytest
import time_machine
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from courseapp import blobs
from courseapp.models import Enrollment, Role
from grading.models import GpuSlot, Homework, LabRun, OutputFile, Rerun, Submission
from tests import factories

pytestmark = pytest.mark.django_db

STATUS = {"in": 200, "to": 302, "no": 404, "login": 302, "bad": 400, "auth": 401}
PEOPLE = ("owner", "classmate", "outsider", "grader", "ta", "instructor", "anonymous")
MEMBERS = "in in no in in in login"
OWNER_AND_STAFF = "in no no in in in login"

TABLE: dict[str, tuple[str, str]] = {
    # name: (method, what owner, classmate, outsider, grader, ta, instructor, anonymous get)
    "healthz": ("GET", "in in in in in in in"),
    "readyz": ("GET", "in in in in in in in"),
    "metrics": ("GET", "no no no no no no no"),
    "today": ("GET", "in in in in in in login"),
    "course": ("GET", MEMBERS),
    "people": ("GET", MEMBERS),
    "homework-list": ("GET", MEMBERS),
    "homework": ("GET", MEMBERS),
    "statement": ("GET", MEMBERS),
    "starter": ("GET", MEMBERS),
    "homework-staff": ("GET", "no no no in in in login"),
    "submit": ("POST", "bad bad no no no no login"),
    "submit-on-behalf": ("GET", "no no no no in in login"),
    "publish": ("POST", "no no no no no to login"),
    "reruns": ("GET", "no no no in in in login"),
    "rerun-new": ("GET", "no no no no in in login"),
    "rerun": ("GET", "no no no in in in login"),
    "rerun-live": ("GET", "no no no in in in login"),
    "rerun-table": ("GET", "no no no in in in login"),
    "rerun-go-on": ("POST", "no no no no to to login"),
    "rerun-stop": ("POST", "no no no no to to login"),
    "rerun-accept": ("POST", "no no no no to to login"),
    "rerun-discard": ("POST", "no no no no to to login"),
    "submission": ("GET", OWNER_AND_STAFF),
    "submission-live": ("GET", OWNER_AND_STAFF),
    "run-stream": ("GET", OWNER_AND_STAFF),
    "submission-confirm": ("POST", "to no no no no no login"),
    "submission-choose": ("POST", "to no no no no no login"),
    "submission-rerun": ("POST", "no no no no to to login"),  # it has a score: what a grader may run at once has none
    "submission-points": ("GET", "no no no no in in login"),
    "submission-cancel": ("POST", "to no no to to to login"),
    "submission-diff": ("GET", OWNER_AND_STAFF),
    "submission-file": ("GET", OWNER_AND_STAFF),
    "submission-file-raw": ("GET", OWNER_AND_STAFF),
    "submission-output-raw": ("GET", OWNER_AND_STAFF),
    "lab": ("GET", MEMBERS),
    "lab-run": ("GET", OWNER_AND_STAFF),
    "lab-live": ("GET", OWNER_AND_STAFF),
    "lab-cancel": ("POST", "to no no to to to login"),
    "lab-again": ("POST", "to no no no no no login"),
    "lab-file": ("GET", OWNER_AND_STAFF),
    "lab-output": ("GET", OWNER_AND_STAFF),
    "queue": ("GET", MEMBERS),
    "queue-live": ("GET", MEMBERS),
    "queue-minutes": ("GET", "no no no no in in login"),
    "queue-pause": ("GET", "no no no no no in login"),
    "queue-resume": ("POST", "no no no no no to login"),
    "queue-slot": ("POST", "no no no no no to login"),
    "queue-cancel": ("GET", "no no no in in in login"),
    "api-schema": ("GET", "in in in in in in in"),
    "api-docs": ("GET", "in in in in in in in"),
    "handin-script": ("GET", "in in in in in in in"),
    "api-courses": ("GET", "in in in in in in auth"),
    "api-homeworks": ("GET", "in in no in in in auth"),
    "api-homework": ("GET", "in in no in in in auth"),
    "api-submissions": ("GET", "in in no in in in auth"),
    "api-staff-submissions": ("GET", "no no no in in in auth"),
    "api-roster": ("GET", "no no no in in in auth"),
    "api-submission": ("GET", "in no no in in in auth"),
    "api-receipt": ("GET", "in no no in in in auth"),
    "api-confirm": ("POST", "bad no no no no no auth"),
    "api-choose": ("POST", "in no no no no no auth"),
    "api-nothing": ("GET", "no no no no no no no"),
    "your-data": ("GET", "in in in in in in login"),
    "receipts": ("GET", "in in in in in in in"),
    "receipt": ("GET", OWNER_AND_STAFF),
}
LIBRARY = ("admin/", "accounts/")


def names(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if route.startswith(LIBRARY):
            continue
        if isinstance(pattern, URLResolver):
            yield from names(pattern.url_patterns, route)
        else:
            yield str(pattern.name)


def test_every_address_is_in_the_table() -> None:
    assert set(names(get_resolver().url_patterns)) == set(TABLE)


@pytest.fixture
def submission() -> Iterator[Submission]:
    with time_machine.travel("2023-10-20 18:00Z", tick=False):
        homework = factories.HomeworkFactory.create()
        blob_files = {"mlp.py": b"print('hello')\n"}
        made = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), files=blob_files)
        homework.starter_sha256 = factories.starter({"mlp.py": b"print('start')\n"})
        homework.save()
        result = factories.RunResultFactory.create(run__submission=made)
        OutputFile.objects.create(result=result, name="p.npy", size=2, sha256=blobs.put_bytes(b"[]").sha256)
        factories.lab_run(made.component, made.enrollment, files={"train.py": b"print('hello')\n"}, written={"a.csv": b"1\n"})
        yield made


@pytest.fixture
def people(submission: Submission) -> dict[str, Enrollment | None]:
    course = submission.component.homework.course
    return {
        "owner": submission.enrollment,
        "classmate": factories.EnrollmentFactory.create(course=course),
        "outsider": factories.EnrollmentFactory.create(),
        "grader": factories.EnrollmentFactory.create(course=course, role=Role.GRADER),
        "ta": factories.EnrollmentFactory.create(course=course, role=Role.TA),
        "instructor": factories.EnrollmentFactory.create(course=course, role=Role.INSTRUCTOR),
        "anonymous": None,
    }


def address(name: str, submission: Submission) -> str:
    homework = submission.component.homework
    course = homework.course.slug
    by = Enrollment.objects.filter(role=Role.TA).first() or submission.enrollment
    rerun, _ = Rerun.objects.get_or_create(component=submission.component, defaults={"asked_by": by, "created_at": factories.ON_TIME})
    lab = LabRun.objects.filter(enrollment=submission.enrollment).earliest("pk")
    arguments: dict[str, list[object]] = {
        "healthz": [],
        "readyz": [],
        "metrics": [],
        "your-data": [],
        "today": [],
        "receipts": [],
        "receipt": [submission.receipt_code],
        "course": [course],
        "people": [course],
        "homework-list": [course],
        "lab": [course],
        "lab-file": [course, lab.pk, lab.files.get().pk],
        "lab-output": [course, lab.pk, OutputFile.objects.get(result__run__lab=lab).pk],
        "queue": [course],
        "queue-live": [course],
        "queue-minutes": [course],
        "queue-pause": [course, "gpu"],
        "queue-resume": [course, "gpu"],
        "queue-slot": [course, GpuSlot.objects.get_or_create(uuid="GPU-1", defaults={"seen_at": factories.ON_TIME})[0].pk],
        "queue-cancel": [course, submission.runs.get().pk],
        "api-schema": [],
        "api-docs": [],
        "handin-script": [],
        "api-courses": [],
        "api-homeworks": [course],
        "api-roster": [course],
        "api-submissions": [course, homework.slug, "practice"],
        "api-submission": [submission.pk],
        "api-receipt": [submission.pk],
        "api-confirm": [submission.pk],
        "api-choose": [submission.pk],
        "api-nothing": [],
        "submit": [course, homework.slug, "practice"],
        "submit-on-behalf": [course, homework.slug, "practice"],
        "publish": [course, homework.slug, "practice"],
        "reruns": [course, homework.slug, "practice"],
        **{other: [course, rerun.pk] for other in TABLE if other == "rerun" or other.startswith("rerun-")},
        "rerun-new": [course, homework.slug, "practice"],
        "run-stream": [course, submission.runs.get().pk],
        "submission-file": [course, submission.pk, submission.files.get().pk],
        "submission-file-raw": [course, submission.pk, submission.files.get().pk],
        "submission-output-raw": [course, submission.pk, OutputFile.objects.get(result__run__submission=submission).pk],
    }
    usual = [course, submission.pk] if name.startswith("submission") else [course, homework.slug]
    usual = [course, lab.pk] if name.startswith("lab-") else usual
    return reverse(name, args=arguments.get(name, usual))


@pytest.mark.parametrize(("name", "method", "expected"), [(name, *row) for name, row in TABLE.items()], ids=list(TABLE))
def test_who_reaches_what(name: str, method: str, expected: str, submission: Submission, people: dict[str, Enrollment | None]) -> None:
    url = address(name, submission)
    found = {}
    for person, word in zip(PEOPLE, expected.split(), strict=True):
        client = Client(REMOTE_ADDR="203.0.113.9")
        enrollment = people[person]
        if enrollment is not None and enrollment.user is not None:
            client.force_login(enrollment.user)
        response = client.generic(method, url)
        if response.streaming:
            response.getvalue()  # read to its end, the file is closed
        to_login = response.status_code == 302 and response["Location"].startswith(reverse("account_login"))
        found[person] = "login" if to_login else next(key for key, code in STATUS.items() if code == response.status_code), word
    assert {person: got for person, (got, _) in found.items()} == {person: word for person, (_, word) in found.items()}


def test_a_receipt_code_that_no_database_takes_is_none(submission: Submission) -> None:
    client = Client()
    assert submission.enrollment.user is not None
    client.force_login(submission.enrollment.user)
    assert client.get("/receipts/%00/").status_code == 404
    assert client.get(f"/receipts/{submission.receipt_code.lower()}/").status_code == 200


def test_no_cache_keeps_what_a_student_was_shown(submission: Submission) -> None:
    client = Client()
    assert client.get("/healthz").get("Cache-Control") is None
    assert submission.enrollment.user is not None
    client.force_login(submission.enrollment.user)
    found = {}
    for name in ("submission", "submission-live", "submission-file-raw", "receipt", "homework"):
        response = client.get(address(name, submission))
        if response.streaming:
            response.getvalue()
        found[name] = sorted(response["Cache-Control"].split(", "))
    assert found == {name: ["no-cache", "private"] for name in found}


def test_a_dropped_student_reaches_nothing(submission: Submission) -> None:
    member = submission.enrollment
    member.state = Enrollment.State.DROPPED
    member.save()
    client = Client(REMOTE_ADDR="203.0.113.9")
    assert member.user is not None
    client.force_login(member.user)
    got = {name: client.generic(method, address(name, submission)).status_code for name, (method, _) in TABLE.items()}
    open_to_all = {"healthz": 200, "readyz": 200, "receipts": 200, "today": 200, "your-data": 200, "api-courses": 200}
    open_to_all |= {"api-schema": 200, "api-docs": 200, "handin-script": 200}
    assert got == {name: open_to_all.get(name, 404) for name in TABLE}


def test_a_homework_before_its_release_is_seen_by_staff_only(submission: Submission, people: dict[str, Enrollment | None]) -> None:
    homework = Homework.objects.get(pk=submission.component.homework_id)
    homework.release_wall = "2023-10-21 09:00"
    homework.save()
    found = {}
    for person in ("classmate", "ta"):
        client = Client()
        enrollment = people[person]
        assert enrollment is not None
        assert enrollment.user is not None
        client.force_login(enrollment.user)
        responses = [client.get(address(name, submission)) for name in ("homework", "statement", "starter")]
        found[person] = [response.status_code for response in responses]
        if responses[-1].streaming:
            responses[-1].getvalue()  # read to its end, the file is closed
    assert found == {"classmate": [404, 404, 404], "ta": [200, 200, 200]}
