"""Personal API tokens: the pages, the command, and what is kept of a key."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.core import mail
from django.core.management import CommandError, call_command
from django.test import Client

from courseapp.models import ApiToken, OutboxMail, Role, User
from courseapp.services import tokens
from tests import factories

pytestmark = pytest.mark.django_db

NOW = datetime(2023, 10, 20, 18, 0, tzinfo=UTC)
PASSWORD = "a long password"
FORM = {"name": "laptop", "scopes": ["read", "submit"], "days": "90"}


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def user() -> User:
    return User.objects.create_user("mo1", "maya@example.edu", PASSWORD)


@pytest.fixture
def signed_in(user: User, client: Client) -> Client:
    """Who has just given the password once more."""
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": PASSWORD})
    return client


def test_a_key_is_shown_once_and_never_kept(user: User, signed_in: Client) -> None:
    made = signed_in.post("/accounts/tokens/new/", FORM)
    found = re.search(r"cat_[\w-]{43}", made.content.decode())
    assert found
    assert "no-store" in made["Cache-Control"]
    token = ApiToken.objects.get()
    assert (token.user, token.name, token.scopes, token.expires_at) == (user, "laptop", ["read", "submit"], NOW + timedelta(days=90))
    assert found[0] not in str(list(ApiToken.objects.values()))
    assert found[0] not in signed_in.get("/accounts/tokens/").content.decode()
    assert tokens.find(found[0]) == token
    mail = OutboxMail.objects.get()
    assert (mail.to, mail.subject) == (user.email, "A new API token was made for your account.")
    assert f"The API token “laptop” ({token.prefix}…) was made" in mail.body
    assert found[0] not in mail.body


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"days": "367"}, "Ensure this value is less than or equal to 366."),
        ({"days": "0"}, "Ensure this value is greater than or equal to 1."),
        ({"scopes": []}, "This field is required."),
        ({"scopes": ["staff"]}, "Select a valid choice. staff is not one of the available choices."),
        ({"name": ""}, "This field is required."),
    ],
)
def test_a_token_that_cannot_be_made_is_said_in_the_form(signed_in: Client, wrong: dict[str, Any], said: str) -> None:
    answer = signed_in.post("/accounts/tokens/new/", FORM | wrong)
    assert (answer.status_code, said in answer.content.decode(), ApiToken.objects.count()) == (400, True, 0)


def test_staff_may_make_a_token_for_staff_lists(user: User, signed_in: Client) -> None:
    factories.EnrollmentFactory.create(user=user, role=Role.GRADER)
    assert signed_in.post("/accounts/tokens/new/", FORM | {"scopes": ["staff"]}).status_code == 200
    assert ApiToken.objects.get().scopes == ["staff"]


def test_making_one_asks_for_the_password_when_it_was_given_long_ago(signed_in: Client, now: time_machine.Traveller) -> None:
    assert signed_in.get("/accounts/tokens/new/").status_code == 200
    now.shift(3600)
    answer = signed_in.post("/accounts/tokens/new/", FORM)
    assert answer.status_code == 302
    assert answer["Location"].startswith("/accounts/reauthenticate/")
    assert not ApiToken.objects.exists()
    assert signed_in.get("/accounts/tokens/").status_code == 200


def test_revoking_holds_at_once_and_is_for_its_owner(user: User, signed_in: Client) -> None:
    token, key = tokens.make(user=user, name="laptop", scopes=["read"])
    other, other_key = tokens.make(user=factories.UserFactory.create(), name="theirs", scopes=["read"])
    assert signed_in.post(f"/accounts/tokens/{other.pk}/revoke/").status_code == 404
    assert signed_in.post(f"/accounts/tokens/{token.pk}/revoke/").status_code == 302
    assert (tokens.find(key), tokens.find(other_key)) == (None, other)
    page = signed_in.get("/accounts/tokens/").content.decode()
    assert ("revoked" in page, "theirs" in page) == (True, False)


def test_the_pages_are_for_people_who_are_signed_in(client: Client) -> None:
    for address in ("/accounts/tokens/", "/accounts/tokens/new/"):
        assert client.get(address)["Location"].startswith("/accounts/login/")
    assert client.post("/accounts/tokens/1/revoke/")["Location"].startswith("/accounts/login/")


def test_the_last_use_is_noted_once_a_minute(user: User, now: time_machine.Traveller) -> None:
    token, key = tokens.make(user=user, name="laptop", scopes=["read"])
    for seconds, noted in ((0, 0), (59, 0), (60, 60)):
        now.move_to(NOW + timedelta(seconds=seconds))
        tokens.find(key)
        token.refresh_from_db()
        assert token.last_used_at == NOW + timedelta(seconds=noted)


def test_there_is_an_end_to_how_many_work(user: User) -> None:
    for n in range(tokens.MOST_LIVE):
        tokens.make(user=user, name=str(n), scopes=["read"])
    with pytest.raises(tokens.TooMany, match="revoke one"):
        tokens.make(user=user, name="one more", scopes=["read"])
    tokens.revoke(token=user.api_tokens.all()[0])
    tokens.make(user=user, name="one more", scopes=["read"])


def test_the_command_prints_a_key(user: User) -> None:
    out, err = StringIO(), StringIO()
    call_command(
        "api_token", "MAYA@example.edu", "--scope", "read", "--scope", "staff", "--days", "7", "--name", "cron", stdout=out, stderr=err
    )
    token = tokens.find(out.getvalue().strip())
    assert token is not None
    assert (token.user, token.name, token.scopes, token.expires_at) == (user, "cron", ["read", "staff"], NOW + timedelta(days=7))
    assert "It is shown only now." in err.getvalue()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody@example.edu"], "nobody@example.edu is not an account here; no token was made."),
        (["maya@example.edu", "--days", "367"], "--days 367 is not accepted; accepted are 1 to 366."),
        (["maya@example.edu", "--name", "x" * 61], "--name has 61 characters; accepted are 1 to 60."),
    ],
)
def test_the_command_refuses_with_a_sentence(user: User, arguments: list[str], said: str) -> None:
    with pytest.raises(CommandError) as refused:
        call_command("api_token", *arguments)
    assert (str(refused.value), ApiToken.objects.count()) == (said, 0)


def test_an_account_that_is_switched_off_gets_none(user: User) -> None:
    user.is_active = False
    user.save()
    with pytest.raises(CommandError, match="is switched off"):
        call_command("api_token", user.email)


def made(user: User) -> tuple[ApiToken, str]:
    return tokens.make(user=user, name="laptop", scopes=("read",))


NEW = "quite another password"


def test_a_new_password_ends_every_token_and_the_mail_says_so(user: User, signed_in: Client) -> None:
    _, key = made(user)
    other = User.objects.create_user("cy1", "cy@example.edu", PASSWORD)
    _, others_key = made(other)
    OutboxMail.objects.all().delete()
    refused = signed_in.post("/accounts/password/change/", {"oldpassword": "wrong", "password1": NEW, "password2": NEW})
    assert (refused.status_code, tokens.find(key) is None) == (200, False)
    answer = signed_in.post("/accounts/password/change/", {"oldpassword": PASSWORD, "password1": NEW, "password2": NEW})
    assert (answer.status_code, tokens.find(key), tokens.find(others_key) is None) == (302, None, False)
    mail = OutboxMail.objects.get()
    assert "API tokens that were made before do not work any more." in mail.body
    assert signed_in.get("/accounts/tokens/").status_code == 302  # signed out here too


def test_a_password_that_is_set_anew_by_mail_ends_them_too(user: User, client: Client) -> None:
    _, key = made(user)
    client.post("/accounts/password/reset/", {"email": user.email})
    [link] = re.findall(r"/accounts/password/reset/key/\S+", str(mail.outbox[-1].body))
    form = client.get(link, follow=True)
    assert tokens.find(key) is not None
    client.post(form.redirect_chain[-1][0], {"password1": NEW, "password2": NEW})
    user.refresh_from_db()
    assert (user.check_password(NEW), tokens.find(key)) == (True, None)


def test_a_password_that_staff_set_ends_them_too(user: User, admin_client: Client) -> None:
    _, key = made(user)
    answer = admin_client.post(f"/admin/courseapp/user/{user.pk}/password/", {"password1": NEW, "password2": NEW})
    user.refresh_from_db()
    assert (answer.status_code, user.check_password(NEW), tokens.find(key)) == (302, True, None)


def test_another_change_of_the_account_or_a_better_hash_of_the_password_ends_none(user: User, settings: LazySettings) -> None:
    _, key = made(user)
    user.first_name = "Maya"
    user.save()
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher", *settings.PASSWORD_HASHERS]
    assert user.check_password(PASSWORD)
    user.refresh_from_db()
    assert (user.password.startswith("pbkdf2_"), tokens.find(key) is None) == (True, False)
