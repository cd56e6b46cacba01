"""What a GPU slot does, in one word: for pages and for Prometheus."""

from datetime import datetime
from typing import Literal

from grading.models import GpuSlot
from grading.queries.turns import SILENT_AFTER

SlotState = Literal["free", "busy", "drained", "quarantined", "silent"]
STATES: tuple[SlotState, ...] = ("free", "busy", "drained", "quarantined", "silent")


def state(slot: GpuSlot, now: datetime) -> SlotState:
    """`busy` also of a drained one that still has a run; `silent`: its host does not report it, whatever it does."""
    if slot.seen_at <= now - SILENT_AFTER:
        return "silent"
    if slot.state == GpuSlot.State.QUARANTINED:
        return "quarantined"
    if slot.state == GpuSlot.State.BUSY:
        return "busy"
    return "drained" if slot.drained else "free"
