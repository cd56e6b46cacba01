"""What every request carries."""

import logging
import re
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render, resolve_url
from django.urls import Resolver404, resolve
from django.utils.cache import patch_cache_control

from courseapp import logs, metrics
from courseapp.formats import filesize
from courseapp.models import User
from courseapp.queries import OWED, owes_second_factor

_ACCOUNT_PAGES = ("account_", "mfa_", "socialaccount_", "usersessions_", "healthz", "readyz")
_SIGN_ON = {"openid_connect_login", "google_login", "saml_login"}

log = logging.getLogger(__name__)
access_log = logging.getLogger("courseapp.access")

PERMISSIONS = ", ".join(
    f"{name}=()"
    for name in (
        "accelerometer",
        "autoplay",
        "camera",
        "display-capture",
        "geolocation",
        "gyroscope",
        "magnetometer",
        "microphone",
        "midi",
        "payment",
        "serial",
        "usb",
        "xr-spatial-tracking",
    )
)
"""Passkeys, the clipboard and full screen stay as browsers have them: for this site alone."""

PROBES = {"healthz", "readyz", "metrics"}
"""Routes that machines ask every few seconds."""


def received_at(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Note when the server had read the request's headers: the moment that counts for a hand-in.

    The body is read later, so a slow upload that began in time is in time. Behind a proxy that buffers bodies, the proxy's own
    start time (seconds since the epoch, header named by TRUSTED_PROXY_START_HEADER) is taken instead.
    """

    def middleware(request: HttpRequest) -> HttpResponse:
        request.received_at = _proxy_start(request) or datetime.now(UTC)  # type: ignore[attr-defined]  # read back through `received`
        return get_response(request)

    return middleware


def watched(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Give the request a number, time it, count it and log it: one line each, without its query, sender's address or name."""

    def middleware(request: HttpRequest) -> HttpResponse:
        request.request_id = _request_id(request)  # type: ignore[attr-defined]  # read back by the log records
        began = time.perf_counter()
        with logs.about_request(request):
            response = get_response(request)
            seconds = time.perf_counter() - began
            route = metrics.route_of(request)
            metrics.observe(request.method, route, response.status_code, seconds)
            level = logging.DEBUG if route in PROBES else logging.INFO
            path = quote(request.path, safe="/:@!$&'()*+,;=~")[:300]
            facts = {"method": request.method, "path": path, "route": route, "status": response.status_code, "ms": round(seconds * 1000)}
            access_log.log(level, "%s %s %s, %s ms", request.method, path, response.status_code, facts["ms"], extra=facts)
        response["X-Request-ID"] = request.request_id  # type: ignore[attr-defined]  # set above
        return response

    return middleware


def body_size(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Refuse a body larger than any hand-in before a byte of it is written: its sender is not known yet."""

    def middleware(request: HttpRequest) -> HttpResponse:
        length = request.META.get("CONTENT_LENGTH") or "0"
        if length.isdecimal() and int(length) > settings.MAX_BODY_MB * 1024**2:
            error = f"The upload has {filesize(int(length))}; accepted are {settings.MAX_BODY_MB} MB."
            return JsonResponse({"error": error, "details": [], "kept": "Nothing was handed in. Your files are still chosen."}, status=413)
        return get_response(request)

    return middleware


def closed_to_others(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Pages ask for no device of their reader's, and nothing of them can be put into other sites' pages."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.setdefault("Permissions-Policy", PERMISSIONS)
        response.setdefault("Cross-Origin-Resource-Policy", "same-origin")
        return response

    return middleware


def private_pages(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """What somebody who is signed in is shown is kept by no cache between, and by their own browser not without asking again."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        if request.user.is_authenticated:
            patch_cache_control(response, private=True, no_cache=True)
        return response

    return middleware


def _request_id(request: HttpRequest) -> str:
    """The proxy's number for the request, where its header is trusted and holds one; else one of our own."""
    given = request.headers.get(settings.TRUSTED_REQUEST_ID_HEADER, "") if settings.TRUSTED_REQUEST_ID_HEADER else ""
    return given if re.fullmatch(r"[\w.-]{8,64}", given, re.ASCII) else uuid.uuid4().hex


def second_factor(get_response: Callable[[HttpRequest], HttpResponse]) -> Callable[[HttpRequest], HttpResponse]:
    """Whoever must have a second factor and has none reaches only the pages on which one is set up."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if not _is_held_up(request):
            return get_response(request)
        if request.path_info.startswith("/api/"):
            return JsonResponse({"error": OWED, "details": [], "kept": ""}, status=403)
        if getattr(request, "htmx", None):
            return HttpResponse(status=204, headers={"HX-Redirect": resolve_url("mfa_index")})
        messages.warning(request, OWED)
        return redirect("mfa_index")

    return middleware


def _is_held_up(request: HttpRequest) -> bool:
    """The sender is looked up last: `readyz` answers with a dead database, too, and to who carries a session."""
    if settings.MFA_REQUIRED_FOR == "nobody" or _is_about_the_account(request.path_info):
        return False
    return isinstance(request.user, User) and owes_second_factor(request.user)


class SignOn:
    """The way to an identity provider, by a page of our own.

    The content security policy lets forms post to this site only, and browsers hold the redirects that follow to it as well.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        there = response.get("Location", "")
        if not _is_sign_on(request) or request.method != "POST" or not urlsplit(there).netloc:
            return response
        page = render(request, "socialaccount/leaving.html", {"there": there, "host": urlsplit(there).hostname})
        page.cookies.update(response.cookies)
        return page

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """A provider that does not answer is no fault of this site."""
        if not _is_sign_on(request) or not isinstance(exception, OSError):
            return None
        log.warning("The identity provider does not answer: %s", exception)
        return render(request, "socialaccount/authentication_error.html", status=502)


def _is_sign_on(request: HttpRequest) -> bool:
    return request.resolver_match is not None and request.resolver_match.url_name in _SIGN_ON


def _is_about_the_account(path: str) -> bool:
    try:
        return (resolve(path).url_name or "").startswith(_ACCOUNT_PAGES)
    except Resolver404:
        return False


def _proxy_start(request: HttpRequest) -> datetime | None:
    name = settings.TRUSTED_PROXY_START_HEADER
    if not name:
        return None
    try:
        return datetime.fromtimestamp(float(request.headers[name].removeprefix("t=")), UTC)
    except (KeyError, ValueError, OverflowError):
        return None


def received(request: HttpRequest) -> datetime:
    """When the server had read this request's headers (aware, UTC)."""
    moment = request.received_at  # type: ignore[attr-defined]  # set by the middleware above
    assert isinstance(moment, datetime)
    return moment
