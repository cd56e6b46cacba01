"""The pages of homework and hand-ins: what each reader sees, and what a page costs in statements."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Course, Enrollment, Role
from grading.models import Homework, Run, RunResult, Submission
from tests import factories

pytestmark = pytest.mark.django_db

CHECKS = [
    {"id": "a", "title": "Forward", "points": "25", "max_points": "25", "passed": True, "judged": True, "visibility": "visible"},
    {"id": "b", "title": "Secret shape", "points": "0", "max_points": "15", "passed": False, "judged": True, "visibility": "hidden"},
    {"id": "c", "title": "Later", "points": "10", "max_points": "10", "passed": True, "judged": True, "visibility": "after_due"},
]
MESSAGES: list[dict[str, Any]] = [
    {**CHECKS[0], "message": "", "staff_message": ""},
    {**CHECKS[1], "message": "This hidden check did not pass.", "staff_message": "W1: expected 0.25, got 0.5"},
    {**CHECKS[2], "message": "", "staff_message": ""},
]


@pytest.fixture
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel("2023-10-20 18:00Z", tick=False) as traveller:
        yield traveller


@pytest.fixture
def homework(now: time_machine.Traveller) -> Homework:
    return factories.HomeworkFactory.create()


def member(course: Course, role: Role = Role.STUDENT) -> Enrollment:
    return factories.EnrollmentFactory.create(course=course, role=role)


def signed_in(enrollment: Enrollment) -> Client:
    client = Client()
    assert enrollment.user is not None
    client.force_login(enrollment.user)
    return client


def judged(homework: Homework, enrollment: Enrollment, points: int = 35, **values: Any) -> Submission:
    submission = factories.SubmissionFactory.create(
        component=factories.component(homework, "practice"), enrollment=enrollment, files={"mlp.py": b"x = 1\n"}, **values
    )
    run = factories.RunFactory.create(submission=submission)
    factories.RunResultFactory.create(run=run, points=Decimal(points), check_results=MESSAGES, output="hello from <b>forward</b>")
    return submission


def page_of(submission: Submission) -> str:
    return reverse("submission", args=[submission.component.homework.course.slug, submission.pk])


def test_a_student_sees_points_of_hidden_checks_but_not_what_they_are(homework: Homework) -> None:
    student = member(homework.course)
    text = signed_in(student).get(page_of(judged(homework, student))).content.decode()
    assert ("Forward" in text, "1 hidden check" in text, "Secret shape" in text, "expected 0.25" in text) == (True, True, False, False)


def test_staff_see_every_check_with_what_it_found(homework: Homework) -> None:
    text = signed_in(member(homework.course, Role.GRADER)).get(page_of(judged(homework, member(homework.course)))).content.decode()
    assert ("Secret shape" in text, "expected 0.25" in text) == (True, True)


def test_a_student_stops_a_run_and_a_run_that_has_ended_stays(homework: Homework) -> None:
    student = member(homework.course)
    submission = judged(homework, student)
    ended = submission.runs.get()
    run = factories.RunFactory.create(submission=submission, state=Run.State.QUEUED)
    client, address = signed_in(student), reverse("submission-cancel", args=[homework.course.slug, submission.pk])
    assert "Stop this run" in client.get(page_of(submission)).content.decode()
    said = [client.post(address, follow=True).content.decode() for _ in range(2)]
    again = f"Run {run.pk} was stopped. It has no result: hand in again, or ask the staff to run it."
    assert (again in said[0], "There was nothing to stop: the run had ended already." in said[1]) == (True, True)
    assert dict(submission.runs.values_list("pk", "state")) == {ended.pk: "done", run.pk: "cancelled"}


def test_a_check_opens_after_the_last_section_was_due(homework: Homework, now: time_machine.Traveller) -> None:
    student = member(homework.course)
    submission = judged(homework, student)
    before = "Later" in signed_in(student).get(page_of(submission)).content.decode()
    now.move_to("2023-10-23 04:00Z")
    after = "Later" in signed_in(student).get(page_of(submission)).content.decode()
    assert (before, after) == (False, True)


def test_a_score_that_waits_for_publishing_is_shown_nowhere(homework: Homework) -> None:
    practice = factories.component(homework, "practice")
    practice.score_release = "after_published"
    practice.save()
    student = member(homework.course)
    submission = judged(homework, student, points=37)
    client = signed_in(student)
    slug = homework.course.slug
    urls = [page_of(submission), reverse("homework", args=[slug, homework.slug]), reverse("homework-list", args=[slug])]
    told = [client.get(url).content.decode().replace(submission.receipt_code, "") for url in urls]
    assert [re.findall(r"\b37\b", text) for text in told] == [[], [], []]  # not as part of a digest
    practice.published_at = factories.ON_TIME
    practice.save()
    assert ["<b>37</b>" in client.get(urls[2]).content.decode(), ">37<" in client.get(urls[1]).content.decode()] == [True, True]


def test_what_the_code_printed_is_text_on_the_page(homework: Homework) -> None:
    student = member(homework.course)
    text = signed_in(student).get(page_of(judged(homework, student))).content.decode()
    assert "hello from &lt;b&gt;forward&lt;/b&gt;" in text


def test_one_message_for_all_checks_is_said_once(homework: Homework) -> None:
    student = member(homework.course)
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), enrollment=student)
    why = "mlp.py has a syntax error on line 39"
    unjudged = [{**CHECKS[0], "id": name, "points": "0", "passed": False, "judged": False, "message": why} for name in "ab"]
    run = factories.RunFactory.create(submission=submission)
    factories.RunResultFactory.create(run=run, kind=RunResult.Kind.STUDENT, points=Decimal(0), check_results=unjudged, message=why)
    client = signed_in(student)
    pages = [page_of(submission), reverse("homework", args=[homework.course.slug, homework.slug])]
    texts = [client.get(url).content.decode() for url in pages]
    assert [(text.count(why), "2 checks not judged" in text) for text in texts] == [(1, False), (1, True)]


def test_the_live_part_answers_204_until_something_changes(homework: Homework) -> None:
    student = member(homework.course)
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), enrollment=student)
    run = factories.RunFactory.create(submission=submission, state=Run.State.RUNNING, progress={"stage": "visible", "done": 1, "total": 3})
    client = signed_in(student)
    url = reverse("submission-live", args=[homework.course.slug, submission.pk])
    first = client.get(url)
    seen = first.context["version"]
    unchanged = client.get(url, {"seen": seen}).status_code
    run.progress = {"stage": "visible", "done": 2, "total": 3}
    run.save()
    changed = client.get(url, {"seen": seen})
    assert (first.status_code, unchanged, changed.status_code, "2 of 3 checks are through" in changed.content.decode()) == (
        200,
        204,
        200,
        True,
    )


def test_an_open_page_asks_each_second_only_while_the_run_is_at_work(homework: Homework, now: time_machine.Traveller) -> None:
    student = member(homework.course)
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), enrollment=student)
    run = factories.RunFactory.create(submission=submission, state=Run.State.QUEUED, created_at=timezone.now())
    client = signed_in(student)
    url = reverse("submission-live", args=[homework.course.slug, submission.pk])
    asks = []

    def look(seen: str) -> str:
        """The version that is shown after one question more."""
        answer = client.get(url, {"seen": seen})
        if answer.status_code == 204:
            asks.append("the same")
            return seen
        asks.append(" ".join(re.findall(r'hx-trigger="(.*?)"', answer.content.decode())))
        return str(answer.context["version"])

    seen = look(look(""))
    now.shift(31)  # it waits
    seen = look(look(seen))
    now.shift(24 * 3600)
    for state in (Run.State.QUEUED, Run.State.WAITING_RUNTIME, Run.State.RUNNING, Run.State.RUNNING, Run.State.DONE):
        run.state = state
        run.save()
        seen = look(seen)
    assert asks == ["every 2s", "the same", "every 5s", "the same", "every 5s", "every 5s", "every 1s", "the same", ""]


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("state", [Run.State.QUEUED, Run.State.RUNNING])
def test_a_question_whether_anything_has_changed_costs_little_whatever_went_before(
    homework: Homework, state: Run.State, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    student = member(homework.course)
    for number in range(1, count + 1):
        submission = judged(homework, student, number=number)
    for _ in range(count):
        factories.RunFactory.create(submission=submission, state=state)
    client = signed_in(student)
    url = reverse("submission-live", args=[homework.course.slug, submission.pk])
    seen = client.get(url).context["version"]
    with django_assert_num_queries(5):
        assert client.get(url, {"seen": seen}).status_code == 204


def test_a_failure_of_ours_is_said_to_be_ours_and_gives_no_score(homework: Homework) -> None:
    student = member(homework.course)
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"), enrollment=student)
    run = factories.RunFactory.create(submission=submission, state=Run.State.FAILED)
    factories.RunResultFactory.create(run=run, kind=RunResult.Kind.SYSTEM, points=Decimal(0), message="It is tried again.")
    text = signed_in(student).get(page_of(submission)).content.decode()
    assert ("Our fault, not yours" in text, "score-lines" in text) == (True, False)


def test_a_file_comes_as_a_download_that_cannot_run_here(homework: Homework) -> None:
    student = member(homework.course)
    submission = factories.SubmissionFactory.create(
        component=factories.component(homework, "practice"), enrollment=student, files={"evil.html": b"<script>alert(1)</script>"}
    )
    response = signed_in(student).get(reverse("submission-file-raw", args=[homework.course.slug, submission.pk, submission.files.get().pk]))
    assert response.getvalue() == b"<script>alert(1)</script>"
    found = {name: response[name] for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy")}
    assert found == {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": 'attachment; filename="evil.html"',
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
    }


def test_an_instructor_publishes_once_and_the_first_time_stands(homework: Homework, now: time_machine.Traveller) -> None:
    client = signed_in(member(homework.course, Role.INSTRUCTOR))
    url = reverse("publish", args=[homework.course.slug, homework.slug, "practice"])
    client.post(url)
    first = factories.component(homework, "practice").published_at
    now.shift(3600)
    client.post(url)
    assert (first is not None, factories.component(homework, "practice").published_at) == (True, first)


def test_staff_run_again_at_once_what_has_no_score(homework: Homework) -> None:
    submission = judged(homework, member(homework.course))
    RunResult.objects.update(kind=RunResult.Kind.ASSIGNMENT)
    signed_in(member(homework.course, Role.GRADER)).post(reverse("submission-rerun", args=[homework.course.slug, submission.pk]))
    runs = submission.runs.order_by("pk")
    assert ([run.state for run in runs], runs[1].seed == runs[0].seed, RunResult.objects.count()) == (["done", "queued"], True, 1)


def test_running_a_scored_hand_in_again_is_a_rerun_that_has_to_be_accepted(homework: Homework) -> None:
    submission = judged(homework, member(homework.course))
    ta = signed_in(member(homework.course, Role.TA))
    answer = ta.post(reverse("submission-rerun", args=[homework.course.slug, submission.pk]))
    new = reverse("rerun-new", args=[homework.course.slug, homework.slug, "practice"]) + f"?hand_in={submission.pk}"
    assert (answer["Location"], submission.runs.count()) == (new, 1)
    page = ta.get(page_of(submission)).content.decode()
    assert (f'href="{new}"' in page, "Run again" in page) == (True, False)


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_of_homework_costs_the_same_whatever_its_length(
    homework: Homework, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(2, count + 1):
        factories.HomeworkFactory.create(course=homework.course, number=number)
    student = member(homework.course)
    for one in Homework.objects.all():
        judged(one, student)
    client = signed_in(student)
    with django_assert_num_queries(10):
        client.get(reverse("homework-list", args=[homework.course.slug]))


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_of_a_homework_costs_the_same_whatever_its_history(
    homework: Homework, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    student = member(homework.course)
    for number in range(1, count + 1):
        judged(homework, student, number=number)
    client = signed_in(student)
    with django_assert_num_queries(13):
        client.get(reverse("homework", args=[homework.course.slug, homework.slug]))


@pytest.mark.parametrize("count", [1, 3])
def test_the_staff_page_costs_the_same_whatever_the_number_of_students(
    homework: Homework, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(count):
        judged(homework, member(homework.course))
    client = signed_in(member(homework.course, Role.TA))
    with django_assert_num_queries(13):
        client.get(reverse("homework-staff", args=[homework.course.slug, homework.slug]))


def test_the_staff_page_of_300_students_stays_light(homework: Homework) -> None:
    for _ in range(300):
        factories.SubmissionFactory.create(component=factories.component(homework, "theory"), enrollment=member(homework.course))
    response = signed_in(member(homework.course, Role.TA)).get(reverse("homework-staff", args=[homework.course.slug, homework.slug]))
    assert len(response.content) < 60_000


def test_a_closed_component_says_since_when(homework: Homework, now: time_machine.Traveller) -> None:
    now.move_to("2023-11-20 18:00Z")
    text = signed_in(member(homework.course)).get(reverse("homework", args=[homework.course.slug, homework.slug])).content.decode()
    assert text.count("Closed since Thu 26 Oct 23:59 EDT.") == 2
