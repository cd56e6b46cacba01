"""Ways in, as people take them: the university's sign-in, an authenticator app, a passkey."""

import os
import re
from collections.abc import Iterator
from copy import deepcopy

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.conf import LazySettings
from django.core.cache import cache
from django.urls import reverse
from playwright.sync_api import Page, expect
from pytest_django.live_server_helper import LiveServer

from courseapp.models import Enrollment, User
from tests import factories
from tests.browser.conftest import assert_accessible
from tests.courseapp.test_second_factor import PASSWORD, code, with_app, with_passkey
from tests.oidc import Provider

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.django_db(transaction=True)]


@pytest.fixture(autouse=True)
def _no_tries_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def user() -> User:
    found = factories.EnrollmentFactory.create(user__email="ann@example.edu", user__first_name="Ann", user__last_name="Ode").user
    assert found is not None
    found.set_password(PASSWORD)
    found.save()
    EmailAddress.objects.create(user=found, email="ann@example.edu", verified=True, primary=True)
    return found


def sign_in(page: Page, site: LiveServer) -> None:
    page.goto(f"{site.url}/accounts/login/")
    page.get_by_label("Email").fill("ann@example.edu")
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def sign_out(page: Page) -> None:
    page.get_by_role("button", name=re.compile("^Your account, ")).click()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_text("You are signed out.")).to_be_visible()


def confirm_by_password(page: Page) -> None:
    expect(page.get_by_role("heading", name="Confirm that it is you")).to_be_visible()
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()


def test_the_universitys_sign_in_leads_to_ones_place(page: Page, live_server: LiveServer, settings: LazySettings, oidc: Provider) -> None:
    known = deepcopy(settings.SOCIALACCOUNT_PROVIDERS)
    known["openid_connect"]["APPS"][0]["settings"]["server_url"] = oidc.url
    settings.SOCIALACCOUNT_PROVIDERS = known
    waiting = factories.EnrollmentFactory.create(user=None, email="new@example.edu", username="nn1", first_name="Nia", last_name="Nowak")
    oidc.person("nia", email="new@example.edu", email_verified=True)
    oidc.person("stranger", email="stranger@example.com", email_verified=True)

    def by_the_university(sub: str) -> None:
        page.goto(f"{live_server.url}/accounts/login/")
        page.get_by_role("button", name="Continue with Example University").click()
        page.wait_for_url(f"{oidc.url}/**")
        page.locator("input[name=sub]").last.fill(sub)
        page.get_by_role("button", name="Authorize", exact=True).last.click()
        page.wait_for_url(f"{live_server.url}/**")

    by_the_university("stranger")
    expect(page.get_by_role("heading", name="No place waits for you")).to_be_visible()
    assert_accessible(page)
    by_the_university("nia")
    expect(page.get_by_role("navigation", name="Course")).to_be_visible()
    expect(page.get_by_role("button", name="Your account, Nia Nowak")).to_be_visible()
    assert Enrollment.objects.get(pk=waiting.pk).user == User.objects.get(email="new@example.edu")


def test_an_authenticator_app_from_its_picture_to_the_next_sign_in(page: Page, live_server: LiveServer, user: User) -> None:
    sign_in(page, live_server)
    page.get_by_role("button", name="Your account, Ann Ode").click()
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("link", name="Second factor").click()
    page.get_by_role("link", name="Set up the app").click()
    confirm_by_password(page)
    expect(page.get_by_role("img", name=re.compile("^QR code"))).to_be_visible()
    assert page.locator("img.qr").evaluate("img => img.naturalWidth") > 0
    page.get_by_text("I cannot scan it").click()
    secret = page.locator("details code").inner_text()
    page.get_by_label("Authenticator code").fill("000000")
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_text("This code is not right")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Authenticator code").fill(code(secret))
    page.get_by_role("button", name="Switch it on").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    spare = page.locator(".codes li").first.inner_text()
    sign_out(page)

    sign_in(page, live_server)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Code").fill(spare)
    page.get_by_role("button", name="Sign in", exact=True).click()
    expect(page.get_by_role("navigation", name="Course")).to_be_visible()


def test_a_passkey_is_added_signs_in_alone_and_stands_beside_the_password(page: Page, live_server: LiveServer, user: User) -> None:
    device = page.context.new_cdp_session(page)
    device.send("WebAuthn.enable")
    options = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True, "isUserVerified": True}
    made = device.send("WebAuthn.addVirtualAuthenticator", {"options": {**options, "automaticPresenceSimulation": True}})

    sign_in(page, live_server)
    page.goto(f"{live_server.url}/accounts/2fa/")
    page.get_by_role("link", name="Add a passkey").click()
    confirm_by_password(page)
    assert_accessible(page)
    page.get_by_label("Name").fill("My phone")
    page.get_by_role("button", name="Add it").click()
    expect(page.get_by_role("heading", name="Recovery codes")).to_be_visible()
    page.goto(f"{live_server.url}/accounts/2fa/webauthn/")
    expect(page.get_by_text("signs in alone")).to_be_visible()
    sign_out(page)

    page.goto(f"{live_server.url}/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("navigation", name="Course")).to_be_visible()
    sign_out(page)

    sign_in(page, live_server)
    expect(page.get_by_role("heading", name="Second factor")).to_be_visible()
    page.get_by_role("button", name="Use the passkey").click()
    expect(page.get_by_role("navigation", name="Course")).to_be_visible()

    device.send("WebAuthn.setUserVerified", {"authenticatorId": made["authenticatorId"], "isUserVerified": False})
    sign_out(page)
    page.goto(f"{live_server.url}/accounts/login/")
    page.get_by_role("button", name="Use a passkey").click()
    expect(page.get_by_role("alert")).to_have_text("It was cancelled, or took too long. Nothing was changed. Try again.")
    expect(page.get_by_role("button", name="Use a passkey")).to_be_focused()
    assert_accessible(page)


def test_without_scripts_passkeys_are_not_offered_and_the_rest_works(page: Page, live_server: LiveServer, user: User) -> None:
    with_app(user)
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    sign_in(plain, live_server)
    expect(plain.get_by_role("button", name="Use the passkey")).to_have_count(0)
    plain.get_by_label("Code").fill(code())
    plain.get_by_role("button", name="Sign in", exact=True).click()
    expect(plain.get_by_role("navigation", name="Course")).to_be_visible()
    context.close()


PAGES = (
    *("account_email", "account_change_password", "account_logout", "account_reauthenticate", "socialaccount_connections"),
    *("socialaccount_login_cancelled", "socialaccount_login_error", "usersessions_list", "mfa_index", "mfa_reauthenticate"),
    *("mfa_reauthenticate_webauthn", "mfa_deactivate_totp", "mfa_view_recovery_codes", "mfa_generate_recovery_codes"),
    *("mfa_list_webauthn", "mfa_add_webauthn", "mfa_remove_webauthn", "mfa_edit_webauthn", "your-data"),
)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_accounts_pages_are_accessible_and_fit(page: Page, live_server: LiveServer, user: User, width: int, scheme: str) -> None:
    key = with_passkey(with_app(user))
    RecoveryCodes.activate(user)
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")

    def look(name: str) -> None:
        assert_accessible(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        if folder := os.environ.get("SCREENSHOTS"):
            page.screenshot(path=f"{folder}/{name}-{width}.png", full_page=True)

    page.goto(f"{live_server.url}/accounts/login/")
    look("login")
    sign_in(page, live_server)
    look("authenticate")
    page.get_by_label("Code").fill(code())
    page.get_by_role("button", name="Sign in", exact=True).click()
    page.goto(f"{live_server.url}/accounts/reauthenticate/")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Go on").click()
    for name in PAGES:
        page.goto(live_server.url + reverse(name, args=[key.pk] if name in {"mfa_remove_webauthn", "mfa_edit_webauthn"} else []))
        look(name)
    Authenticator.objects.exclude(type="recovery_codes").delete()
    for name in ("mfa_index", "mfa_activate_totp", "mfa_list_webauthn"):
        page.goto(live_server.url + reverse(name))
        look(f"{name}-new")
    page.goto(f"{live_server.url}/accounts/oidc/sso/login/")
    look("oidc_login")
