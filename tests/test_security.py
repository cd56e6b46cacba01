"""What browsers are told, on every page there is; and Django's own checks of a production site."""

import json
import os
import subprocess
import sys
from collections import Counter, deque
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urldefrag, urljoin, urlsplit

import pytest
from django.conf import settings
from django.test import Client
from django.urls import resolve

from courseapp.models import Enrollment, Role
from grading.models import Submission
from tests import factories

NOTEBOOK = b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "markdown", "metadata": {}, "source": "# $x$"}]}'
STARTS = ("/", "/accounts/email/", "/accounts/password/change/", "/receipts/", "/accounts/logout/", "/api/docs/")
OF_A_KIND = 2


class Page(HTMLParser):
    """What of a page runs or styles by itself, and where it leads."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.inline: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        runs = tag == "script" and "src" not in given and given.get("type") != "application/json"
        if runs or tag == "style" or (tag == "base" and "href" in given):
            self.inline.append(f"<{tag}>")
        for name, value in given.items():
            if name == "style" or name.startswith("on") or value.strip().lower().startswith("javascript:"):
                self.inline.append(f"<{tag} {name}>")
        self.links += [given[name] for name in ("href", "hx-get") if given.get(name) and tag != "link"]


def crawl(client: Client, starts: tuple[str, ...]) -> list[tuple[str, Any]]:
    """The pages of ours that links lead to, at most OF_A_KIND with the same pattern of address, which comes with each."""
    waiting, seen, found = deque(starts), set(starts), list[tuple[str, Any]]()
    kinds: Counter[str] = Counter()
    while waiting:
        address = waiting.popleft()
        kind = resolve(urlsplit(address).path).route
        kinds[kind] += 1
        if kinds[kind] > OF_A_KIND:
            continue
        answer = client.get(address, follow=True)
        if answer.streaming:
            answer.getvalue()  # read to its end, the file is closed
        elif answer["Content-Type"].startswith("text/html"):
            found.append((kind, answer))
            targets = [urldefrag(urljoin(address, link)).url for link in Page(answer.content.decode()).links]
            ours = {target for target in targets if urlsplit(target).netloc == "" and not target.startswith(settings.STATIC_URL)}
            waiting.extend(sorted(ours - seen))
            seen |= ours
    return found


@pytest.fixture
def submission() -> Submission:
    practice = factories.component(factories.HomeworkFactory.create(), "practice")
    made = factories.SubmissionFactory.create(component=practice, files={"mlp.py": b"x = 1\n", "a.ipynb": NOTEBOOK, "a.pdf": b"%PDF-1.4"})
    checks = [
        {"title": "One", "points": "20", "max_points": "25", "visibility": "visible", "passed": False, "judged": True, "message": "No."},
        {"title": "Two", "points": "20", "max_points": "25", "visibility": "hidden", "passed": True, "judged": True, "message": ""},
    ]
    factories.RunResultFactory.create(run=factories.RunFactory.create(submission=made), check_results=checks, output="Hello\n")
    return made


CAST = {
    "visitor": ("receipts/", "accounts/login/", "accounts/password/reset/"),
    "student": (
        "api/docs/",
        "your-data/",
        "accounts/sessions/",
        "c/<slug:course>/homework/<slug:slug>/",
        "c/<slug:course>/submissions/<int:pk>/",
        "receipts/<str:code>/",
        "accounts/email/",
    ),
    "instructor": ("c/<slug:course>/homework/<slug:slug>/staff/", "c/<slug:course>/submissions/<int:pk>/", "c/<slug:course>/people/"),
    "administrator": ("admin/", "admin/grading/submission/<path:object_id>/change/", "admin/courseapp/enrollment/add/"),
}


@pytest.mark.django_db
@pytest.mark.parametrize("who", CAST)
def test_no_page_has_a_script_or_a_style_within_it(who: str, submission: Submission) -> None:
    client = Client()
    starts: tuple[str, ...] = STARTS
    if who == "student":
        assert submission.enrollment.user is not None
        client.force_login(submission.enrollment.user)
        starts = (*STARTS, f"/c/{submission.component.homework.course.slug}/submissions/{submission.pk}/live/")
    elif who != "visitor":
        place: Enrollment = factories.EnrollmentFactory.create(course=submission.component.homework.course, role=Role.INSTRUCTOR)
        assert place.user is not None
        place.user.is_staff = place.user.is_superuser = who == "administrator"
        place.user.save()
        client.force_login(place.user)
        starts = ("/admin/",) if who == "administrator" else STARTS
    pages = crawl(client, starts)
    assert {kind for kind, _ in pages} >= set(CAST[who])
    assert {kind: page.inline for kind, answer in pages if (page := Page(answer.content.decode())).inline} == {}
    for _, answer in pages:
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert answer["Content-Security-Policy"].split("; ").count("default-src 'none'") == 1
        assert "camera=()" in answer["Permissions-Policy"]
        assert (answer["Cross-Origin-Opener-Policy"], answer["Cross-Origin-Resource-Policy"]) == ("same-origin", "same-origin")
        assert (answer["X-Frame-Options"], answer["X-Content-Type-Options"]) == ("DENY", "nosniff")


def test_a_page_with_either_is_found() -> None:
    html = '<p style="a">x</p><script>1</script><style></style><a href="JavaScript:x" onclick="y">z</a><script src="/a.js"></script>'
    assert Page(html).inline == ["<p style>", "<script>", "<style>", "<a href>", "<a onclick>"]
    assert Page('<script type="application/json">{}</script><a href="/b">b</a>').inline == []


PRODUCTION = {
    "SITE_URL": "https://courses.example.edu",
    "ALLOWED_HOSTS": "courses.example.edu",
    "CSRF_TRUSTED_ORIGINS": "https://courses.example.edu",
    "TRUST_PROXY": "yes",
    "EMAIL_BACKEND": "django.core.mail.backends.smtp.EmailBackend",
    "X_ACCEL_REDIRECT": "/_private/",
    "LOG_FORMAT": "json",
}
ASK = """
import json, django
from django.conf import settings
django.setup()
from django.test import Client
from django.urls import resolve
client = Client(headers={"host": "courses.example.edu"})
plain, probe, safe = client.get("/receipts/"), client.get("/healthz"), client.get("/healthz", secure=True)
facts = ("SECURE", "PATH", "DOMAIN", "SAMESITE")
cookies = {
    getattr(settings, f"{kind}_COOKIE_NAME"): [getattr(settings, f"{kind}_COOKIE_{fact}") for fact in facts]
    for kind in ("SESSION", "CSRF")
}
hsts = safe["Strict-Transport-Security"]
print(json.dumps({"plain": [plain.status_code, plain["Location"]], "probe": probe.status_code, "hsts": hsts, "cookies": cookies}))
"""


def in_production(folder: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DJANGO_SETTINGS_MODULE": "courseapp.settings", **PRODUCTION}
    return subprocess.run([sys.executable, *command], cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False)


def test_the_settings_of_a_production_site_pass_every_check_that_django_has(tmp_path: Path) -> None:
    ended = in_production(tmp_path, "-W", "error", "manage.py", "check", "--deploy", "--fail-level", "DEBUG")
    assert (ended.returncode, ended.stdout) == (0, "System check identified no issues (1 silenced).\n"), ended.stderr
    assert settings.SILENCED_SYSTEM_CHECKS == ["security.W021"]


def test_over_https_cookies_belong_to_this_host_alone(tmp_path: Path) -> None:
    ended = in_production(tmp_path, "-c", ASK)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout) == {
        "plain": [301, "https://courses.example.edu/receipts/"],
        "probe": 200,
        "hsts": "max-age=31536000; includeSubDomains",
        "cookies": {"__Host-sessionid": [True, "/", None, "Lax"], "__Host-csrftoken": [True, "/", None, "Lax"]},
    }
