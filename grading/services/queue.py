"""What staff do about the queue. The machines are everybody's: pausing and draining hold for every course, so instructors alone do it."""

import logging
from functools import partial

from django.db import transaction

from courseapp.clock import database_now
from courseapp.models import Course, Enrollment
from grading import slots, tasks
from grading.models import GpuGrant, GpuSlot, QueuePause, Run
from grading.queries import budget, turns

log = logging.getLogger(__name__)

MOST_MINUTES = 10_000


class QueueError(ValueError):
    """What cannot be done; `field` is what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


@transaction.atomic
def pause(*, pool: str, reason: str, by: Enrollment) -> QueuePause:
    """Let nothing of the pool be claimed any more; what runs goes on. A second pause changes the reason."""
    if not reason.strip():
        raise QueueError("reason", "Say why: whoever waits reads it.")
    values = {"reason": reason.strip(), "paused_by": by, "at": database_now()}
    made, _ = QueuePause.objects.update_or_create(pool=pool, defaults=values)
    log.warning("The %s queue is paused by %s: %s", pool, by, made.reason)
    return made


@transaction.atomic
def resume(*, pool: str, by: Enrollment) -> bool:
    """False: it was not paused."""
    gone, _ = QueuePause.objects.filter(pool=pool).delete()
    if gone:
        log.warning("The %s queue is resumed by %s.", pool, by)
        waiting = Run.objects.filter(turns.of_pool(pool), state=Run.State.QUEUED).order_by()
        _ring(list(waiting.values_list("queue", flat=True).distinct()))
    return bool(gone)


@transaction.atomic
def drain(*, slot: GpuSlot, drained: bool, by: Enrollment) -> None:
    """Give the slot out no more, or again; what runs on it ends."""
    GpuSlot.objects.filter(pk=slot.pk).update(drained=drained)
    log.warning("GPU slot %s is %s by %s.", slot.uuid, "drained" if drained else "given out again", by)
    if not drained:
        _ring(list(GpuSlot.queues_of(slot.kind)))


@transaction.atomic
def grant_minutes(*, enrollment: Enrollment, minutes: int, reason: str, by: Enrollment) -> GpuGrant:
    """GPU minutes beyond the course's, for this week. What waited for minutes may be claimed at once."""
    if by.course_id != enrollment.course_id or not by.may_manage or by.state != Enrollment.State.ACTIVE:
        raise QueueError("enrollment", f"GPU minutes in {enrollment.course} are granted by its TAs and instructors.")
    if not 1 <= minutes <= MOST_MINUTES:
        raise QueueError("minutes", f"Accepted are 1 to {MOST_MINUTES} minutes.")
    if not reason.strip():
        raise QueueError("reason", "Say why: the student reads it.")
    week = budget.monday(enrollment.course.zone, database_now())
    grant = GpuGrant.objects.create(enrollment=enrollment, week=week, minutes=minutes, reason=reason.strip(), granted_by=by)
    _ring(slots.unblock([enrollment.pk]))
    return grant


def week_changed(*, course: Course) -> None:
    """Ask anew of the course's runs that wait for minutes: those of a week may be others now."""
    _ring(slots.unblock(list(course.enrollments.values_list("pk", flat=True))))


def _ring(queues: list[str]) -> None:
    for queue in queues:
        transaction.on_commit(partial(tasks.ring_soon, queue), robust=True)
