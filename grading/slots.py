"""GPU slots and minutes: who has which slot, and what it costs whose week.

Claims of GPU runs go on one at a time (`execution.claim`), so what is read here stays true until that transaction ends.
A slot is given back by the worker whose job has ended, or by the machine's own report once its lock is free and the run is not at work.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from django.db import transaction
from django.db.models import Subquery, Sum

from courseapp.clock import database_now
from courseapp.models import Enrollment
from grading.models import GPU_MINUTES, GpuGrant, GpuSlot, GpuUse, Run
from grading.policy.queueing import Purpose
from grading.queries.budget import monday
from grading.queries.runs import SPENT
from grading.queries.turns import SILENT_AFTER
from grading.runner.devices import Device


def take(uuid: str, now: datetime) -> GpuSlot | None:
    """The slot, if it may be given out now."""
    rows = GpuSlot.objects.select_for_update().filter(uuid=uuid, state=GpuSlot.State.FREE, drained=False, seen_at__gt=now - SILENT_AFTER)
    return rows.first()


def occupy(slot: GpuSlot, run: Run) -> None:
    slot.state, slot.run = GpuSlot.State.BUSY, run
    slot.save(update_fields=["state", "run"])


def release(uuid: str, run: Run) -> bool:
    """Give a slot back whose job has ended. True, whoever has it by now."""
    GpuSlot.objects.filter(uuid=uuid, run=run, state=GpuSlot.State.BUSY).update(state=GpuSlot.State.FREE, run=None)
    return True


@transaction.atomic
def report(host: str, devices: Iterable[Device], *, in_use: frozenset[str], faults: Mapping[str, str]) -> None:
    """What a machine has to give out now. `in_use`: whose lock a job of it holds."""
    now = database_now()
    for device in devices:
        values = {"host": host, "kind": device.kind, "memory_mb": device.memory_mb, "seen_at": now}
        slot, _ = GpuSlot.objects.select_for_update().update_or_create(uuid=device.uuid, defaults=values)
        if fault := faults.get(device.uuid):
            since = slot.quarantined_at if slot.state == GpuSlot.State.QUARANTINED else now
            slot.state, slot.run, slot.note, slot.quarantined_at = GpuSlot.State.QUARANTINED, None, fault, since
        elif slot.state == GpuSlot.State.QUARANTINED or (slot.run and device.uuid not in in_use and slot.run.state != Run.State.RUNNING):
            slot.state, slot.run, slot.note, slot.quarantined_at = GpuSlot.State.FREE, None, "", None
        slot.save(update_fields=["state", "run", "note", "quarantined_at"])


def week_of(run: Run, now: datetime) -> date:
    """The Monday of its course's week."""
    return monday(run.component.homework.course.zone, now)


def reserve(run: Run, now: datetime) -> bool:
    """Reserve the most that a claim of the run can take. False: its owner has not so much left.

    Where that is for what other runs of theirs have reserved, it waits for their end; else for the next week, and says so.
    """
    if run.purpose == Purpose.RERUN:
        return True
    week, seconds = week_of(run, now), round(float(run.component.limits["wall_s"]))
    has = left(run, week)
    if seconds > has.at_most:
        course = run.component.homework.course
        run.not_before = datetime.combine(week + timedelta(days=7), datetime.min.time(), course.zone)
        run.note = f"{SPENT}; it runs from {run.not_before:%a %d %b} on, or when staff grant more."
        run.save(update_fields=["not_before", "note"])
    if seconds > has.now:
        return False
    GpuUse.objects.create(run=run, token=run.token + 1, enrollment_id=run.enrollment_id, week=week, reserved_s=seconds)
    return True


@dataclass(frozen=True)
class Left:
    """Seconds of a week: what may be reserved now, and what may be when nothing is reserved any more and none of it was used."""

    now: int
    at_most: int


def left(run: Run, week: date) -> Left:
    """What the run's owner has left."""
    granted = GpuGrant.objects.filter(enrollment=run.enrollment_id, week=week).order_by().values("enrollment")
    uses = GpuUse.objects.filter(enrollment=run.enrollment_id, week=week).order_by().values("enrollment")
    row = (
        Enrollment.objects.filter(pk=run.enrollment_id)
        .annotate(
            granted=Subquery(granted.annotate(minutes=Sum("minutes")).values("minutes")),
            charged=Subquery(uses.annotate(seconds=Sum("charged_s")).values("seconds")),
            reserved=Subquery(uses.filter(charged_s=None).annotate(seconds=Sum("reserved_s")).values("seconds")),
        )
        .values_list("course__policy__gpu_minutes_per_week", "granted", "charged", "reserved")
        .get()
    )
    minutes = (GPU_MINUTES if row[0] is None else row[0]) + (row[1] or 0)
    at_most = minutes * 60 - (row[2] or 0)
    return Left(at_most - (row[3] or 0), at_most)


def charge(run: Run, now: datetime, *, ours: bool) -> None:
    """Put what a claim has taken in the place of what was reserved for it; nothing when it failed by our fault."""
    if run.claimed_at is not None:
        took = 0 if ours else round((now - run.claimed_at).total_seconds())
        GpuUse.objects.filter(run=run, token=run.token, charged_s=None).update(charged_s=took)


def unblock(enrollment_id: int) -> list[str]:
    """Let runs wait no longer that waited for minutes; the queues that they are in."""
    blocked = Run.objects.filter(state=Run.State.QUEUED, enrollment=enrollment_id, note__startswith=SPENT)
    queues = list(blocked.order_by().values_list("queue", flat=True).distinct())
    blocked.update(not_before=database_now(), note="")
    return queues
