"""The People page: staff see everybody, students see who teaches."""

from typing import TYPE_CHECKING

import pytest
from django.http import HttpResponseRedirect
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Course, Enrollment, Role
from tests.factories import CourseFactory, EnrollmentFactory, SectionFactory

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

QUERIES = 5
"""Session, user, enrollment, people, sections."""


@pytest.fixture
def course() -> Course:
    return CourseFactory.create()


def sign_in(client: Client, member: Enrollment) -> None:
    assert member.user is not None
    client.force_login(member.user)


def names(page: "Response") -> list[str]:
    return [person.display_name for person in (*page.context["roster"].staff, *page.context["roster"].students)]


@pytest.mark.parametrize("students", [1, 3])
def test_the_roster_takes_the_same_statements_for_one_and_three_students(
    client: Client, course: Course, students: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    EnrollmentFactory.create_batch(students, course=course, section=SectionFactory.create(course=course))
    sign_in(client, EnrollmentFactory.create(course=course, role=Role.TA))
    with django_assert_num_queries(QUERIES):
        page = client.get(reverse("people", args=[course.slug]))
    assert page.status_code == 200
    assert len(names(page)) == students + 1


def test_staff_see_students_with_section_and_state(client: Client, course: Course) -> None:
    EnrollmentFactory.create(course=course, first_name="Ann", last_name="Owner", section=SectionFactory.create(course=course, name="001"))
    EnrollmentFactory.create(course=course, first_name="Bob", last_name="Gone", state="dropped")
    EnrollmentFactory.create(course=course, user=None, email="new@example.edu", username="", first_name="Cy", last_name="New")
    sign_in(client, EnrollmentFactory.create(course=course, role=Role.GRADER))
    text = client.get(reverse("people", args=[course.slug])).content.decode()
    for said in ("Owner, Ann", "001", "has not signed in", "Gone, Bob", "dropped", "New, Cy", "no account yet", "2 enrolled"):
        assert said in text


def test_staff_pick_a_section(client: Client, course: Course) -> None:
    one, two = (SectionFactory.create(course=course, name=name) for name in ("001", "002"))
    EnrollmentFactory.create(course=course, section=one, first_name="Ann", last_name="One")
    EnrollmentFactory.create(course=course, section=two, first_name="Bob", last_name="Two")
    sign_in(client, EnrollmentFactory.create(course=course, role=Role.TA, first_name="Tom", last_name="Helper"))
    page = reverse("people", args=[course.slug])
    assert names(client.get(page, {"section": "002"})) == ["Tom Helper", "Bob Two"]
    assert len(names(client.get(page, {"section": "no such"}))) == 3


def test_students_see_the_staff_that_teach_now_and_nobody_else(client: Client, course: Course) -> None:
    EnrollmentFactory.create(course=course, role=Role.GRADER, first_name="Greta", last_name="Grader")
    EnrollmentFactory.create(course=course, role=Role.INSTRUCTOR, first_name="Ida", last_name="Chief")
    EnrollmentFactory.create(course=course, role=Role.TA, state="dropped", first_name="Left", last_name="Long ago")
    EnrollmentFactory.create(course=course, first_name="Some", last_name="Classmate")
    sign_in(client, EnrollmentFactory.create(course=course))
    page = client.get(reverse("people", args=[course.slug]))
    assert names(page) == ["Ida Chief", "Greta Grader"]
    assert b"Classmate" not in page.content


def test_an_outsider_and_the_signed_out_do_not_see_people(client: Client, course: Course) -> None:
    page = reverse("people", args=[course.slug])
    answer = client.get(page)
    assert isinstance(answer, HttpResponseRedirect)
    assert answer.url == f"{reverse('account_login')}?next={page}"
    sign_in(client, EnrollmentFactory.create())
    assert client.get(page).status_code == 404
