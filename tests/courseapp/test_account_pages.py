"""Every page that allauth shows wears the site's layout, and every error page says what to do."""

import re
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.conf import settings
from django.template.loader import render_to_string
from django.test import Client, RequestFactory
from django.urls import reverse

from courseapp.models import User
from tests import factories

TEMPLATES = Path(settings.BASE_DIR) / "templates"


def heading(html: str) -> str:
    found = re.search(r"<h1>(.*?)</h1>", html, re.DOTALL)
    assert found
    return found[1].strip()


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("account_login", "Sign in"),
        ("account_signup", "Accounts come from the roster"),
        ("account_reset_password", "Set a new password"),
        ("account_reset_password_done", "Look into your mail"),
        ("account_reset_password_from_key_done", "Your password is changed"),
        ("account_email_verification_sent", "Confirm your address"),
        ("account_inactive", "This account is switched off"),
    ],
)
def test_pages_of_a_visitor(client: Client, name: str, title: str) -> None:
    html = client.get(reverse(name)).content.decode()
    assert heading(html) == title
    assert '<a class="skip" href="#main">' in html


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("name", "title"),
    [("account_logout", "Sign out?"), ("account_email", "Email addresses"), ("account_change_password", "Change the password")],
)
def test_pages_of_somebody_who_is_signed_in(client: Client, name: str, title: str) -> None:
    user = User.objects.create_user("mo1", "maya@example.edu", "a long password", first_name="Maya", last_name="Okafor")
    client.force_login(user)
    html = client.get(reverse(name)).content.decode()
    assert heading(html) == title
    assert 'aria-label="Your account, Maya Okafor"' in html


@pytest.mark.django_db
def test_a_wrong_password_is_said_in_the_form(client: Client) -> None:
    html = client.post(reverse("account_login"), {"login": "maya@example.edu", "password": "wrong"}).content.decode()
    assert '<div class="note bad" role="alert">' in html
    assert "The address or the password is not right." in html


@pytest.mark.django_db
def test_signing_in_leads_on_without_a_message(client: Client) -> None:
    User.objects.create_user("mo1", "maya@example.edu", "a long password")
    answer = client.post(reverse("account_login"), {"login": "maya@example.edu", "password": "a long password", "next": "/healthz"})
    assert answer.headers["Location"] == "/healthz"
    assert "messages" not in answer.cookies


@pytest.mark.parametrize("code", ["400", "403", "404", "413", "500", "403_csrf"])
def test_error_pages_need_neither_database_nor_request(code: str) -> None:
    html = render_to_string(f"{code}.html")
    assert heading(html)
    assert "theme.css" in html
    assert 'href="/"' in html


def test_no_template_has_inline_style_or_script() -> None:
    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text()
        assert not re.search(r"\sstyle=|<style|\son[a-z]+=\"|<script>", text), file


def test_every_templates_partial_starts_with_an_underscore() -> None:
    assert [file.name for file in (TEMPLATES / "components").iterdir() if not file.name.startswith("_")] == []


def test_base_page_names_the_course_and_marks_the_place() -> None:
    request = RequestFactory().get("/")
    rail = [
        {"name": "today", "url": "/", "icon": "today", "label": "Today", "count": ""},
        {"name": "homework", "url": "/h/", "icon": "homework", "label": "Homework", "count": "1 due"},
    ]
    html = render_to_string("base.html", {"rail": rail, "here": "homework", "request": request})
    assert re.findall(r'<a href="(/[^"]*)" aria-current="page">', html) == ["/h/"]
    assert '<span class="count">1 due</span>' in html


@pytest.mark.django_db
@pytest.mark.parametrize("verified", [False, True])
def test_only_a_confirmed_address_becomes_primary(client: Client, verified: bool) -> None:
    """Else whoever comes first takes a classmate's address, in whose name no account could then be made."""
    user = factories.UserFactory.create(email="ann@example.edu")
    client.force_login(user)
    client.post("/accounts/reauthenticate/", {"password": "demo"})
    client.get("/accounts/email/")  # notes the address that staff gave, not confirmed
    EmailAddress.objects.create(user=user, email="bob@example.edu", verified=verified)
    page = client.post("/accounts/email/", {"action_primary": "", "email": "bob@example.edu"}, follow=True)
    assert ("Confirm the address first: only then can it be primary." in page.content.decode()) is not verified
    user.refresh_from_db()
    assert user.email == ("bob@example.edu" if verified else "ann@example.edu")


@pytest.mark.django_db
def test_an_address_of_another_account_does_not_become_primary(client: Client) -> None:
    user = factories.UserFactory.create(email="ann@example.edu")
    factories.UserFactory.create(email="bob@example.edu")
    EmailAddress.objects.create(user=user, email="bob@example.edu", verified=True)
    client.force_login(user)
    page = client.post("/accounts/email/", {"action_primary": "", "email": "bob@example.edu"}, follow=True)
    assert "Another account has this address." in page.content.decode()
