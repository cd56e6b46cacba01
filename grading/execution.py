"""Do one claimed run; the database is the queue.

Theory of operation. A row of `Run` goes queued → running → done | failed. Claiming it raises its `token` and sets a lease; the holder
beats while it works. Whoever changes a running row names the token: a holder that was too slow, and whose run was given to somebody
else, matches no row, kills its job and records nothing. So a run may be executed twice, and is recorded once. What stops without a
word is found by its expired lease. Failures of ours are tried at most MAX_ATTEMPTS times, then the run has failed: never a grade.

Nothing here rings Celery: callers do, through what is handed in.
"""

import enum
import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, OperationalError, connection, models, transaction

from courseapp import blobs, logs
from courseapp.clock import database_now
from courseapp.models import Enrollment
from grading import slots
from grading.claims import Claimed, claim
from grading.jobs import HomeworkChangedError, LoadError, RuntimeNotReadyError, StorageLostError, find_runtime, job_of, storage_problem
from grading.models import (
    SILENT_AFTER,
    Check,
    Component,
    GpuSlot,
    OutputFile,
    QueueShare,
    Run,
    RunIncident,
    RunnerHost,
    RunResult,
    SlotFailure,
    Submission,
)
from grading.policy import queueing
from grading.queries import turns
from grading.queries.slots import out_of_use, reported
from grading.runner import client, runtimes
from grading.runner.job import Cancelled
from grading.runner.outcome import Outcome, Progress
from grading.stream import Stream

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
BACKOFF = (timedelta(seconds=2), timedelta(seconds=15))
JUST_WRITTEN_SECONDS = 0.2  # a run that ends at this very heartbeat is not held either, and was not taken away
UNSERVED = "No runner answers"
OUR_FAULT = "This hand-in could not be judged. The fault is ours, not your code's: it costs no attempt, and the staff can run it again."
LAB_OUR_FAULT = "This lab run could not be executed. The fault is ours, not your code's, and it cost no GPU minutes. Run it again."


class Work(enum.Enum):
    """What one look at a queue came to."""

    IDLE = "nothing to claim"
    UNAVAILABLE = "the runner host does not answer or refuses"
    DONE = "one run was executed"


def heartbeat(run: Run, token: int, progress: Progress | None) -> bool:
    """Extend the lease and note where the run is. False: the run is no longer the caller's, who kills the job and records nothing."""
    values: dict[str, Any] = {"lease_until": database_now() + timedelta(seconds=settings.RUN_LEASE_SECONDS)}
    if progress is not None:
        values["progress"] = storable(progress.place)
    return bool(_held(run, token).update(**values)) or _fenced(run, token)


def finish(run: Run, token: int, outcome: Outcome) -> bool:
    """Write the run's one result and end it; a failure of ours is given back instead. False: fenced, nothing was written."""
    if outcome.kind == "system":
        return give_back(run, token, outcome.staff_message or outcome.message, counts=outcome.started, refused=not outcome.started)
    outcome = _with_kept_files(outcome)
    with transaction.atomic():
        if run.stage == Run.Stage.SMOKE:  # of two that end at once, the second sees the run that the first has queued
            Enrollment.objects.select_for_update(no_key=True, of=("self",)).get(pk=run.enrollment_id)
        held = _held(run, token).select_for_update().first()
        if held is None:
            return _fenced(run, token)
        goes_on = would_run(held, outcome)
        record(held, outcome, kind="smoke" if goes_on else outcome.kind)
        _end(held, Run.State.DONE, "")
        if goes_on:
            go_on(held)
    return True


def would_run(run: Run, outcome: Outcome) -> bool:
    """Whether this was a smoke check that shows the run on a GPU to be worth its time: at least one of the checks that need one passes."""
    if run.stage != Run.Stage.SMOKE:
        return False
    return outcome.passes_any(set(Check.objects.filter(component=run.component_id, needs_gpu=True).values_list("check_id", flat=True)))


def go_on(smoke: Run) -> Run:
    """Queue the run on a GPU that a passed smoke check is for, for the same inputs.

    It is here that a newer hand-in takes an older one's place: one that does not run at all is in nobody's way.
    """
    component, now = smoke.component, database_now()
    purpose = line_up(smoke.submission) if smoke.purpose == Run.Purpose.HAND_IN else Run.Purpose(smoke.purpose)
    return Run.objects.create(
        submission=smoke.submission,
        component=component,
        enrollment_id=smoke.enrollment_id,
        bundle=smoke.bundle,
        queue=component.queue,
        seed=smoke.seed,
        purpose=purpose,
        requested_by=smoke.requested_by,
        rerun_id=smoke.rerun_id,
        proposed=smoke.proposed,
        created_at=now,
        not_before=now,
    )


def line_up(submission: Submission) -> Run.Purpose:
    """Have what waits of the student's older hand-ins to the component judged last; the purpose of this one's own run.

    It may be the older one itself: a late hand-in is judged when its student agrees to the cost, or staff grant the time.
    """
    own = Run.objects.filter(
        submission__enrollment=submission.enrollment_id, component=submission.component_id, stage=Run.Stage.GRADE, rerun=None
    )
    older = own.filter(state__in=Run.WAITING, purpose=Run.Purpose.HAND_IN, submission__number__lt=submission.number)
    older.update(purpose=Run.Purpose.SUPERSEDED)
    newer = own.filter(submission__number__gt=submission.number).exclude(state=Run.State.CANCELLED)
    return Run.Purpose.SUPERSEDED if newer.exists() else Run.Purpose.HAND_IN


def give_back(run: Run, token: int, reason: str, *, counts: bool = True, refused: bool = False) -> bool:
    """Return a run that we could not judge: it waits for another try, or has failed after the last one. False: fenced.

    `counts=False` for an orderly stop, which says nothing about the run, and where its slot has `refused` it, which says nothing either.
    """
    with transaction.atomic():
        held = _held(run, token).select_for_update().first()
        if held is None:
            return _fenced(run, token)
        _return(held, reason, counts=counts, refused=refused)
    return True


def _fenced(run: Run, token: int) -> bool:
    """False, and noted once for each claim whose lease had run out: its holder came too late.

    Who has ended its run itself, or whose run was stopped on purpose, holds nothing any more either: that is as it should be.
    """
    if RunIncident.objects.filter(run_id=run.pk, token=token, kind=RunIncident.Kind.EXPIRED).exists():
        _note(run, token, RunIncident.Kind.FENCED)
    return False


def _note(run: Run, token: int, kind: RunIncident.Kind) -> None:
    RunIncident.objects.bulk_create([RunIncident(run_id=run.pk, token=token, kind=kind, at=database_now())], ignore_conflicts=True)


def sweep() -> list[str]:
    """Rescue runs whose holder went silent, and say so where nobody serves a queue. Returns the queues in which runs can be claimed."""
    now = database_now()
    for row in Run.objects.filter(state=Run.State.RUNNING, lease_until__lt=now):
        with transaction.atomic():
            held = _held(row, row.token).filter(lease_until__lt=now).select_for_update().first()
            if held is not None:
                log.warning("Run %s: %s stopped answering; it is queued again.", held.pk, held.worker)
                _note(held, held.token, RunIncident.Kind.EXPIRED)
                _return(held, f"{held.worker} stopped answering.", counts=True)
    for queue in Run.objects.filter(state__in=Run.WAITING).order_by().values_list("queue", flat=True).distinct():
        _say_whether_served(queue)
    claimable = Run.objects.filter(state=Run.State.QUEUED, not_before__lte=now)
    return list(claimable.order_by().values_list("queue", flat=True).distinct())


def waits(queue: str) -> bool:
    """Whether a run of `queue` can be claimed now."""
    return Run.objects.filter(queue=queue, state=Run.State.QUEUED, not_before__lte=database_now()).exists()


def sort_by_runtime(queue: str) -> list[str]:
    """Bring back the runs of a queue that this machine serves whose runtime is there, and set those apart whose runtime no machine has that
    answers. Returns the runtimes that runs wait for and this machine lacks.
    """
    waiting = Run.objects.filter(queue=queue, state__in=Run.WAITING)
    lacking = []
    for name in waiting.order_by().values_list("component__runtime", flat=True).distinct():
        of_runtime = Run.objects.filter(queue=queue, component__runtime=name)
        found = find_runtime(name)
        if isinstance(found, runtimes.Ready):
            of_runtime.filter(state=Run.State.WAITING_RUNTIME).update(state=Run.State.QUEUED, note="")
            continue
        lacking.append(name)
        if not _has_runtime(queue, name):
            behind = of_runtime.filter(state__in=Run.WAITING).exclude(state=Run.State.WAITING_RUNTIME, note=found.status.message)
            behind.update(state=Run.State.WAITING_RUNTIME, note=found.status.message)
    return lacking


def _has_runtime(queue: str, name: str) -> bool:
    """Whether a machine that serves the queue has said lately that it has the runtime."""
    alive = RunnerHost.objects.filter(seen_at__gt=database_now() - SILENT_AFTER, refusal="")
    return any(queue in host.queues and name in host.runtimes for host in alive)


def ready_runtimes(queues: list[str]) -> list[runtimes.Runtime]:
    """The runtimes that homework on these queues is judged in, as far as they are installed."""
    judged = Component.objects.filter(queue__in=queues, check_rows__isnull=False)
    found = [find_runtime(name) for name in judged.order_by().values_list("runtime", flat=True).distinct()]
    return [one.runtime for one in found if isinstance(one, runtimes.Ready)]


def report(name: str, queues: list[str], *, tier: str, memory_guard: str = "", refusal: str = "") -> None:
    """Note that this machine's runner host is there, what it serves and how, and whether it can run anything (`refusal` empty)."""
    now = database_now()
    installed = [known for known in runtimes.known() if isinstance(find_runtime(known), runtimes.Ready)]
    values = {"queues": queues, "tier": tier, "memory_guard": memory_guard, "refusal": refusal, "runtimes": installed, "seen_at": now}
    RunnerHost.objects.update_or_create(name=name, defaults=values, create_defaults={**values, "started_at": now})


def refusal(slot: str = "") -> str:
    """Why this machine's runner host cannot be given a run now, for a GPU slot (its UUID) if one is named; empty when it can."""
    if problem := storage_problem():
        return problem
    try:
        answer = client.ping(settings.RUNNER_SOCKET)
    except client.HostUnavailable as error:
        return str(error)
    if not answer["tier"]:
        return f"{answer['reason']} {answer['fix']}"
    # Asked of the host itself: what it has noted since its last report would cost one run after the other a try.
    return str(answer["faults"].get(slot, ""))


def work_once(
    queue: str,
    worker: str,
    *,
    slot: str = "",
    min_age: float = 0,
    ring: Callable[[str], None] = lambda _queue: None,
    first: bool = True,
    stopping: threading.Event | None = None,
) -> Work:
    """Claim one run of `queue`, or of all that a GPU slot serves, and see it through.

    `ring(queue)` is called when a smoke check has queued a run for a GPU and, by whoever comes to the queue `first`, when others wait.
    Without a runner host nothing is claimed. When `stopping` is set, the job is killed and the run given back at once.
    """
    reason = refusal(slot)
    if reason:
        log.warning("Queue %s%s is left alone: %s", queue, f", slot {slot}" if slot else "", reason)
        return Work.UNAVAILABLE
    lacking = {name for served in _served(queue, slot) for name in sort_by_runtime(served)}
    claimed = claim(queue, worker, slot=slot, min_age=min_age, lacking=lacking)
    if claimed is None:
        return Work.IDLE
    if first and waits(queue):
        ring(queue)
    with logs.about_run(claimed.run.pk):
        try:
            _execute(claimed, stopping or threading.Event())
        finally:
            if slot:
                _persist(partial(slots.release, slot, claimed.run))
    if claimed.run.stage == Run.Stage.SMOKE:
        ring(claimed.run.component.queue)
    return Work.DONE


def _served(queue: str, slot: str) -> list[str]:
    """The queues that are claimed from."""
    kinds = GpuSlot.objects.filter(uuid=slot).values_list("kind", flat=True) if slot else ()
    return [queue, *(f"{turns.pool(queue)}.{kind}" for kind in kinds)]


class _Keeper(threading.Thread):
    """Keeps the lease of one run while its job works, and has the job killed when the lease is lost or the worker stops."""

    def __init__(self, claimed: Claimed, stopping: threading.Event) -> None:
        super().__init__(name=f"lease of run {claimed.run.pk}", daemon=True)
        self.cancelled = threading.Event()
        self.fenced = False
        self._claimed = claimed
        self._stopping = stopping
        self._over = threading.Event()
        self._progress: Progress | None = None
        self.stream = Stream(claimed.run, claimed.token)

    def note(self, progress: Progress) -> None:
        self.stream.note(progress)
        self._progress = progress

    def run(self) -> None:
        try:
            with logs.about_run(self._claimed.run.pk):
                self._keep(settings.RUN_LEASE_SECONDS)
        finally:
            connection.close()

    def _keep(self, lease: float) -> None:
        kept = tried = time.monotonic()
        noted: Progress | None = None
        while not self._over.wait(0.1):
            if self._stopping.is_set():
                self.cancelled.set()
                return
            self.stream.write()
            now, progress = time.monotonic(), self._progress
            if now - tried < min(1.0, lease / 4):  # a cancelled run is to end within two seconds
                continue
            tried = now
            try:
                held = heartbeat(self._claimed.run, self._claimed.token, progress if progress is not noted else None)
            except (DatabaseError, InterfaceError) as error:
                log.warning("Run %s: no heartbeat, the database does not answer: %s", self._claimed.run.pk, error)
                connection.close()
                held = now - kept < lease
            else:
                kept, noted = now, progress
            if not held:
                if self._over.wait(JUST_WRITTEN_SECONDS):
                    return
                log.warning("Run %s: fenced; its job is killed and nothing is recorded.", self._claimed.run.pk)
                self.fenced = True
                self.cancelled.set()
                return

    def stop(self) -> None:
        self._over.set()
        self.join()


def _execute(claimed: Claimed, stopping: threading.Event) -> None:
    keeper = _Keeper(claimed, stopping)
    keeper.start()
    began = time.monotonic()
    log.info("Run %s begins: queue %s, claim %s.", claimed.run.pk, claimed.run.queue, claimed.token)
    try:
        ending = _attempt(claimed, keeper)
        keeper.stream.write(last=True)
        # The lease is kept until this is written: a slow database must not give the run to somebody else.
        try:
            written = not keeper.fenced and _persist(ending)
        except (DataError, IntegrityError) as error:
            written = _persist(partial(give_back, claimed.run, claimed.token, f"The result cannot be stored: {error}"))
        keeper.stream.tidy()
        if not written:
            what = "its result came late" if ending.func is finish else "it was given back late"
            log.warning("Run %s: %s, and was not recorded; it is somebody else's.", claimed.run.pk, what)
    finally:
        keeper.stop()
        log.info("Run %s is left after %.1f s.", claimed.run.pk, time.monotonic() - began)


def _attempt(claimed: Claimed, keeper: _Keeper) -> "partial[bool]":
    """Do the job; returns what is to be written about it."""
    run, token = claimed.run, claimed.token
    try:
        outcome = client.run_job(settings.RUNNER_SOCKET, job_of(run), keeper.note, cancelled=keeper.cancelled)
    except (HomeworkChangedError, RuntimeNotReadyError, StorageLostError) as error:
        return partial(give_back, run, token, str(error), counts=False)
    except Cancelled:
        return partial(give_back, run, token, "The worker was stopped.", counts=False)
    except client.HostStopping as error:
        return partial(give_back, run, token, str(error), counts=False)
    except (client.HostUnavailable, LoadError) as error:
        return partial(give_back, run, token, str(error))
    except Exception as error:
        log.exception("Run %s could not be executed", run.pk)
        return partial(give_back, run, token, f"{type(error).__name__}: {error}")
    return partial(finish, run, token, outcome)


def _persist(write: Callable[[], bool]) -> bool:
    """Write an ending, waiting for a database that does not answer; after two leases the sweeper has the run. False: fenced."""
    end = time.monotonic() + 2 * settings.RUN_LEASE_SECONDS
    while True:
        try:
            return write()
        except (OperationalError, InterfaceError) as error:
            if time.monotonic() > end:
                raise
            log.warning("An ending could not be written yet: %s", error)
            connection.close()
            time.sleep(0.5)


def _held(run: Run, token: int) -> "models.QuerySet[Run]":
    return Run.objects.filter(pk=run.pk, token=token, state=Run.State.RUNNING)


def _return(held: Run, reason: str, *, counts: bool, refused: bool = False) -> None:
    held.attempts += counts
    if held.attempts >= MAX_ATTEMPTS:
        of_lab = held.lab_id is not None
        checks = Check.objects.none() if of_lab else Check.objects.filter(component=held.component_id)
        possible = checks.aggregate(points=models.Sum("points"))["points"] or Decimal(0)
        said = LAB_OUR_FAULT if of_lab else OUR_FAULT
        record(held, Outcome("system", Decimal(0), possible, 0.0, message=said, staff_message=reason))
        _end(held, Run.State.FAILED, f"Failed {held.attempts} times, last: {reason}")
        return
    charge(held, database_now(), ours=True)
    goes_elsewhere = counts or refused
    if goes_elsewhere and held.slot_id is not None:
        SlotFailure.objects.get_or_create(run=held, slot_id=held.slot_id)
    held.state = Run.State.QUEUED
    held.lease_until = None
    held.progress = {}
    held.note = f"Try {held.attempts} of {MAX_ATTEMPTS} failed: {reason}" if counts else reason
    held.not_before = database_now() + (BACKOFF[max(held.attempts - 1, 0)] if goes_elsewhere else timedelta(0))
    held.save(update_fields=["state", "lease_until", "progress", "note", "not_before", "attempts"])


def _with_kept_files(outcome: Outcome) -> Outcome:
    """The outcome with those of its files that the store has taken: a full disk costs files, not a score."""
    kept, dropped = [], list(outcome.files_dropped)
    for file in outcome.files:
        try:
            blobs.put_bytes(file.content)
        except blobs.BlobError as error:
            log.warning("An output file could not be kept: %s", error)
            dropped.append(f"{file.name} was not kept: the server could not store it.")
        else:
            kept.append(file)
    return replace(outcome, files=tuple(kept), files_dropped=tuple(dropped))


def record(run: Run, outcome: Outcome, *, kind: str = "") -> RunResult:
    """Write what a run found, as the database can hold it; its files are in the store. IntegrityError when the run has a result."""
    result = RunResult.objects.create(
        run=run,
        kind=kind or outcome.kind,
        points=outcome.points,
        max_points=outcome.max_points,
        seconds=outcome.seconds,
        check_results=storable([check.to_json() for check in outcome.checks]),
        output=storable(outcome.output),
        files_dropped=storable(list(outcome.files_dropped)),
        message=storable(outcome.message),
        staff_message=storable(outcome.staff_message),
        provenance=storable(dict(outcome.provenance)),
    )
    OutputFile.objects.bulk_create(OutputFile(result=result, name=file.name, size=file.size, sha256=file.sha256) for file in outcome.files)
    return result


def charge(run: Run, now: datetime, *, ours: bool = False) -> None:
    """Add what a claim has used to what its owner has used, which decides whose turn it is. Staff's reruns are not the student's.

    `ours`: it failed by our fault, and nobody pays.
    """
    slots.charge(run, now, ours=ours)
    if ours or run.purpose in {Run.Purpose.RERUN, Run.Purpose.SUPERSEDED} or run.claimed_at is None:
        return
    pool, seconds = turns.pool(run.queue), (now - run.claimed_at).total_seconds()
    share = QueueShare.objects.select_for_update().filter(enrollment=run.enrollment_id, pool=pool).first()
    level = queueing.charged(share.level if share else queueing.NOTHING_USED, seconds, now.timestamp())
    if share:
        share.level = level
        share.save(update_fields=["level"])
    elif math.isfinite(level):
        QueueShare.objects.update_or_create(enrollment_id=run.enrollment_id, pool=pool, defaults={"level": level})


def _end(held: Run, state: Run.State, note: str) -> None:
    held.state = state
    held.finished_at = database_now()
    held.lease_until = None
    held.note = note
    held.save(update_fields=["state", "finished_at", "lease_until", "note", "attempts"])
    charge(held, held.finished_at, ours=state == Run.State.FAILED)


def storable(value: Any) -> Any:
    """The value without what PostgreSQL refuses in text and JSON: NUL, lone surrogates, NaN and infinities."""
    if isinstance(value, str):
        return value.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {storable(key): storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    return value


def _say_whether_served(queue: str) -> None:
    now = database_now()
    serving = [host for host in RunnerHost.objects.order_by("-seen_at") if queue in host.queues]
    behind = Run.objects.filter(queue=queue, state__in=Run.WAITING, not_before__lt=now - SILENT_AFTER)
    served = any(host.seen_at > now - SILENT_AFTER and not host.refusal for host in serving)
    why = out_of_use(queue, reported(now), now) if served and turns.pool(queue) == "gpu" else ""
    if served and not why:
        Run.objects.filter(queue=queue, state__in=Run.WAITING, note__startswith=UNSERVED).update(note="")
        return
    if why:
        behind.exclude(note=f"{UNSERVED}: {why}.").update(note=f"{UNSERVED}: {why}.")
        return
    refusing = next((host for host in serving if host.seen_at > now - SILENT_AFTER), None)
    if refusing is not None:
        note = f"{UNSERVED}: {refusing.name} refuses to run anything. {refusing.refusal}"
    elif serving:
        note = f"{UNSERVED} since {serving[0].seen_at:%Y-%m-%d %H:%M} UTC."
    else:
        note = f"{UNSERVED}: none serves the queue “{queue}”."
    behind.exclude(note=note).update(note=note)
