"""Files that a run left behind: kept with its result, downloaded by whoever sees the hand-in, gone with the printed output."""

import hashlib
import io
import zipfile
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from courseapp import blobs
from courseapp.fields import digest_columns
from courseapp.models import Enrollment, Role
from grading import claims, execution
from grading.models import OutputFile, Run, RunResult, Submission
from grading.runner.outcome import Outcome
from grading.runner.outputs import OutputFile as Handed
from tests.grading import making

pytestmark = pytest.mark.django_db


def handed(name: str, content: bytes) -> Handed:
    return Handed(name, hashlib.sha256(content).hexdigest(), len(content), content)


CURVE = handed("loss.html", b"<script>alert(1)</script>")
JUDGED = Outcome(
    "ok", Decimal(4), Decimal(10), 1.5, files=(CURVE, handed("p.npy", b"")), files_dropped=("big.npy was not kept: too large.",)
)


@pytest.fixture(autouse=True)
def store(settings: LazySettings, tmp_path: Path) -> Path:
    folder = tmp_path / "uploads"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": str(folder)}},
    }
    return folder


@pytest.fixture
def submission(tmp_path: Path) -> Submission:
    return making.submission(making.homework(tmp_path / "plus-one", outputs=["*.html", "p.npy"], outputs_mb=3))


def finished(submission: Submission, outcome: Outcome = JUDGED) -> Run:
    making.run(submission)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert execution.finish(claimed.run, claimed.token, outcome)
    return claimed.run


def signed_in(enrollment: Enrollment) -> Client:
    client = Client()
    assert enrollment.user is not None
    client.force_login(enrollment.user)
    return client


def raw(submission: Submission, row: OutputFile) -> str:
    return reverse("submission-output-raw", args=[submission.component.homework.course.slug, submission.pk, row.pk])


def test_a_runs_files_are_kept_with_its_result(submission: Submission) -> None:
    result = RunResult.objects.get(run=finished(submission))
    assert [(row.name, row.size, blobs.read(row.sha256)) for row in result.files.all()] == [
        ("loss.html", 25, CURVE.content),
        ("p.npy", 0, b""),
    ]
    assert result.files_dropped == ["big.npy was not kept: too large."]
    assert ("grading_outputfile", "sha256") in set(digest_columns())  # what a backup takes along


def test_the_files_are_downloads_for_those_who_see_the_hand_in(submission: Submission) -> None:
    finished(submission)
    course = submission.component.homework.course
    row = OutputFile.objects.get(name="loss.html")
    for reader in (submission.enrollment, making.person(course, "tom", Role.TA)):
        client = signed_in(reader)
        page = client.get(reverse("submission", args=[course.slug, submission.pk])).content.decode()
        assert page.count(f'href="{raw(submission, row)}"') == 1
        assert "big.npy was not kept: too large." in page
        response = client.get(raw(submission, row))
        assert response.getvalue() == CURVE.content
        found = {
            name: response[name] for name in ("Content-Type", "Content-Disposition", "X-Content-Type-Options", "Content-Security-Policy")
        }
        assert found == {
            "Content-Type": "application/octet-stream",
            "Content-Disposition": 'attachment; filename="loss.html"',
            "X-Content-Type-Options": "nosniff",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
    other = making.submission(submission.component, "eve")
    assert signed_in(other.enrollment).get(raw(submission, row)).status_code == 404
    assert signed_in(other.enrollment).get(raw(other, row)).status_code == 404  # under a hand-in of one's own
    assert Client().get(raw(submission, row)).status_code == 302


def test_a_person_takes_them_along(submission: Submission) -> None:
    finished(submission)
    archive = zipfile.ZipFile(io.BytesIO(signed_in(submission.enrollment).post(reverse("your-data")).getvalue()))
    inside = f"courses/plus/{submission.component.homework.slug}-practice-1"
    assert archive.read(f"{inside}/outputs/loss.html") == CURVE.content


def test_a_store_that_is_full_costs_the_file_and_not_the_score(submission: Submission, store: Path) -> None:
    folder = store / CURVE.sha256[:2]
    folder.write_text("where the file's folder would be")
    result = RunResult.objects.get(run=finished(submission))
    assert (result.points, [row.name for row in result.files.all()]) == (Decimal(4), ["p.npy"])
    assert result.files_dropped == ["big.npy was not kept: too large.", "loss.html was not kept: the server could not store it."]


def test_a_failure_of_ours_keeps_no_files(submission: Submission) -> None:
    finished(submission, replace(JUDGED, kind="system", message="Ours."))
    assert OutputFile.objects.count() == 0


def test_they_go_with_what_the_run_printed(submission: Submission, settings: LazySettings) -> None:
    settings.RETENTION_FILE_DAYS = 0
    run = finished(submission)  # of a course of 2023, which is long over
    out = io.StringIO()
    call_command("retention", stdout=out)
    assert "plus: what 1 runs printed or left behind" in out.getvalue()
    result = RunResult.objects.get(run=run)
    assert (result.points, result.files_dropped, OutputFile.objects.count()) == (Decimal(4), [], 0)
    assert default_storage.exists(blobs.name(CURVE.sha256))  # nobody's now; “unused files” takes it after its days
