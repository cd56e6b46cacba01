"""GPU slots and minutes: who has which slot, and what it costs whose week.

Claims of GPU runs go on one at a time (`claims.claim`), so what is read here stays true until that transaction ends.
A slot is given back by the worker whose job has ended, or by the machine's own report once its lock is free and the run is not at work.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime

from django.db import transaction
from django.db.models import Case, Value, When

from courseapp.clock import database_now
from grading.models import GpuSlot, GpuUse, Run
from grading.policy import minutes
from grading.runner.devices import Device


def release(uuid: str, run: Run) -> bool:
    """Give a slot back whose job has ended. True, whoever has it by now."""
    GpuSlot.objects.filter(uuid=uuid, run=run, state=GpuSlot.State.BUSY).update(state=GpuSlot.State.FREE, run=None)
    return True


@transaction.atomic
def report(host: str, devices: Iterable[Device], *, in_use: frozenset[str], faults: Mapping[str, str], driver: str = "") -> None:
    """What a machine has to give out now. `in_use`: whose lock a job of it holds.

    `driver`: why it cannot tell what it has; then all that it once had is in quarantine.
    """
    now = database_now()
    if driver:
        for slot in GpuSlot.objects.select_for_update().filter(host=host):
            slot.seen_at = now
            _quarantine(slot, driver, now)
            slot.save(update_fields=["seen_at", "state", "run", "note", "quarantined_at"])
    for device in devices:
        values = {"host": host, "kind": device.kind, "memory_mb": device.memory_mb, "seen_at": now}
        slot, _ = GpuSlot.objects.select_for_update().update_or_create(uuid=device.uuid, defaults=values)
        if fault := faults.get(device.uuid):
            _quarantine(slot, fault, now)
        elif slot.state == GpuSlot.State.QUARANTINED or (slot.run and device.uuid not in in_use and not _at_work(slot)):
            slot.state, slot.run, slot.note, slot.quarantined_at = GpuSlot.State.FREE, None, "", None
        slot.save(update_fields=["state", "run", "note", "quarantined_at"])


def _quarantine(slot: GpuSlot, why: str, now: datetime) -> None:
    since = slot.quarantined_at if slot.state == GpuSlot.State.QUARANTINED else now
    slot.state, slot.run, slot.note, slot.quarantined_at = GpuSlot.State.QUARANTINED, None, why, since


def _at_work(slot: GpuSlot) -> bool:
    """Whether the run that has it is held by a worker of this slot, and was not begun again elsewhere."""
    return slot.run is not None and slot.run.state == Run.State.RUNNING and slot.run.slot_id == slot.pk


def charge(run: Run, now: datetime, *, ours: bool) -> None:
    """Put what a claim has taken in the place of what was reserved for it; nothing when it failed by our fault."""
    if run.claimed_at is not None:
        took = 0 if ours else minutes.charged((now - run.claimed_at).total_seconds())
        used = GpuUse.objects.filter(run=run, token=run.token, charged_s=None)
        used.update(charged_s=Case(When(reserved_s__lt=took, then="reserved_s"), default=Value(took)))


def unblock(whose: Iterable[int]) -> list[str]:
    """Let the runs of these enrollments wait no longer that waited for minutes; the queues that they are in."""
    blocked = Run.objects.filter(state__in=Run.OPEN, enrollment__in=whose, short_of_minutes=True)
    queues = list(blocked.order_by().values_list("queue", flat=True).distinct())
    blocked.update(not_before=database_now(), short_of_minutes=False)
    return queues
