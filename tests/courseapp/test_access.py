"""Signing in, and what one who left the course still finds: nothing."""

from typing import TYPE_CHECKING

import pytest
from django.http import HttpResponseRedirect
from django.test import Client
from django.urls import reverse

from courseapp.models import User
from courseapp.services import people
from tests.factories import EnrollmentFactory, UserFactory

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Response

pytestmark = pytest.mark.django_db

PASSWORD = "demo"


def sign_in(client: Client, email: str, password: str = PASSWORD) -> "Response":
    return client.post(reverse("account_login"), {"login": email, "password": password})


def test_the_right_password_signs_in_and_leads_to_today(client: Client) -> None:
    UserFactory.create(email="ann@example.edu")
    answer = sign_in(client, "ANN@example.edu")
    assert isinstance(answer, HttpResponseRedirect)
    assert (answer.status_code, answer.url) == (302, reverse("today"))
    assert client.session["_auth_user_id"]


@pytest.mark.parametrize(
    ("email", "password"), [("ann@example.edu", "not the password"), ("nobody@example.edu", PASSWORD), ("ann", PASSWORD), ("", "")]
)
def test_a_wrong_password_and_an_unknown_address_do_not_sign_in(client: Client, email: str, password: str) -> None:
    UserFactory.create(email="ann@example.edu")
    answer = sign_in(client, email, password)
    assert answer.status_code == 200
    assert "_auth_user_id" not in client.session


def test_an_unknown_address_and_a_wrong_password_are_answered_alike(client: Client) -> None:
    UserFactory.create(email="ann@example.edu")
    wrong, unknown = sign_in(client, "ann@example.edu", "wrong"), sign_in(client, "bob@example.edu", "wrong")
    assert wrong.context["form"].non_field_errors() == unknown.context["form"].non_field_errors()


def test_nobody_signs_up_by_themselves(client: Client) -> None:
    client.post(reverse("account_signup"), {"email": "new@example.edu", "password1": PASSWORD, "password2": PASSWORD})
    assert not User.objects.exists()


def test_a_dropped_person_finds_nothing_and_comes_back_to_everything(client: Client) -> None:
    ann = EnrollmentFactory.create()
    sign_in(client, ann.email)
    page = reverse("people", args=[ann.course.slug])
    assert client.get(page).status_code == 200
    assert people.drop(enrollment=ann)
    assert client.get(page).status_code == 404
    assert not people.drop(enrollment=ann)
    assert people.enroll_again(enrollment=ann)
    assert client.get(page).status_code == 200
