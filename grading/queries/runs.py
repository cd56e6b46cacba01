"""What pages show of runs. Everything is read from the database: a page never asks the broker or a runner host."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import OuterRef, Subquery

from courseapp.clock import database_now
from grading.models import SILENT_AFTER, GpuSlot, Homework, QueuePause, Run, RunnerHost, RunResult, Submission
from grading.queries import slots, turns

JUDGED = {RunResult.Kind.OK, RunResult.Kind.STUDENT}

WaitKind = Literal["queue", "slow", "runtime", "retry", "unserved", "refused", "budget", "paused"]


@dataclass(frozen=True)
class Judging:
    """The newest run of a hand-in, and the newest result that may count: an older one does until a rerun has ended."""

    run: Run
    result: RunResult | None


@dataclass(frozen=True)
class Wait:
    """Why a run has not started. `position` is 1 for the next one; `message` is for the student, in `ahead` runs' words."""

    kind: WaitKind
    position: int
    ahead: int
    since: datetime
    message: str


def latest(submission: Submission) -> Run | None:
    """The newest run of a hand-in that is no proposal, with its result and bundle. One statement."""
    return submission.runs.filter(proposed=False).select_related("result", "bundle", "requested_by").order_by("-pk").first()


def state_word(run: Run) -> str:
    return Run.State(run.state).label.lower()


def result_of(run: Run) -> RunResult | None:
    """The result of a run that was read with it (`select_related`)."""
    return getattr(run, "result", None)


def has_score(submission: Submission) -> bool:
    """Whether a run that counts has judged it."""
    return RunResult.objects.filter(run__submission=submission, run__proposed=False, kind__in=JUDGED).exists()


def judging(submissions: Iterable[Submission]) -> dict[int, Judging]:
    """By submission id, for those that have a run; without outputs and single checks, and with bundles and reruns. One statement.

    What a rerun has found and nobody has accepted is left out: this is where it is decided which result counts.
    """
    found: dict[int, Judging] = {}
    runs = Run.objects.filter(submission__in=[submission.pk for submission in submissions], proposed=False)
    runs = runs.select_related("result", "bundle", "rerun")
    for run in runs.defer("result__output", "result__check_results", "result__provenance", "progress").order_by("pk"):
        assert run.submission_id is not None  # it is among those asked for
        result = result_of(run)
        if result is None or result.kind not in JUDGED:
            before = found.get(run.submission_id)
            result = before.result if before else None
        found[run.submission_id] = Judging(run, result)
    return found


def by_earlier_version(result: RunResult, homework: Homework) -> bool:
    """Whether a score is of an earlier version of the homework's autograder. The result comes with its run's bundle."""
    return homework.bundle is not None and result.run.bundle.autograder_digest != homework.bundle.autograder_digest


def count_earlier(homework: Homework) -> int:
    """How many hand-ins have a score of an earlier version of the homework's autograder. One statement."""
    if homework.bundle is None:
        return 0
    newest = Run.objects.filter(submission=OuterRef("pk"), proposed=False, result__kind__in=JUDGED).order_by("-pk")
    judged = Submission.objects.filter(component__homework=homework).annotate(
        judged_by=Subquery(newest.values("bundle__autograder_digest")[:1])
    )
    return judged.filter(judged_by__isnull=False).exclude(judged_by=homework.bundle.autograder_digest).count()


@dataclass(frozen=True)
class Scene:
    """What can keep runs waiting, read once for however many."""

    now: datetime
    hosts: Sequence[RunnerHost]
    pauses: Mapping[str, QueuePause]
    """By pool."""
    at_work: Collection[str]
    """The queues with a run at work."""
    slots: Sequence[GpuSlot]


def scene(now: datetime, *, with_slots: bool) -> Scene:
    """Three statements, and one for slots."""
    at_work = Run.objects.filter(state=Run.State.RUNNING).order_by().values_list("queue", flat=True).distinct()
    return Scene(
        now,
        tuple(RunnerHost.objects.order_by("-seen_at")),
        turns.pauses(),
        frozenset(at_work),
        tuple(slots.reported(now)) if with_slots else (),
    )


def wait(run: Run, zone: ZoneInfo) -> Wait | None:
    """Where a run stands that has not started, and what keeps it; None when it runs or has ended. At most twelve statements."""
    return waits([run], zone).get(run.pk)


def waits(runs: Iterable[Run], zone: ZoneInfo) -> dict[int, Wait]:
    """Of those that have not started, where each stands and what keeps it. For runs that were read with their components
    (`component`): five statements, and at most six for each pool.
    """
    waiting = [run for run in runs if run.state in Run.WAITING]
    if not waiting:
        return {}
    now = database_now()
    here = scene(now, with_slots=any(turns.pool(run.queue) == "gpu" for run in waiting))
    claimable = [run for run in waiting if run.state == Run.State.QUEUED and run.not_before <= now]
    order = {pool: turns.order(pool, now) for pool in {turns.pool(run.queue) for run in claimable}}
    found = {}
    for run in waiting:
        turn = order.get(turns.pool(run.queue), {}).get(run.pk)
        kind, message = _explain(run, zone, here, turn)
        place = turn.place if turn else 1
        found[run.pk] = Wait(kind, place, place - 1, run.created_at, message)
    return found


def _explain(run: Run, zone: ZoneInfo, here: Scene, turn: turns.Turn | None) -> tuple[WaitKind, str]:
    now, yours = here.now, "Your lab run" if run.lab_id else "Your hand-in"
    if run.not_before > now and run.short_of_minutes:
        monday = run.not_before.astimezone(zone)
        used_up = f"Your GPU minutes of this week are used up. It runs by itself from {monday:%a %d %b} on, or when staff grant more."
        return "budget", run.note or used_up
    if (pause := here.pauses.get(turns.pool(run.queue))) is not None:
        return (
            "paused",
            f"The queue is paused by the staff: {pause.sentence} {yours} is safe, and runs by itself afterwards.",
        )
    serving = [host for host in here.hosts if run.queue in host.queues]
    alive = [host for host in serving if host.seen_at > now - SILENT_AFTER]
    safe = f"{yours} is safe, waits since {run.created_at.astimezone(zone):%a %H:%M}, and runs by itself as soon as one is back."
    if not alive:
        if serving:
            return "unserved", f"No runner answers since {serving[0].seen_at.astimezone(zone):%a %H:%M}. {safe}"
        return "unserved", f"No runner is there yet. {safe}"
    if all(host.refusal for host in alive):
        return (
            "refused",
            f"The runner cannot run anything at the moment; the staff see why. {safe}",
        )
    if run.state == Run.State.WAITING_RUNTIME:
        name = {"torch": "PyTorch"}.get(run.component.runtime, run.component.runtime)
        return "runtime", f"Preparing the {name} runtime. {yours} is safe and runs by itself when it is ready."
    if turns.pool(run.queue) == "gpu" and (why := slots.out_of_use(run.queue, here.slots, now)):
        return "unserved", f"{why[0].upper()}{why[1:]}; the staff see which and why. {safe}"
    if run.attempts:
        return "retry", "A first try failed on our side, not because of your code. It is tried again by itself."
    late = now - run.not_before > timedelta(seconds=settings.RUN_POLL_SECONDS + 1)
    if late and turn is not None and turn.place == 1 and run.queue not in here.at_work:
        again = max(10, 2 * settings.RUN_POLL_SECONDS)
        return (
            "slow",
            f"The queue is slow to answer. {yours} is safe; it is looked for every few seconds and should start within {again} s.",
        )
    if turn is None:
        return "queue", "Yours starts when a runner is free."
    if turn.place == 1:
        ahead = "Yours is the next run."
    else:
        ahead = f"{turn.place - 1} {'run is' if turn.place == 2 else 'runs are'} ahead of yours."
    return "queue", f"{ahead}{_when(turn)}{_LATER if run.purpose == Run.Purpose.SUPERSEDED else ''}"


_LATER = " You have handed in something newer, which is judged first."


def _when(turn: turns.Turn) -> str:
    words = turns.in_words(turn)
    return f" It should start {words}." if words else ""
