"""The administration: exceptions are granted with a reason and a name, what happened is only looked at."""

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from courseapp.models import Enrollment, OutboxMail, Role, User
from grading.models import Component, Extension, Submission
from tests.factories import (
    DUE_END,
    DUE_WALL,
    EnrollmentFactory,
    ExtensionFactory,
    HomeworkFactory,
    RunResultFactory,
    SubmissionFactory,
    UserFactory,
    component,
)

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db


@pytest.fixture
def practice() -> Component:
    return component(HomeworkFactory.create(), "practice")


@pytest.fixture
def student(practice: Component) -> Enrollment:
    return EnrollmentFactory.create(course=practice.homework.course)


@pytest.fixture
def instructor(client: Client, practice: Component) -> Enrollment:
    chief = UserFactory.create(is_staff=True, is_superuser=True)
    client.force_login(chief)
    return EnrollmentFactory.create(course=practice.homework.course, user=chief, role=Role.INSTRUCTOR)


def grant(client: Client, practice: Component, student: Enrollment, **values: str) -> "Response":
    data = {"component": practice.pk, "enrollment": student.pk, "due_wall": "2023-10-29 23:59", "reason": "Ill.", **values}
    return client.post(reverse("admin:grading_extension_add"), data)


def problems(answer: "Response") -> dict[str, list[str]]:
    errors: dict[str, list[str]] = answer.context["adminform"].form.errors
    return errors


def test_an_extension_carries_its_reason_and_who_granted_it(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    assert grant(client, practice, student).status_code == 302
    granted = Extension.objects.get()
    assert (granted.due_wall, granted.reason, granted.granted_by) == ("2023-10-29 23:59", "Ill.", instructor)
    assert OutboxMail.objects.get().subject == "Homework 1, practice: yours is due Sun 29 Oct 23:59 EDT"


def test_an_extension_may_confirm_the_due_time_but_not_shorten_it(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    answer = grant(client, practice, student, due_wall="2023-10-22 23:58")
    said = "Sun 22 Oct 23:58 EDT is earlier than the due time that holds now, Sun 22 Oct 23:59 EDT; an extension only gives more time."
    assert problems(answer) == {"due_wall": [said]}
    assert grant(client, practice, student, due_wall=DUE_WALL).status_code == 302


def test_a_second_extension_does_not_take_the_first_one_back(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    ExtensionFactory.create(component=practice, enrollment=student, due_wall="2023-11-05 23:59")
    assert "due_wall" in problems(grant(client, practice, student, due_wall="2023-10-29 23:59"))


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"reason": ""}, "reason"),
        ({"reason": "  "}, "reason"),
        ({"due_wall": "tomorrow"}, "due_wall"),
        ({"due_wall": "2024-03-10 02:30"}, "due_wall"),
    ],
)
def test_an_extension_needs_a_reason_and_a_time_that_exists(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment, values: dict[str, str], field: str
) -> None:
    assert list(problems(grant(client, practice, student, **values))) == [field]
    assert not Extension.objects.exists()


def test_an_extension_is_granted_by_the_courses_own_staff_to_its_own_students(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    assert "enrollment" in problems(grant(client, practice, EnrollmentFactory.create()))
    Enrollment.objects.filter(pk=instructor.pk).update(role=Role.GRADER)
    assert "component" in problems(grant(client, practice, student))
    Enrollment.objects.filter(pk=instructor.pk).delete()
    assert "__all__" in problems(grant(client, practice, student))
    assert not Extension.objects.exists()


def test_an_extension_is_not_changed_afterwards(client: Client, instructor: Enrollment, practice: Component, student: Enrollment) -> None:
    granted = ExtensionFactory.create(component=practice, enrollment=student)
    client.post(reverse("admin:grading_extension_change", args=[granted.pk]), {"due_wall": "2023-12-01 23:59"})
    client.post(reverse("admin:grading_extension_delete", args=[granted.pk]), {"post": "yes"})
    assert Extension.objects.get().due_wall == granted.due_wall


def test_every_page_of_the_administration_opens(client: Client, instructor: Enrollment, practice: Component, student: Enrollment) -> None:
    RunResultFactory.create(run__submission=SubmissionFactory.create(component=practice, enrollment=student, files={"mlp.py": b"pass"}))
    ExtensionFactory.create(component=practice, enrollment=student)
    for model, options in admin.site._registry.items():
        if model._meta.app_label not in {"courseapp", "grading"}:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        assert client.get(reverse(f"{name}_changelist"), {"q": "a"} if options.search_fields else {}).status_code == 200
        for row in model._default_manager.all()[:1]:
            assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


def test_hand_ins_and_their_receipts_stay_as_they_are(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    made = SubmissionFactory.create(component=practice, enrollment=student)
    address = reverse("admin:grading_submission_change", args=[made.pk])
    assert b"Receipt" in client.get(address).content
    assert client.post(address, {"days_late": 0}).status_code == 403
    assert client.post(reverse("admin:grading_submission_delete", args=[made.pk]), {"post": "yes"}).status_code == 403
    assert Submission.objects.filter(pk=made.pk).exists()


def test_a_person_is_dropped_and_enrolled_again(client: Client, instructor: Enrollment, student: Enrollment) -> None:
    chosen = {"_selected_action": [student.pk]}
    client.post(reverse("admin:courseapp_enrollment_changelist"), {"action": "drop", **chosen})
    student.refresh_from_db()
    assert student.state == "dropped"
    client.post(reverse("admin:courseapp_enrollment_changelist"), {"action": "enroll_again", **chosen})
    student.refresh_from_db()
    assert student.state == "active"


def test_a_place_made_here_goes_to_its_person_at_once(client: Client, instructor: Enrollment, practice: Component) -> None:
    person = UserFactory.create(username="nn2", vouched=True)
    data = {
        "course": practice.homework.course.pk,
        "email": "nn2@university.example",
        "username": "nn2",
        "role": "student",
        "track": "default",
    }
    assert client.post(reverse("admin:courseapp_enrollment_add"), data).status_code == 302
    assert Enrollment.objects.get(email="nn2@university.example").user == person


def test_an_account_made_here_was_made_by_staff(client: Client, instructor: Enrollment) -> None:
    data = {"username": "nn1", "email": "nn1@example.edu", "usable_password": "false"}
    assert client.post(reverse("admin:courseapp_user_add"), data).status_code == 302
    assert User.objects.get(username="nn1").vouched


def test_students_and_course_staff_without_the_right_do_not_get_in(client: Client, student: Enrollment) -> None:
    assert student.user is not None
    client.force_login(student.user)
    assert client.get(reverse("admin:grading_extension_changelist"), follow=True).status_code == 403


def test_passwords_are_tried_at_the_one_sign_in_that_counts_them(client: Client, instructor: Enrollment) -> None:
    assert instructor.user is not None
    client.logout()
    page = reverse("admin:index")
    for method in (client.get, client.post):
        answer = method(reverse("admin:login"), {"username": instructor.user.email, "password": "wrong", "next": page})
        assert (answer.status_code, answer["Location"].partition("?")[0]) == (302, reverse("account_login"))


def test_an_extension_has_judged_what_had_come_too_late(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    closed = SubmissionFactory.create(
        component=practice, enrollment=student, received_at=DUE_END + timedelta(days=4), state=Submission.State.NOT_ACCEPTED
    )
    assert grant(client, practice, student).status_code == 302
    assert closed.runs.count() == 1


def test_an_accommodation_has_judged_what_had_come_too_late(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    late = SubmissionFactory.create(component=practice, enrollment=student, received_at=DUE_END, state=Submission.State.UNCONFIRMED)
    data = {"enrollment": student.pk, "days": 2, "factor": "1.00", "note": ""}
    assert client.post(reverse("admin:grading_accommodation_add"), data).status_code == 302
    assert late.runs.count() == 1


def test_a_more_lenient_policy_has_judged_what_had_come_too_late(
    client: Client, instructor: Enrollment, practice: Component, student: Enrollment
) -> None:
    closed = SubmissionFactory.create(
        component=practice, enrollment=student, received_at=DUE_END + timedelta(days=8), state=Submission.State.NOT_ACCEPTED
    )
    data = {"course": practice.homework.course_id, "late": '{"days": 5}', "gpu_minutes_per_week": 240}
    assert client.post(reverse("admin:grading_coursepolicy_add"), data).status_code == 302
    assert closed.runs.count() == 0
    policy = practice.homework.course.policy
    data["late"] = '{"days": 10}'
    assert client.post(reverse("admin:grading_coursepolicy_change", args=[policy.pk]), data).status_code == 302
    assert closed.runs.count() == 1
