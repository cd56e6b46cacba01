"""The demo's semester: around today, half over, made by the same services as the real thing, and the same when loaded twice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

import pytest
import time_machine
from django.contrib.auth import authenticate
from django.db import models

from courseapp import blobs
from courseapp.management.demo import RECORDED, semester
from courseapp.management.demo.recording import Recording
from courseapp.models import Course, Enrollment, OutboxMail, User
from grading.models import Component, Extension, GpuUse, LabRun, Run, RunCurves, RunResult, Submission
from grading.policy import minutes
from grading.queries.budget import budget
from grading.queries.standing import Standing, standings
from grading.services import receipts

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 11, 15, 30, tzinfo=UTC)
"""A Wednesday, three days after the clocks went forward in New York."""

ROWS: tuple[type[models.Model], ...] = (Course, Enrollment, User, Component, Submission, Run, RunResult, Extension, OutboxMail)


def load(now: datetime = NOW) -> semester.Loaded:
    with time_machine.travel(now, tick=True):
        return semester.load_semester(now)


def everything() -> list[list[dict[str, object]]]:
    return [list(model._default_manager.order_by("pk").values()) for model in ROWS]


def practice() -> Component:
    return Component.objects.select_related("homework__course").get(homework__number=1, kind="practice")


def standing(email: str, component: Component, now: datetime = NOW) -> Standing:
    member = Enrollment.objects.select_related("section", "course").get(email=email)
    with time_machine.travel(now, tick=False):
        return standings([component], [member])[component.pk, member.pk]


def test_the_semester_lies_around_today() -> None:
    said = load()
    course = Course.objects.get()
    assert course.week(NOW) == 8
    assert said.warnings == []
    assert course.enrollments.filter(role="student").count() == 40
    assert practice().due_wall == "2026-03-15 23:59"
    assert practice().section_dues.get().due_wall == "2026-03-08 23:59"
    published = Component.objects.get(homework__number=0).published_at
    assert published is not None
    assert published < NOW
    assert standing("student@example.edu", practice()).entries == ()
    assert not Submission.objects.filter(received_at__gt=NOW).exists()
    assert not Submission.objects.exclude(state="accepted").exists()

    # late@ has until yesterday: a hand-in of now is one day late
    late = standing("late@example.edu", practice())
    assert (late.terms.due.due.wall, late.terms.policy.days_late(late.terms.due.due, NOW)) == (datetime(2026, 3, 10, 23, 59), 1)
    assert Extension.objects.get().granted_by.role == "instructor"

    # receipts are signed as any other, and nobody is mailed about the past
    for submission in Submission.objects.all():
        assert receipts.verify(submission.receipt_text, submission.receipt_signature)
    assert OutboxMail.objects.filter(sent_at=None).count() == 0

    # results are recorded runs and marked so; the newest hand-ins wait for real ones
    runs = Run.objects.filter(submission__component__kind="practice")
    assert runs.filter(state="queued").count() == 3
    assert set(RunResult.objects.values_list("recorded", "run__state").distinct()) == {(True, "done")}
    assert runs.filter(state="done").count() == RunResult.objects.filter(run__lab=None).count() > 50

    # homework 3 is on GPUs: a smoke check first, and what passed it was charged for; so student@ has had some of this week's minutes
    on_gpu = runs.filter(queue="gpu")
    assert set(on_gpu.values_list("submission__component__homework__number", "stage").distinct()) == {(3, "grade")}
    assert set(RunResult.objects.filter(run__stage="smoke").values_list("kind", flat=True)) == {"smoke", "ok"}
    assert on_gpu.count() == RunResult.objects.filter(kind="smoke").count() == GpuUse.objects.count() > 3
    assert all(use.charged_s == minutes.charged(use.run.result.seconds) for use in GpuUse.objects.select_related("run__result"))
    student = Enrollment.objects.select_related("course").get(email="student@example.edu")
    own = list(Run.objects.filter(enrollment=student, component__homework__number=3).order_by("pk").values_list("stage", "result__kind"))
    assert own == [("smoke", "ok"), ("smoke", "smoke"), ("grade", "ok")]
    spent = budget(student, NOW)
    assert (spent.granted, spent.reserved, len(spent.lines)) == (240, 0, 2)
    assert 0 < spent.used < 1

    # one lab run, with what it printed, drew and wrote
    lab = LabRun.objects.select_related("run__result").get()
    assert (lab.enrollment.email, lab.run.state, lab.run.result.recorded) == ("student@example.edu", "done", True)
    assert lab.run.result.output.startswith('{"step": 0, "loss":')
    assert blobs.exists(lab.files.get().sha256)
    assert [row.name for row in lab.run.result.files.all() if blobs.exists(row.sha256)] == ["curve.csv", "moons.pt"]
    assert set(RunCurves.objects.get(run=lab.run).data["curves"]) == {"loss", "accuracy"}
    assert {row.run.queue for row in RunCurves.objects.exclude(run=lab.run).select_related("run")} == {"cpu", "gpu"}
    assert set(RunResult.objects.values_list("kind", flat=True).distinct()) == {"ok", "student", "smoke"}
    assert set(Submission.objects.values_list("days_late", flat=True)) >= {0, 1, 2}

    user = authenticate(None, username="so2231", password="demo")
    assert user is not None
    assert user.email == "student@example.edu"

    before, began = everything(), process_time()
    again = load(NOW + timedelta(minutes=5))
    assert process_time() - began < 10  # well under a second on most machines
    assert again.said == ["Nothing changed."]
    assert everything() == before


def test_a_day_later_only_the_extension_moves_and_a_week_later_it_is_said() -> None:
    load()
    before = everything()
    load(NOW + timedelta(days=1))
    assert [wall for (wall,) in Extension.objects.values_list("due_wall")] == ["2026-03-10 23:59", "2026-03-11 23:59"]
    assert everything()[:-2] == before[:-2]
    later = load(NOW + timedelta(days=7))
    assert later.warnings == ["The demo was loaded in an earlier week and is now in week 9; --fresh begins anew in week 8."]
    assert Course.objects.get().week(NOW) == 8


def test_results_of_other_files_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    whole = Recording.read(RECORDED)
    other = Recording(tuple(replace(run, bundle="0" * 64) for run in whole.runs if run.homework == "hw0-warmup"))
    other.write(tmp_path / "recorded.json")
    monkeypatch.setattr(semester, "RECORDED", tmp_path / "recorded.json")
    said = load()
    assert not RunResult.objects.filter(run__lab=None).exists()
    assert Run.objects.filter(state="queued").count() > 50
    assert said.warnings == [
        "Homework 0 · Warm-up: tensors: its files changed after its results were recorded; real runs are queued. Renew: make demo-data."
    ]
