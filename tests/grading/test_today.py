"""Today: one deadline, one next step; for staff what came in and what waits."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import time_machine
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Enrollment, Role
from grading.models import Component, Homework, RunResult
from grading.queries.today import StudentToday
from tests.factories import (
    DUE_END,
    CourseFactory,
    EnrollmentFactory,
    ExtensionFactory,
    HomeworkFactory,
    RunFactory,
    RunResultFactory,
    SectionFactory,
    SubmissionFactory,
    UserFactory,
    component,
)

pytestmark = pytest.mark.django_db

FRIDAY = datetime(2023, 10, 20, 18, 0, tzinfo=UTC)
STUDENT_QUERIES, STAFF_QUERIES = 11, 17


@pytest.fixture
def homework() -> Homework:
    return HomeworkFactory.create(slug="backprop")


@pytest.fixture
def student(client: Client, homework: Homework) -> Enrollment:
    member = EnrollmentFactory.create(course=homework.course, section=SectionFactory.create(course=homework.course))
    assert member.user is not None
    client.force_login(member.user)
    return member


def today(client: Client, at: datetime = FRIDAY) -> Any:
    with time_machine.travel(at, tick=False):
        page = client.get(reverse("today"))
    assert page.status_code == 200
    return page.context["today"]


def chips(found: StudentToday) -> dict[str, str]:
    return {part.component.kind: part.word for row in found.rows for part in row.parts}


@pytest.mark.parametrize(
    ("at", "headline"),
    [
        (datetime(2023, 10, 12, 16, tzinfo=UTC), "Homework 1 is due on 22 October"),
        (FRIDAY, "Homework 1 is due on Sunday"),
        (datetime(2023, 10, 21, 16, tzinfo=UTC), "Homework 1 is due tomorrow"),
        (DUE_END - timedelta(seconds=1), "Homework 1 is due today at 23:59"),
        (DUE_END, "Homework 1 is late: 90 % until Mon 23 Oct 23:59 EDT"),
        (DUE_END + timedelta(days=4), "Nothing is due"),
    ],
)
def test_the_headline_says_what_is_due(client: Client, student: Enrollment, at: datetime, headline: str) -> None:
    assert today(client, at).headline == headline


def test_the_one_step_is_to_hand_in(client: Client, student: Enrollment) -> None:
    found = today(client)
    assert found.next.step.label == "Hand in the theory"
    assert found.next.step.url == f"{reverse('homework', args=[student.course.slug, 'backprop'])}#theory"
    assert chips(found) == {"theory": "not handed in", "practice": "not handed in"}


def test_what_is_missing_comes_before_what_is_done(client: Client, student: Enrollment, homework: Homework) -> None:
    SubmissionFactory.create(component=component(homework, "theory"), enrollment=student)
    found = today(client)
    assert found.next.step.label == "Hand in the practice"
    assert chips(found) == {"theory": "handed in", "practice": "not handed in"}


def test_a_run_under_way_is_the_thing_to_look_at(client: Client, student: Enrollment, homework: Homework) -> None:
    SubmissionFactory.create(component=component(homework, "theory"), enrollment=student)
    run = RunFactory.create(
        submission=SubmissionFactory.create(component=component(homework, "practice"), enrollment=student), state="running"
    )
    found = today(client)
    assert (found.next.step.label, found.next.step.url) == (
        "Watch the run",
        reverse("submission", args=[student.course.slug, run.submission.pk]),
    )
    assert chips(found)["practice"] == "running"


def test_a_late_hand_in_that_waits_is_confirmed_first(client: Client, student: Enrollment, homework: Homework) -> None:
    late = SubmissionFactory.create(
        component=component(homework, "practice"), enrollment=student, state="unconfirmed", received_at=DUE_END, days_late=1
    )
    found = today(client, DUE_END + timedelta(hours=1))
    assert found.next.step.url == reverse("submission", args=[student.course.slug, late.pk])
    assert chips(found)["practice"] == "waits for your confirmation"


@pytest.mark.parametrize(("points", "step"), [(41, "Hand in the practice again"), (50, "See what you handed in")])
def test_when_all_is_handed_in_there_may_still_be_points_to_win(
    client: Client, student: Enrollment, homework: Homework, points: int, step: str
) -> None:
    SubmissionFactory.create(component=component(homework, "theory"), enrollment=student)
    judged(homework, student, points)
    found = today(client)
    assert (found.headline, found.next.step.label) == ("Homework 1 is handed in, and open until Sunday", step)


def test_what_was_handed_in_on_time_is_not_asked_for_again_when_late(client: Client, student: Enrollment, homework: Homework) -> None:
    for kind in ("theory", "practice"):
        SubmissionFactory.create(component=component(homework, kind), enrollment=student)
    found = today(client, DUE_END + timedelta(hours=1))
    assert (found.next, found.headline) == (None, "Nothing is due")


def test_an_extension_moves_the_deadline_of_today(client: Client, student: Enrollment, homework: Homework) -> None:
    ExtensionFactory.create(component=component(homework, "theory"), enrollment=student, due_wall="2023-10-24 23:59")
    SubmissionFactory.create(component=component(homework, "practice"), enrollment=student)
    assert today(client).headline == "Homework 1 is due on Tuesday"


def judged(homework: Homework, student: Enrollment, points: int) -> RunResult:
    return RunResultFactory.create(
        run__submission=SubmissionFactory.create(component=component(homework, "practice"), enrollment=student),
        run__finished_at=FRIDAY - timedelta(hours=1),
        points=Decimal(points),
    )


def test_a_score_is_shown_and_summed_up(client: Client, student: Enrollment, homework: Homework) -> None:
    result = judged(homework, student, 41)
    found = today(client)
    assert chips(found)["practice"] == "41 of 50"
    assert (found.points, found.possible) == (41, 50)
    said = [event.what for event in found.events]
    assert said == [
        f"Run {result.run.pk} finished: 41 of 50 from the checks.",
        f"Hand-in #1 received, receipt {result.run.submission.receipt_code}.",
    ]


def test_a_score_that_is_not_released_is_nowhere_on_the_page(client: Client, student: Enrollment, homework: Homework) -> None:
    Component.objects.filter(kind="practice").update(score_release="after_published")
    result = judged(homework, student, 41)
    found = today(client)
    assert chips(found)["practice"] == "handed in"
    assert (found.points, found.possible) == (0, 0)
    assert found.events[0].what == f"Run {result.run.pk} finished."


def test_homework_without_weight_is_not_summed_up(client: Client, student: Enrollment, homework: Homework) -> None:
    homework.weight = 0
    homework.save()
    judged(homework, student, 41)
    assert today(client).possible == 0


def test_a_recorded_run_is_marked(client: Client, student: Enrollment, homework: Homework) -> None:
    result = judged(homework, student, 41)
    result.recorded = True
    result.save()
    assert today(client).events[0].chip == "recorded"


def test_whose_fault_it_is_is_said(client: Client, student: Enrollment, homework: Homework) -> None:
    result = judged(homework, student, 0)
    result.kind = "assignment"
    result.save()
    assert today(client).events[0].what == "Not your fault: the assignment's checks failed, and staff see it."


def test_homework_is_not_seen_before_its_release(client: Client, student: Enrollment) -> None:
    found = today(client, datetime(2023, 10, 9, 12, 59, tzinfo=UTC))
    assert (found.headline, found.rows) == ("Nothing is here yet", [])


@pytest.mark.parametrize("hand_ins", [1, 3])
def test_a_students_today_takes_the_same_statements_for_one_and_three_hand_ins(
    client: Client, student: Enrollment, homework: Homework, hand_ins: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(hand_ins):
        judged(homework, student, 41)
        HomeworkFactory.create(course=homework.course, number=hand_ins + 1)
    with time_machine.travel(FRIDAY, tick=False), django_assert_num_queries(STUDENT_QUERIES):
        assert client.get(reverse("today")).status_code == 200


def staff(client: Client, homework: Homework) -> Enrollment:
    helper = EnrollmentFactory.create(course=homework.course, role=Role.TA)
    assert helper.user is not None
    client.force_login(helper.user)
    return helper


def test_staff_see_what_came_in_and_what_waits(client: Client, homework: Homework) -> None:
    staff(client, homework)
    ann, bob, cy = EnrollmentFactory.create_batch(3, course=homework.course)
    practice = component(homework, "practice")
    SubmissionFactory.create(component=practice, enrollment=ann)
    late = SubmissionFactory.create(component=practice, enrollment=ann, received_at=DUE_END, days_late=1)
    only_late = SubmissionFactory.create(component=practice, enrollment=bob, received_at=DUE_END, days_late=1)
    SubmissionFactory.create(component=practice, enrollment=cy, received_at=DUE_END, days_late=1, state="unconfirmed")
    failed = RunFactory.create(submission=only_late, state="failed", note="Failed 3 times.")
    RunFactory.create(submission=late, state="queued")
    found = today(client, DUE_END + timedelta(hours=1))
    (row,) = found.rows
    theory, tally = row.tallies
    assert (theory.handed_in, theory.students) == (0, 3)
    assert (tally.handed_in, tally.late, tally.open_runs, tally.failed_runs) == (2, 1, 1, 1)
    assert (found.queued, found.running, found.unconfirmed, found.hosts.unserved) == (1, 0, 1, ("cpu",))
    assert found.failed == [failed]


def test_a_failure_that_a_newer_run_settled_does_not_wait(client: Client, homework: Homework) -> None:
    staff(client, homework)
    hand_in = SubmissionFactory.create(component=component(homework, "practice"))
    RunFactory.create(submission=hand_in, state="failed")
    RunResultFactory.create(run__submission=hand_in)
    assert today(client).failed == []


def test_dropped_students_are_not_counted(client: Client, homework: Homework) -> None:
    staff(client, homework)
    gone = EnrollmentFactory.create(course=homework.course, state="dropped")
    SubmissionFactory.create(component=component(homework, "practice"), enrollment=gone)
    (row,) = today(client).rows
    assert {(tally.handed_in, tally.students) for tally in row.tallies} == {(0, 0)}


@pytest.mark.parametrize("hand_ins", [1, 3])
def test_the_staffs_today_takes_the_same_statements_for_one_and_three_hand_ins(
    client: Client, homework: Homework, hand_ins: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    staff(client, homework)
    for _ in range(hand_ins):
        RunFactory.create(submission=SubmissionFactory.create(component=component(homework, "practice")), state="failed")
        HomeworkFactory.create(course=homework.course, number=hand_ins + 1)
    with time_machine.travel(FRIDAY, tick=False), django_assert_num_queries(STAFF_QUERIES):
        assert client.get(reverse("today")).status_code == 200


def test_with_several_courses_one_chooses(client: Client, student: Enrollment) -> None:
    EnrollmentFactory.create(course=CourseFactory.create(title="Another course"), user=student.user)
    page = client.get(reverse("today"))
    assert b"Another course" in page.content
    assert client.get(reverse("course", args=[student.course.slug])).context["today"] is not None


def test_in_no_course_the_page_says_what_to_do(client: Client) -> None:
    client.force_login(UserFactory.create(email="new@example.edu"))
    text = client.get(reverse("today")).content.decode()
    assert "You are in no course yet" in text
    assert "new@example.edu" in text


def test_today_belongs_to_members(client: Client, homework: Homework) -> None:
    page = reverse("course", args=[homework.course.slug])
    assert client.get(page).status_code == 302
    client.force_login(UserFactory.create())
    assert client.get(page).status_code == 404
