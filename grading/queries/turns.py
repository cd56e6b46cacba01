"""What the order of claim needs to know, and what follows from it: who waits with what, and when each can be expected to start."""

import statistics
import threading
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db import connection, models
from django.db.models import Count, Q

from courseapp.clock import database_now, now_in_sql
from courseapp.statements import ask
from grading.models import SILENT_AFTER, GpuSlot, QueuePause, QueueShare, Run
from grading.policy import queueing
from grading.policy.queueing import NOTHING_USED, Account, Purpose, Waiting

POOLS = ("cpu", "gpu")
_RECORD, _LEAST = 40, 4  # runs that the expected length is reckoned from
# A page asks while it waits: a long line is put in order once for all that ask within two seconds.
_FEW, _KEEP_S = 50, 2.0
_NOBODYS = 0  # no row has this number
_lock = threading.Lock()
_kept: dict[str, tuple[float, dict[int, "Turn"]]] = {}


def pool(queue: str) -> str:
    """What is shared out fairly: all queues of GPUs together, and those of processors."""
    return queue.partition(".")[0]


def of_pool(name: str) -> Q:
    return Q(queue=name) | Q(queue__startswith=f"{name}.")


def pauses() -> dict[str, QueuePause]:
    """By pool. One statement."""
    return {pause.pool: pause for pause in QueuePause.objects.select_related("paused_by")}


def numbers(queue: str) -> tuple[int, int]:
    """How many runs of a queue wait, and are at work. One statement."""
    states = Run.objects.filter(queue=queue, state__in=Run.OPEN).order_by().values_list("state").annotate(Count("pk"))
    counted = dict(states)
    at_work = counted.pop(Run.State.RUNNING, 0)
    return sum(counted.values()), at_work


def heads(queue: str, slot: str, min_age: timedelta, lacking: Collection[str] = ()) -> tuple[list[Waiting], dict[int, Account]]:
    """Of everybody the run that would be claimed, among those claimable for `min_age`, and what they have used.

    In `queue`, or in all that the GPU slot (its UUID) serves; without those that have failed there by our fault, while they have another
    slot to go to, and without those whose runtime is `lacking` here. Nobody while the queue is paused, or the slot is not to be given
    out. One statement, which goes from person to person in the index of what waits: its cost is theirs, and not that of the runs that
    wait or have ended.
    """
    name = pool(queue)
    (before, at), (seen_after, seen) = now_in_sql(-min_age), now_in_sql(-SILENT_AFTER)
    starts, whose = (_STARTS_OF_SLOT.format(seen_after=seen_after), [slot, seen]) if slot else (_STARTS, [queue])
    elsewhere, which = (_ELSEWHERE.format(seen_after=seen_after), [slot, seen]) if slot else ("", [])
    if lacking:
        elsewhere, which = elsewhere + _LACKING.format(", ".join(["%s"] * len(lacking))), [*which, *lacking]
    # The one knows no lateral joins, the other would read the whole table for the join by id.
    form, wanted = _LATERAL if connection.vendor == "postgresql" else _BY_ID
    following = form.format(_FOLLOWING.format(wanted=wanted, before=before, elsewhere=elsewhere))
    values = [*whose, name, at, *which, name, name, f"{name}.%", int(Purpose.LAB)]
    rows = ask(_HEADS.format(starts=starts, following=following, moment=connection.data_types["DateTimeField"]), values)
    waiting = [Waiting(pk, owner, Purpose(purpose), _seconds(since)) for pk, owner, purpose, since, _, _ in rows]
    return waiting, {owner: Account(NOTHING_USED if level is None else level, held) for _, owner, _, _, level, held in rows}


def _seconds(since: datetime | str) -> float:
    """SQLite gives a moment as the text that it keeps, in UTC."""
    return (datetime.fromisoformat(since).replace(tzinfo=UTC) if isinstance(since, str) else since).timestamp()


_STARTS = "SELECT %s AS queue"
_STARTS_OF_SLOT = """
SELECT CASE own_kind WHEN 1 THEN 'gpu.' || slot.kind ELSE 'gpu' END AS queue
FROM grading_gpuslot AS slot CROSS JOIN (SELECT 0 AS own_kind UNION ALL SELECT 1) AS served
WHERE slot.uuid = %s AND slot.state = 'free' AND NOT slot.drained AND slot.seen_at > {seen_after}
"""
_ELSEWHERE = """
AND NOT (
    EXISTS (
        SELECT 1 FROM grading_slotfailure AS failure JOIN grading_gpuslot AS here ON here.id = failure.slot_id
        WHERE failure.run_id = grading_run.id AND here.uuid = %s
    ) AND EXISTS (
        SELECT 1 FROM grading_gpuslot AS other
        WHERE other.state <> 'quarantined' AND NOT other.drained AND other.seen_at > {seen_after}
        AND (own.queue = 'gpu' OR own.queue = 'gpu.' || other.kind)
        AND NOT EXISTS (SELECT 1 FROM grading_slotfailure AS failure WHERE failure.run_id = grading_run.id AND failure.slot_id = other.id)
    )
)
"""
_LACKING = """
AND NOT EXISTS (SELECT 1 FROM grading_component AS component WHERE component.id = grading_run.component_id AND component.runtime IN ({}))
"""
_FOLLOWING = """
SELECT {wanted} FROM grading_run
WHERE queue = own.queue AND state = 'queued' AND enrollment_id > own.person AND not_before <= {before} {elsewhere}
ORDER BY enrollment_id, purpose, created_at, id LIMIT 1
"""
_LATERAL = "CROSS JOIN LATERAL ({}) AS run", "enrollment_id, id, purpose, created_at"
_BY_ID = "JOIN grading_run AS run ON run.id = ({})", "id"
# No person has the number 0.
_HEADS = """
WITH RECURSIVE own(queue, person, id, purpose, created_at) AS (
    SELECT queue, CAST(0 AS bigint), CAST(0 AS bigint), CAST(0 AS smallint), CAST(NULL AS {moment}) FROM ({starts}) AS start
    WHERE NOT EXISTS (SELECT 1 FROM grading_queuepause WHERE pool = %s)
    UNION ALL
    SELECT own.queue, run.enrollment_id, run.id, run.purpose, run.created_at FROM own {following}
)
SELECT own.id, own.person, own.purpose, own.created_at, share.level, COALESCE(busy.runs, 0)
FROM own
LEFT JOIN grading_queueshare AS share ON share.enrollment_id = own.person AND share.pool = %s
LEFT JOIN (
    SELECT enrollment_id, COUNT(*) AS runs FROM grading_run
    WHERE state = 'running' AND (queue = %s OR queue LIKE %s) AND purpose <= %s GROUP BY enrollment_id
) AS busy ON busy.enrollment_id = own.person
WHERE own.person > 0
"""


def accounts(name: str, whose: Collection[int]) -> dict[int, Account]:
    """By enrollment, for those asked for. Two statements."""
    levels = dict(QueueShare.objects.filter(pool=name, enrollment__in=whose).values_list("enrollment_id", "level"))
    running = Run.objects.filter(of_pool(name), state=Run.State.RUNNING, purpose__lte=Purpose.LAB, enrollment__in=whose)
    held = dict(running.order_by().values_list("enrollment_id").annotate(held=Count("pk")))
    return {one: Account(levels.get(one, NOTHING_USED), held.get(one, 0)) for one in whose}


@dataclass(frozen=True)
class Turn:
    """`place` is 1 for the next run. Seconds until it starts, None without a record: the middle, and bounds of half of such forecasts."""

    place: int
    seconds: tuple[float, float, float] | None


def in_words(turn: Turn) -> str:
    """When it can be expected to start, as finely as half of such forecasts bear; empty when that is now, or unknown."""
    if turn.seconds is None or turn.seconds[0] < 5:
        return ""
    middle, low, high = turn.seconds
    if high < 90:
        return "within two minutes"
    low_min, middle_min, high_min = (max(1, round(seconds / 60)) for seconds in (low, middle, high))
    spread = "" if low_min == high_min else f", likely {low_min} to {high_min}"
    return f"in about {middle_min} min{spread}"


def order(name: str, now: datetime) -> dict[int, Turn]:
    """Of every run of a pool that may be claimed, in the order of claim as it is expected. At most six statements."""
    if Run.objects.filter(of_pool(name), state=Run.State.QUEUED).count() <= _FEW:
        return _forecast(name, now)
    asked = time.monotonic()
    with _lock:
        kept = _kept.get(name)
        if kept is None or asked - kept[0] > _KEEP_S:
            kept = _kept[name] = (asked, _forecast(name, now))
    return kept[1]


def newcomer(queue: str, owner: int, purpose: Purpose) -> Turn | None:
    """Where a run would stand that its owner queued now; None in a long line, and while nobody serves it. At most seven statements."""
    name = pool(queue)
    if Run.objects.filter(of_pool(name), state=Run.State.QUEUED).count() > _FEW:
        return None
    now = database_now()
    return _forecast(name, now, [Waiting(_NOBODYS, owner, purpose, now.timestamp(), _kind(queue))]).get(_NOBODYS)


def _forecast(name: str, now: datetime, more: Sequence[Waiting] = ()) -> dict[int, Turn]:
    found = [*_waiting(Run.objects.filter(of_pool(name), state=Run.State.QUEUED, not_before__lte=now).order_by()), *more]
    lengths = _lengths(name)
    middle = lengths[1] if lengths else 60.0
    held = accounts(name, {one.account for one in found})
    order = queueing.expected(found, held, _slots(name, now, middle), middle, now=now.timestamp())
    turns = {}
    for place, (run, at) in enumerate(order, start=1):
        turns[run.id] = Turn(place, (at, at * lengths[0] / middle, at * lengths[2] / middle) if lengths else None)
    return turns


def _lengths(name: str) -> tuple[float, float, float] | None:
    """The quartiles of how long the last runs took, in seconds; None before there are a few."""
    ended = Run.objects.filter(of_pool(name), state=Run.State.DONE, claimed_at__isnull=False).order_by("-finished_at")
    took = [(end - start).total_seconds() for start, end in ended.values_list("claimed_at", "finished_at")[:_RECORD] if start and end]
    if len(took) < _LEAST:
        return None
    low, middle, high = statistics.quantiles(took, n=4)
    return max(low, 0.05), max(middle, 0.05), max(high, 0.05)


def _slots(name: str, now: datetime, length_s: float) -> list[queueing.Slot]:
    """Where runs can be: for GPUs the slots that are given out; for processors as many as run now, one at least."""
    running = Run.objects.filter(of_pool(name), state=Run.State.RUNNING).order_by()
    busy = [
        queueing.Slot(max(length_s - (now - start).total_seconds(), 0.0), account if purpose <= Purpose.LAB else None, kind or "")
        for start, account, purpose, kind in running.values_list("claimed_at", "enrollment", "purpose", "slot__kind")
        if start is not None
    ]
    if name == "gpu":
        idle = GpuSlot.objects.filter(state=GpuSlot.State.FREE, drained=False, seen_at__gt=now - SILENT_AFTER)
        return [*busy, *(queueing.Slot(kind=kind) for kind in idle.order_by("uuid").values_list("kind", flat=True))]
    return busy or [queueing.Slot()]


def _waiting(rows: "models.QuerySet[Run]") -> list[Waiting]:
    found = rows.values_list("pk", "enrollment_id", "purpose", "created_at", "queue")
    return [Waiting(pk, account, Purpose(purpose), since.timestamp(), _kind(queue)) for pk, account, purpose, since, queue in found]


def _kind(queue: str) -> str:
    """Of the GPU that runs of a queue need; empty where any will do."""
    return queue.partition(".")[2]
