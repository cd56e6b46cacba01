"""Identity providers from the environment: what allauth is told of each, and what this site believes of what it says."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from courseapp import env

GOOGLE, OIDC, SAML = "google", "sso", "saml"
"""What accounts of each are stored under; the second and third are in the addresses that the provider is told, too."""
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


@dataclass(frozen=True)
class Trust:
    """What one provider is believed. Naming a claim says: this provider decides who has which username or institutional id."""

    username_claim: str = ""
    institutional_id_claim: str = ""
    hosted_domain: str = ""


@dataclass(frozen=True)
class SignOn:
    apps: list[str]
    """For INSTALLED_APPS: only what is set up has addresses."""
    providers: dict[str, Any]
    """For SOCIALACCOUNT_PROVIDERS."""
    trust: dict[str, Trust]


def from_environment() -> SignOn:
    found = SignOn([], {}, {})
    if env.text("OIDC_ISSUER", ""):
        _oidc(found)
    if env.text("GOOGLE_CLIENT_ID", ""):
        _google(found)
    if env.text("SAML_METADATA_URL", "") or env.text("SAML_METADATA_FILE", ""):
        _saml(found)
    return found


def _oidc(found: SignOn) -> None:
    issuer = _secure("OIDC_ISSUER").rstrip("/")
    app = {
        "provider_id": OIDC,
        "name": env.text("OIDC_NAME", "University account"),
        "client_id": _wanted("OIDC_CLIENT_ID", "OIDC_ISSUER"),
        "secret": _wanted("OIDC_CLIENT_SECRET", "OIDC_ISSUER"),
        "settings": {"server_url": issuer, "verified_email": _domains("OIDC_EMAIL_DOMAINS")},
    }
    found.apps.append("allauth.socialaccount.providers.openid_connect")
    scope = env.text("OIDC_SCOPE", "openid profile email").split()
    found.providers["openid_connect"] = {"APPS": [app], "OAUTH_PKCE_ENABLED": True, "SCOPE": scope}
    found.trust[OIDC] = Trust(env.text("OIDC_USERNAME_CLAIM", ""), env.text("OIDC_INSTITUTIONAL_ID_CLAIM", ""))


def _google(found: SignOn) -> None:
    domain = env.text("GOOGLE_HOSTED_DOMAIN", "").lower()
    app = {"client_id": env.text("GOOGLE_CLIENT_ID", ""), "secret": _wanted("GOOGLE_CLIENT_SECRET", "GOOGLE_CLIENT_ID")}
    # `hd` only shortens Google's list of accounts; the claim that comes back is what counts.
    asked = {"hd": domain, "prompt": "select_account"} if domain else {"prompt": "select_account"}
    found.apps.append("allauth.socialaccount.providers.google")
    found.providers["google"] = {"APPS": [app], "OAUTH_PKCE_ENABLED": True, "AUTH_PARAMS": asked}
    found.trust[GOOGLE] = Trust(hosted_domain=domain)


def _saml(found: SignOn) -> None:
    if importlib.util.find_spec("onelogin") is None:
        raise ImproperlyConfigured(
            "SAML_METADATA_URL or SAML_METADATA_FILE is set, but the package python3-saml is not installed; run: pip install '.[saml]'"
        )
    username, number = env.text("SAML_USERNAME_ATTRIBUTE", ""), env.text("SAML_INSTITUTIONAL_ID_ATTRIBUTE", "")
    mapping = {
        "uid": env.text("SAML_UID_ATTRIBUTE", "urn:oasis:names:tc:SAML:attribute:subject-id"),
        "email": env.text("SAML_EMAIL_ATTRIBUTE", "urn:oid:0.9.2342.19200300.100.1.3"),
        "first_name": "urn:oid:2.5.4.42",
        "last_name": "urn:oid:2.5.4.4",
    }
    app = {
        "client_id": OIDC,
        "provider_id": SAML,
        "name": env.text("SAML_NAME", "University account"),
        "settings": {
            "idp": _identity_provider(),
            "attribute_mapping": mapping,
            "verified_email": _domains("SAML_EMAIL_DOMAINS"),
            "advanced": {"want_assertion_signed": True, "strict": True, "reject_idp_initiated_sso": True},
        },
    }
    found.apps.append("allauth.socialaccount.providers.saml")
    found.providers["saml"] = {"APPS": [app]}
    found.trust[SAML] = Trust(username, number)


def _identity_provider() -> dict[str, Any]:
    entity = _wanted("SAML_ENTITY_ID", "SAML_METADATA_URL or SAML_METADATA_FILE")
    if env.text("SAML_METADATA_URL", ""):
        return {"entity_id": entity, "metadata_url": _secure("SAML_METADATA_URL")}
    file = Path(env.text("SAML_METADATA_FILE", ""))
    try:
        text = file.read_text()
    except (OSError, ValueError) as error:
        raise ImproperlyConfigured(f"SAML_METADATA_FILE={str(file)!r} cannot be read: {error}.") from error
    from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser  # only with the extra

    try:
        described = OneLogin_Saml2_IdPMetadataParser.parse(text, entity_id=entity)["idp"]
        certificate = described.get("x509cert") or described["x509certMulti"]["signing"][0]
        return {"entity_id": described["entityId"], "sso_url": described["singleSignOnService"]["url"], "x509cert": certificate}
    except Exception as error:  # the parser raises whatever its XML library does
        raise ImproperlyConfigured(
            f"SAML_METADATA_FILE={str(file)!r} does not describe an identity provider {entity!r} with a sign-on address and a certificate."
        ) from error


def _wanted(name: str, because_of: str) -> str:
    value = env.text(name, "")
    if not value:
        raise ImproperlyConfigured(f"{name} is empty, but {because_of} is set; accepted is what the identity provider gave you.")
    return value


def _secure(name: str) -> str:
    value = env.url(name, "", ("https", "http"))
    if value.startswith("http://") and urlsplit(value).hostname not in LOOPBACK:
        raise ImproperlyConfigured(
            f"{name}={value!r} is not encrypted; accepted are https:// and, on this machine itself, http://127.0.0.1."
        )
    return value


def _domains(name: str) -> list[str]:
    found = [word.lower().removeprefix("@") for word in env.words(name, "")]
    for domain in found:
        if "." not in domain or "@" in domain:
            raise ImproperlyConfigured(f"{name} lists {domain!r}; accepted are mail domains such as example.edu, with commas.")
    return found


def netid_domains() -> list[str]:
    return _domains("NETID_DOMAINS")
