"""GPU slots and minutes: one run at a time on each, never more than there are, and nobody pays for our failures."""

import fcntl
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Literal

import pytest
from django.conf import LazySettings
from django.core.management.base import CommandError
from django.db import transaction
from django.test import Client

from courseapp import clock
from courseapp.management import workers
from courseapp.models import Role
from grading import claims, execution, slots
from grading.models import Component, CoursePolicy, GpuGrant, GpuSlot, GpuUse, QueueShare, Run, RunnerHost, Submission
from grading.queries import runs as queries
from grading.queries.budget import budget, monday, too_long
from grading.runner import host as runner_host
from grading.runner import server
from grading.runner.devices import Device
from grading.runner.host import Host
from grading.runner.outcome import CheckResult, Outcome
from grading.services import queue
from grading.services import runs as services
from tests.grading import making
from tests.grading.site import Site, children
from tests.patience import PATIENCE_S, eventually
from tests.runner.driver import driver
from tests.runner.test_devices import FIRST, SECOND, TWO

ONE, OTHER = Device("fake-here-0", "fake"), Device("fake-here-1", "fake")
DONE = Outcome("ok", Decimal(4), Decimal(10), 1.0)
OURS = Outcome("system", Decimal(0), Decimal(10), 0.0, staff_message="lost")


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings, db: None) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one", queue="gpu", limits={"wall_s": 600}, due_wall="2099-10-01 23:59")


def seen(*devices: Device, in_use: frozenset[str] = frozenset(), **faults: str) -> None:
    slots.report("here", devices, in_use=in_use, faults={devices[0].uuid: faults["fault"]} if faults else {})


def report_one(fault: str, devices: tuple[Device, ...] = (ONE,)) -> None:
    slots.report("here", devices, in_use=frozenset(), faults={ONE.uuid: fault} if fault else {})


def claimed(slot: Device = ONE) -> claims.Claimed:
    found = claims.claim("gpu", "w", slot=slot.uuid)
    assert found is not None
    return found


def used(run: Run) -> list[tuple[int, int | None]]:
    return list(GpuUse.objects.filter(run=run).order_by("token").values_list("reserved_s", "charged_s"))


def test_a_slot_has_one_run_at_a_time_and_serves_its_kinds_queue_too(component: Component) -> None:
    seen(ONE, OTHER)
    first = making.run(making.submission(component), queue="gpu")
    second = making.run(making.submission(component, "bob"), queue="gpu.fake")
    making.run(making.submission(component, "cyd"), queue="gpu.a100")
    making.run(making.submission(component, "dan"), queue="cpu")
    taken = claimed()
    assert (taken.run.pk, taken.run.slot and taken.run.slot.uuid) == (first.pk, ONE.uuid)
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    assert claimed(OTHER).run.pk == second.pk
    slots.release(ONE.uuid, taken.run)
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None  # nothing that it serves waits


def test_what_is_not_reported_faulty_or_drained_is_not_given_out(component: Component) -> None:
    making.run(making.submission(component), queue="gpu")
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    seen(ONE)
    with clock.shifted(timedelta(seconds=40)):
        assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    seen(ONE, fault="9000 MB of its memory are in use 10 s after its last job.")
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    assert GpuSlot.objects.get().state == "quarantined"
    seen(ONE)
    GpuSlot.objects.update(drained=True)
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    GpuSlot.objects.update(drained=False)
    assert claimed().run.slot is not None


def test_a_machine_whose_driver_fails_gives_no_gpu_out_and_serves_processors(
    component: Component, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen(ONE)
    making.run(making.submission(component), queue="gpu")
    monkeypatch.setenv("PATH", driver(tmp_path, "NVIDIA-SMI has failed\n", "", status=9)["PATH"])
    gpus, fails = workers.find_gpus()
    assert (gpus, fails.partition("nvidia-smi ")[2]) == ((), "-L ended with status 9: NVIDIA-SMI has failed")
    slots.report("elsewhere", [OTHER], in_use=frozenset(), faults={})
    slots.report("here", gpus, in_use=frozenset(), faults={}, driver=fails)
    assert list(GpuSlot.objects.order_by("uuid").values_list("state", "note")) == [("quarantined", fails), ("free", "")]
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    seen(ONE)
    assert claimed().run.slot == GpuSlot.objects.get(uuid=ONE.uuid)
    monkeypatch.setenv("GPU_SLOTS", "two")
    with pytest.raises(CommandError, match=r"^GPU_SLOTS=two is not known"):
        workers.find_gpus()


def test_staff_see_why_a_slot_is_in_quarantine_and_since_when(component: Component) -> None:
    staff = making.person(component.homework.course, "t", Role.TA)
    assert staff.user is not None
    client = Client()
    client.force_login(staff.user)
    seen(ONE, fault="9000 MB of its memory are in use 10 s after its last job.")
    since = GpuSlot.objects.get().quarantined_at
    assert since is not None
    with clock.shifted(timedelta(minutes=5)):
        seen(ONE, fault="9100 MB of its memory are in use, and no job has it.")
        assert GpuSlot.objects.get().quarantined_at == since
        page = " ".join(re.sub("<[^>]+>", " ", client.get("/c/plus/queue/").content.decode()).split())
        local = since.astimezone(component.homework.course.zone)
        words = f"fake-here-0 is not given out since {local:%a %-d %b %H:%M %Z} : 9100 MB of its memory are in use, and no job has it."
        assert "fake on here fake-here-0 quarantined" in page
        assert words in page
        seen(ONE)
    slot = GpuSlot.objects.get()
    assert (slot.state, slot.quarantined_at, slot.note) == ("free", None, "")


def test_a_slot_is_free_again_when_its_machine_says_that_no_job_has_it(component: Component) -> None:
    seen(ONE)
    making.run(making.submission(component), queue="gpu")
    lost = claimed()
    seen(ONE)
    assert GpuSlot.objects.get().run == lost.run  # its worker still holds the run
    with clock.shifted(timedelta(minutes=5)):
        execution.sweep()
        seen(ONE, in_use=frozenset({ONE.uuid}))  # a stopped worker's job still has the machine's lock
        assert GpuSlot.objects.get().state == "busy"
        seen(ONE)
        assert (GpuSlot.objects.get().state, GpuSlot.objects.get().run) == ("free", None)


def test_a_lost_run_goes_on_elsewhere_while_its_old_job_has_the_slot(component: Component) -> None:
    seen(ONE, OTHER)
    making.run(making.submission(component), queue="gpu")
    lost = claimed()
    with clock.shifted(timedelta(minutes=5)):
        execution.sweep()
        seen(ONE, OTHER, in_use=frozenset({ONE.uuid}))
        Run.objects.update(not_before=clock.database_now())
        again = claimed(OTHER)
        assert (again.run.pk, again.token) == (lost.run.pk, lost.token + 1)
        assert set(GpuSlot.objects.values_list("uuid", "state", "run")) == {(slot.uuid, "busy", lost.run.pk) for slot in (ONE, OTHER)}
        slots.release(ONE.uuid, lost.run)  # the stopped worker goes on, and leaves what is its own
        assert dict(GpuSlot.objects.values_list("uuid", "state")) == {ONE.uuid: "free", OTHER.uuid: "busy"}


def test_a_slot_whose_lost_run_is_at_work_elsewhere_is_given_out_again(component: Component) -> None:
    seen(ONE, OTHER)
    making.run(making.submission(component), queue="gpu")
    claimed()
    with clock.shifted(timedelta(minutes=5)):
        execution.sweep()
        seen(ONE, OTHER, in_use=frozenset({ONE.uuid}))
        Run.objects.update(not_before=clock.database_now())
        claimed(OTHER)
        seen(ONE, OTHER, in_use=frozenset({OTHER.uuid}))
        assert dict(GpuSlot.objects.values_list("uuid", "state")) == {ONE.uuid: "free", OTHER.uuid: "busy"}


def test_minutes_are_reserved_charged_by_use_and_not_taken_for_our_failures(component: Component) -> None:
    seen(ONE)
    run = making.run(making.submission(component), queue="gpu")
    failed = claimed()
    assert used(run) == [(600, None)]
    execution.finish(failed.run, failed.token, OURS)
    slots.release(ONE.uuid, failed.run)
    assert used(run) == [(600, 0)]
    Run.objects.update(not_before=clock.database_now())
    again = claimed()
    with clock.shifted(timedelta(seconds=45)):
        execution.finish(again.run, again.token, DONE)
    assert [reserved for reserved, _ in used(run)] == [600, 600]
    assert used(run)[1][1] == pytest.approx(45, abs=2)
    assert budget(run.enrollment, clock.database_now()).left == pytest.approx(240 - 45 / 60, abs=0.05)


def fails(slot: Device, run: Run) -> None:
    """It is claimed for that slot, and fails there by our fault."""
    taken = claimed(slot)
    assert (taken.run.pk, taken.run.slot and taken.run.slot.uuid) == (run.pk, slot.uuid)
    execution.finish(taken.run, taken.token, OURS)
    slots.release(slot.uuid, taken.run)
    Run.objects.filter(state="queued").update(not_before=clock.database_now())


def test_a_run_that_failed_on_a_slot_goes_to_another_while_there_is_one(component: Component) -> None:
    kind = Device("a100-there-0", "a100")
    seen(ONE, OTHER, kind)
    made = making.submission(component)
    run, later = making.run(made, queue="gpu.fake"), making.run(made, queue="gpu.fake")
    fails(ONE, run)
    GpuSlot.objects.filter(uuid=OTHER.uuid).update(drained=True)
    assert claims.claim("gpu", "w", slot=kind.uuid) is None  # does not serve its queue
    with transaction.atomic():
        assert claimed(ONE).run == run  # nowhere else
        transaction.set_rollback(True)
    GpuSlot.objects.filter(uuid=OTHER.uuid).update(drained=False)
    assert claimed(ONE).run == later  # the same student's next may go there
    assert claimed(OTHER).run == run


@pytest.mark.parametrize("gone", ["quarantined", "silent"])
def test_a_slot_that_cannot_take_it_keeps_no_run_from_where_it_failed(component: Component, gone: str) -> None:
    seen(ONE, OTHER)
    run = making.run(making.submission(component), queue="gpu")
    fails(ONE, run)
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    if gone == "quarantined":
        seen(OTHER, fault="It has failed.")
        fails(ONE, run)
    else:
        with clock.shifted(timedelta(seconds=40)):
            seen(ONE)
            fails(ONE, run)


def test_three_failures_of_ours_wherever_cost_neither_a_minute_nor_the_students_turn(component: Component) -> None:
    seen(ONE, OTHER)
    made = making.submission(component)
    run = making.run(made, queue="gpu")
    fails(ONE, run)
    fails(OTHER, run)
    assert claims.claim("gpu", "w", slot=ONE.uuid) is not None  # failed on both: on either
    Run.objects.filter(pk=run.pk).update(lease_until=clock.database_now() - timedelta(seconds=1))
    execution.sweep()  # the third by its holder's silence
    run.refresh_from_db()
    assert (run.state, run.attempts, run.result.kind) == ("failed", 3, "system")
    assert used(run) == [(600, 0)] * 3
    assert not QueueShare.objects.exists()
    assert queries.judging([made])[made.pk].result is None


def test_a_cancelled_run_is_charged_for_what_it_took(component: Component) -> None:
    seen(ONE)
    made = making.submission(component)
    run = making.run(made, queue="gpu")
    claimed()
    with clock.shifted(timedelta(seconds=30)):
        assert services.cancel(run=run, by=made.enrollment)
    assert used(run)[0][1] == pytest.approx(30, abs=2)


def test_nobody_has_more_than_the_minutes_of_a_week_and_what_staff_grant(component: Component) -> None:
    course = component.homework.course
    CoursePolicy.objects.update_or_create(course=course, defaults={"gpu_minutes_per_week": 19})
    seen(ONE, OTHER)
    made = making.submission(component)
    first, second = (making.run(made, queue="gpu") for _ in range(2))
    running = claimed()
    assert claims.claim("gpu", "w", slot=OTHER.uuid) is None  # 10 of 19 minutes are reserved, and it may take 10
    second.refresh_from_db()
    assert (second.state, second.note) == ("queued", "")  # the first may take less
    with clock.shifted(timedelta(seconds=570)):
        execution.finish(running.run, running.token, DONE)
    assert claims.claim("gpu", "w", slot=OTHER.uuid) is None
    second.refresh_from_db()
    assert second.short_of_minutes
    resumes = second.not_before.astimezone(course.zone)
    assert (resumes.weekday(), resumes.hour, resumes.minute) == (0, 0, 0)
    wait = queries.wait(second, course.zone)
    assert wait is not None
    assert wait.kind == "budget"
    week = monday(course.zone, clock.database_now())
    staff = making.person(course, "t", Role.TA)
    GpuGrant.objects.create(enrollment=made.enrollment, week=week, minutes=1, reason="Lost an hour to a crash.", granted_by=staff)
    assert slots.unblock([made.enrollment_id]) == ["gpu"]
    assert claimed(OTHER).run.pk == second.pk
    assert first.pk != second.pk


def test_more_minutes_for_everybody_let_wait_no_longer(component: Component) -> None:
    """Also what has been set apart meanwhile for a runtime that was away."""
    course = component.homework.course
    policy, _ = CoursePolicy.objects.update_or_create(course=course, defaults={"gpu_minutes_per_week": 5})
    seen(ONE)
    run = making.run(making.submission(component), queue="gpu")
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    run.refresh_from_db()
    assert run.note == "It may take 10 min, and a week has 5: it runs only when staff grant more."
    assert too_long(course) == [f"{component.homework}, practice: {run.note}"]
    Run.objects.update(state="waiting_runtime", note="Preparing it.")
    Run.objects.update(state="queued", note="")
    policy.gpu_minutes_per_week = 10
    policy.save()
    assert claims.claim("gpu", "w", slot=ONE.uuid) is None
    queue.week_changed(course=course)
    assert claimed().run.pk == run.pk
    assert too_long(course) == []


def test_no_more_is_charged_than_was_reserved_and_never_nothing_for_the_students_own(component: Component) -> None:
    seen(ONE, OTHER)
    long, short = (making.run(making.submission(component, name), queue="gpu") for name in ("ada", "bob"))
    first, second = claimed(), claimed(OTHER)
    execution.finish(second.run, second.token, DONE)
    with clock.shifted(timedelta(seconds=700)):
        execution.finish(first.run, first.token, DONE)
    assert (used(long), used(short)) == ([(600, 600)], [(600, 1)])


def test_a_gpu_run_is_not_claimed_without_a_slot(component: Component) -> None:
    seen(ONE)
    run = making.run(making.submission(component), queue="gpu")
    assert claims.claim("gpu", "w") is None
    assert claims.claim("gpu.fake", "w") is None
    assert claimed().run == run


@pytest.mark.parametrize(
    ("drained", "fault", "later", "why"),
    [
        (False, "", 0, ""),
        (True, "", 0, "the staff have taken every such GPU out of use"),
        (False, "lost", 0, "no GPU that it could have is in order"),
        (False, "", 40, "no machine with such a GPU answers"),
    ],
)
def test_who_waits_is_told_that_no_slot_is_given_out(component: Component, drained: bool, fault: str, later: int, why: str) -> None:
    report_one(fault)
    execution.report("here", ["gpu", "gpu.fake"], tier="namespaces")
    GpuSlot.objects.update(drained=drained)
    run = making.run(making.submission(component), queue="gpu")
    with clock.shifted(timedelta(seconds=later)):
        execution.report("here", ["gpu", "gpu.fake"], tier="namespaces")
        found = queries.wait(run, component.homework.course.zone)
        assert found is not None
        assert (found.kind, found.message.split("; the staff see")[0]) == (
            ("unserved", f"{why[0].upper()}{why[1:]}") if why else ("queue", "Yours is the next run.")
        )
    with clock.shifted(timedelta(seconds=later + 20)):
        report_one(fault, devices=() if later else (ONE,))
    with clock.shifted(timedelta(seconds=35)):
        execution.report("here", ["gpu", "gpu.fake"], tier="namespaces")
        execution.sweep()
        run.refresh_from_db()
        assert run.note == (f"No runner answers: {why}." if why else "")


def test_a_place_counts_what_starts_before_on_a_gpu_that_will_do(component: Component) -> None:
    """The second who needs an H100 is behind a later hand-in that any GPU will do for."""
    h100 = Device("GPU-h100", "h100")
    slots.report("here", [ONE, h100], in_use=frozenset(), faults={})
    execution.report("here", ["gpu", "gpu.fake", "gpu.h100"], tier="namespaces")
    queued = [("ada", "gpu.h100"), ("bob", "gpu.h100"), ("cyd", "gpu")]
    runs = [making.run(making.submission(component, name), queue=queue) for name, queue in queued]
    waits = queries.waits(runs, component.homework.course.zone)
    assert [waits[run.pk].ahead for run in runs] == [0, 2, 1]
    assert claimed(h100).run == runs[0]
    assert claimed().run == runs[2]


def test_a_rerun_of_staff_costs_its_student_nothing(component: Component) -> None:
    seen(ONE)
    run = making.run(making.submission(component), queue="gpu", purpose=Run.Purpose.RERUN)
    assert claimed().run == run
    assert used(run) == []


SMOKED = Outcome("ok", Decimal(4), Decimal(10), 1.0, checks=(CheckResult("plus-one", "", Decimal(4), Decimal(4), True, True, "visible"),))


def checked(component: Component) -> Component:
    component.check_rows.filter(check_id="plus-one").update(needs_gpu=True)
    return component


def smoked(outcome: Outcome) -> Run:
    """The run that a smoke check was, ended with that outcome."""
    claim = claims.claim("cpu", "w")
    assert claim is not None
    assert claim.run.stage == "smoke"
    assert execution.finish(claim.run, claim.token, outcome)
    return Run.objects.get(pk=claim.run.pk)


def test_a_gpu_run_follows_a_smoke_check_that_passed_and_only_it_counts(component: Component) -> None:
    made = making.submission(checked(component))
    first = services.enqueue(submission=made)
    assert (first.stage, first.queue) == ("smoke", "cpu")
    assert smoked(SMOKED).result.kind == "smoke"
    second = made.runs.get(stage="grade")
    assert (second.queue, second.seed, second.state) == ("gpu", first.seed, "queued")
    (judging,) = queries.judging([made]).values()
    assert (judging.run, judging.result) == (second, None)
    seen(ONE)
    taken = claimed()
    execution.finish(taken.run, taken.token, DONE)
    (judging,) = queries.judging([made]).values()
    assert judging.result is not None
    assert (judging.result.run, judging.result.kind) == (second, "ok")


def shown(client: Client, made: Submission) -> str:
    assert made.enrollment.user
    client.force_login(made.enrollment.user)
    return client.get(f"/c/{made.enrollment.course.slug}/submissions/{made.pk}/").content.decode()


def test_a_passed_smoke_check_is_shown_as_what_it_is(component: Component, client: Client) -> None:
    made = making.submission(checked(component))
    services.enqueue(submission=made)
    smoked(SMOKED)
    page = shown(client, made)
    assert '<h2 id="result-title">Smoke check</h2>' in page
    assert "Nothing of it counts: the result comes from the run on the GPU." in page
    assert "note bad" not in page
    assert "4 of 10" not in page


def test_stopping_a_smoke_check_that_has_just_passed_stops_the_run_it_was_for(component: Component) -> None:
    made = making.submission(checked(component))
    shown_to_its_student = services.enqueue(submission=made)
    smoked(SMOKED)
    assert services.cancel(run=shown_to_its_student, by=made.enrollment)
    assert list(made.runs.order_by("pk").values_list("stage", "state")) == [("smoke", "done"), ("grade", "cancelled")]
    assert not services.cancel(run=shown_to_its_student, by=made.enrollment)


@pytest.mark.parametrize("kind", ["ok", "student"])
def test_no_gpu_is_taken_by_what_would_not_run_there(component: Component, kind: Literal["ok", "student"], client: Client) -> None:
    made = making.submission(checked(component))
    services.enqueue(submission=made)
    failing = CheckResult("plus-one", "", Decimal(0), Decimal(4), False, True, "visible")
    other = CheckResult("plus-one-hidden", "", Decimal(6), Decimal(6), True, True, "hidden")  # needs no GPU
    run = smoked(Outcome(kind, Decimal(6), Decimal(10), 1.0, checks=(failing, other)))
    assert (run.result.kind, list(made.runs.all())) == (kind, [run])
    (judging,) = queries.judging([made]).values()
    assert judging.result == run.result
    page = shown(client, made)
    assert "<b>The smoke check did not pass, and its result stands.</b>" in page
    assert "Nothing of it counts" not in page


@pytest.mark.parametrize(("kind", "title"), [("fake", "Running on a stand-in for a GPU"), ("a100", "Running on a GPU")])
def test_where_a_run_is_at_work_is_said(component: Component, client: Client, kind: str, title: str) -> None:
    made = making.submission(checked(component))
    services.enqueue(submission=made)
    smoke = claims.claim("cpu", "w")
    assert smoke is not None
    assert '<h2 id="run-title">Smoke check</h2>' in shown(client, made)
    execution.finish(smoke.run, smoke.token, SMOKED)
    slots.report("here", [Device("GPU-1", kind)], in_use=frozenset(), faults={})
    assert claims.claim("gpu", "w", slot="GPU-1") is not None
    page = shown(client, made)
    assert f'<h2 id="run-title">{title}</h2>' in page
    assert "The smoke check did not pass" not in page


def test_a_newer_hand_in_takes_the_place_of_an_older_one_once_it_would_run(component: Component) -> None:
    checked(component)
    older, newer = (making.submission(component) for _ in range(2))
    services.enqueue(submission=older)
    smoked(SMOKED)
    services.enqueue(submission=newer)
    assert older.runs.get(stage="grade").purpose == Run.Purpose.HAND_IN
    smoked(SMOKED)
    assert older.runs.get(stage="grade").purpose == Run.Purpose.SUPERSEDED
    assert newer.runs.get(stage="grade").purpose == Run.Purpose.HAND_IN


def test_an_older_hand_in_whose_smoke_check_took_longer_goes_behind_the_newer(component: Component) -> None:
    checked(component)
    older, newer = (making.submission(component) for _ in range(2))
    for made in (newer, older):
        services.enqueue(submission=made)
        smoked(SMOKED)
    purposes = {made.number: made.runs.get(stage="grade").purpose for made in (older, newer)}
    assert purposes == {older.number: Run.Purpose.SUPERSEDED, newer.number: Run.Purpose.HAND_IN}


TIMED = """
import time

def answer(x):
    began = time.monotonic()
    time.sleep(0.2)
    print(began, time.monotonic(), flush=True)
    return x + 1
"""


@pytest.mark.sandbox
def test_a_machine_whose_driver_answers_later_has_its_gpus_then(site: Site, tmp_path: Path) -> None:
    failing = driver(tmp_path, "no devices", "", 9)
    site.values |= {"PATH": failing["PATH"], "GPU_SLOTS": ""}
    machine = site.machine("--cpu", "0", "--try-again", "0.5")
    eventually(RunnerHost.objects.exists, lambda: site.said("workers"))
    assert not GpuSlot.objects.exists()
    driver(tmp_path, TWO, f"{FIRST}, 40960, 00000000:07:00.0\n{SECOND}, 15360, 00000000:08:00.0\n")
    eventually(lambda: GpuSlot.objects.count() == 2, lambda: site.said("workers"))
    assert sorted(GpuSlot.objects.values_list("uuid", "kind")) == [(FIRST, "a100"), (SECOND, "t4")]
    eventually(lambda: gpus_served(machine) == {FIRST: "gpu,gpu.a100", SECOND: "gpu,gpu.t4"}, lambda: site.said("workers"))
    assert f"GPU {FIRST}: a100, 40960 MB.\nGPU {SECOND}: t4, 15360 MB.\n" in site.said("workers")
    assert "runner_host ended with status 0; it starts again." in site.said("workers")


def gpus_served(machine: "subprocess.Popen[bytes]") -> dict[str, str]:
    """By the UUID in the environment of a machine's workers, the queues that each is for."""
    found = {}
    for pid in children(machine.pid):
        environ = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0") if "=" in line)
        words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")
        if "GPU_SLOT" in environ:
            found[environ["GPU_SLOT"]] = words[words.index("--queues") + 1]
    return found


@pytest.mark.sandbox
def test_two_slots_never_hold_two_living_children(site: Site, tmp_path: Path) -> None:
    """Two workers and the runner host serve two slots; when each student's process was at work is told by itself."""
    site.values |= {"GPU_SLOTS": "fake:2"}
    site.host()
    eventually(lambda: GpuSlot.objects.count() == 2, "two slots are reported")
    component = making.homework(tmp_path / "plus-one", hidden=False, queue="gpu", limits={"wall_s": 60})
    for number, slot in enumerate(GpuSlot.objects.all()):
        site.gpu_worker(f"gpu{number}", slot.uuid)
    runs = [services.enqueue(submission=making.submission(component, name, TIMED)) for name in ("ada", "bob", "cyd", "dan", "eve", "fay")]
    eventually(lambda: Run.objects.filter(state="done").count() == len(runs), "all are judged")
    intervals: dict[str, list[tuple[float, float]]] = {}
    for run in Run.objects.select_related("result", "slot"):
        assert run.slot is not None
        assert (run.result.kind, run.result.points, run.result.provenance["device"]) == ("ok", Decimal(4), "fake")
        times = [float(word) for word in run.result.output.split()]
        intervals.setdefault(run.slot.uuid, []).append((min(times), max(times)))
    assert len(intervals) == 2
    for of_slot in intervals.values():
        assert all(before[1] < after[0] for before, after in pairwise(sorted(of_slot)))
    eventually(lambda: not GpuSlot.objects.exclude(state="free", run=None).exists(), "both are free again")


@contextmanager
def serving(folder: Path, settings: LazySettings, *gpus: Device) -> Iterator[Host]:
    """A runner host with these GPUs answers."""
    settings.RUNNER_SOCKET = folder / "runner.sock"
    stop, ready = threading.Event(), threading.Event()
    with closing(Host(gpus=gpus, locks=folder / "locks")) as host:
        thread = threading.Thread(target=server.serve, args=(host, settings.RUNNER_SOCKET), kwargs={"stop": stop, "ready": ready})
        thread.start()
        try:
            assert ready.wait(PATIENCE_S)
            yield host
        finally:
            stop.set()
            thread.join()


@pytest.mark.sandbox
def test_a_gpu_that_fails_costs_the_next_in_the_line_no_try(component: Component, settings: LazySettings, tmp_path: Path) -> None:
    """Between two reports the row says that the slot is free; its runner host knows better."""
    seen(ONE, OTHER)
    run = making.run(making.submission(component), queue="gpu")
    with serving(tmp_path, settings, replace(ONE, fault="It is lost."), OTHER):
        assert execution.refusal(ONE.uuid) == "It is lost."
        assert execution.refusal(OTHER.uuid) == ""
        assert execution.work_once("gpu", "w", slot=ONE.uuid) is execution.Work.UNAVAILABLE
    run.refresh_from_db()
    assert (run.state, run.attempts, run.token) == ("queued", 0, 0)


@pytest.mark.sandbox
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("fault", ["", "9000 MB of its memory are in use 10 s after its last job."], ids=["held", "fails"])
def test_a_gpu_that_the_run_before_has_not_let_go_of_costs_the_next_no_try(
    component: Component, settings: LazySettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """A cancelled run's row is free at once. Its GPU is not, and may be found to have failed when it is."""
    seen(ONE, OTHER)
    run = making.run(making.submission(component), queue="gpu")
    monkeypatch.setattr(runner_host, "HELD_S", 2 * PATIENCE_S if fault else 0.1)
    (tmp_path / "locks").mkdir()
    with serving(tmp_path, settings, ONE, OTHER) as host, (tmp_path / "locks" / f"{ONE.uuid}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)

        def let_go() -> None:
            eventually(lambda: host.running, "the next one waits for the GPU")
            host.faults[ONE.uuid] = fault
            lock.close()

        if fault:
            threading.Thread(target=let_go).start()
        assert execution.work_once("gpu", "w", slot=ONE.uuid) is execution.Work.DONE
        run.refresh_from_db()
        why = fault or f"the GPU {ONE.uuid} is still held by an earlier job"
        assert (run.state, run.attempts, run.token, run.note, used(run)) == ("queued", 0, 1, why, [(600, 0)])
        assert run.not_before > clock.database_now()
        Run.objects.update(not_before=clock.database_now())
        refused = execution.Work.UNAVAILABLE if fault else execution.Work.IDLE
        assert execution.work_once("gpu", "w", slot=ONE.uuid) is refused
        assert claimed(OTHER).run == run


@pytest.mark.django_db
def test_a_run_that_a_slot_refused_has_all_its_tries_left(component: Component) -> None:
    """Also where there is no other slot; what was started counts."""
    seen(ONE)
    run = making.run(making.submission(component), queue="gpu")
    for _ in range(execution.MAX_ATTEMPTS):
        taken = claimed()
        assert execution.finish(taken.run, taken.token, replace(OURS, started=False))
        slots.release(ONE.uuid, taken.run)
        Run.objects.update(not_before=clock.database_now())
    for attempts in range(1, execution.MAX_ATTEMPTS + 1):
        taken = claimed()
        assert execution.finish(taken.run, taken.token, OURS)
        slots.release(ONE.uuid, taken.run)
        run.refresh_from_db()
        assert run.attempts == attempts
        Run.objects.filter(state="queued").update(not_before=clock.database_now())
    assert run.state == "failed"
