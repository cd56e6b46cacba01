"""Lab runs: a student's own script on the same queues. It is nobody else's business, and counts for nothing."""

import hashlib
import io
import json
import resource
import sys
import time
import zipfile
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.storage import FileSystemStorage, default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp import blobs, clock
from courseapp.fields import digest_columns
from courseapp.models import Course, Enrollment, Role
from grading import claims, execution, jobs, slots
from grading.models import (
    LAB_OUTPUTS_MB,
    Component,
    CoursePolicy,
    GpuGrant,
    GpuSlot,
    GpuUse,
    LabFile,
    LabRun,
    QueuePause,
    Run,
    RunCurves,
    RunLog,
    RunResult,
)
from grading.policy.minutes import charged
from grading.queries import lab as queries
from grading.queries import queue as queue_queries
from grading.queries import runs as run_queries
from grading.queries.budget import budget
from grading.queries.standing import standing_of
from grading.queries.today import staff_today
from grading.runner.devices import Device
from grading.runner.outcome import Outcome
from grading.runner.outputs import ALL
from grading.runner.outputs import OutputFile as Handed
from grading.services import lab as services
from grading.services import runs
from tests.grading import making
from tests.grading.site import Site
from tests.patience import eventually

pytestmark = pytest.mark.django_db

SLOT = Device("fake-here-0", "fake")
TABLE = b"epoch,loss\n1,0.5\n"
WROTE = Handed("table.csv", hashlib.sha256(TABLE).hexdigest(), len(TABLE), TABLE)
ENDED = Outcome("ok", Decimal(0), Decimal(0), 1.5, output="hello\n", files=(WROTE,), provenance={"runtime": "torch", "seed": 1})


TRAINS = """
import os, sys, time
print('{"step": 1, "loss": 0.5}', flush=True)
open("where.txt", "w").write(os.environ["CUDA_VISIBLE_DEVICES"])
time.sleep(float(sys.argv[1]))
"""


def sent(name: str = "train.py", text: str = "print('hello')\n") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, text.encode())


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one", limits={"wall_s": 600, "memory_mb": 1024, "output_kb": 64})


@pytest.fixture
def course(component: Component) -> Course:
    return component.homework.course


@pytest.fixture
def ada(course: Course) -> Enrollment:
    return making.person(course, "ada")


def started(component: Component, owner: Enrollment, **values: object) -> LabRun:
    return services.start(enrollment=owner, component=component, **{"files": [sent()], **values})  # type: ignore[arg-type]  # of a test


def ended(lab: LabRun, outcome: Outcome = ENDED) -> RunResult:
    claimed = claims.claim(lab.run.queue, "w", slot=SLOT.uuid if lab.run.queue != "cpu" else "")
    assert claimed is not None
    assert claimed.run == lab.run
    assert execution.finish(claimed.run, claimed.token, outcome)
    return RunResult.objects.get(run=claimed.run)


def signed_in(reader: Enrollment) -> Client:
    client = Client()
    assert reader.user is not None
    client.force_login(reader.user)
    return client


def test_what_was_sent_is_what_is_run(component: Component, ada: Enrollment) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as writer:
        writer.writestr("src/train.py", "import helper\n")
        writer.writestr("src/data/x.csv", "1\n")
        writer.writestr("__MACOSX/._train.py", "")
    lab = started(component, ada, files=[SimpleUploadedFile("lab.zip", archive.getvalue())], arguments='--lr 0.1 --name "two words"')
    assert (lab.number, lab.script, lab.submission) == (1, "train.py", None)
    run = lab.run
    assert (run.purpose, run.queue, run.stage, run.submission_id, run.bundle_id) == (Run.Purpose.LAB, "cpu", "grade", None, None)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    job = jobs.job_of(claimed.run)
    assert job.script is not None
    assert (job.script.path, job.script.arguments) == ("train.py", ("--lr", "0.1", "--name", "two words"))
    assert job.files == {"train.py": b"import helper\n", "data/x.csv": b"1\n"}
    assert (job.bundle, job.checks, job.outputs, job.outputs_mb, job.limits.wall_s) == (b"", (), ALL, LAB_OUTPUTS_MB, 600)


def test_the_files_of_a_hand_in_with_a_script_of_ones_own(component: Component, ada: Enrollment) -> None:
    submission = making.submission(component, "ada", answer="old")
    assert ("grading_labfile", "sha256") in set(digest_columns())  # what a backup takes along, and retention leaves alone
    lab = started(component, ada, submission=submission, files=[sent("try.py"), sent("answer.py", "new")], script="try.py")
    kept = {row.path: blobs.read(row.sha256) for row in lab.files.all()}
    assert kept == {"answer.py": b"new", "try.py": b"print('hello')\n"}
    alone = started(component, ada, submission=submission, files=[])
    assert (alone.number, alone.script, alone.submission) == (2, "answer.py", submission)


@pytest.mark.parametrize(
    ("values", "field", "sentence"),
    [
        ({"files": []}, "files", "No file was chosen; asked for are the script and what it reads, or a zip file of them."),
        ({"files": [sent("a.py"), sent("b.py")]}, "script", "Say which file to run: a.py, b.py."),
        ({"script": "other.py"}, "script", "“other.py” is none of the files that can be run: train.py."),
        ({"files": [sent("a.txt")]}, "script", "None of the files can be run; accepted are Python files (.py) and notebooks (.ipynb)."),
        ({"files": [sent("a.py"), sent("A.py")], "script": "a.py"}, "files", "“a.py” and “A.py”"),
        ({"files": [sent("../a.py".replace("/", "\\"))]}, "files", "has a backslash in its name"),
        ({"arguments": "--name 'two"}, "arguments", "The arguments cannot be split into words: no closing quotation. Close every quote."),
        ({"arguments": "a\nb"}, "arguments", "The arguments hold a line break or another control character; write them in one line."),
        ({"arguments": "a " * 101}, "arguments", "These are 101 arguments; accepted are 100."),
        ({"arguments": "a" * 1001}, "arguments", "The arguments have 1001 characters; accepted are 1000."),
    ],
)
def test_what_cannot_be_run_is_said_and_not_kept(
    values: dict[str, object], field: str, sentence: str, component: Component, ada: Enrollment
) -> None:
    before = stored()
    with pytest.raises(services.LabError) as refused:
        started(component, ada, **values)
    assert refused.value.field == field
    assert sentence in str(refused.value)
    assert (Run.objects.exists(), stored() - before) == (False, 0)


def test_sizes_hold_also_together_with_a_hand_in(component: Component, ada: Enrollment) -> None:
    Component.objects.filter(pk=component.pk).update(max_total_mb=1, max_files=2)
    component.refresh_from_db()
    submission = making.submission(component, "ada", answer="x" * 700_000)
    large = sent("try.py", "#" * 700_000)
    with pytest.raises(services.LabError, match=r"Together the files have 1\.3 MB; accepted are 1 MB in all\."):
        started(component, ada, submission=submission, files=[large], script="try.py")
    with pytest.raises(services.LabError, match=r"Together these are 3 files; accepted are 2\."):
        started(component, ada, submission=submission, files=[sent("try.py"), sent("other.py")], script="try.py")
    assert started(component, ada, files=[large]).number == 1


def test_sizes_hold_for_a_hand_in_alone(component: Component, ada: Enrollment) -> None:
    submission = making.submission(component, "ada")
    for megabytes, limits, sentence in (
        (3, {"max_total_mb": 2, "max_file_mb": 50}, r"Together the files have 3 MB; accepted are 2 MB in all\."),
        (3, {"max_total_mb": 50, "max_file_mb": 2}, r"answer\.py has 3 MB; accepted are 2 MB a file\."),
        (181, {"max_total_mb": 500, "max_file_mb": 500}, r"Together the files have 181 MB; accepted are 180 MB in all\."),
    ):
        submission.files.update(size=megabytes * 2**20)
        Component.objects.filter(pk=component.pk).update(**limits)
        component.refresh_from_db()
        with pytest.raises(services.LabError, match=sentence):
            started(component, ada, submission=submission, files=[])
    submission.files.update(size=180 * 2**20)
    assert started(component, ada, submission=submission, files=[]).number == 1


def stored() -> int:
    """How many files the store holds."""
    assert isinstance(default_storage, FileSystemStorage)
    return sum(1 for found in Path(default_storage.location).rglob("*") if found.is_file())


def test_all_that_is_kept_of_one_person_has_a_limit(component: Component, ada: Enrollment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MOST_KEPT_MB", 2)
    large, wrote = sent(text="#" * 2**20), Handed("w.bin", hashlib.sha256(b"w").hexdigest(), 2**20, b"w")
    first = started(component, ada, files=[large])
    ended(first, replace(ENDED, files=(wrote,)))
    before = stored()
    with pytest.raises(services.LabError) as refused:
        started(component, ada, files=[sent(text="# new\n")])
    assert str(refused.value) == (
        "Your lab runs keep 2 MB of files, those they were given and those they wrote, and this one adds 6 B; accepted are 2 MB in all."
        " The files of a lab run go 60 days after it has ended."
        " Send smaller files, or files that an earlier lab run was given: the same content counts once."
    )
    assert stored() == before
    again = services.again(lab=first)  # the same content takes no more room
    assert started(component, making.person(ada.course, "bob"), files=[sent(text="# new\n")]).number == 1
    assert stored() == before + 1
    again.files.all().delete()
    first.files.all().delete()
    assert started(component, ada, files=[sent(text="# new\n")]).number == 3


def test_two_at_a_time_and_so_many_a_day(component: Component, ada: Enrollment, monkeypatch: pytest.MonkeyPatch) -> None:
    first = started(component, ada)
    started(component, ada)
    with pytest.raises(services.LabError, match="2 of your lab runs wait or run; accepted are 2 at a time"):
        started(component, ada)
    assert started(component, making.person(component.homework.course, "bob")).number == 1
    assert runs.cancel(run=first.run, by=ada)
    monkeypatch.setattr(services, "MOST_A_DAY", 2)
    with pytest.raises(services.LabError, match=r"You started 2 lab runs within 24 hours; accepted are 2\."):
        started(component, ada)
    with clock.shifted(timedelta(days=1, minutes=1)):
        assert started(component, ada).number == 3


def test_a_run_is_of_a_hand_in_or_of_the_lab(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    for change in ({"purpose": Run.Purpose.HAND_IN}, {"lab": None}, {"submission": making.submission(component)}):
        with pytest.raises(IntegrityError), transaction.atomic():
            Run.objects.filter(pk=lab.run.pk).update(**change)


def test_hand_ins_go_first(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    hand_in = making.run(making.submission(component, "bob"))
    first, second = claims.claim("cpu", "w"), claims.claim("cpu", "w")
    assert first is not None
    assert second is not None
    assert (first.run, second.run) == (hand_in, lab.run)


def test_it_counts_for_nothing(component: Component, ada: Enrollment) -> None:
    submission = making.submission(component, "ada")
    making.run(submission)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    execution.finish(claimed.run, claimed.token, Outcome("ok", Decimal(4), Decimal(10), 1.0))
    before = standing_of(component, ada)
    lab = started(component, ada, submission=submission, files=[])
    result = ended(lab)
    assert result.points + result.max_points == 0
    after = standing_of(component, ada)
    assert [(entry.submission.pk, entry.run, entry.result) for entry in after.entries] == [
        (entry.submission.pk, entry.run, entry.result) for entry in before.entries
    ]
    assert run_queries.count_earlier(component.homework) == 0
    told = staff_today(component.homework.course)
    assert (told.queued, told.running, list(told.failed)) == (0, 0, [])


def test_a_failure_of_ours_says_so_and_staff_need_not_look(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    for hours in (1, 2, 3):
        with clock.shifted(timedelta(hours=hours)):
            claimed = claims.claim("cpu", "w")
            assert claimed is not None
            execution.give_back(claimed.run, claimed.token, "The disk is gone.")
    result = RunResult.objects.get(run=lab.run)
    assert (result.kind, result.message) == ("system", execution.LAB_OUR_FAULT)
    assert result.max_points == 0
    assert list(staff_today(component.homework.course).failed) == []


def test_who_leaves_the_course_runs_nothing_more(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    runs.cancel_all(student=ada, note="Left the course.")
    assert Run.objects.get(lab=lab).state == Run.State.CANCELLED


@pytest.fixture
def gpu(component: Component) -> Component:
    Component.objects.filter(pk=component.pk).update(queue="gpu")
    component.refresh_from_db()
    slots.report("here", [SLOT], in_use=frozenset(), faults={})
    return component


def test_on_a_gpu_it_costs_its_owners_minutes(gpu: Component, ada: Enrollment) -> None:
    CoursePolicy.objects.update_or_create(course=ada.course, defaults={"gpu_minutes_per_week": 15})
    lab = started(gpu, ada)
    assert lab.run.queue == "gpu"
    claimed = claims.claim("gpu", "w", slot=SLOT.uuid)
    assert claimed is not None
    assert GpuUse.objects.get().reserved_s == 600
    line = budget(ada, clock.database_now()).lines[-1]
    assert (line.item, line.minutes, line.lab_pk, line.submission_pk) == ("Homework 1 practice, lab run #1", -10, lab.pk, None)
    with clock.shifted(timedelta(minutes=6)):
        execution.finish(claimed.run, claimed.token, ENDED)
        slots.release(SLOT.uuid, claimed.run)
        assert budget(ada, clock.database_now()).left == pytest.approx(9, abs=0.1)
        again = services.again(lab=lab)
        assert claims.claim("gpu", "w", slot=SLOT.uuid) is None  # it may take ten minutes, and nine are left
    waiting = run_queries.wait(Run.objects.get(pk=again.run.pk), ada.course.zone)
    assert waiting is not None
    assert waiting.kind in {"budget", "unserved"}


def page(reader: Enrollment, *parts: object, name: str = "lab-run") -> str:
    return reverse(name, args=[reader.course.slug, *parts])


def test_a_student_starts_one_and_reads_how_it_ended(component: Component, ada: Enrollment) -> None:
    client = signed_in(ada)
    submission = making.submission(component, "ada")
    foreign = making.submission(component, "bob")
    shown = client.get(page(ada, name="lab"), {"hand_in": submission.pk}).content.decode()
    assert f'<option value="{submission.pk}" selected>' in shown
    assert f'value="{foreign.pk}"' not in shown
    given = {"component": component.pk, "files": sent(), "arguments": "--lr 0.1"}
    assert client.post(page(ada, name="lab"), given | {"submission": foreign.pk}).status_code == 400
    assert client.post(page(ada, name="lab"), given | {"component": 999}).status_code == 400
    refused = client.post(page(ada, name="lab"), given | {"files": sent("notes.txt")})
    assert refused.status_code == 400
    assert "None of the files can be run" in refused.content.decode()
    assert not LabRun.objects.exists()
    response = client.post(page(ada, name="lab"), given | {"files": sent()})
    lab = LabRun.objects.get()
    assert response["Location"] == page(ada, lab.pk)
    assert "Stop this run" in client.get(page(ada, lab.pk)).content.decode()
    first = client.get(page(ada, lab.pk, name="lab-live"))
    seen = first.context["version"]
    assert 'hx-trigger="every 2s"' in first.content.decode()
    assert client.get(page(ada, lab.pk, name="lab-live"), {"seen": seen}).status_code == 204
    Run.objects.update(created_at=clock.database_now() - timedelta(minutes=1))
    waiting = client.get(page(ada, lab.pk, name="lab-live"), {"seen": seen})
    assert 'hx-trigger="every 5s"' in waiting.content.decode()
    assert client.get(page(ada, lab.pk, name="lab-live"), {"seen": waiting.context["version"]}).status_code == 204
    ended(lab)
    text = client.get(page(ada, lab.pk, name="lab-live"), {"seen": seen}).content.decode()
    assert ("table.csv" in text, "hello\n" in text, "finished" in text, "Seed" in text) == (True, True, True, False)
    row = RunResult.objects.get(run__lab=lab).files.get()
    downloaded = client.get(page(ada, lab.pk, row.pk, name="lab-output"))
    assert (downloaded.getvalue(), downloaded["Content-Security-Policy"]) == (TABLE, "sandbox; default-src 'none'")
    assert client.get(page(ada, lab.pk, lab.files.get().pk, name="lab-file")).getvalue() == b"print('hello')\n"
    assert client.get(reverse("run-stream", args=[ada.course.slug, lab.run.pk])).json()["log"] == "hello\n"


def test_a_disk_that_fills_up_while_the_file_arrives_is_said(component: Component, ada: Enrollment) -> None:
    client, large = signed_in(ada), sent(text="#" * 9 * 2**20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 2**20, before[1]))
    try:
        answer = client.post(page(ada, name="lab"), {"component": component.pk, "files": large})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert answer.status_code == 400
    assert "The server could not write your files (File too large). Send them again later." in answer.content.decode()
    assert not LabRun.objects.exists()


def test_what_would_keep_a_new_one_waiting_is_said_before(gpu: Component, ada: Enrollment) -> None:
    making.run(making.submission(gpu, "bob"), queue="gpu")
    making.run(making.submission(gpu, "cyd"), queue="gpu", purpose=Run.Purpose.RERUN)
    (before,) = queries.page(ada, [gpu], "1")["queues"]
    assert (before.name, before.waiting, before.at_work, before.place, before.pause) == ("gpu", 2, 0, 2, None)  # before the rerun
    text = signed_in(ada).get(page(ada, name="lab")).content.decode()
    assert "GPU minutes are left to you this week" in text
    assert "Here stand-ins take the place of GPUs: what is queued for one runs on the processor." in text
    GpuSlot.objects.update(kind="a100")
    assert "stand-ins" not in signed_in(ada).get(page(ada, name="lab")).content.decode()
    QueuePause.objects.create(pool="gpu", reason="The driver is updated.", paused_by=ada, at=clock.database_now())
    assert "paused: The driver is updated." in signed_in(ada).get(page(ada, name="lab")).content.decode()


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (None, "there is no GPU for it"),
        ({"drained": True}, "the staff have taken every such GPU out of use"),
        ({"state": "quarantined"}, "no GPU that it could have is in order"),
        ({"seen_at": timedelta(hours=-1)}, "no machine with such a GPU answers"),
    ],
)
def test_the_page_is_there_when_no_gpu_is(change: dict[str, Any] | None, why: str, gpu: Component, ada: Enrollment) -> None:
    if change is None:
        GpuSlot.objects.all().delete()
    else:
        now = clock.database_now()
        GpuSlot.objects.update(**{name: now + value if isinstance(value, timedelta) else value for name, value in change.items()})
    (before,) = queries.page(ada, [gpu], "1")["queues"]
    assert (before.idle, before.place, before.starts) == (why, None, "")
    text = signed_in(ada).get(page(ada, name="lab")).content.decode()
    assert (f"waits: {why}" in text, "after many others" in text) == (True, False)


def test_nothing_that_a_script_says_is_markup(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada, files=[sent("<b>.py")], arguments="<i>")
    bold = Handed("<u>.csv", hashlib.sha256(b"").hexdigest(), 0, b"")
    zero, loud = Decimal(0), "</pre><script>alert(1)</script>"
    dropped = ("<s> was not kept.",)
    ended(lab, Outcome("student", zero, zero, 1.0, output=loud, message="<b>message</b>", files=(bold,), files_dropped=dropped))
    for address in (page(ada, lab.pk), page(ada, name="lab")):
        text = signed_in(ada).get(address).content.decode()
        assert [mark for mark in ("<b>.py", "<i>", "<u>", "<b>message", "<script>alert", "<s>") if mark in text] == []
    row = RunResult.objects.get(run=lab.run).files.get()
    response = signed_in(ada).get(page(ada, lab.pk, row.pk, name="lab-output"))
    assert response.getvalue() == b""
    assert (response["Content-Type"], response["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")


def test_it_is_its_owners_and_staffs(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    ended(lab)
    file, row = lab.files.get(), RunResult.objects.get(run__lab=lab).files.get()
    eve, tom = making.person(ada.course, "eve"), making.person(ada.course, "tom", Role.GRADER)
    other = Course.objects.create(slug="other", code="OT 1", title="Other", term="Fall", starts_on=ada.course.starts_on)
    foreign = making.person(other, "ivo", Role.INSTRUCTOR)
    addresses = [page(ada, lab.pk), page(ada, lab.pk, name="lab-live"), reverse("run-stream", args=[ada.course.slug, lab.run.pk])]
    addresses += [page(ada, lab.pk, file.pk, name="lab-file"), page(ada, lab.pk, row.pk, name="lab-output")]

    def statuses(reader: Enrollment) -> list[int]:
        found = []
        for address in addresses:
            response = signed_in(reader).get(address)
            if response.streaming:
                response.getvalue()
            found.append(response.status_code)
        return found

    assert {name.display_name: set(statuses(name)) for name in (ada, tom, eve, foreign)} == {
        ada.display_name: {200},
        tom.display_name: {200},
        eve.display_name: {404},
        foreign.display_name: {404},
    }
    own = started(component, eve)
    ended(own)
    assert signed_in(eve).get(page(eve, own.pk, file.pk, name="lab-file")).status_code == 404  # under a lab run of one's own
    assert signed_in(eve).get(page(eve, own.pk, row.pk, name="lab-output")).status_code == 404
    for name in ("lab-again", "lab-cancel"):
        assert signed_in(eve).post(page(ada, lab.pk, name=name)).status_code == 404
    assert signed_in(tom).post(page(ada, lab.pk, name="lab-again")).status_code == 404  # it would be the student's
    assert signed_in(ada).post(page(ada, lab.pk, name="lab-again")).status_code == 302
    assert ada.lab_runs.count() == 2
    assert "Eve" not in signed_in(ada).get(page(ada, name="lab")).content.decode()
    assert "Eve" in signed_in(tom).get(page(ada, name="lab")).content.decode()


def test_it_is_cancelled_by_its_owner_or_staff(component: Component, ada: Enrollment) -> None:
    one, two = started(component, ada), started(component, ada)
    tom = making.person(ada.course, "tom", Role.TA)
    assert signed_in(ada).post(page(ada, one.pk, name="lab-cancel")).status_code == 302
    asked = signed_in(tom).get(reverse("queue-cancel", args=[ada.course.slug, two.run.pk])).content.decode()
    assert "It is lab run #2, which is not graded" in asked
    assert signed_in(tom).post(reverse("queue-cancel", args=[ada.course.slug, two.run.pk])).status_code == 302
    assert set(Run.objects.values_list("state", flat=True)) == {Run.State.CANCELLED}
    assert "Cancelled by Tom" in signed_in(ada).get(page(ada, two.pk)).content.decode()


def test_the_queue_page_shows_it_as_a_lab_run(gpu: Component, ada: Enrollment) -> None:
    lab = started(gpu, ada)
    tom = making.person(ada.course, "tom", Role.TA)
    for state in ("waits", "is at work", "has ended"):
        for reader in (ada, tom):
            response = signed_in(reader).get(reverse("queue", args=[ada.course.slug]))
            assert response.status_code == 200
            assert ("lab run #1" in response.content.decode()) == (state != "has ended" or reader == ada), (state, reader)
        if state == "waits":
            claimed = claims.claim("gpu", "w", slot=SLOT.uuid)
            assert claimed is not None
        elif state == "is at work":
            execution.finish(lab.run, 1, ENDED)
            slots.release(SLOT.uuid, lab.run)
    assert queue_queries.day(clock.database_now(), ada.course.zone).outcomes == [("in the lab", 1)]


@pytest.mark.parametrize("number", [1, 3])
def test_the_page_asks_the_database_as_often_however_many_there_are(
    number: int, component: Component, course: Course, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for name in ("ada", "bob", "cyd")[:number]:
        ended(started(component, making.person(course, name)))
    tom = making.person(course, "tom", Role.TA)
    with django_assert_num_queries(13):
        environments = queries.environments(tom)
        assert len(queries.page(tom, environments, "1")["rows"]) == number


def test_curves_are_drawn_beside_those_of_a_hand_in(component: Component, ada: Enrollment) -> None:
    submission = making.submission(component, "ada")
    hand_in, lab = making.run(submission), started(component, ada)
    foreign = started(component, making.person(ada.course, "eve"))
    client = signed_in(ada)
    found = {other: client.get(page(ada, lab.pk), {"beside": other}).status_code for other in (hand_in.pk, foreign.run.pk, lab.run.pk)}
    assert found == {hand_in.pk: 200, foreign.run.pk: 404, lab.run.pk: 200}
    assert client.get(reverse("submission", args=[ada.course.slug, submission.pk]), {"beside": lab.run.pk}).status_code == 200


def test_a_person_takes_it_along(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada, arguments="--lr 0.1")
    ended(lab)
    GpuUse.objects.create(run=lab.run, token=1, enrollment=ada, week=ada.course.starts_on, reserved_s=60, charged_s=5)
    GpuGrant.objects.create(enrollment=ada, week=ada.course.starts_on, minutes=9, reason="The slot broke.", granted_by=ada)
    stopped = started(component, ada)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    RunLog.objects.create(run=claimed.run, token=claimed.token, seq=0, text="so far\n")
    RunCurves.objects.create(run=claimed.run, token=claimed.token, data={"lines": 1, "curves": {}})
    assert runs.cancel(run=stopped.run, by=ada)
    archive = zipfile.ZipFile(io.BytesIO(signed_in(ada).post(reverse("your-data")).getvalue()))
    inside = "courses/plus/lab-1"
    assert archive.read(f"{inside}/files/train.py") == b"print('hello')\n"
    assert archive.read(f"{inside}/outputs/table.csv") == TABLE
    assert '"arguments": "--lr 0.1"' in archive.read(f"{inside}/lab-run.json").decode()
    facts = json.loads(archive.read("courses/plus/lab-2/lab-run.json"))
    assert (facts["result"], facts["log"], facts["curves"]) == (None, "so far\n", {"lines": 1, "curves": {}})
    gpu = json.loads(archive.read("courses/plus/gpu.json"))
    assert [use["charged_s"] for use in gpu["uses"]] == [5]
    assert [(grant["minutes"], grant["reason"]) for grant in gpu["grants"]] == [(9, "The slot broke.")]


def test_its_files_go_after_sixty_days(component: Component, ada: Enrollment, settings: LazySettings) -> None:
    settings.RETENTION_OUTPUT_DAYS = 0
    lab = started(component, ada)
    ended(lab)
    submission = making.submission(component, "ada")
    for days, left in ((59, (1, 1)), (61, (0, 0))):
        with clock.shifted(timedelta(days=days)):
            call_command("retention", stdout=io.StringIO())
            text = signed_in(ada).get(page(ada, lab.pk)).content.decode()
            assert ("What it wrote is no longer kept." in text, "It left no files" in text) == (days == 61, False)
        assert (lab.files.count(), RunResult.objects.get(run__lab=lab).files.count()) == left
    assert RunResult.objects.get(run__lab=lab).output == "hello\n"
    assert submission.files.count() == 1


def test_its_files_go_when_the_course_is_long_over(component: Component, ada: Enrollment) -> None:
    lab = started(component, ada)
    ended(lab)
    waiting = started(component, ada)
    call_command("retention", stdout=io.StringIO())
    assert (lab.files.count(), RunResult.objects.get(run__lab=lab).files.count()) == (0, 0)
    text = signed_in(ada).get(page(ada, lab.pk)).content.decode()
    told = ("What it wrote is no longer kept.", "What it printed is no longer kept.", "It left no files", "It printed nothing")
    assert [sentence in text for sentence in told] == [True, True, False, False]
    assert waiting.files.count() == 1  # it is still to run
    with pytest.raises(services.LabError, match=r"The files of lab run #1 are no longer kept; upload them again\."):
        services.again(lab=lab)
    assert LabFile.objects.get().lab == waiting


@pytest.mark.alone
@pytest.mark.sandbox
def test_from_start_to_end_on_a_slot_and_what_is_stopped_gives_it_back(site: Site, tmp_path: Path) -> None:
    site.values |= {"GPU_SLOTS": "fake:1"}
    site.host()
    eventually(lambda: GpuSlot.objects.count() == 1, "a slot is reported")
    slot = GpuSlot.objects.get()
    site.gpu_worker("gpu", slot.uuid)
    component = making.homework(tmp_path / "plus-one", queue="gpu", limits={"wall_s": 60})
    ada = making.person(component.homework.course, "ada")
    lab = started(component, ada, files=[sent(text=TRAINS)], arguments="0")
    eventually(lambda: RunResult.objects.filter(run__lab=lab).exists(), "it has ended")
    result = RunResult.objects.select_related("run").get(run__lab=lab)
    assert (result.kind, result.message, result.output) == ("ok", "", '{"step": 1, "loss": 0.5}\n')
    assert {row.name: blobs.read(row.sha256).decode() for row in result.files.all()} == {"where.txt": slot.uuid}
    assert RunCurves.objects.get(run=result.run).data["lines"] == 1
    assert result.run.finished_at
    assert result.run.claimed_at
    assert GpuUse.objects.get().charged_s == charged((result.run.finished_at - result.run.claimed_at).total_seconds())
    long = started(component, ada, files=[sent(text=TRAINS)], arguments="50")
    eventually(lambda: RunCurves.objects.filter(run__lab=long).exists(), "it is at work")
    began = time.monotonic()
    assert runs.cancel(run=long.run, by=ada)
    eventually(lambda: not GpuSlot.objects.exclude(state="free", run=None).exists(), "the slot is free again")
    assert time.monotonic() - began < 3
    assert (Run.objects.get(lab=long).state, RunResult.objects.filter(run__lab=long).exists()) == (Run.State.CANCELLED, False)
