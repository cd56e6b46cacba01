"""Signing in by an identity provider that really runs: who gets in, who gets which place, and who is refused with which sentence."""

import re
from collections.abc import Iterator
from copy import deepcopy
from datetime import date
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.totp.internal.auth import TOTP
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.conf import LazySettings
from django.core.cache import cache
from django.test import Client

from courseapp.models import Course, Enrollment, Identity, OutboxMail, User
from courseapp.services import people, signon
from tests.oidc import LOGIN, Provider

pytestmark = pytest.mark.django_db

PASSWORD = "a long enough pass phrase"
TODAY = (302, "/")


@pytest.fixture(autouse=True)
def provider(oidc: Provider, settings: LazySettings) -> Iterator[Provider]:
    """The site knows where the provider runs."""
    known = deepcopy(settings.SOCIALACCOUNT_PROVIDERS)
    known["openid_connect"]["APPS"][0]["settings"]["server_url"] = oidc.url
    settings.SOCIALACCOUNT_PROVIDERS = known
    cache.clear()
    yield oidc
    cache.clear()


@pytest.fixture
def course() -> Course:
    return Course.objects.create(slug="dl", code="DL 1", title="Deep Learning", term="Fall 2023", starts_on=date(2023, 9, 4))


def another_course() -> Course:
    return Course.objects.create(slug="b", code="B", title="B", term="Fall", starts_on=date(2023, 9, 4))


def place(course: Course, email: str, **values: Any) -> Enrollment:
    return Enrollment.objects.create(course=course, email=email, first_name="Ann", last_name="Ode", **values)


def account(email: str, *, verified: bool = True, **values: Any) -> User:
    user = User.objects.create_user(username=values.pop("username", f"user-{email}"), email=email, password=PASSWORD, **values)
    EmailAddress.objects.create(user=user, email=email, verified=verified, primary=True)
    return user


def got(response: Any) -> tuple[int, str]:
    return response.status_code, response.get("Location", "")


def sentences(response: Any) -> list[str]:
    """The heading and paragraphs of the page's card."""
    found = re.search(r'<section class="card">(.*?)</section>', response.content.decode(), re.DOTALL)
    assert found
    return [" ".join(re.sub(r"<[^>]+>", "", part).split()) for part in re.findall(r"<(?:h1|p)[^>]*>(.*?)</(?:h1|p)>", found[1], re.DOTALL)]


def signed_in(client: Client) -> User | None:
    pk = client.session.get("_auth_user_id")
    return User.objects.get(pk=pk) if pk else None


def test_a_confirmed_address_makes_an_account_and_takes_the_place_that_waits(client: Client, course: Course, provider: Provider) -> None:
    waiting = place(course, "Ann@Example.edu")
    provider.person("ann", email="ann@example.edu", email_verified=True, given_name="Anna")
    assert got(provider.sign_in(client, "ann")) == TODAY
    user = User.objects.get()
    waiting.refresh_from_db()
    assert waiting.user == user == signed_in(client)
    assert (user.email, user.first_name, user.last_name, user.vouched) == ("ann@example.edu", "Anna", "Ode", False)
    assert not user.has_usable_password()
    assert EmailAddress.objects.get().verified


def test_the_second_time_it_opens_the_same_account(client: Client, course: Course, provider: Provider) -> None:
    place(course, "ann@example.edu")
    provider.person("ann", email="ann@example.edu", email_verified=True)
    provider.sign_in(client, "ann")
    provider.person("ann", email="ann.ode@example.edu", email_verified=True)
    second = place(another_course(), "Ann.Ode@example.edu")
    again = Client()
    assert got(provider.sign_in(again, "ann")) == TODAY
    second.refresh_from_db()
    assert second.user == User.objects.get() == signed_in(again)
    assert set(EmailAddress.objects.values_list("email", "verified")) == {("ann@example.edu", True), ("ann.ode@example.edu", True)}


@pytest.mark.parametrize("claims", [{"netid": "AO1"}, {"number": "N1"}, {"netid": ["ao1"]}])
def test_a_netid_or_number_of_a_trusted_provider_takes_the_place(
    client: Client, course: Course, provider: Provider, claims: dict[str, object]
) -> None:
    waiting = place(course, "ann@example.edu", username="ao1", institutional_id="n1")
    provider.person("netid", **claims)
    assert got(provider.sign_in(client, "netid")) == TODAY
    waiting.refresh_from_db()
    user = signed_in(client)
    assert waiting.user == user
    assert user is not None
    assert user.email == "ann@example.edu"
    assert not EmailAddress.objects.filter(verified=True).exists()  # the roster's address, which nobody has confirmed


@pytest.mark.parametrize("claims", [{"netid": "ao1"}, {"number": "N1"}])
def test_a_provider_that_does_not_decide_names_is_not_believed_them(
    client: Client, course: Course, provider: Provider, settings: LazySettings, claims: dict[str, object]
) -> None:
    settings.SIGN_ON = type(settings.SIGN_ON)([], settings.SIGN_ON.providers, {})
    waiting = place(course, "ann@example.edu", username="ao1", institutional_id="N1")
    provider.person("liar", preferred_username="ao1", email="liar@example.com", email_verified=True, **claims)
    assert provider.sign_in(client, "liar").status_code == 403
    waiting.refresh_from_db()
    assert (waiting.user, User.objects.count()) == (None, 0)


@pytest.mark.parametrize("word", [{}, {"email_verified": False}, {"email_verified": "false"}, {"email_verified": 1}])
def test_an_unconfirmed_address_opens_nothing_and_takes_no_place(
    client: Client, course: Course, provider: Provider, word: dict[str, object]
) -> None:
    waiting = place(course, "ann@example.edu")
    provider.person("mallory", email="ann@example.edu", **word)
    response = provider.sign_in(client, "mallory")
    assert response.status_code == 403
    assert sentences(response) == [
        "You are not signed in",
        "Example University does not vouch that ann@example.edu is your address. So we cannot know which place is yours, "
        "and no account was opened or made.",
        "Confirm the address there. Or sign in here with your password, and connect Example University on your account's page.",
    ]
    waiting.refresh_from_db()
    assert (waiting.user, User.objects.count(), SocialAccount.objects.count(), signed_in(client)) == (None, 0, 0, None)


def test_an_unconfirmed_address_does_not_open_its_owners_account(client: Client, provider: Provider) -> None:
    account("ann@example.edu")
    provider.person("mallory", email="ann@example.edu")
    assert provider.sign_in(client, "mallory").status_code == 403
    assert (signed_in(client), SocialAccount.objects.count()) == (None, 0)


def test_an_unconfirmed_address_is_not_kept_beside_a_name_that_counts(client: Client, course: Course, provider: Provider) -> None:
    account("victim@example.edu")
    place(course, "ann@example.edu", username="ao1")
    provider.person("ann", netid="ao1", email="victim@example.edu")
    assert got(provider.sign_in(client, "ann")) == TODAY
    user = signed_in(client)
    assert user is not None
    assert user.email == "ann@example.edu"
    assert not EmailAddress.objects.filter(user=user, email="victim@example.edu").exists()


@pytest.mark.parametrize(("word", "status"), [({}, 302), ({"email_verified": True}, 302), ({"email_verified": False}, 403)])
def test_a_domain_that_is_believed_does_not_overrule_the_provider(
    client: Client, course: Course, provider: Provider, settings: LazySettings, word: dict[str, object], status: int
) -> None:
    known = deepcopy(settings.SOCIALACCOUNT_PROVIDERS)
    known["openid_connect"]["APPS"][0]["settings"]["verified_email"] = ["example.edu"]
    settings.SOCIALACCOUNT_PROVIDERS = known
    account("ann@example.edu")
    provider.person("mallory", email="ann@example.edu", **word)
    assert provider.sign_in(client, "mallory").status_code == status
    assert (signed_in(client) is not None) is (status == 302)


def test_somebody_without_a_place_gets_no_account_and_a_sentence(client: Client, course: Course, provider: Provider) -> None:
    place(course, "bob@example.edu", state=Enrollment.State.DROPPED)
    provider.person("bob", email="bob@example.edu", email_verified=True, netid="bb2")
    response = provider.sign_in(client, "bob")
    assert response.status_code == 403
    assert sentences(response) == [
        "No place waits for you",
        "Example University knows you as bob@example.edu, bb2. Nobody in a course is listed by that, so no account was made.",
        "Write to the course staff, and name what stands above.",
    ]
    assert User.objects.count() == 0


def test_the_setting_lets_anyone_with_a_confirmed_address_in(client: Client, provider: Provider, settings: LazySettings) -> None:
    settings.SIGN_ON_ACCOUNTS = "anyone"
    provider.person("guest", email="guest@example.com", email_verified=True)
    assert got(provider.sign_in(client, "guest")) == TODAY
    provider.person("nobody", email="nobody@example.com")
    assert provider.sign_in(Client(), "nobody").status_code == 403
    assert list(User.objects.values_list("email", flat=True)) == ["guest@example.com"]


def test_a_confirmed_address_opens_the_account_that_has_confirmed_it(client: Client, provider: Provider) -> None:
    ann = account("ann@example.edu")
    provider.person("ann", email="Ann@Example.edu", email_verified=True)
    assert got(provider.sign_in(client, "ann")) == TODAY
    assert signed_in(client) == SocialAccount.objects.get().user == ann
    ann.refresh_from_db()
    assert ann.check_password(PASSWORD)
    assert OutboxMail.objects.get().subject == "Example University was connected with your account: it opens it now."


def test_an_account_that_only_claims_the_address_is_not_opened(client: Client, course: Course, provider: Provider) -> None:
    waiting = place(course, "ann@example.edu")
    account("ann@example.edu", verified=False)
    provider.person("ann", email="ann@example.edu", email_verified=True)
    response = provider.sign_in(client, "ann")
    assert response.status_code == 403
    assert sentences(response)[:2] == [
        "This address is taken",
        "An account here has ann@example.edu, but nobody has shown that the address is theirs. So Example University does not open it.",
    ]
    waiting.refresh_from_db()
    assert (waiting.user, signed_in(client), SocialAccount.objects.count()) == (None, None, 0)


def test_a_second_address_that_was_only_claimed_does_not_draw_its_owner_in(client: Client, course: Course, provider: Provider) -> None:
    mallory = account("mallory@example.edu")
    EmailAddress.objects.create(user=mallory, email="ann@example.edu", verified=False)
    waiting = place(course, "ann@example.edu")
    provider.person("ann", email="ann@example.edu", email_verified=True)
    assert got(provider.sign_in(client, "ann")) == TODAY
    waiting.refresh_from_db()
    assert waiting.user == signed_in(client) != mallory


def test_a_netid_opens_the_account_whose_place_has_it(client: Client, course: Course, provider: Provider) -> None:
    ann = account("ann@home.example", username="someone")
    place(course, "ann@home.example", username="ao1", user=ann)
    provider.person("ann", netid="ao1")
    assert got(provider.sign_in(client, "ann")) == TODAY
    assert signed_in(client) == ann


def test_an_accounts_own_username_is_no_netid(client: Client, provider: Provider) -> None:
    """`load_course` calls somebody listed without a NetID by the name before the @: that may be another person's NetID."""
    account("ann@gmail.example", username="ann", vouched=True)
    provider.person("other ann", netid="ann")
    assert provider.sign_in(client, "other ann").status_code == 403
    assert signed_in(client) is None


def test_what_a_roster_says_opens_no_account_of_the_administration(client: Client, course: Course, provider: Provider) -> None:
    admin = account("admin@example.edu", is_staff=True)
    place(course, "admin@example.edu", username="mm3", user=admin)
    provider.person("mallory of the roster", netid="mm3")
    assert provider.sign_in(client, "mallory of the roster").status_code == 403
    provider.person("admin", email="admin@example.edu", email_verified=True)
    assert got(provider.sign_in(client, "admin")) == TODAY
    assert signed_in(client) == admin


def test_a_netid_that_was_given_to_a_new_person_opens_nothing_of_the_old_one(client: Client, course: Course, provider: Provider) -> None:
    place(course, "ann@example.edu", username="ao1")
    provider.person("ann, 2019", netid="ao1", email="ann@example.edu", email_verified=True)
    assert got(provider.sign_in(client, "ann, 2019")) == TODAY
    provider.person("ann, 2024", netid="ao1", email="ann@example.edu", email_verified=True)
    other = Client()
    response = provider.sign_in(other, "ann, 2024")
    assert (response.status_code, signed_in(other), SocialAccount.objects.count()) == (403, None, 1)
    assert sentences(response)[1] == (
        "The account here that has ann@example.edu, ao1 is connected with another account at Example University. Nothing was changed."
    )


def test_the_second_factor_is_asked_after_the_providers_sign_in_too(client: Client, provider: Provider) -> None:
    TOTP.activate(account("ann@example.edu"), "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP")
    provider.person("ann with app", email="ann@example.edu", email_verified=True)
    assert got(provider.sign_in(client, "ann with app")) == (302, "/accounts/2fa/authenticate/")
    assert signed_in(client) is None


def test_names_of_two_accounts_open_neither(client: Client, course: Course, provider: Provider) -> None:
    account("ann@example.edu")
    place(course, "bob@example.edu", username="ao1", user=account("bob@example.edu"))
    provider.person("ann", email="ann@example.edu", email_verified=True, netid="ao1")
    response = provider.sign_in(client, "ann")
    assert (response.status_code, signed_in(client)) == (403, None)
    assert sentences(response)[1] == (
        "What Example University knows you by (ann@example.edu, ao1) belongs to different accounts here. Nothing was changed."
    )


def test_an_account_that_is_switched_off_stays_shut(client: Client, provider: Provider) -> None:
    account("ann@example.edu", is_active=False)
    provider.person("ann", email="ann@example.edu", email_verified=True)
    assert got(provider.sign_in(client, "ann")) == (302, "/accounts/inactive/")
    assert signed_in(client) is None


def test_a_wrong_state_is_an_error_and_no_sign_in(client: Client, course: Course, provider: Provider) -> None:
    place(course, "ann@example.edu")
    provider.person("ann", email="ann@example.edu", email_verified=True)
    back = provider.agree(client.post(LOGIN).context["there"], "ann")
    wrong = client.get(re.sub(r"state=\w+", "state=forged", back))
    assert (wrong.status_code, sentences(wrong)[0]) == (401, "Sign-in did not work")
    stranger = Client().get(back)  # an answer that was begun in another browser
    assert (stranger.status_code, User.objects.count()) == (401, 0)
    assert got(client.get(back)) == TODAY


def test_stopping_there_is_no_error(client: Client, provider: Provider) -> None:
    there = client.post(LOGIN).context["there"]
    state = parse_qs(urlsplit(there).query)["state"][0]
    assert got(client.get(f"{LOGIN}callback/?error=access_denied&state={state}")) == (302, "/accounts/3rdparty/login/cancelled/")
    assert sentences(client.get("/accounts/3rdparty/login/cancelled/"))[0] == "You did not sign in"


def test_a_provider_that_is_down_is_said(client: Client, settings: LazySettings) -> None:
    settings.SOCIALACCOUNT_PROVIDERS["openid_connect"]["APPS"][0]["settings"]["server_url"] = "http://127.0.0.1:1"
    response = client.post(LOGIN)
    assert (response.status_code, sentences(response)[0]) == (502, "Sign-in did not work")


def test_the_way_to_the_provider_is_a_page_of_ours(client: Client, provider: Provider) -> None:
    """A form may post to this site only, and Chromium holds the redirects that follow to that as well."""
    asked = client.get(LOGIN)
    assert sentences(asked) == ["Sign in with Example University", "You are asked there who you are, and come back here."]
    leaving = client.post(f"{LOGIN}?next=/receipts/")
    there = leaving.context["there"]
    assert there.startswith(f"{provider.url}/oauth2/authorize?")
    assert {"code_challenge", "state", "scope"} <= set(parse_qs(urlsplit(there).query))
    assert "sessionid" in leaving.cookies
    assert f'content="0;url={provider.url}/oauth2/authorize?' in leaving.content.decode()
    provider.person("x", email="x@example.edu", email_verified=True)
    account("x@example.edu")
    assert got(client.get(provider.agree(there, "x"))) == (302, "/receipts/")


def test_a_provider_in_the_database_is_none(client: Client, provider: Provider) -> None:
    settings = {"server_url": provider.url}
    SocialApp.objects.create(provider="openid_connect", provider_id="evil", name="Evil", client_id="x", settings=settings)
    assert client.post("/accounts/oidc/evil/login/").status_code == 404
    assert "Evil" not in client.get("/accounts/login/").content.decode()


# connecting


def connect(client: Client, provider: Provider, sub: str) -> Any:
    """From one's account's page, with the password asked for in between."""
    asked = provider.sign_in(client, sub, process="connect")
    if asked["Location"] != "/accounts/reauthenticate/":
        return asked
    return client.post(asked["Location"], {"password": PASSWORD})


def test_connecting_asks_for_the_password_and_keeps_what_was_shown(client: Client, course: Course, provider: Provider) -> None:
    ann = account("ann@home.example")
    waiting = place(course, "ann@example.edu")
    by_name = place(another_course(), "x@x.example", username="ao1")
    provider.person("connecting", email="ann@example.edu", email_verified=True, netid="ao1")
    client.force_login(ann)
    assert got(provider.sign_in(client, "connecting", process="connect")) == (302, "/accounts/reauthenticate/")
    assert SocialAccount.objects.count() == 0
    assert got(connect(client, provider, "connecting")) == (302, "/accounts/3rdparty/")
    assert SocialAccount.objects.get().user == ann
    for row in (waiting, by_name):
        row.refresh_from_db()
        assert row.user == ann
    assert list(Identity.objects.values_list("kind", "value", "provider")) == [("username", "ao1", "sso")]
    page = client.get("/accounts/3rdparty/").content.decode()
    assert "Example University is connected." in page


def test_what_is_another_accounts_is_not_connected(client: Client, course: Course, provider: Provider) -> None:
    bob = account("bob@example.edu")
    place(course, "bob@example.edu", username="bb2", user=bob)
    mallory = account("mallory@example.edu")
    client.force_login(mallory)
    provider.person("bobs", netid="bb2")
    assert got(connect(client, provider, "bobs")) == (302, "/accounts/3rdparty/")
    assert "Nothing was connected." in client.get("/accounts/3rdparty/").content.decode()
    assert (SocialAccount.objects.count(), Identity.objects.count()) == (0, 0)


def test_the_only_way_in_cannot_be_disconnected(client: Client, course: Course, provider: Provider) -> None:
    place(course, "ann@example.edu")
    provider.person("ann only", email="ann@example.edu", email_verified=True)
    provider.sign_in(client, "ann only")
    pk = SocialAccount.objects.get().pk
    refused = client.post("/accounts/3rdparty/", {"account": pk}).content.decode()
    assert "Set a password first" in refused
    user = User.objects.get()
    user.set_password(PASSWORD)
    user.save()
    client.force_login(user)
    assert client.post("/accounts/3rdparty/", {"account": pk})["Location"] == "/accounts/reauthenticate/?next=%2Faccounts%2F3rdparty%2F"
    assert SocialAccount.objects.count() == 1


# aliases


def test_the_name_before_the_at_of_a_netid_domain_is_the_netid(course: Course, settings: LazySettings) -> None:
    settings.NETID_DOMAINS = ["example.edu"]
    ann = account("ao1@example.edu")
    bob = account("bb2@example.com")
    mine, other = place(course, "ann@home.example", username="ao1"), place(course, "bob@home.example", username="bb2")
    assert people.take_up(user=ann) == [mine]
    assert people.take_up(user=bob) == []
    later = another_course()
    assert people.seat(enrollment=place(later, "x@home.example", username="AO1")) == ann
    other.refresh_from_db()
    assert other.user is None


def test_a_providers_netid_is_also_the_address_made_of_it(
    client: Client, course: Course, provider: Provider, settings: LazySettings
) -> None:
    settings.NETID_DOMAINS = ["example.edu"]
    waiting = place(course, "ao1@example.edu")
    provider.person("scoped", netid="ao1@example.edu")
    assert got(provider.sign_in(client, "scoped")) == TODAY
    waiting.refresh_from_db()
    assert waiting.user == signed_in(client)
    assert Identity.objects.get().value == "ao1"
    later = another_course()
    assert people.seat(enrollment=place(later, "AO1@example.edu")) == waiting.user


def test_a_name_that_staff_gave_an_account_is_no_address(course: Course, settings: LazySettings) -> None:
    settings.NETID_DOMAINS = ["example.edu"]
    place(course, "ann@example.edu")
    assert people.take_up(user=account("ann@gmail.example", username="ann", vouched=True)) == []


def test_each_confirmed_address_takes_places(course: Course) -> None:
    ann = account("ann@example.edu")
    later = another_course()
    EmailAddress.objects.create(user=ann, email="ann@home.example", verified=True)
    EmailAddress.objects.create(user=ann, email="bob@example.edu", verified=False)
    first, second, not_hers = place(course, "ann@example.edu"), place(later, "Ann@home.example"), place(course, "bob@example.edu")
    assert people.take_up(user=ann) == [first, second]
    not_hers.refresh_from_db()
    assert not_hers.user is None


# what counts of what a provider says


def said(provider: str, data: dict[str, Any], *addresses: tuple[str, object]) -> signon.Said:
    rows = [EmailAddress(email=email, verified=verified) for email, verified in addresses]
    return signon.said(SocialAccount(provider=provider, extra_data=data), rows)


@pytest.mark.parametrize(
    ("email", "data", "emails"),
    [
        ("ann@gmail.com", {}, ("ann@gmail.com",)),
        ("ann@example.edu", {"hd": "example.edu"}, ("ann@example.edu",)),
        ("ann@example.edu", {}, ()),  # Google asked once; somebody else may have the address by now
    ],
)
def test_google_confirms_its_own_addresses(email: str, data: dict[str, Any], emails: tuple[str, ...]) -> None:
    assert said("google", data, (email, True)).emails == emails


@pytest.mark.parametrize(("data", "inside"), [({"hd": "Example.edu"}, True), ({"hd": "example.com"}, False), ({}, False)])
def test_googles_word_on_the_domain_counts_not_the_address(data: dict[str, Any], inside: bool) -> None:
    assert said("google", data, ("ann@example.edu", True)).in_hosted_domain is inside


def test_claims_come_from_the_user_info_and_else_from_the_id_token() -> None:
    data = {"id_token": {"netid": "old", "number": 17}, "userinfo": {"netid": "ao1"}}
    found = said("sso", data)
    assert (found.username, found.institutional_id) == ("ao1", "17")


@pytest.mark.parametrize("claim", ["x" * 41, ["a", "b"], True, None, {"a": 1}])
def test_what_is_no_single_short_name_is_none(claim: object) -> None:
    assert said("sso", {"userinfo": {"netid": claim}}).username == ""
