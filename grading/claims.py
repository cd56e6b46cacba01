"""Take the run whose turn it is, and with it the slot and the minutes that it needs.

Claims of one pool go on one at a time, so what one reads stays true until it is written; everything here is therefore on everybody's
path, and goes to the database in a few plain statements (`bench claim` measures them). Which run it is, `policy.queueing` decides, and
what a week's minutes allow, `policy.minutes`. What changes a row meanwhile (a cancel, a machine's report) is seen when it is written:
the statement then matches no row.
"""

import json
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db import connection, transaction

from courseapp import statements
from courseapp.clock import as_now, database_now
from grading.models import GPU_MINUTES, Run
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


@dataclass(frozen=True)
class _Place:
    """Where a run can go now: the row of a slot, or none where none is needed."""

    slot: int | None


@transaction.atomic
def claim(queue: str, worker: str, *, slot: str = "", min_age: float = 0) -> Claimed | None:
    """Take the run whose turn it is, of those claimable for `min_age` seconds. Nobody else gets it while the lease is kept.

    Of `queue`; for a GPU slot (its UUID), of all queues that it serves, and only while the slot is free. Nothing while staff pause them.
    """
    pool = turns.pool(queue)
    if pool == "gpu" and not slot:
        return None  # a worker without a slot has no GPU to give
    now = _alone(pool)
    place, line = _look(queue, slot, now, now - timedelta(seconds=min_age))
    while place and (turn := line.take()) is not None:
        need = _need(turn, now) if slot and turn.purpose != Purpose.RERUN else None
        if need and not need.left.serves(need.seconds):
            _postpone(turn, need)
            continue
        run = _take(turn, worker, now, place)
        if run is None:
            continue
        if slot and not _occupy(place, run, need):
            transaction.set_rollback(True)
            return None
        return Claimed(run, run.token)
    return None


# A claimant that is stopped in the middle holds the others up no longer than a lease.
_ALONE = "SELECT set_config('idle_in_transaction_session_timeout', %s, true), pg_advisory_xact_lock(%s, hashtext(%s)), clock_timestamp()"
_PLACE = """
SELECT slot.id FROM (SELECT 1) AS always
LEFT JOIN grading_gpuslot AS slot ON slot.uuid = %s AND slot.state = 'free' AND NOT slot.drained AND slot.seen_at > %s
WHERE NOT EXISTS (SELECT 1 FROM grading_queuepause WHERE pool = %s)
"""


def _alone(pool: str) -> datetime:
    """Let no other claim of the pool go on beside this one until it is committed; SQLite has one writer anyway. The moment it begins."""
    if connection.vendor != "postgresql":
        return database_now()
    with statements.together():
        locked = statements.ask(_ALONE, [f"{round(settings.RUN_LEASE_SECONDS * 1000)}ms", _LOCK, pool])
    return as_now(locked.rows()[0][2])


def _look(queue: str, slot: str, now: datetime, before: datetime) -> tuple[_Place | None, queueing.Line]:
    """Where a run would go, None while its queue is paused or the slot is not to be given out; and who waits."""
    with statements.together():
        place = statements.ask(_PLACE, [slot, _moment(now - turns.SILENT_AFTER), turns.pool(queue)])
        heads = turns.heads(queue, slot, before, seen_after=now - turns.SILENT_AFTER)
    found = place.rows()
    if not found or (slot and found[0][0] is None):
        return None, queueing.Line([], {})
    return _Place(found[0][0]), queueing.Line(*heads())


@dataclass(frozen=True)
class _Need:
    """The most seconds that a run may take, and what its owner has left of the week that began on the Monday `week`."""

    seconds: int
    every_week: int
    left: minutes.Left
    week: date
    next_week: datetime


_COURSE = """
SELECT component.limits, course.timezone, policy.gpu_minutes_per_week
FROM grading_run AS run
JOIN grading_component AS component ON component.id = run.component_id
JOIN grading_homework AS homework ON homework.id = component.homework_id
JOIN courseapp_course AS course ON course.id = homework.course_id
LEFT JOIN grading_coursepolicy AS policy ON policy.course_id = course.id
WHERE run.id = %s
"""
_GRANTED = "SELECT week, SUM(minutes) FROM grading_gpugrant WHERE enrollment_id = %s AND week IN (%s, %s) GROUP BY week"
_SPENT = """
SELECT week, COALESCE(SUM(charged_s), 0), COALESCE(SUM(CASE WHEN charged_s IS NULL THEN reserved_s END), 0)
FROM grading_gpuuse WHERE enrollment_id = %s AND week IN (%s, %s) GROUP BY week
"""


def _need(turn: Waiting, now: datetime) -> _Need:
    weeks = [_day(budget.monday(zone, now)) for zone in _FIRST_AND_LAST]
    with statements.together():
        course = statements.ask(_COURSE, [turn.id])
        grants = statements.ask(_GRANTED, [turn.account, *weeks])
        uses = statements.ask(_SPENT, [turn.account, *weeks])
    limits, zone_name, every_week = course.rows()[0]
    zone = ZoneInfo(zone_name)
    week = budget.monday(zone, now)
    granted = {str(day): given for day, given in grants.rows()}
    spent = {str(day): minutes.Spent(charged, reserved) for day, charged, reserved in uses.rows()}
    if every_week is None:
        every_week = GPU_MINUTES
    if isinstance(limits, str):
        limits = json.loads(limits)
    return _Need(
        seconds=round(Limits(**limits).wall_s),
        every_week=every_week,
        left=minutes.left(every_week, granted.get(str(week), 0), spent.get(str(week), minutes.Spent())),
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
    state = 'running', token = token + 1, worker = %s, slot_id = %s, claimed_at = %s, lease_until = %s, progress = '{{}}', note = '',
    short_of_minutes = false,
    bundle_id = CASE WHEN bundle_id IS NOT NULL THEN COALESCE((
        SELECT homework.bundle_id FROM grading_homework AS homework
        JOIN grading_component AS component ON component.homework_id = homework.id WHERE component.id = grading_run.component_id
    ), bundle_id) END
WHERE id = (SELECT id FROM grading_run WHERE id = %s AND state = 'queued' {lock})
RETURNING *
"""


def _take(turn: Waiting, worker: str, now: datetime, place: _Place) -> Run | None:
    """None when it is being cancelled or changed just now."""
    lock = "FOR UPDATE SKIP LOCKED" if connection.features.has_select_for_update_skip_locked else ""
    lease = now + timedelta(seconds=settings.RUN_LEASE_SECONDS)
    found = list(Run.objects.raw(_TAKE.format(lock=lock), [worker, place.slot, _moment(now), _moment(lease), turn.id]))
    return found[0] if found else None


_RESERVE = "INSERT INTO grading_gpuuse (run_id, token, enrollment_id, week, reserved_s) VALUES (%s, %s, %s, %s, %s)"
_OCCUPY = "UPDATE grading_gpuslot SET state = 'busy', run_id = %s WHERE id = %s AND state = 'free' AND NOT drained"


def _occupy(place: _Place, run: Run, need: _Need | None) -> bool:
    """Give the slot and the minutes to the run. False: the slot was taken out of use just now."""
    with statements.together():
        if need:
            statements.ask(_RESERVE, [run.pk, run.token, run.enrollment_id, _day(need.week), need.seconds])
        taken = statements.ask(_OCCUPY, [run.pk, place.slot])
    return taken.changed == 1


def _moment(value: datetime) -> Any:
    return connection.ops.adapt_datetimefield_value(value)


def _day(value: date) -> Any:
    return connection.ops.adapt_datefield_value(value)
