"""How a result came about, and which scores an earlier version of the autograder gave: what each reader is told."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse

from courseapp.models import Enrollment, Role
from courseapp.services import tokens
from grading.models import Bundle, Homework, RunResult, Submission
from grading.policy.visibility import Viewer
from grading.queries.provenance import PUBLIC, how_it_was_run
from tests import factories
from tests.grading.test_homework_pages import judged, member, page_of, signed_in

pytestmark = pytest.mark.django_db

PROVENANCE: dict[str, Any] = {
    "runtime": "torch",
    "runtime_digest": "a1" * 32,
    "bundle_digest": "b2" * 32,
    "seed": 987654321,
    "tier": "namespaces",
    "memory_guard": "cgroup v2",
    "host": "runner-7",
    "kernel": "6.1.0",
    "device": "cpu",
    "to_come": {"of_later_days": 3},
    "durations": {"loaded": 0.051, "visible": 0.062, "begin": 0.062, "first_output": 0.07, "done": 2.4, "odd": "no number"},
}
STUDENT, STAFF = Viewer(staff=False, owner=True), Viewer(staff=True, owner=False)
MARK = re.compile(r'>(?:<span class="sr-only">)?graded by an (?:</span>)?earlier version</span>')


@pytest.fixture(autouse=True)
def _now() -> Iterator[None]:
    with time_machine.travel("2023-10-20 18:00Z", tick=False):
        yield


@pytest.fixture
def homework() -> Homework:
    return factories.HomeworkFactory.create(slug="hw1")


@pytest.fixture
def student(homework: Homework) -> Enrollment:
    return member(homework.course)


@pytest.fixture
def grader(homework: Homework) -> Enrollment:
    return member(homework.course, Role.GRADER)


@pytest.fixture
def submission(homework: Homework, student: Enrollment) -> Submission:
    made = judged(homework, student)
    RunResult.objects.update(provenance=PROVENANCE, seconds=2.41)
    made.runs.update(worker="runner-7 worker 12", attempts=1)
    return made


def change_autograder(homework: Homework) -> Bundle:
    """Load, so to speak, a folder with other checks."""
    homework.bundle = factories.BundleFactory.create()
    homework.save()
    return homework.bundle


def facts(viewer: Viewer) -> dict[str, object]:
    told = how_it_was_run(RunResult.objects.select_related("run__bundle").get(), viewer).facts
    return {fact.name: fact.marks or (fact.value, fact.digest) for fact in told}


def test_a_student_is_told_what_is_no_secret(submission: Submission) -> None:
    assert facts(STUDENT) == {
        "Took": ("at most 3 s", ""),
        "Runtime": ("torch", "a1" * 32),
        "Autograder": ("", submission.runs.get().bundle.autograder_digest),
        "Homework’s files": ("", "b2" * 32),
        "Device": ("cpu", ""),
        "Sandbox": ("namespaces", ""),
    }


def test_a_stand_in_is_not_taken_for_a_gpu(submission: Submission) -> None:
    said = {}
    for device in ("fake", "a100"):
        RunResult.objects.update(provenance=PROVENANCE | {"device": device})
        said[device] = facts(STUDENT)["Device"]
    assert said == {"fake": ("fake: a stand-in for a GPU, on the processor", ""), "a100": ("a100", "")}


def test_staff_are_told_everything(submission: Submission) -> None:
    assert facts(STAFF) == facts(STUDENT) | {
        "Took": ("2.4 s", ""),
        "Memory watched by": ("cgroup v2", ""),
        "Machine": ("runner-7", ""),
        "Kernel": ("6.1.0", ""),
        "Seed": ("987654321", ""),
        "To come": ("of later days 3", ""),
        "Executed by": ("runner-7 worker 12", ""),
        "Failed tries before": ("1", ""),
        "Moments": (
            ("0.05 s", "the checks were loaded"),
            ("0.06 s", "the first visible check began"),
            ("0.07 s", "the student’s code first printed"),
            ("2.4 s", "the last check was judged"),
        ),
    }


def test_the_page_gives_secrets_to_staff_alone(submission: Submission, student: Enrollment, grader: Enrollment) -> None:
    secrets = ("987654321", "runner-7", "6.1.0", "cgroup v2", "2.4 s", "0.05 s")
    of_student = signed_in(student).get(page_of(submission)).content.decode()
    of_staff = signed_in(grader).get(page_of(submission)).content.decode()
    assert [secret for secret in secrets if secret in of_student] == []
    assert [secret for secret in secrets if secret not in of_staff] == []
    for text in (of_student, of_staff):
        assert text.count("How this was run") == 1
        assert f'<span class="digest" title="{"a1" * 32}">{"a1" * 32}</span>' in text


def api(reader: Enrollment) -> Client:
    assert reader.user is not None
    return Client(headers={"authorization": f"Token {tokens.make(user=reader.user, name='test', scopes=('read', 'staff'))[1]}"})


def test_the_api_carries_the_same(submission: Submission, student: Enrollment, grader: Enrollment) -> None:
    mine, theirs = (api(reader).get(f"/api/v1/submissions/{submission.pk}/").json()["result"] for reader in (student, grader))
    public = {name: PROVENANCE[name] for name in PUBLIC} | {"autograder_digest": submission.runs.get().bundle.autograder_digest}
    empty: dict[str, Any] = {"seed": None, "memory_guard": "", "host": "", "kernel": "", "durations": {}}
    assert mine["provenance"] == public | empty | {"seconds": 3.0}
    secret = {name: PROVENANCE[name] for name in ("seed", "memory_guard", "host", "kernel")}
    numbers = {name: value for name, value in PROVENANCE["durations"].items() if name != "odd"}
    assert theirs["provenance"] == public | secret | {"seconds": 2.41, "durations": numbers}


def test_a_result_without_provenance_is_shown_all_the_same(homework: Homework, student: Enrollment) -> None:
    made = judged(homework, student)
    assert set(facts(STUDENT)) == {"Took", "Autograder"}
    assert api(student).get(f"/api/v1/submissions/{made.pk}/").json()["result"]["provenance"]["runtime"] == ""


PAGES = ("submission", "submission-live", "homework", "homework-list", "course", "homework-staff")


def marks(reader: Enrollment, submission: Submission) -> dict[str, int]:
    """How often each page that shows a score marks it, for this reader."""
    homework = submission.component.homework
    slug = homework.course.slug
    arguments: dict[str, list[Any]] = {
        "submission": [slug, submission.pk],
        "submission-live": [slug, submission.pk],
        "homework-list": [slug],
        "course": [slug],
    }
    client = signed_in(reader)
    found = {}
    for name in PAGES:
        answer = client.get(reverse(name, args=arguments.get(name, [slug, homework.slug])))
        if answer.status_code == 200:
            found[name] = len(MARK.findall(answer.content.decode()))
    return found


def api_marks(reader: Enrollment, submission: Submission) -> list[bool]:
    """As the hand-in, the list of hand-ins and the list of homeworks say it."""
    client, course = api(reader), submission.component.homework.course.slug
    one = client.get(f"/api/v1/submissions/{submission.pk}/").json()["result"]["earlier_version"]
    if reader.is_staff:
        [row] = client.get(f"/api/v1/courses/{course}/homeworks/hw1/submissions/").json()["results"]
        return [one, row["earlier_version"]]
    [row] = client.get(f"/api/v1/courses/{course}/homeworks/hw1/practice/submissions/").json()
    [listed] = client.get(f"/api/v1/courses/{course}/homeworks/").json()
    practice = next(part for part in listed["components"] if part["component"] == "practice")
    return [one, row["earlier_version"], practice["earlier_version"]]


def test_a_score_of_an_earlier_version_is_marked_wherever_it_is_shown(
    homework: Homework, submission: Submission, student: Enrollment, grader: Enrollment
) -> None:
    assert (set(marks(student, submission).values()), set(marks(grader, submission).values())) == ({0}, {0})
    assert (api_marks(student, submission), api_marks(grader, submission)) == ([False] * 3, [False] * 2)
    today = change_autograder(homework)
    assert marks(student, submission) == {"submission": 1, "submission-live": 1, "homework": 1, "homework-list": 1, "course": 1}
    assert marks(grader, submission) == dict.fromkeys(PAGES, 0) | {"submission": 1, "submission-live": 1, "homework-staff": 1}
    assert (api_marks(student, submission), api_marks(grader, submission)) == ([True] * 3, [True] * 2)

    again = factories.RunFactory.create(submission=submission, bundle=today, state="running")
    assert marks(student, submission)["submission"] == 1
    again.state = "done"
    again.save()
    factories.RunResultFactory.create(run=again)
    assert (set(marks(student, submission).values()), set(marks(grader, submission).values())) == ({0}, {0})
    assert (api_marks(student, submission), api_marks(grader, submission)) == ([False] * 3, [False] * 2)


def test_of_several_hand_ins_those_that_were_not_run_again_are_marked(
    homework: Homework, submission: Submission, student: Enrollment
) -> None:
    judged(homework, student, points=20)
    factories.RunResultFactory.create(run__submission=submission, run__bundle=change_autograder(homework), points=50)
    assert marks(student, submission)["homework"] == 1  # in the history, and not at the score that counts
    assert marks(student, submission)["homework-list"] == 0


def test_another_bundle_with_the_same_autograder_marks_nothing(
    homework: Homework, submission: Submission, student: Enrollment, grader: Enrollment
) -> None:
    """As when the statement was mended."""
    former = homework.bundle
    assert former is not None
    homework.bundle = factories.BundleFactory.create(autograder_digest=former.autograder_digest)
    homework.save()
    assert (set(marks(student, submission).values()), set(marks(grader, submission).values())) == ({0}, {0})


def test_a_page_full_of_marks_stays_light(homework: Homework, grader: Enrollment) -> None:
    for _ in range(100):  # of one page
        student = member(homework.course)
        factories.SubmissionFactory.create(component=factories.component(homework, "theory"), enrollment=student)
        judged(homework, student)
    change_autograder(homework)
    content = signed_in(grader).get(reverse("homework-staff", args=[homework.course.slug, homework.slug])).content
    assert (len(MARK.findall(content.decode())), len(content) < 60_000) == (100, True)


def test_each_is_told_what_to_do(homework: Homework, submission: Submission, student: Enrollment, grader: Enrollment) -> None:
    change_autograder(homework)
    of_student = signed_in(student).get(page_of(submission)).content.decode()
    of_staff = signed_in(grader).get(page_of(submission)).content.decode()
    assert "there is nothing for you to do, and this score stands until then." in of_student
    assert "A rerun shows what today’s would give; until one is accepted this score stands." in of_staff
    listed = signed_in(grader).get(reverse("homework-staff", args=[homework.course.slug, homework.slug])).content.decode()
    assert "1 of the practice scores is of an earlier version of the autograder." in re.sub(r"\s+", " ", listed)


def test_a_score_that_is_not_shown_yet_is_not_marked_in_lists(homework: Homework, submission: Submission, student: Enrollment) -> None:
    submission.component.score_release = "after_published"
    submission.component.save()
    change_autograder(homework)
    found = marks(student, submission)
    assert (found["homework-list"], found["course"]) == (0, 0)


def test_a_run_that_the_assignment_failed_has_no_score_to_mark(homework: Homework, submission: Submission, student: Enrollment) -> None:
    RunResult.objects.update(kind=RunResult.Kind.ASSIGNMENT)
    change_autograder(homework)
    assert set(marks(student, submission).values()) == {0}
