from datetime import UTC, datetime
from decimal import Decimal

import pytest
import time_machine
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Enrollment, Role
from grading.models import Component, CoursePolicy, SectionDue
from grading.policy.due import EffectiveDue
from grading.policy.late import LatePolicy
from grading.queries import due
from tests.factories import AccommodationFactory, EnrollmentFactory, ExtensionFactory, HomeworkFactory, SectionFactory, component

pytestmark = pytest.mark.django_db


@pytest.fixture
def practice() -> Component:
    return component(HomeworkFactory.create(), "practice")


@pytest.fixture
def student(practice: Component) -> Enrollment:
    return EnrollmentFactory.create(course=practice.homework.course)


def wall(found: EffectiveDue) -> str:
    return f"{found.due.wall:%Y-%m-%d %H:%M}"


def test_without_anything_of_their_own_the_homeworks_due_time_holds(practice: Component, student: Enrollment) -> None:
    found = due.due_for(practice, student)
    assert wall(found) == "2023-10-22 23:59"
    assert found.public_why == "Due Sun 22 Oct 23:59 EDT."


def test_a_section_has_a_due_time_of_its_own(practice: Component) -> None:
    section = SectionFactory.create(course=practice.homework.course, name="002")
    SectionDue.objects.create(component=practice, section=section, due_wall="2023-10-15 23:59")
    inside = EnrollmentFactory.create(course=practice.homework.course, section=section)
    outside = EnrollmentFactory.create(course=practice.homework.course)
    assert wall(due.due_for(practice, inside)) == "2023-10-15 23:59"
    assert wall(due.due_for(practice, outside)) == "2023-10-22 23:59"
    assert wall(EffectiveDue(due.last_due(practice), (), "")) == "2023-10-22 23:59"


def test_the_newest_extension_holds_for_its_student_and_component_alone(practice: Component, student: Enrollment) -> None:
    staff = EnrollmentFactory.create(course=practice.homework.course, role=Role.TA)
    for until in ("2023-10-27 23:59", "2023-10-25 12:00"):
        ExtensionFactory.create(component=practice, enrollment=student, due_wall=until, granted_by=staff)
    theory = component(practice.homework, "theory")
    classmate = EnrollmentFactory.create(course=practice.homework.course)
    assert wall(due.due_for(practice, student)) == "2023-10-25 12:00"
    assert wall(due.due_for(practice, classmate)) == "2023-10-22 23:59"
    assert wall(due.due_for(theory, student)) == "2023-10-22 23:59"


def test_an_accommodation_adds_its_days_and_is_named_to_instructors_only(practice: Component, student: Enrollment) -> None:
    AccommodationFactory.create(enrollment=student, days=2)
    found = due.due_for(practice, student)
    assert wall(found) == "2023-10-24 23:59"
    assert "accommodation" in " ".join(found.why)
    assert "accommodation" not in found.public_why


def test_late_settings_of_the_homework_stand_over_the_courses(practice: Component) -> None:
    CoursePolicy.objects.create(course=practice.homework.course, late={"percent_per_day": 20, "days": 2, "grace_minutes": 5})
    assert due.late_policy(practice) == LatePolicy(steps=(Decimal(20),) * 2, grace_minutes=5)
    practice.homework.late = {"steps": [50]}
    assert due.late_policy(practice) == LatePolicy(steps=(Decimal(50),), grace_minutes=5)


def test_terms_know_the_points_of_the_whole_homework(practice: Component, student: Enrollment) -> None:
    found = due.terms_for(practice, student)
    assert (found.possible, found.homework_possible) == (Decimal(50), Decimal(100))
    assert [segment.kind for segment in found.timeline] == ["before", "on_time", "late", "late", "late", "late", "closed"]


@pytest.mark.parametrize(("now", "seen"), [("2023-10-09 12:59:59+00:00", False), ("2023-10-09 13:00:00+00:00", True)])
def test_a_homework_is_released_at_its_wall_time(practice: Component, now: str, seen: bool) -> None:
    with time_machine.travel(now, tick=False):
        assert due.released_now(practice.homework) is seen


def test_release_across_the_clock_change_is_by_the_wall(practice: Component) -> None:
    practice.homework.release_wall = "2023-11-05 09:00"
    assert due.released_at(practice.homework) == datetime(2023, 11, 5, 14, 0, tzinfo=UTC)


@pytest.mark.parametrize("students", [1, 3, 60])
def test_terms_take_five_queries_whatever_the_number_of_students(
    practice: Component, django_assert_num_queries: DjangoAssertNumQueries, students: int
) -> None:
    both = [practice, component(practice.homework, "theory")]
    section = SectionFactory.create(course=practice.homework.course)
    members = EnrollmentFactory.create_batch(students, course=practice.homework.course, section=section)
    with django_assert_num_queries(5):
        assert len(due.all_terms(both, members)) == 2 * students
