"""Identity providers from the environment: what is set up, and how a wrong value is refused."""

import importlib.util
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import Client

from courseapp import providers
from courseapp.providers import Trust
from tests.settings import PROVIDERS

IDP = Path(PROVIDERS["SAML_METADATA_FILE"])
OIDC = {"OIDC_ISSUER": "https://login.example.edu/", "OIDC_CLIENT_ID": "course", "OIDC_CLIENT_SECRET": "s"}
SAML = {"SAML_METADATA_FILE": str(IDP), "SAML_ENTITY_ID": "https://idp.example.edu/saml"}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Any:
    def put(**values: str) -> None:
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    return put


def test_without_variables_there_is_none() -> None:
    assert providers.from_environment() == providers.SignOn([], {}, {})


def test_openid_connect(environment: Any) -> None:
    environment(**OIDC, OIDC_USERNAME_CLAIM="netid", OIDC_EMAIL_DOMAINS="Example.edu, @example.com")
    found = providers.from_environment()
    assert found.apps == ["allauth.socialaccount.providers.openid_connect"]
    assert found.providers["openid_connect"]["APPS"] == [
        {
            "provider_id": "sso",
            "name": "University account",
            "client_id": "course",
            "secret": "s",
            "settings": {"server_url": "https://login.example.edu", "verified_email": ["example.edu", "example.com"]},
        }
    ]
    assert found.trust == {"sso": Trust(username_claim="netid")}


def test_google_with_a_domain(environment: Any) -> None:
    environment(GOOGLE_CLIENT_ID="course", GOOGLE_CLIENT_SECRET="s", GOOGLE_HOSTED_DOMAIN="Example.edu")
    found = providers.from_environment()
    assert found.providers["google"]["AUTH_PARAMS"]["hd"] == "example.edu"
    assert found.trust == {"google": Trust(hosted_domain="example.edu")}


def test_saml_from_a_file_and_from_an_address(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    environment(**SAML, SAML_USERNAME_ATTRIBUTE="uid")
    found = providers.from_environment()
    idp = found.providers["saml"]["APPS"][0]["settings"]["idp"]
    assert (idp["entity_id"], idp["sso_url"]) == ("https://idp.example.edu/saml", "https://idp.example.edu/saml/sso")
    assert idp["x509cert"] in "".join(IDP.read_text().split())
    assert found.trust == {"saml": Trust(username_claim="uid")}
    monkeypatch.delenv("SAML_METADATA_FILE")
    environment(SAML_METADATA_URL="https://idp.example.edu/metadata")
    idp = providers.from_environment().providers["saml"]["APPS"][0]["settings"]["idp"]
    assert idp == {"entity_id": "https://idp.example.edu/saml", "metadata_url": "https://idp.example.edu/metadata"}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (
            {**OIDC, "OIDC_ISSUER": "login.example.edu"},
            "OIDC_ISSUER starts with 'login.example.edu'; accepted are https://, http://.",
        ),
        (
            {**OIDC, "OIDC_ISSUER": "http://login.example.edu"},
            "OIDC_ISSUER='http://login.example.edu' is not encrypted; accepted are https:// and, on this machine itself, http://127.0.0.1.",
        ),
        (
            {**OIDC, "OIDC_CLIENT_SECRET": ""},
            "OIDC_CLIENT_SECRET is empty, but OIDC_ISSUER is set; accepted is what the identity provider gave you.",
        ),
        (
            {**OIDC, "OIDC_EMAIL_DOMAINS": "example"},
            "OIDC_EMAIL_DOMAINS lists 'example'; accepted are mail domains such as example.edu, with commas.",
        ),
        (
            {"GOOGLE_CLIENT_ID": "x"},
            "GOOGLE_CLIENT_SECRET is empty, but GOOGLE_CLIENT_ID is set; accepted is what the identity provider gave you.",
        ),
        (
            {**SAML, "SAML_ENTITY_ID": ""},
            "SAML_ENTITY_ID is empty, but SAML_METADATA_URL or SAML_METADATA_FILE is set; accepted is what the identity provider gave you.",
        ),
        (
            {**SAML, "SAML_METADATA_FILE": "/nowhere.xml"},
            "SAML_METADATA_FILE='/nowhere.xml' cannot be read: [Errno 2] No such file or directory: '/nowhere.xml'.",
        ),
        (
            {**SAML, "SAML_ENTITY_ID": "https://other.example.edu"},
            f"SAML_METADATA_FILE={str(IDP)!r} does not describe an identity provider 'https://other.example.edu' "
            "with a sign-on address and a certificate.",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_its_name_and_what_is_accepted(environment: Any, values: dict[str, str], sentence: str) -> None:
    environment(**values)
    with pytest.raises(ImproperlyConfigured) as caught:
        providers.from_environment()
    assert str(caught.value) == sentence


def test_saml_without_its_package_says_how_to_install_it(environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "onelogin" else find(name, *rest))
    environment(**SAML)
    with pytest.raises(ImproperlyConfigured, match=r"python3-saml is not installed; run: pip install '\.\[saml\]'"):
        providers.from_environment()


@pytest.mark.django_db
def test_saml_tells_its_metadata_and_leads_to_the_provider(client: Client) -> None:
    answer = client.get("/accounts/saml/sso/metadata/", HTTP_HOST="localhost")
    assert answer.status_code == 200
    told = ElementTree.fromstring(answer.content)
    assert told.get("entityID") == "http://localhost/accounts/saml/sso/metadata/"
    consumer = told.find(".//{urn:oasis:names:tc:SAML:2.0:metadata}AssertionConsumerService")
    assert consumer is not None
    assert consumer.get("Location") == "http://localhost/accounts/saml/sso/acs/"
    leaving = client.post("/accounts/saml/sso/login/", HTTP_HOST="localhost")
    assert leaving.context["there"].startswith("https://idp.example.edu/saml/sso?SAMLRequest=")


@pytest.mark.django_db
def test_a_saml_answer_that_nobody_signed_is_refused(client: Client) -> None:
    answer = client.post("/accounts/saml/sso/acs/", {"SAMLResponse": "PHg+PC94Pg=="}, follow=True, HTTP_HOST="localhost")
    assert answer.status_code == 401
    assert "Sign-in did not work" in answer.content.decode()
    assert "_auth_user_id" not in client.session
