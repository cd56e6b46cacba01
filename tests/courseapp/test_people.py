"""The place in a course that waits for its person, and the file that says who belongs to it."""

from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from allauth.account.signals import email_confirmed
from django.test import Client

from courseapp.models import Course, Enrollment, Identity, User
from courseapp.services import people
from courseapp.services.course import Changes, CourseFile, Person, save_course

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough pass phrase"


def account(email: str, *, verified: bool = True, **values: Any) -> User:
    user = User.objects.create_user(username=values.pop("username", email.split("@")[0]), email=email, password=PASSWORD, **values)
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def place(course: Course, email: str, **values: Any) -> Enrollment:
    return Enrollment.objects.create(course=course, email=email, **values)


@pytest.fixture
def course() -> Course:
    return Course.objects.create(slug="dl", code="DL 1", title="Deep Learning", term="Fall 2023", starts_on=date(2023, 9, 4))


def test_a_place_is_taken_up_at_sign_in_by_a_verified_address(client: Client, course: Course) -> None:
    waiting = place(course, "Ann@Example.edu")
    user = account("ann@example.edu")
    client.force_login(user)
    waiting.refresh_from_db()
    assert waiting.user == user


def test_an_address_that_was_not_verified_takes_no_place(client: Client, course: Course) -> None:
    waiting = place(course, "ann@example.edu")
    client.force_login(account("ann@example.edu", verified=False))
    waiting.refresh_from_db()
    assert waiting.user is None


def test_a_place_is_taken_up_when_the_address_is_confirmed(course: Course) -> None:
    waiting = place(course, "ann@example.edu")
    user = account("ann@example.edu", verified=False)
    EmailAddress.objects.filter(user=user).update(verified=True)
    email_confirmed.send(EmailAddress, request=None, email_address=EmailAddress.objects.get(user=user))
    waiting.refresh_from_db()
    assert waiting.user == user


@pytest.mark.parametrize("key", [{"username": "ao1"}, {"institutional_id": "N1"}])
def test_username_and_institutional_id_count_only_on_accounts_that_staff_made(client: Client, course: Course, key: dict[str, Any]) -> None:
    waiting = place(course, "ann@university.example", **key)
    user = account("ann@example.edu", **{"username": "someone", **key})
    client.force_login(user)
    waiting.refresh_from_db()
    assert waiting.user is None
    user.vouched = True
    user.save()
    client.force_login(user)
    waiting.refresh_from_db()
    assert waiting.user == user


def test_one_person_takes_one_place_in_a_course(course: Course) -> None:
    by_address, by_name = place(course, "ann@example.edu"), place(course, "other@example.edu", username="ann")
    user = account("ann@example.edu", vouched=True)
    assert people.take_up(user=user) == [by_address]
    by_name.refresh_from_db()
    assert by_name.user is None
    assert people.take_up(user=user) == []


def test_a_new_place_goes_to_whoever_has_an_account_already(course: Course) -> None:
    ann, claimed = account("ann@example.edu"), account("bob@example.edu", verified=False)
    named = account("cy@example.edu", username="cc1", vouched=True)
    assert people.seat(enrollment=place(course, "Ann@example.edu")) == ann
    assert people.seat(enrollment=place(course, claimed.email)) is None
    assert people.seat(enrollment=place(course, "cy@university.example", username="CC1")) == named
    assert people.seat(enrollment=place(course, "nobody@example.edu")) is None
    assert people.seat(enrollment=place(course, "ann@elsewhere.example")) is None


def test_leaving_and_coming_back_happen_once(course: Course) -> None:
    ann = place(course, "ann@example.edu", user=account("ann@example.edu"))
    assert people.drop(enrollment=ann)
    assert not people.drop(enrollment=ann)
    ann.refresh_from_db()
    assert ann.state == "dropped"
    assert people.enroll_again(enrollment=ann)
    assert not people.enroll_again(enrollment=ann)
    ann.refresh_from_db()
    assert ann.state == "active"


def person(**values: str) -> Person:
    return Person(**{"email": "ann@example.edu", "role": "student", "username": "ao1", "institutional_id": "N1", **values})


def course_file(*listed: Person) -> CourseFile:
    return CourseFile("dl", "DL 1", "Deep Learning", "Fall", "UTC", date(2023, 9, 4), sections=("001",), people=listed)


def test_a_person_of_the_file_gets_an_account_that_staff_made() -> None:
    changes = Changes()
    save_course(course_file(person()), changes)
    user = User.objects.get()
    assert (user.email, user.username, user.vouched, user.has_usable_password()) == ("ann@example.edu", "ao1", True, False)
    assert Enrollment.objects.get().user == user
    assert changes.made == {"course": 1, "sections": 1, "accounts": 1, "enrollments": 1}


@pytest.mark.parametrize(
    "now",
    [
        {"email": "ANN@example.edu", "username": "x", "institutional_id": "y"},
        {"email": "new@example.edu", "institutional_id": "y"},
        {"email": "new@example.edu", "username": "x"},
    ],
)
def test_a_person_is_found_again_by_address_username_or_institutional_id(now: dict[str, str]) -> None:
    save_course(course_file(person()), Changes())
    save_course(course_file(person(**now)), Changes())
    assert Enrollment.objects.count() == User.objects.count() == 1
    assert Enrollment.objects.get().email == now["email"]
    assert User.objects.get().email == "ann@example.edu"


def test_an_address_that_somebody_claimed_without_proof_gets_no_place() -> None:
    claimed = account("ann@example.edu", verified=False)
    changes = Changes()
    save_course(course_file(person()), changes)
    assert Enrollment.objects.get().user is None
    assert "ann@example.edu: an account has this address but has not verified it" in changes.said[0]
    EmailAddress.objects.filter(user=claimed).update(verified=True)
    save_course(course_file(person()), Changes())
    assert Enrollment.objects.get().user == claimed


def test_whoever_has_shown_an_address_or_a_netid_is_found_by_it_and_gets_no_second_account() -> None:
    ann = account("ann@home.example", username="someone")
    EmailAddress.objects.create(user=ann, email="Ann@Example.edu", verified=True)
    EmailAddress.objects.create(user=ann, email="bob@example.edu", verified=False)
    Identity.objects.create(user=ann, kind="username", value="ao1", provider="sso")
    account("other@home.example", username="ao1", vouched=True)  # called so by nobody who knew a NetID
    by_address, by_netid = person(username="x", institutional_id="x"), person(email="new@example.edu", institutional_id="y")
    for slug, listed in (("a", by_address), ("b", by_netid), ("c", person(email="bob@example.edu", username="bb2", institutional_id="z"))):
        save_course(replace(course_file(listed), slug=slug), Changes())
    assert [Enrollment.objects.get(course__slug=slug).user == ann for slug in "abc"] == [True, True, False]


def test_a_username_that_is_taken_by_a_stranger_gets_a_number() -> None:
    account("stranger@example.edu", username="AO1")
    save_course(course_file(person()), Changes())
    assert User.objects.get(email="ann@example.edu").username == "ao1-2"


def test_an_account_that_is_in_the_course_already_keeps_its_place() -> None:
    save_course(course_file(person()), Changes())
    Enrollment.objects.update(email="old@example.edu", username="", institutional_id="")
    save_course(course_file(person()), Changes())
    assert Enrollment.objects.get().email == "ann@example.edu"


def test_the_file_drops_a_person_and_enrolls_them_again() -> None:
    save_course(course_file(person()), Changes())
    save_course(course_file(person(state="dropped")), Changes())
    assert Enrollment.objects.get().state == "dropped"
    silent = Changes()
    save_course(course_file(person()), silent)
    assert Enrollment.objects.get().state == "dropped"
    assert silent.said == ['ann@example.edu stays dropped; write state = "active" to enroll them again.']
    save_course(course_file(person(state="active")), Changes())
    assert Enrollment.objects.get().state == "active"


def test_a_track_that_staff_approved_survives_the_file() -> None:
    save_course(course_file(person()), Changes())
    Enrollment.objects.update(track="phd")
    save_course(course_file(person()), Changes())
    assert Enrollment.objects.get().track == "phd"
