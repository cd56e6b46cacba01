"""What a GPU slot does, in one word: for pages and for Prometheus."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Literal

from django.db import models

from grading.models import SILENT_AFTER, GpuSlot

SlotState = Literal["free", "busy", "drained", "quarantined", "silent"]
STATES: tuple[SlotState, ...] = ("free", "busy", "drained", "quarantined", "silent")


GONE_AFTER = timedelta(days=7)
"""A slot that has not been reported for longer is one that was taken away."""


def reported(now: datetime) -> "models.QuerySet[GpuSlot]":
    """The slots that there are."""
    return GpuSlot.objects.filter(seen_at__gt=now - GONE_AFTER)


def out_of_use(queue: str, slots: Iterable[GpuSlot], now: datetime) -> str:
    """Why no slot takes runs of a queue of GPUs now; empty when one does."""
    serving = [(slot, state(slot, now)) for slot in slots if queue in GpuSlot.queues_of(slot.kind)]
    states = {one for _, one in serving}
    if any(one == "free" or (one == "busy" and not slot.drained) for slot, one in serving):
        return ""
    if not serving:
        return "there is no GPU for it"
    if states == {"silent"}:
        return "no machine with such a GPU answers"
    return "no GPU that it could have is in order" if "quarantined" in states else "the staff have taken every such GPU out of use"


def state(slot: GpuSlot, now: datetime) -> SlotState:
    """`busy` also of a drained one that still has a run; `silent`: its host does not report it, whatever it does."""
    if slot.seen_at <= now - SILENT_AFTER:
        return "silent"
    if slot.state == GpuSlot.State.QUARANTINED:
        return "quarantined"
    if slot.state == GpuSlot.State.BUSY:
        return "busy"
    return "drained" if slot.drained else "free"
