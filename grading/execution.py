"""Do one claimed run; the database is the queue.

Theory of operation. A row of `Run` goes queued → running → done | failed. Claiming it raises its `token` and sets a lease; the holder
beats while it works. Whoever changes a running row names the token: a holder that was too slow, and whose run was given to somebody
else, matches no row, kills its job and records nothing. So a run may be executed twice, and is recorded once. What stops without a
word is found by its expired lease. Failures of ours are tried at most MAX_ATTEMPTS times, then the run has failed: never a grade.

Nothing here rings Celery: callers do, through what is handed in.
"""

import logging
import math
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connection, models, transaction

from courseapp.clock import database_now
from grading.models import Check, Run, RunnerHost, RunResult
from grading.runner import runtimes
from grading.runner.outcome import Outcome, Progress

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 3
BACKOFF = (timedelta(seconds=2), timedelta(seconds=15))
UNSERVED_AFTER = timedelta(seconds=30)
UNSERVED = "No runner answers"
OUR_FAULT = "This hand-in could not be judged. The fault is ours, not your code's: it costs no attempt, and the staff can run it again."

_WAITING = (Run.State.QUEUED, Run.State.WAITING_RUNTIME)
_CLAIM_LOCK = 0x72756E  # first key of the advisory locks of claims; the second is the queue


@dataclass(frozen=True)
class Claimed:
    run: Run
    token: int


def claim(queue: str, worker: str, *, min_age: float = 0) -> Claimed | None:
    """Take the first run of `queue` that has been claimable for `min_age` seconds. Nobody else gets it while the lease is kept."""
    with transaction.atomic():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [_CLAIM_LOCK, queue])
        now = database_now()
        run = (
            Run.objects.select_for_update(skip_locked=True, of=("self",))
            .select_related("submission__component__homework")
            .filter(queue=queue, state=Run.State.QUEUED, not_before__lte=now - timedelta(seconds=min_age))
            .order_by("-priority", "created_at", "pk")
            .first()
        )
        if run is None:
            return None
        run.state = Run.State.RUNNING
        run.token += 1
        run.worker = worker
        run.claimed_at = now
        run.lease_until = now + timedelta(seconds=settings.RUN_LEASE_SECONDS)
        run.progress = {}
        run.note = ""
        # Checks that were corrected while it waited are the ones to judge it by, and the check rows of today belong to them.
        if run.submission.component.homework.bundle_id is not None:
            run.bundle_id = run.submission.component.homework.bundle_id
        run.save(update_fields=["state", "token", "worker", "claimed_at", "lease_until", "progress", "note", "bundle"])
    return Claimed(run, run.token)


def heartbeat(run: Run, token: int, progress: Progress | None) -> bool:
    """Extend the lease and note where the run is. False: the run is no longer the caller's, who kills the job and records nothing."""
    values: dict[str, Any] = {"lease_until": database_now() + timedelta(seconds=settings.RUN_LEASE_SECONDS)}
    if progress is not None:
        values["progress"] = storable(progress.to_json())
    return bool(_held(run, token).update(**values))


def finish(run: Run, token: int, outcome: Outcome) -> bool:
    """Write the run's one result and end it; a failure of ours is given back instead. False: fenced, nothing was written."""
    if outcome.kind == "system":
        return give_back(run, token, outcome.staff_message or outcome.message)
    with transaction.atomic():
        held = _held(run, token).select_for_update().first()
        if held is None:
            return False
        record(held, outcome)
        _end(held, Run.State.DONE, "")
    return True


def give_back(run: Run, token: int, reason: str, *, counts: bool = True) -> bool:
    """Return a run that we could not judge: it waits for another try, or has failed after the last one. False: fenced.

    `counts=False` for an orderly stop, which says nothing about the run.
    """
    with transaction.atomic():
        held = _held(run, token).select_for_update().first()
        if held is None:
            return False
        _return(held, reason, counts=counts)
    return True


def sweep() -> list[str]:
    """Rescue runs whose holder went silent, and say so where nobody serves a queue. Returns the queues in which runs can be claimed."""
    now = database_now()
    for row in Run.objects.filter(state=Run.State.RUNNING, lease_until__lt=now):
        with transaction.atomic():
            held = _held(row, row.token).filter(lease_until__lt=now).select_for_update().first()
            if held is not None:
                log.warning("Run %s: %s stopped answering; it is queued again.", held.pk, held.worker)
                _return(held, f"{held.worker} stopped answering.", counts=True)
    for queue in Run.objects.filter(state__in=_WAITING).order_by().values_list("queue", flat=True).distinct():
        sort_by_runtime(queue)
        _say_whether_served(queue)
    claimable = Run.objects.filter(state=Run.State.QUEUED, not_before__lte=now)
    return list(claimable.order_by().values_list("queue", flat=True).distinct())


def waits(queue: str) -> bool:
    """Whether a run of `queue` can be claimed now."""
    return Run.objects.filter(queue=queue, state=Run.State.QUEUED, not_before__lte=database_now()).exists()


def sort_by_runtime(queue: str) -> None:
    """Set the runs apart whose runtime is still being prepared, and bring back those whose runtime is there."""
    waiting = Run.objects.filter(queue=queue, state__in=_WAITING)
    for name in waiting.order_by().values_list("submission__component__runtime", flat=True).distinct():
        of_runtime = Run.objects.filter(queue=queue, submission__component__runtime=name)
        found = _find_runtime(name)
        if isinstance(found, runtimes.Ready):
            of_runtime.filter(state=Run.State.WAITING_RUNTIME).update(state=Run.State.QUEUED, note="")
        else:
            behind = of_runtime.filter(state__in=_WAITING).exclude(state=Run.State.WAITING_RUNTIME, note=found.status.message)
            behind.update(state=Run.State.WAITING_RUNTIME, note=found.status.message)


def report(name: str, queues: list[str], *, tier: str, refusal: str) -> None:
    """Note that the runner host `name` is there, what it serves, and whether it can run anything (`refusal` empty)."""
    now = database_now()
    values = {"queues": queues, "tier": tier, "refusal": refusal, "seen_at": now}
    RunnerHost.objects.update_or_create(name=name, defaults=values, create_defaults={**values, "started_at": now})


def _find_runtime(name: str) -> runtimes.Ready | runtimes.Preparing | runtimes.Failed:
    return runtimes.find(settings.DATA_DIR, name, {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})


def _held(run: Run, token: int) -> "models.QuerySet[Run]":
    return Run.objects.filter(pk=run.pk, token=token, state=Run.State.RUNNING)


def _return(held: Run, reason: str, *, counts: bool) -> None:
    held.attempts += counts
    if held.attempts >= MAX_ATTEMPTS:
        possible = Check.objects.filter(component=held.submission.component_id).aggregate(points=models.Sum("points"))["points"]
        record(held, Outcome("system", Decimal(0), possible or Decimal(0), 0.0, message=OUR_FAULT, staff_message=reason))
        _end(held, Run.State.FAILED, f"Failed {held.attempts} times, last: {reason}")
        return
    held.state = Run.State.QUEUED
    held.lease_until = None
    held.progress = {}
    held.note = f"Try {held.attempts} of {MAX_ATTEMPTS} failed: {reason}" if counts else reason
    held.not_before = database_now() + (BACKOFF[held.attempts - 1] if counts else timedelta(0))
    held.save(update_fields=["state", "lease_until", "progress", "note", "not_before", "attempts"])


def record(run: Run, outcome: Outcome) -> RunResult:
    """Write what a run found, as the database can hold it. IntegrityError when the run has a result."""
    return RunResult.objects.create(
        run=run,
        kind=outcome.kind,
        points=outcome.points,
        max_points=outcome.max_points,
        seconds=outcome.seconds,
        check_results=storable([check.to_json() for check in outcome.checks]),
        output=storable(outcome.output),
        message=storable(outcome.message),
        staff_message=storable(outcome.staff_message),
        provenance=storable(dict(outcome.provenance)),
    )


def _end(held: Run, state: Run.State, note: str) -> None:
    held.state = state
    held.finished_at = database_now()
    held.lease_until = None
    held.note = note
    held.save(update_fields=["state", "finished_at", "lease_until", "note", "attempts"])


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
    behind = Run.objects.filter(queue=queue, state__in=_WAITING, not_before__lt=now - UNSERVED_AFTER)
    if any(host.seen_at > now - UNSERVED_AFTER and not host.refusal for host in serving):
        Run.objects.filter(queue=queue, state__in=_WAITING, note__startswith=UNSERVED).update(note="")
        return
    refusing = next((host for host in serving if host.seen_at > now - UNSERVED_AFTER), None)
    if refusing is not None:
        note = f"{UNSERVED}: {refusing.name} refuses to run anything. {refusing.refusal}"
    elif serving:
        note = f"{UNSERVED} since {serving[0].seen_at:%Y-%m-%d %H:%M} UTC."
    else:
        note = f"{UNSERVED}: none serves the queue “{queue}”."
    behind.filter(state=Run.State.QUEUED).exclude(note=note).update(note=note)
