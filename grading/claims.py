"""Take the run whose turn it is, and with it the slot and the minutes that it needs.

Claims of one pool go on one at a time, so what one reads stays true until it is written; everything here is therefore on everybody's
path, and goes to the database in a few plain statements (`bench claim` measures them). Which run it is, `policy.queueing` decides, and
what a week's minutes allow, `policy.minutes`. What changes a row meanwhile (a cancel, a machine's report) is seen when it is written:
the statement then matches no row.
"""

import json
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from courseapp import statements
from courseapp.clock import as_now, database_now
from grading.models import GPU_MINUTES, GpuSlot, GpuUse, Run
from grading.policy import minutes, queueing
from grading.policy.queueing import Purpose, Waiting
from grading.queries import budget, turns
from grading.runner.limits import Limits

# Between them every zone's day lies.
_FIRST_AND_LAST = (timezone(timedelta(hours=-12)), timezone(timedelta(hours=14)))
_LOCK = 0x72756E  # first key of the advisory locks of claims; the second is the pool


@dataclass(frozen=True)
class Claimed:
    run: Run
    token: int


class _SlotGoneError(Exception):
    """It was taken out of use just now."""


def claim(queue: str, worker: str, *, slot: str = "", min_age: float = 0, lacking: Collection[str] = ()) -> Claimed | None:
    """Take the run whose turn it is, of those claimable for `min_age` seconds. Nobody else gets it while the lease is kept.

    Without those whose runtime is one of `lacking`: the machine does not have it.
    Of `queue`; for a GPU slot (its UUID), of all queues that it serves, and only while the slot is free. Nothing while staff pause them.
    """
    if turns.pool(queue) == "gpu" and not slot:
        return None  # a worker without a slot has no GPU to give
    try:
        taken = _claim(queue, worker, slot, timedelta(seconds=min_age), lacking)
    except _SlotGoneError:
        return None
    if not taken:
        return None
    [run] = statements.instances(Run, taken)  # only now, when no other claim waits for this one
    return Claimed(run, run.token)


@transaction.atomic
def _claim(queue: str, worker: str, slot: str, min_age: timedelta, lacking: Collection[str]) -> list[statements.Row]:
    """The run's row, if there is one."""
    now, line = _look(queue, slot, min_age, lacking)
    for turn in line:
        need = _need(turn, now) if slot and turn.purpose != Purpose.RERUN else None
        if need and not need.left.serves(need.seconds):
            _postpone(turn, need)
            continue
        if taken := _take(turn, worker, now, slot, need):
            return taken
    return []


# Lets no other claim of the pool go on beside this one until it is committed. A claimant that is stopped in the middle holds the others up
# no longer than a lease. What follows is planned once: planning it takes as long as carrying it out.
_ALONE = """
SELECT set_config('idle_in_transaction_session_timeout', %s, true), set_config('plan_cache_mode', 'force_generic_plan', true),
    pg_advisory_xact_lock(%s, hashtext(%s)), clock_timestamp()
"""


def _look(queue: str, slot: str, min_age: timedelta, lacking: Collection[str]) -> tuple[datetime, list[Waiting]]:
    """Alone from here on: the moment, and who waits; nobody while the queue is paused or the slot is not to be given out."""
    if connection.vendor == "postgresql":
        [(*_, moment)] = statements.ask(_ALONE, [f"{round(settings.RUN_LEASE_SECONDS * 1000)}ms", _LOCK, turns.pool(queue)])
        now = as_now(moment)
    else:
        now = database_now()  # its one writer is alone anyway
    return now, queueing.in_order(*turns.heads(queue, slot, min_age, lacking))


@dataclass(frozen=True)
class _Need:
    """The most seconds that a run may take, and what its owner has left of the week that began on the Monday `week`."""

    seconds: int
    every_week: int
    left: minutes.Left
    week: date
    next_week: datetime


# The sums of a week take its Monday three times.
_WEEK = """
    (SELECT COALESCE(SUM(minutes), 0) FROM grading_gpugrant WHERE enrollment_id = run.enrollment_id AND week = %s),
    (SELECT COALESCE(SUM(charged_s), 0) FROM grading_gpuuse WHERE enrollment_id = run.enrollment_id AND week = %s),
    (SELECT COALESCE(SUM(reserved_s), 0) FROM grading_gpuuse WHERE enrollment_id = run.enrollment_id AND week = %s AND charged_s IS NULL)
"""
_NEED = f"""
SELECT component.limits, course.timezone, policy.gpu_minutes_per_week, {_WEEK}, {_WEEK}
FROM grading_run AS run
JOIN grading_component AS component ON component.id = run.component_id
JOIN grading_homework AS homework ON homework.id = component.homework_id
JOIN courseapp_course AS course ON course.id = homework.course_id
LEFT JOIN grading_coursepolicy AS policy ON policy.course_id = course.id
WHERE run.id = %s
"""  # noqa: S608 - of our own text


def _need(turn: Waiting, now: datetime) -> _Need:
    # Between them the week lies that is the course's.
    first, last = (budget.monday(zone, now) for zone in _FIRST_AND_LAST)
    [(limits, zone_name, every_week, *sums)] = statements.ask(_NEED, [*[_day(first)] * 3, *[_day(last)] * 3, turn.id])
    zone = ZoneInfo(zone_name)
    week = budget.monday(zone, now)
    granted, charged, reserved = sums[:3] if week == first else sums[3:]
    if every_week is None:
        every_week = GPU_MINUTES
    if isinstance(limits, str):
        limits = json.loads(limits)
    return _Need(
        seconds=round(Limits(**limits).wall_s),
        every_week=every_week,
        left=minutes.left(every_week, granted, minutes.Spent(charged, reserved)),
        week=week,
        next_week=datetime.combine(week + timedelta(days=7), time.min, zone),
    )


def _postpone(turn: Waiting, need: _Need) -> None:
    """Where too little is left because of what the owner's other runs have reserved, it waits for their end; else for the next week."""
    if not need.left.may_serve(need.seconds):
        beyond = budget.beyond(need.seconds, need.every_week)
        Run.objects.filter(pk=turn.id, state=Run.State.QUEUED).update(not_before=need.next_week, short_of_minutes=True, note=beyond)


# The row is passed over while somebody else is changing it. Checks that were corrected while it waited are the ones to judge it by,
# and the check rows of today belong to them.
_TAKE = """
UPDATE grading_run SET
    state = 'running', token = token + 1, worker = %s, slot_id = (SELECT id FROM grading_gpuslot WHERE uuid = %s),
    claimed_at = %s, lease_until = %s, progress = '{{}}', note = '', short_of_minutes = false,
    bundle_id = CASE WHEN bundle_id IS NOT NULL THEN COALESCE((
        SELECT homework.bundle_id FROM grading_homework AS homework
        JOIN grading_component AS component ON component.homework_id = homework.id WHERE component.id = grading_run.component_id
    ), bundle_id) END
WHERE id = (SELECT id FROM grading_run WHERE id = %s AND state = 'queued' {lock})
RETURNING {columns}
"""
_RESERVE = "INSERT INTO grading_gpuuse (run_id, token, enrollment_id, week, reserved_s) SELECT id, token, enrollment_id, %s, %s FROM taken"
_ALL_AT_ONCE = """
WITH taken AS ({take}), reserved AS ({reserve}), occupied AS (
    UPDATE grading_gpuslot AS slot SET state = 'busy', run_id = taken.id FROM taken
    WHERE slot.uuid = %s AND slot.state = 'free' AND NOT slot.drained RETURNING slot.id
)
SELECT taken.*, EXISTS (SELECT 1 FROM occupied) FROM taken
"""


def _take(turn: Waiting, worker: str, now: datetime, slot: str, need: _Need | None) -> list[statements.Row]:
    """Give the run to the worker, and the slot and the minutes to the run; its row. None, when somebody is changing it just now.

    Raises _SlotGoneError.
    """
    lock = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    take = _TAKE.format(lock=lock, columns=statements.columns(Run))
    values = [worker, slot, _moment(now), _moment(now + timedelta(seconds=settings.RUN_LEASE_SECONDS)), turn.id]
    if slot and connection.vendor == "postgresql":
        statement = _ALL_AT_ONCE.format(take=take, reserve=_RESERVE if need else "SELECT")
        reserved = [_day(need.week), need.seconds] if need else []
        found = statements.ask(statement, [*values, *reserved, slot], binary=False)
        rows, occupied = [row[:-1] for row in found], any(row[-1] for row in found)
    else:
        rows = statements.ask(take, values, binary=False)
        occupied = not slot or all(_occupy(slot, run, need) for run in statements.instances(Run, rows))
    if rows and not occupied:
        raise _SlotGoneError
    return rows


def _occupy(slot: str, run: Run, need: _Need | None) -> bool:
    """Where one statement cannot change several tables."""
    if need:
        GpuUse.objects.create(run=run, token=run.token, enrollment_id=run.enrollment_id, week=need.week, reserved_s=need.seconds)
    return bool(GpuSlot.objects.filter(uuid=slot, state=GpuSlot.State.FREE, drained=False).update(state=GpuSlot.State.BUSY, run=run))


def _moment(value: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def _day(value: date) -> Any:
    return connection.ops.adapt_datefield_value(value)
