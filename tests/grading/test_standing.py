from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Enrollment
from grading.models import Component, CoursePolicy, Run, RunResult, Submission
from grading.queries.standing import standing_of, standings
from tests.factories import (
    DUE_END,
    ON_TIME,
    EnrollmentFactory,
    ExtensionFactory,
    HomeworkFactory,
    RunFactory,
    RunResultFactory,
    SubmissionFactory,
    component,
)

pytestmark = pytest.mark.django_db

LATE = DUE_END + timedelta(hours=3)
CLOSED = DUE_END + timedelta(days=4)
State = Submission.State


@pytest.fixture
def practice() -> Component:
    return component(HomeworkFactory.create(), "practice")


@pytest.fixture
def theory(practice: Component) -> Component:
    return component(practice.homework, "theory")


@pytest.fixture
def student(practice: Component) -> Enrollment:
    return EnrollmentFactory.create(course=practice.homework.course)


def handed_in(part: Component, student: Enrollment, points: int | None = None, received: datetime = ON_TIME, **values: Any) -> Submission:
    made = SubmissionFactory.create(component=part, enrollment=student, received_at=received, **values)
    if points is not None:
        RunResultFactory.create(run__submission=made, points=Decimal(points))
    return made


def publish(part: Component, at: datetime) -> None:
    part.published_at = at
    part.save()


def test_nothing_handed_in(practice: Component, student: Enrollment) -> None:
    found = standing_of(practice, student)
    assert (found.entries, found.counting, found.score, found.why) == ((), None, None, "Nothing was handed in.")


def test_of_judged_hand_ins_the_one_that_nets_most_counts(practice: Component, student: Enrollment) -> None:
    best = handed_in(practice, student, 41)
    handed_in(practice, student, 20, ON_TIME + timedelta(hours=1))
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == best
    assert found.score
    assert found.score.final == Decimal(41)
    assert [entry.submission.number for entry in found.entries] == [2, 1]


def test_a_late_hand_in_counts_when_it_nets_more_after_its_penalty(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, 38)
    late = handed_in(practice, student, 44, LATE)
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == late
    assert found.score
    assert (found.score.raw, found.score.days_late, found.score.final) == (Decimal(44), 1, Decimal(39))


def test_a_late_hand_in_with_fewer_points_after_its_penalty_does_not(practice: Component, student: Enrollment) -> None:
    on_time = handed_in(practice, student, 40)
    handed_in(practice, student, 44, LATE)
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == on_time


def test_the_choice_counts_over_the_rule(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, 41)
    chosen = handed_in(practice, student, 20, chosen=True)
    assert standing_of(practice, student).counting == next(
        entry for entry in standing_of(practice, student).entries if entry.submission == chosen
    )


def test_by_hand_the_last_on_time_counts_and_a_late_one_does_not_displace_it(theory: Component, student: Enrollment) -> None:
    handed_in(theory, student)
    last = handed_in(theory, student, received=ON_TIME + timedelta(hours=1))
    handed_in(theory, student, received=LATE)
    found = standing_of(theory, student)
    assert found.counting
    assert (found.counting.submission, found.score, found.autograded) == (last, None, False)


@pytest.mark.parametrize(
    ("received", "days"), [(DUE_END - timedelta(microseconds=1), 0), (DUE_END, 1), (DUE_END + timedelta(days=1), 2), (CLOSED, 5)]
)
def test_lateness_is_exact_at_the_end_of_the_due_minute(practice: Component, student: Enrollment, received: datetime, days: int) -> None:
    handed_in(practice, student, received=received)
    assert standing_of(practice, student).entries[0].lateness.days == days


def test_a_day_is_a_day_when_the_clock_is_put_back(practice: Component, student: Enrollment) -> None:
    practice.due_wall = "2023-11-04 23:59"
    practice.save()
    handed_in(practice, student, received=datetime(2023, 11, 6, 4, 30, tzinfo=UTC))  # Sunday 23:30 in New York
    assert standing_of(practice, student).entries[0].lateness.days == 1


def test_an_unconfirmed_late_hand_in_does_not_count(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, 50, LATE, state=State.UNCONFIRMED)
    found = standing_of(practice, student)
    assert (found.counting, found.entries[0].state) == (None, State.UNCONFIRMED)


@pytest.mark.parametrize(
    ("received", "state", "until", "now"),
    [
        (CLOSED, State.NOT_ACCEPTED, "2023-10-25 23:59", State.ACCEPTED),
        (CLOSED, State.NOT_ACCEPTED, "2023-10-22 23:59", State.NOT_ACCEPTED),
        (LATE, State.UNCONFIRMED, "2023-10-25 23:59", State.ACCEPTED),
        (LATE + timedelta(days=3), State.UNCONFIRMED, "2023-10-24 23:59", State.UNCONFIRMED),
    ],
)
def test_an_extension_is_reckoned_with_at_once_and_the_row_stays(
    practice: Component, student: Enrollment, received: datetime, state: str, until: str, now: str
) -> None:
    row = handed_in(practice, student, 50, received, state=state, days_late=4)
    ExtensionFactory.create(component=practice, enrollment=student, due_wall=until)
    assert standing_of(practice, student).entries[0].state == now
    row.refresh_from_db()
    assert (row.state, row.days_late) == (state, 4)


def test_a_body_that_came_too_late_never_counts(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, 50, state=State.NOT_ACCEPTED, body_late=True)
    ExtensionFactory.create(component=practice, enrollment=student)
    assert standing_of(practice, student).counting is None


def test_the_time_stated_by_staff_is_the_one_that_counts(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, received=LATE, stated_at=ON_TIME)
    assert standing_of(practice, student).entries[0].lateness.days == 0


def test_what_comes_after_publishing_changes_nothing(practice: Component, student: Enrollment) -> None:
    first = handed_in(practice, student, 30)
    publish(practice, DUE_END + timedelta(hours=1))
    handed_in(practice, student, 50, LATE)
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == first


def test_what_comes_after_publishing_counts_for_who_had_nothing(practice: Component, student: Enrollment) -> None:
    publish(practice, DUE_END + timedelta(hours=1))
    late = handed_in(practice, student, 50, LATE)
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == late


def test_with_an_extension_beyond_publishing_the_students_own_time_freezes(practice: Component, student: Enrollment) -> None:
    handed_in(practice, student, 30)
    publish(practice, DUE_END + timedelta(hours=1))
    ExtensionFactory.create(component=practice, enrollment=student, due_wall="2023-10-25 23:59")
    better = handed_in(practice, student, 50, LATE)
    found = standing_of(practice, student)
    assert found.counting
    assert found.counting.submission == better


def test_a_result_that_blames_us_is_no_score(practice: Component, student: Enrollment) -> None:
    made = handed_in(practice, student)
    RunResultFactory.create(run__submission=made, run__state=Run.State.FAILED, kind=RunResult.Kind.SYSTEM, points=Decimal(0))
    found = standing_of(practice, student)
    assert (found.counting, found.why) == (None, "1 hand-in not judged yet.")


def test_a_run_that_still_goes_is_told(practice: Component, student: Enrollment) -> None:
    run = RunFactory.create(submission=handed_in(practice, student), state=Run.State.RUNNING)
    assert standing_of(practice, student).open_run == run


def test_the_whole_homework_may_be_what_a_late_day_costs(practice: Component, student: Enrollment) -> None:
    CoursePolicy.objects.create(course=practice.homework.course, late={"scope": "homework"})
    handed_in(practice, student, 50, LATE)
    found = standing_of(practice, student)
    assert found.score
    assert found.score.final == Decimal(40)


@pytest.mark.parametrize("students", [1, 3, 60])
def test_the_number_of_statements_is_constant(
    practice: Component, theory: Component, django_assert_num_queries: DjangoAssertNumQueries, students: int
) -> None:
    members = EnrollmentFactory.create_batch(students, course=practice.homework.course)
    for member in members:
        for _ in range(2):
            handed_in(practice, member, 40)
            handed_in(theory, member)
    with django_assert_num_queries(7):
        found = standings([practice, theory], members)
    assert all(found[part.pk, member.pk].counting for part in (practice, theory) for member in members)
