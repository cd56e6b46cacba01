"""The People page: staff see everybody, students see who teaches."""

import pytest
from django.urls import reverse

from courseapp.models import Role
from tests.factories import CourseFactory, EnrollmentFactory, SectionFactory

pytestmark = pytest.mark.django_db

QUERIES = 5
"""Session, user, enrollment, people, sections."""


@pytest.fixture
def course():
    return CourseFactory()


def names(page) -> list[str]:
    return [person.display_name for person in (*page.context["roster"].staff, *page.context["roster"].students)]


@pytest.mark.parametrize("students", [1, 3])
def test_the_roster_takes_the_same_statements_for_one_and_three_students(client, course, students, django_assert_num_queries):
    EnrollmentFactory.create_batch(students, course=course, section=SectionFactory(course=course))
    client.force_login(EnrollmentFactory(course=course, role=Role.TA).user)
    with django_assert_num_queries(QUERIES):
        page = client.get(reverse("people", args=[course.slug]))
    assert page.status_code == 200
    assert len(names(page)) == students + 1


def test_staff_see_students_with_section_and_state(client, course):
    EnrollmentFactory(course=course, first_name="Ann", last_name="Owner", section=SectionFactory(course=course, name="001"))
    EnrollmentFactory(course=course, first_name="Bob", last_name="Gone", state="dropped")
    EnrollmentFactory(course=course, user=None, email="new@example.edu", username="", first_name="Cy", last_name="New")
    client.force_login(EnrollmentFactory(course=course, role=Role.GRADER).user)
    text = client.get(reverse("people", args=[course.slug])).content.decode()
    for said in ("Owner, Ann", "001", "has not signed in", "Gone, Bob", "dropped", "New, Cy", "no account yet", "2 enrolled"):
        assert said in text


def test_staff_pick_a_section(client, course):
    one, two = (SectionFactory(course=course, name=name) for name in ("001", "002"))
    EnrollmentFactory(course=course, section=one, first_name="Ann", last_name="One")
    EnrollmentFactory(course=course, section=two, first_name="Bob", last_name="Two")
    client.force_login(EnrollmentFactory(course=course, role=Role.TA, first_name="Tom", last_name="Helper").user)
    page = reverse("people", args=[course.slug])
    assert names(client.get(page, {"section": "002"})) == ["Tom Helper", "Bob Two"]
    assert len(names(client.get(page, {"section": "no such"}))) == 3


def test_students_see_the_staff_that_teach_now_and_nobody_else(client, course):
    EnrollmentFactory(course=course, role=Role.GRADER, first_name="Greta", last_name="Grader")
    EnrollmentFactory(course=course, role=Role.INSTRUCTOR, first_name="Ida", last_name="Chief")
    EnrollmentFactory(course=course, role=Role.TA, state="dropped", first_name="Left", last_name="Long ago")
    EnrollmentFactory(course=course, first_name="Some", last_name="Classmate")
    client.force_login(EnrollmentFactory(course=course).user)
    page = client.get(reverse("people", args=[course.slug]))
    assert names(page) == ["Ida Chief", "Greta Grader"]
    assert b"Classmate" not in page.content


def test_an_outsider_and_the_signed_out_do_not_see_people(client, course):
    page = reverse("people", args=[course.slug])
    assert client.get(page).url == f"{reverse('account_login')}?next={page}"
    client.force_login(EnrollmentFactory().user)
    assert client.get(page).status_code == 404
