"""Second factors, passkeys, recovery codes, devices and limits, by requests; the browser's part is in tests/browser."""

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import allauth
import pytest
import time_machine
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from allauth.mfa.totp.internal.auth import TOTP
from allauth.usersessions.models import UserSession
from cryptography.hazmat.primitives.asymmetric import ec
from django.conf import LazySettings, settings
from django.core.cache import cache
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from fido2.cose import ES256
from fido2.webauthn import AttestationObject, AttestedCredentialData, AuthenticatorData

from courseapp.accounts import NOTICES
from courseapp.models import OutboxMail, Role, User
from courseapp.services import tokens
from tests import factories

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough pass phrase"
SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
TEMPLATES = Path(settings.BASE_DIR) / "templates"


@pytest.fixture(autouse=True)
def _no_tries_yet() -> Iterator[None]:
    cache.clear()
    yield
    cache.clear()


def person(email: str = "ann@example.edu", **values: Any) -> User:
    user = User.objects.create_user(email.split("@")[0], email, PASSWORD, **values)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return user


def code(secret: str = SECRET) -> str:
    """What an authenticator app shows now (RFC 6238)."""
    digest = hmac.digest(base64.b32decode(secret), (int(time.time()) // 30).to_bytes(8, "big"), hashlib.sha1)
    start = digest[-1] & 15
    return f"{(int.from_bytes(digest[start : start + 4], 'big') & 0x7FFFFFFF) % 10**6:06}"


def with_app(user: User) -> User:
    TOTP.activate(user, SECRET)
    return user


def with_passkey(user: User) -> Authenticator:
    """A row as a real device leaves it; nobody has the private key."""
    public = ES256.from_cryptography_key(ec.generate_private_key(ec.SECP256R1()).public_key())  # type: ignore[no-untyped-call]  # fido2's
    credential = AttestedCredentialData.create(b"\0" * 16, b"credential", public)
    flags = AuthenticatorData.FLAG.UP | AuthenticatorData.FLAG.UV | AuthenticatorData.FLAG.AT
    told = AttestationObject.create("none", AuthenticatorData.create(hashlib.sha256(b"localhost").digest(), flags, 0, credential), {})
    text = base64.urlsafe_b64encode
    collected = json.dumps({"type": "webauthn.create", "challenge": "AA", "origin": "http://localhost"}).encode()
    response = {"clientDataJSON": text(collected).decode().rstrip("="), "attestationObject": text(bytes(told)).decode().rstrip("=")}
    made = {"id": "Y3JlZGVudGlhbA", "rawId": "Y3JlZGVudGlhbA", "type": "public-key", "response": response}
    data = {"name": "Passkey", "credential": {**made, "clientExtensionResults": {"credProps": {"rk": True}}}}
    return Authenticator.objects.create(user=user, type=Authenticator.Type.WEBAUTHN, data=data)


def sign_in(client: Client, password: str = PASSWORD, email: str = "ann@example.edu") -> Any:
    return client.post("/accounts/login/", {"login": email, "password": password})


def sure(client: Client, user: User) -> Client:
    """Signed in, with the password entered once more a moment ago."""
    client.force_login(user)
    assert client.post("/accounts/reauthenticate/", {"password": PASSWORD}).status_code == 302
    return client


def heading(response: Any) -> str:
    found = re.search(r"<h1>(.*?)</h1>", response.content.decode(), re.DOTALL)
    assert found, response
    return found[1].strip()


# pages


def library_names(patterns: list[URLPattern | URLResolver], prefix: str = "") -> Iterator[tuple[str, str]]:
    for pattern in patterns:
        route = prefix + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from library_names(pattern.url_patterns, route)
        elif route.startswith("accounts/") and str(pattern.callback.__module__).startswith("allauth"):
            yield str(pattern.name), route


PAGES = {
    # name: heading for somebody signed in, with an app, a passkey and recovery codes, the password entered again; else where they are sent
    "account_login": "→ /",
    "account_logout": "Sign out?",
    "account_inactive": "This account is switched off",
    "account_signup": "→ /",
    "account_reauthenticate": "Confirm that it is you",
    "account_email": "Email addresses",
    "account_email_verification_sent": "Confirm your address",
    "account_confirm_email": "This link does not work",
    "account_change_password": "Change the password",
    "account_set_password": "→ /accounts/password/change/",
    "account_reset_password": "Set a new password",
    "account_reset_password_done": "Look into your mail",
    "account_reset_password_from_key": "This link does not work any more",
    "account_reset_password_from_key_done": "Your password is changed",
    "account_confirm_login_code": "→ /",
    "socialaccount_login_cancelled": "You did not sign in",
    "socialaccount_login_error": "Sign-in did not work",
    "socialaccount_signup": "→ /accounts/login/",
    "socialaccount_connections": "Connections",
    "openid_connect_login": "Sign in with Example University",
    "openid_connect_callback": "Sign-in did not work",
    "google_login": "Sign in with Google",
    "google_callback": "Sign-in did not work",
    "google_login_by_token": "Sign-in did not work",
    "saml_login": "Sign in with University account",
    "saml_acs": "→ /accounts/saml/sso/acs/finish/",
    "saml_finish_acs": "Sign-in did not work",
    "saml_sls": "no page",
    "saml_metadata": "no page",
    "mfa_index": "Second factor",
    "mfa_authenticate": "→ /",
    "mfa_reauthenticate": "Confirm that it is you",
    "mfa_activate_totp": "→ /accounts/2fa/totp/deactivate/",
    "mfa_deactivate_totp": "Switch the app off?",
    "mfa_view_recovery_codes": "Recovery codes",
    "mfa_generate_recovery_codes": "Make new recovery codes?",
    "mfa_download_recovery_codes": "no page",
    "mfa_list_webauthn": "Passkeys",
    "mfa_add_webauthn": "Add a passkey",
    "mfa_reauthenticate_webauthn": "Confirm that it is you",
    "mfa_remove_webauthn": "Remove Passkey?",
    "mfa_edit_webauthn": "Rename the passkey",
    "mfa_login_webauthn": "→ /",
    "usersessions_list": "Where you are signed in",
}


def test_every_address_of_the_library_is_in_the_table() -> None:
    assert sorted({name for name, _ in library_names(get_resolver().url_patterns)}) == sorted(PAGES)


@pytest.mark.parametrize("name", sorted(PAGES))
def test_every_page_of_the_library_wears_our_layout(client: Client, name: str) -> None:
    user = person()
    key = with_passkey(with_app(user))
    RecoveryCodes.activate(user)
    arguments: dict[str, list[object]] = {
        "account_confirm_email": ["none"],
        "account_reset_password_from_key": ["1", "none-none"],
        "openid_connect_login": ["sso"],
        "openid_connect_callback": ["sso"],
        "mfa_remove_webauthn": [key.pk],
        "mfa_edit_webauthn": [key.pk],
    }
    usual: list[object] = ["sso"] if name.startswith("saml") else []
    response: Any = sure(client, user).get(reverse(name, args=arguments.get(name, usual)), HTTP_HOST="localhost")
    if response.status_code == 302:
        assert f"→ {response['Location']}" == PAGES[name]
    elif "html" not in response["Content-Type"]:
        assert PAGES[name] == "no page"
    else:
        assert heading(response) == PAGES[name]
        assert '<a class="skip" href="#main">' in response.content.decode()
        used = {template.origin.name for template in response.templates if template.origin and "django/forms" not in template.origin.name}
        assert [name for name in used if name.endswith(".html") and not name.startswith(str(TEMPLATES))] == []


def test_pages_between_the_password_and_the_second_factor(client: Client) -> None:
    with_passkey(with_app(person()))
    assert sign_in(client)["Location"] == "/accounts/2fa/authenticate/"
    page = client.get("/accounts/2fa/authenticate/")
    assert heading(page) == "Second factor"
    assert 'data-options="options"' in page.content.decode()
    assert '<script id="options" type="application/json">' in page.content.decode()


# the authenticator app


def test_the_app_is_set_up_after_the_password_and_with_a_right_code(client: Client) -> None:
    user = person()
    client.force_login(user)
    assert client.get("/accounts/2fa/totp/activate/")["Location"] == "/accounts/reauthenticate/?next=%2Faccounts%2F2fa%2Ftotp%2Factivate%2F"
    page: Any = sure(client, user).get("/accounts/2fa/totp/activate/")
    assert page.context["totp_svg_data_uri"].startswith("data:image/svg+xml;base64,")
    wrong = client.post("/accounts/2fa/totp/activate/", {"code": "000000"}).content.decode()
    assert "This code is not right, or its time is over. Enter the newest one." in wrong
    assert not Authenticator.objects.exists()
    secret = page.context["form"].secret
    assert client.post("/accounts/2fa/totp/activate/", {"code": code(secret)})["Location"] == "/accounts/2fa/recovery-codes/"
    assert set(Authenticator.objects.values_list("type", flat=True)) == {"totp", "recovery_codes"}


def test_the_password_alone_no_longer_signs_in(client: Client) -> None:
    with_app(person())
    sign_in(client)
    assert client.get("/")["Location"] == "/accounts/login/?next=/"
    refused = client.post("/accounts/2fa/authenticate/", {"code": "123456" if code() != "123456" else "654321"})
    assert refused.status_code == 200
    assert client.post("/accounts/2fa/authenticate/", {"code": code()})["Location"] == "/"
    assert client.get("/").status_code == 200


def test_a_code_works_once(client: Client) -> None:
    with_app(person())
    with time_machine.travel(time.time(), tick=False):
        for status in (302, 200):
            fresh = Client()
            sign_in(fresh)
            assert fresh.post("/accounts/2fa/authenticate/", {"code": code()}).status_code == status


def test_a_recovery_code_signs_in_once(client: Client) -> None:
    user = with_app(person())
    spare = RecoveryCodes.activate(user).get_unused_codes()[0]
    for status in (302, 200):
        fresh = Client()
        sign_in(fresh)
        assert fresh.post("/accounts/2fa/authenticate/", {"code": spare}).status_code == status


def test_secrets_are_locked_up_and_survive_a_new_key(settings: LazySettings) -> None:
    user = with_app(person())
    spare = RecoveryCodes.activate(user).get_unused_codes()[0]
    assert not any(SECRET in json.dumps(row.data) for row in Authenticator.objects.all())
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "a new key" * 5, [old]
    assert fits(user, code())
    assert fits(user, spare)
    settings.SECRET_KEY_FALLBACKS = []
    cache.clear()
    assert not fits(user, code())


def fits(user: User, given: str) -> bool:
    return any(row.wrap().validate_code(given) for row in Authenticator.objects.filter(user=user))


def test_its_owner_is_told_by_mail_when_the_ways_in_change(client: Client) -> None:
    user = with_app(person())
    sure(client, user).post("/accounts/2fa/totp/deactivate/")
    mail = OutboxMail.objects.get()
    assert (mail.to, mail.subject) == ("ann@example.edu", "The authenticator app of your account was switched off.")
    assert mail.body == (
        "Hello ann,\n\nThe authenticator app of your account was switched off.\n\nWas it you? Then there is nothing to do.\n\n"
        "If not: sign out everywhere else, revoke API tokens that you did not make, and set a new password.\n"
        f"{settings.SITE_URL}/accounts/sessions/\n{settings.SITE_URL}/accounts/tokens/\n"
        f"{settings.SITE_URL}/accounts/password/reset/\n"
    )


def test_there_is_a_sentence_for_every_notice_of_the_library() -> None:
    library = Path(allauth.__file__).parent
    named = {name for file in library.rglob("*.py") for name in re.findall(r'"(\w+/email/\w+)"', file.read_text())}
    answers = {"account/email/account_already_exists", "account/email/unknown_account"}  # what somebody asked for, not what changed
    asked = {name for name in named if name.rsplit("/", 1)[1].startswith(("email_confirmation", "login_code", "password_reset_"))}
    assert named - asked - answers == set(NOTICES)


def test_an_unconfirmed_address_is_in_the_way(client: Client) -> None:
    user = person()
    EmailAddress.objects.create(user=user, email="old@example.edu", verified=False)
    page = sure(client, user).get("/accounts/2fa/totp/activate/", follow=True)
    assert "Confirm all your email addresses first, or remove those that are not yours." in page.content.decode()


# who must have one


def staff_member(role: Role) -> User:
    found = factories.EnrollmentFactory.create(user=person(), role=role).user
    assert found is not None
    return found


@pytest.mark.parametrize("role", [Role.GRADER, Role.TA, Role.INSTRUCTOR])
def test_staff_reach_nothing_before_they_have_a_second_factor(client: Client, settings: LazySettings, role: Role) -> None:
    settings.MFA_REQUIRED_FOR = "staff"
    user = staff_member(role)
    client.force_login(user)
    assert client.get("/")["Location"] == "/accounts/2fa/"
    assert "Staff need a second factor here" in client.get("/accounts/2fa/").content.decode()
    assert client.get("/", headers={"HX-Request": "true"})["HX-Redirect"] == "/accounts/2fa/"
    refused = client.get("/api/v1/courses/")
    assert (refused.status_code, refused.json()) == (
        403,
        {"error": "Staff need a second factor here: set up an app or a passkey, then go on.", "details": [], "kept": ""},
    )
    assert client.get("/accounts/tokens/")["Location"] == "/accounts/2fa/"
    assert client.get("/healthz").status_code == 200
    assert client.get("/accounts/email/").status_code == 200
    with_app(user)
    assert client.get("/").status_code == 200


def test_a_token_made_before_the_duty_is_no_way_around_it(client: Client, settings: LazySettings) -> None:
    user = staff_member(Role.INSTRUCTOR)
    headers = {"Authorization": f"Token {tokens.make(user=user, name='old', scopes=['read', 'staff'])[1]}"}
    assert client.get("/api/v1/courses/", headers=headers).status_code == 200
    settings.MFA_REQUIRED_FOR = "staff"
    refused = client.get("/api/v1/courses/", headers=headers)
    assert (refused.status_code, refused.json()["error"][:33]) == (403, "Staff need a second factor here: ")
    with_app(user)
    assert client.get("/api/v1/courses/", headers=headers).status_code == 200


def test_administrators_owe_one_and_students_do_not(client: Client, settings: LazySettings) -> None:
    settings.MFA_REQUIRED_FOR = "staff"
    client.force_login(person("admin@example.edu", is_staff=True))
    assert client.get("/admin/")["Location"] == "/accounts/2fa/"
    client.force_login(staff_member(Role.STUDENT))
    assert client.get("/").status_code == 200


def test_nobody_owes_one_unless_the_setting_says_so(client: Client) -> None:
    client.force_login(staff_member(Role.INSTRUCTOR))
    assert client.get("/").status_code == 200


def test_the_administration_shows_no_secret_and_takes_a_lost_factor_away(client: Client) -> None:
    row = Authenticator.objects.get(user=with_app(person()))
    client.force_login(person("admin@example.edu", is_staff=True, is_superuser=True))
    page = client.get(f"/admin/mfa/authenticator/{row.pk}/change/")
    assert page.status_code == 200
    assert SECRET not in page.content.decode()
    assert client.post(f"/admin/mfa/authenticator/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    assert not Authenticator.objects.exists()
    assert client.get("/admin/socialaccount/socialapp/").status_code == 404


# devices


def test_ending_the_others_signs_them_out(client: Client) -> None:
    person()
    phone = Client(headers={"User-Agent": "Mozilla/5.0 (iPhone) AppleWebKit/605 Version/17 Safari/604"})
    sign_in(client)
    sign_in(phone)
    page = client.get("/accounts/sessions/").content.decode()
    assert re.findall(r"<h2>(.*?)</h2>", page) == ["An unknown program", "Safari on iPhone"]
    answer = client.post("/accounts/sessions/", follow=True).content.decode()
    assert "You are signed out everywhere else." in answer
    assert "You are signed in nowhere else." in answer
    assert phone.get("/").status_code == 302
    assert client.get("/").status_code == 200


@pytest.mark.parametrize(("proxies", "seen"), [(0, "127.0.0.1"), (1, "192.0.2.7"), (2, "203.0.113.9")])
def test_the_address_before_our_own_proxies_counts(client: Client, settings: LazySettings, proxies: int, seen: str) -> None:
    settings.ALLAUTH_TRUSTED_PROXY_COUNT = proxies
    person()
    client.post(
        "/accounts/login/", {"login": "ann@example.edu", "password": PASSWORD}, headers={"X-Forwarded-For": "203.0.113.9, 192.0.2.7"}
    )
    assert UserSession.objects.get().ip == seen


# limits


def test_five_wrong_passwords_shut_one_account_for_a_while_and_no_other(client: Client) -> None:
    person()
    person("bob@example.edu")
    for _ in range(5):
        assert "The address or the password is not right." in sign_in(client, "wrong").content.decode()
    assert "Too many tries. Wait five minutes" in sign_in(client).content.decode()
    assert sign_in(Client(), email="bob@example.edu").status_code == 302
    cache.clear()
    assert sign_in(client).status_code == 302


def test_too_many_requests_get_a_page_of_ours(client: Client, settings: LazySettings) -> None:
    settings.ACCOUNT_RATE_LIMITS = {**settings.ACCOUNT_RATE_LIMITS, "login": "1/m/ip"}
    sign_in(client, "wrong")
    page = sign_in(client, "wrong")
    assert (page.status_code, heading(page)) == (429, "Too many tries")
    assert '<a class="skip" href="#main">' in page.content.decode()
