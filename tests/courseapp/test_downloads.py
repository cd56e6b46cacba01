"""Files leave by the site itself, or by the proxy in front of it: the same people, the same name, the same type."""

import pytest
from django.conf import LazySettings
from django.test import Client
from django.urls import reverse

from courseapp import blobs, downloads
from courseapp.models import User
from grading.models import Submission
from tests import factories

CONTENT = b"print('hello')\n"


@pytest.fixture
def submission() -> Submission:
    practice = factories.component(factories.HomeworkFactory.create(), "practice")
    return factories.SubmissionFactory.create(component=practice, files={"src/mlp “2”.py": CONTENT})


def address(submission: Submission) -> str:
    return reverse("submission-file-raw", args=[submission.component.homework.course.slug, submission.pk, submission.files.get().pk])


def signed_in(user: User | None) -> Client:
    assert user is not None
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.django_db
def test_without_a_proxy_the_site_sends_the_bytes(submission: Submission) -> None:
    answer = signed_in(submission.enrollment.user).get(address(submission))
    assert answer.getvalue() == CONTENT
    assert "X-Accel-Redirect" not in answer
    assert answer["Content-Disposition"] == "attachment; filename*=utf-8''mlp%20%E2%80%9C2%E2%80%9D.py"


@pytest.mark.django_db
def test_a_proxy_is_told_the_file_and_nothing_else_changes(submission: Submission, settings: LazySettings) -> None:
    client = signed_in(submission.enrollment.user)
    before = client.get(address(submission))
    before.getvalue()
    settings.X_ACCEL_REDIRECT = "/_private/"
    answer = client.get(address(submission))
    digest = submission.files.get().sha256
    assert (answer.content, answer["X-Accel-Redirect"]) == (b"", f"/_private/{digest[:2]}/{digest}")
    for header in ("Content-Type", "Content-Disposition", "Content-Security-Policy", "X-Content-Type-Options", "Cache-Control"):
        assert answer[header] == before[header]


@pytest.mark.django_db
def test_the_proxy_is_told_nothing_for_somebody_who_may_not_read_it(submission: Submission, settings: LazySettings) -> None:
    settings.X_ACCEL_REDIRECT = "/_private/"
    classmate = factories.EnrollmentFactory.create(course=submission.component.homework.course)
    answer = signed_in(classmate.user).get(address(submission))
    assert (answer.status_code, answer.get("X-Accel-Redirect")) == (404, None)


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "..", "a" * 63, "A" * 64, "a" * 64 + "\n", f"{'a' * 31}/{'a' * 32}"])
def test_only_a_digest_names_a_file(name: str, settings: LazySettings) -> None:
    for prefix in ("", "/_private/"):
        settings.X_ACCEL_REDIRECT = prefix
        with pytest.raises(FileNotFoundError):
            downloads.attachment(name, filename="a.py", content_type="text/plain")
    with pytest.raises(FileNotFoundError):
        blobs.exists(name)


def test_a_name_cannot_add_a_header(settings: LazySettings) -> None:
    settings.X_ACCEL_REDIRECT = "/_private/"
    answer = downloads.attachment("a" * 64, filename='a"\r\nSet-Cookie: x=1.py', content_type="text/plain")
    assert answer["Content-Disposition"] == 'attachment; filename="a\\"  Set-Cookie: x=1.py"'
