"""What every address of the API has in common: who asks and with which scopes, how often, and how a refusal is said."""

import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.cache import cache
from django.core.exceptions import PermissionDenied, RequestDataTooBig, SuspiciousOperation
from django.http import Http404
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework import exceptions, status
from rest_framework.authentication import BaseAuthentication
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.throttling import BaseThrottle

from courseapp.models import ApiToken, User
from courseapp.queries import OWED, owes_second_factor
from courseapp.services import tokens

if TYPE_CHECKING:  # the library's views read these classes while they are loaded
    from rest_framework.views import APIView

log = logging.getLogger(__name__)

NOTHING_CHANGED = "Nothing was changed."
NOT_HERE = "There is nothing here, or it is not for you to see."
DOES_NOT_WORK = "This token does not work: it is unknown, expired or revoked, or its account is switched off."
MINUTE = 60


class TokenAuthentication(BaseAuthentication):
    """`Authorization: Token cat_…`."""

    def authenticate(self, request: Request) -> tuple[User, ApiToken] | None:
        word, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
        if word.lower() != "token":
            return None
        found = tokens.find(key.strip())
        if found is None:
            raise exceptions.AuthenticationFailed(DOES_NOT_WORK)
        return found.user, found

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002  # the signature is the library's
        return "Token"


class TokenScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]  # the library's metaclass registers it
    """How the schema says it."""

    target_class = "courseapp.api.TokenAuthentication"
    name = "token"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:  # noqa: ARG002  # the signature is the library's
        said = "The word “Token”, a blank, and a personal token of your profile page: `Authorization: Token cat_…`"
        return {"type": "apiKey", "in": "header", "name": "Authorization", "description": said}


class Scoped(BasePermission):
    """A token reaches what its scopes name; who is signed in with a session has all of them. Views name `scopes` by method."""

    def has_permission(self, request: Request, view: "APIView") -> bool:
        if not isinstance(request.user, User):
            return False
        if owes_second_factor(request.user):  # of a session the middleware has asked already; a token may be older than the duty
            raise exceptions.PermissionDenied(OWED)
        wanted = getattr(view, "scopes", {}).get(method_of(request))
        if wanted is not None:
            require(request, wanted)
        return True


def method_of(request: Request) -> str:
    """HEAD is answered by what answers GET, so it is allowed and counted like it."""
    return "GET" if request.method == "HEAD" else str(request.method)


def may(request: Request, scope: str) -> bool:
    return not isinstance(request.auth, ApiToken) or scope in request.auth.scopes


def require(request: Request, scope: str) -> None:
    if not may(request, scope):
        raise exceptions.PermissionDenied(f"This token lacks the scope “{scope}”. Make one that has it on your profile page.")


class PerMinute(BaseThrottle):
    """So many requests a minute for each user and scope, counted together by all web workers."""

    def __init__(self) -> None:
        self._left = 0.0

    def allow_request(self, request: Request, view: "APIView") -> bool:
        user = request.user
        if not user.is_authenticated:
            return True
        scope = getattr(view, "throttled_as", {}).get(method_of(request), "read")
        now = time.time()
        self._left = MINUTE - now % MINUTE
        key = f"api:{scope}:{user.pk}:{int(now // MINUTE)}"
        cache.add(key, 0, timeout=2 * MINUTE)
        try:
            count = cache.incr(key)
        except ValueError:  # the cache lost it in between
            return True
        return bool(count <= settings.API_REQUESTS_PER_MINUTE[scope])

    def wait(self) -> float:
        return self._left


class Json(JSONParser):
    """The library's own, which fails of JSON that is nested too deeply as if that were the site's fault."""

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        try:
            return super().parse(stream, media_type, parser_context)
        except RecursionError as error:
            raise exceptions.ParseError("The JSON is nested too deeply to be read.") from error


class AlwaysJson(DefaultContentNegotiation):
    """The API answers in one language, whatever a client says that it would like."""

    def select_renderer(
        self,
        request: Request,  # noqa: ARG002  # the signature is the library's
        renderers: Iterable[BaseRenderer] | Iterable[type[BaseRenderer]],
        format_suffix: str | None = None,  # noqa: ARG002  # as above
    ) -> tuple[BaseRenderer, str]:
        renderer = next(iter(renderers))
        assert isinstance(renderer, BaseRenderer)
        return renderer, renderer.media_type or "application/json"


def problem(error: str, details: Sequence[str] = (), kept: str = "") -> dict[str, Any]:
    return {"error": error, "details": list(details), "kept": kept}


def refusal(error: Exception, context: Mapping[str, Any]) -> Response | None:
    """Every refusal as `{error, details, kept}`, in the sentences of the pages. Installed as the library's exception handler."""
    request: Request = context["request"]
    kept = "" if request.method in {"GET", "HEAD", "OPTIONS"} else NOTHING_CHANGED
    said = _said(error)
    if said is None:
        return None
    code, sentence, details = said
    headers = {}
    if isinstance(error, exceptions.APIException):
        if header := getattr(error, "auth_header", None):
            headers["WWW-Authenticate"] = header
        if isinstance(error, exceptions.Throttled):
            headers["Retry-After"] = str(_seconds(error))
    return Response(problem(sentence, details, kept), status=code, headers=headers)


def _seconds(error: exceptions.Throttled) -> int:
    return max(1, int(getattr(error, "wait", None) or 1) + 1)


def _said(error: Exception) -> tuple[int, str, Sequence[str]] | None:
    match error:
        case Http404() | exceptions.NotFound():
            return status.HTTP_404_NOT_FOUND, NOT_HERE, ()
        case RequestDataTooBig():
            return status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, "The form fields are larger than any form here.", ()
        case SuspiciousOperation():
            return status.HTTP_400_BAD_REQUEST, "The request cannot be read.", ()
        case PermissionDenied():
            return status.HTTP_403_FORBIDDEN, "This is not for you to change.", ()
        case exceptions.NotAuthenticated():
            return error.status_code, "Sign in, or send a token: “Authorization: Token cat_…”.", ()
        case exceptions.Throttled():
            return error.status_code, f"That is too much at once; go on in {_seconds(error)} s.", ()
        case exceptions.ValidationError():
            return error.status_code, "The request is not as it should be:", tuple(_flat(error.detail))
        case exceptions.APIException():
            return error.status_code, str(error.detail), ()
    return None


def _flat(detail: Any, name: str = "") -> "list[str]":
    if isinstance(detail, dict):
        return [line for key, value in detail.items() for line in _flat(value, "" if key == "non_field_errors" else str(key))]
    if isinstance(detail, list):
        return [line for value in detail for line in _flat(value, name)]
    return [f"{name}: {detail}" if name else str(detail)]
