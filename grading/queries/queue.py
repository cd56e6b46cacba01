"""The queue page: to students what is theirs and how busy it is, to staff everything but who waits in other courses."""

import hashlib
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.core.paginator import Page, Paginator
from django.db.models import Count, Min, QuerySet

from courseapp.clock import database_now
from courseapp.formats import duration
from courseapp.models import Enrollment
from grading.models import GpuSlot, QueuePause, Run, RunIncident, RunResult
from grading.queries import runs, turns
from grading.queries.budget import Budget, budget
from grading.queries.hosts import hosts
from grading.queries.runs import Wait, state_word
from grading.queries.slots import SlotState, reported
from grading.queries.slots import state as slot_state
from grading.queries.turns import Turn
from grading.runner.devices import STAND_IN

PER_PAGE = 25
HOURS = 24
_AT_WORK_SHOWN = 100
_WITH = ("enrollment", "submission__enrollment", "lab__enrollment", "requested_by", "component__homework")
_DEFER = ("submission__receipt_text", "submission__receipt_signature", "progress")


@dataclass(frozen=True)
class OwnRun:
    run: Run
    state: str
    wait: Wait | None
    """None when it runs."""


@dataclass(frozen=True)
class Load:
    """One queue in numbers. `oldest` is since when the first of those that wait could be claimed."""

    queue: str
    waiting: int
    at_work: int
    oldest: datetime | None = None
    pause: QueuePause | None = None


@dataclass(frozen=True)
class Kind:
    """GPU slots of one kind in numbers; `out` are silent, drained or quarantined."""

    name: str
    free: int
    busy: int
    out: int

    @property
    def stand_in(self) -> bool:
        return self.name == STAND_IN


@dataclass(frozen=True)
class SlotLine:
    """A slot and who has it: `run` only if it is of the reader's course, else `elsewhere` says that it is another's."""

    slot: GpuSlot
    word: str
    tone: str
    run: Run | None
    elsewhere: bool


@dataclass(frozen=True)
class Row:
    """A run as staff see it; of other courses (`elsewhere`) only its place."""

    run: Run
    elsewhere: bool
    place: int | None = None
    starts: str = ""


@dataclass(frozen=True)
class Hour:
    """`waits` in seconds, of those that began, from when they could be claimed."""

    label: str
    ended: int
    median_s: float | None
    longest_s: float | None


@dataclass(frozen=True)
class Day:
    """The last 24 hours, on all machines."""

    hours: Sequence[Hour]
    ended: int
    median_s: float | None
    longest_s: float | None
    outcomes: Sequence[tuple[str, int]]

    @property
    def labels(self) -> list[str]:
        return [hour.label for hour in self.hours]

    @property
    def ended_by_hour(self) -> list[int]:
        return [hour.ended for hour in self.hours]

    @property
    def ended_words(self) -> list[str]:
        return [str(hour.ended) for hour in self.hours]

    @property
    def waits(self) -> list[float | None]:
        return [hour.median_s for hour in self.hours]

    @property
    def most_ended(self) -> str:
        return str(max((hour.ended for hour in self.hours), default=0))

    @property
    def longest_wait(self) -> str:
        return duration(self.longest_s)

    @property
    def longest(self) -> list[float | None]:
        return [hour.longest_s for hour in self.hours]

    @property
    def wait_words(self) -> list[str]:
        return [f"{duration(hour.median_s)}, longest {duration(hour.longest_s)}" for hour in self.hours]


def page(reader: Enrollment, number: str) -> dict[str, Any]:
    return live(reader, number)


def live(reader: Enrollment, number: str) -> dict[str, Any]:
    """What the page shows; `version` changes when any of it does. A constant number of statements."""
    now = database_now()
    found = _staff(reader, number, now) if reader.is_staff else _student(reader, now)
    return found | {"version": _version(found["seen"]), "now": now}


def numbers(pool: str) -> dict[str, int]:
    """How many of a pool wait and are at work. One statement."""
    counted = Run.objects.filter(turns.of_pool(pool), state__in=Run.OPEN).order_by().values_list("state").annotate(Count("pk"))
    states = dict(counted)
    at_work = states.pop(Run.State.RUNNING, 0)
    return {"waiting": sum(states.values()), "at_work": at_work}


def _version(seen: object) -> str:
    return hashlib.sha256(repr(seen).encode()).hexdigest()[:16]


def _student(reader: Enrollment, now: datetime) -> dict[str, Any]:
    open_runs = list(_read(Run.objects.filter(enrollment=reader, state__in=Run.OPEN, rerun=None).order_by("created_at", "pk")))
    waits = runs.waits(open_runs, reader.course.zone)
    own = [OwnRun(run, state_word(run), waits.get(run.pk)) for run in open_runs]
    own.sort(key=lambda one: one.wait.position if one.wait else 0)
    slots = list(reported(now))
    spent = budget(reader, now)
    pauses = turns.pauses()
    loads = _loads(pauses, slots)
    with_gpus = bool(slots) or any(turns.pool(one.run.queue) == "gpu" for one in own) or len(spent.lines) > 1
    kinds = _kinds(slots, now)
    return {
        "headline": _headline(own),
        "own": own,
        "budget": spent if with_gpus else None,
        "loads": loads,
        "kinds": kinds,
        "seen": (
            [(one.run.pk, one.state, one.wait and one.wait.message) for one in own],
            [(load.queue, load.waiting, load.at_work, load.pause and load.pause.reason) for load in loads],
            kinds,
            _spent(spent),
        ),
    }


def _spent(spent: Budget) -> object:
    return [(line.item, line.why, line.minutes) for line in spent.lines]


def _headline(own: Sequence[OwnRun]) -> str:
    at_work = sum(one.wait is None for one in own)
    waiting = len(own) - at_work
    if not own:
        return "Nothing of yours waits"
    if not waiting:
        return "Your run is at work" if at_work == 1 else f"{at_work} of your runs are at work"
    waits = "One run of yours waits" if waiting == 1 else f"{waiting} of your runs wait"
    return f"{waits}, {at_work} {'is' if at_work == 1 else 'are'} at work" if at_work else waits


def _staff(reader: Enrollment, number: str, now: datetime) -> dict[str, Any]:
    pauses = turns.pauses()
    slots = list(reported(now).select_related(*(f"run__{name}" for name in _WITH)).defer(*(f"run__{name}" for name in _DEFER)))
    loads = _loads(pauses, slots)
    lines = [_slot_line(slot, reader, now) for slot in slots]
    machines = hosts({load.queue for load in loads if load.waiting})
    waiting, order = _waiting(reader, number, now, pauses)
    working = [Row(run, _elsewhere(run, reader)) for run in _at_work()]
    incidents = dict(_lately(now))
    return {
        "headline": _staff_headline(loads, pauses),
        "loads": loads,
        "pools": [(name, pauses.get(name), sum(load.waiting for load in loads if turns.pool(load.queue) == name)) for name in turns.POOLS],
        "slots": lines,
        "kinds": _kinds(slots, now),
        "hosts": machines,
        "working": working,
        "page": waiting,
        "day": day(now, reader.course.zone),
        "incidents": [(RunIncident.Kind(kind).label, incidents.get(kind, 0)) for kind in RunIncident.Kind],
        "seen": (
            [(load.queue, load.waiting, load.at_work) for load in loads],
            [(line.slot.pk, line.word, line.slot.run_id) for line in lines],
            [(host.name, host.state) for host in machines.lines],
            [row.run.pk for row in working],
            [(row.run.pk, row.run.state, row.run.note) for row in waiting.object_list],
            len(order),
            sorted((pool, pause.reason) for pool, pause in pauses.items()),
            incidents,
        ),
    }


def _staff_headline(loads: Sequence[Load], pauses: Mapping[str, QueuePause]) -> str:
    if pauses:
        names = " and ".join(name.upper() for name in sorted(pauses))
        return f"The {names} queue is paused" if len(pauses) == 1 else f"The {names} queues are paused"
    waiting, at_work = sum(load.waiting for load in loads), sum(load.at_work for load in loads)
    if not waiting:
        return f"Nothing waits, {at_work} {'run is' if at_work == 1 else 'runs are'} at work" if at_work else "Nothing waits"
    return f"{waiting} {'run waits' if waiting == 1 else 'runs wait'}, {at_work} {'is' if at_work == 1 else 'are'} at work"


def _read(rows: "QuerySet[Run]") -> "QuerySet[Run]":
    return rows.select_related(*_WITH, "slot").defer(*_DEFER)


def _elsewhere(run: Run, reader: Enrollment) -> bool:
    return run.enrollment.course_id != reader.course_id


def _loads(pauses: Mapping[str, QueuePause], slots: Iterable[GpuSlot]) -> list[Load]:
    """Of every queue that something waits or works in, and of those that slots serve. One statement."""
    rows = Run.objects.filter(state__in=Run.OPEN).order_by().values_list("queue", "state").annotate(Count("pk"), Min("not_before"))
    waiting, at_work, oldest = Counter[str](), Counter[str](), dict[str, datetime]()
    for queue, state, many, since in rows:
        if state == Run.State.RUNNING:
            at_work[queue] += many
            continue
        waiting[queue] += many
        if state == Run.State.QUEUED:
            oldest[queue] = since
    names = {"cpu", *waiting, *at_work, *(["gpu"] if list(slots) else [])}
    return [Load(name, waiting[name], at_work[name], oldest.get(name), pauses.get(turns.pool(name))) for name in sorted(names)]


def _kinds(slots: Iterable[GpuSlot], now: datetime) -> list[Kind]:
    states: dict[str, Counter[str]] = {}
    for slot in slots:
        states.setdefault(slot.kind, Counter())[slot_state(slot, now)] += 1
    return [Kind(name, found.pop("free", 0), found.pop("busy", 0), found.total()) for name, found in sorted(states.items())]


_TONES: dict[SlotState, str] = {"free": "good", "busy": "info", "drained": "warn", "quarantined": "bad", "silent": "bad"}


def _slot_line(slot: GpuSlot, reader: Enrollment, now: datetime) -> SlotLine:
    elsewhere = slot.run is not None and _elsewhere(slot.run, reader)
    state = slot_state(slot, now)
    word = "busy, then drained" if state == "busy" and slot.drained else state
    return SlotLine(slot, word, _TONES[state], None if elsewhere else slot.run, elsewhere)


def _waiting(reader: Enrollment, number: str, now: datetime, pauses: Mapping[str, QueuePause]) -> tuple["Page[Any]", dict[int, Turn]]:
    """A page of what waits, in the order of claim: of each pool what may be claimed, then what may not be yet."""
    order = {pk: turn for pool in turns.POOLS for pk, turn in turns.order(pool, now).items()}
    waiting = Run.objects.filter(state__in=Run.WAITING).order_by("not_before", "pk")
    keys = list(waiting.values_list("pk", flat=True))
    known = set(keys)
    ahead = [pk for pk in order if pk in known]
    behind = [pk for pk in keys if pk not in order]
    found = Paginator([*ahead, *behind], PER_PAGE).get_page(number)
    rows = _read(Run.objects.filter(pk__in=list(found.object_list))).in_bulk()
    shown: Page[Any] = found
    shown.object_list = [_row(rows[pk], order.get(pk), reader, pauses) for pk in found.object_list if pk in rows]
    return shown, order


def _row(run: Run, turn: Turn | None, reader: Enrollment, pauses: Mapping[str, QueuePause]) -> Row:
    if turns.pool(run.queue) in pauses:
        starts = "Paused"
    elif turn is None:
        starts = state_word(run).capitalize() if run.state == Run.State.WAITING_RUNTIME else "Not yet"
        if run.short_of_minutes:
            starts = f"Waits for GPU minutes until {run.not_before.astimezone(reader.course.zone):%a %d %b}, or for a grant"
    else:
        words = turns.in_words(turn)
        starts = f"Starts {words}" if words else "Next" if turn.place == 1 else "Waits its turn"
    return Row(run, _elsewhere(run, reader), turn.place if turn else None, starts)


def _at_work() -> "QuerySet[Run]":
    return _read(Run.objects.filter(state=Run.State.RUNNING).order_by("claimed_at", "pk"))[:_AT_WORK_SHOWN]


def _lately(now: datetime) -> "QuerySet[RunIncident, tuple[str, int]]":
    rows = RunIncident.objects.filter(at__gt=now - timedelta(hours=HOURS)).order_by()
    return rows.values_list("kind").annotate(Count("pk"))


_LAB = "lab"
_OUTCOMES = {
    RunResult.Kind.OK: "judged",
    RunResult.Kind.SMOKE: "passed the smoke check",
    RunResult.Kind.STUDENT: "the student’s code failed",
    _LAB: "in the lab",
    RunResult.Kind.ASSIGNMENT: "the assignment’s checks failed",
    RunResult.Kind.SYSTEM: "our failure",
    Run.State.CANCELLED: "cancelled",
    Run.State.SUPERSEDED: "replaced by a rerun",
}


def day(now: datetime, zone: ZoneInfo) -> Day:
    """What ended in the last 24 hours, by the hour that it ended in. One statement."""
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    rows = Run.objects.filter(finished_at__gte=first).order_by()
    ended, waits, outcomes = Counter[int](), dict[int, list[float]](), Counter[str]()
    for at, since, claimed_at, state, kind, lab in rows.values_list(
        "finished_at", "not_before", "claimed_at", "state", "result__kind", "lab"
    ):
        hour = int((at - first).total_seconds() // 3600) if at else 0
        ended[hour] += 1
        outcomes[_LAB if lab and kind in {RunResult.Kind.OK, RunResult.Kind.STUDENT} else kind or state] += 1
        if claimed_at is not None:
            waits.setdefault(hour, []).append(max(0.0, (claimed_at - since).total_seconds()))
    every = [one for of_hour in waits.values() for one in of_hour]
    return Day(
        hours=[_hour(first + timedelta(hours=hour), ended[hour], waits.get(hour, []), zone) for hour in range(HOURS)],
        ended=ended.total(),
        median_s=statistics.median(every) if every else None,
        longest_s=max(every, default=None),
        outcomes=[(words, outcomes[kind]) for kind, words in _OUTCOMES.items() if outcomes[kind]],
    )


def _hour(start: datetime, ended: int, waits: Sequence[float], zone: ZoneInfo) -> Hour:
    return Hour(f"{start.astimezone(zone):%H:%M}", ended, statistics.median(waits) if waits else None, max(waits, default=None))
