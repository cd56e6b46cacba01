"""Who handed in what and when, in a semester that is half over. Drawn from the people's addresses, so always the same for the same week."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Literal
from zoneinfo import ZoneInfo

from courseapp.management.demo.papers import KINDS
from courseapp.management.demo.papers import Kind as Paper
from courseapp.management.demo.samples import Quality, Sample, of_quality

WARMUP, BACKPROP, TRANSFORMER = PLANNED = "hw0-warmup", "hw1-backprop", "hw3-transformer"
STUDENT, LATE, PHD = "student@example.edu", "late@example.edu", "phd@example.edu"
VISITED = {STUDENT, LATE, PHD}

FRESH = 3
"""So many students hand in minutes before the demo starts: their runs are real ones."""
DAYS_LATE = {2: 1, 5: 2, 8: 4, 10: 1, 12: 3}
"""Of the section whose due time is over, by place in the roster."""
MISSING = {6, 13}

WAYS: tuple[tuple[int, tuple[Quality, ...]], ...] = (
    (22, ("correct",)),
    (20, ("partial", "correct")),
    (8, ("broken", "partial", "correct")),
    (6, ("broken", "correct")),
    (24, ("partial",)),
    (14, ("partial", "partial")),
    (6, ("broken",)),
)
"""How people get there, with their weights."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Student:
    email: str
    section: str


@dataclass(frozen=True)
class Times:
    """Of one homework and section; aware."""

    release: datetime
    due: datetime


@dataclass(frozen=True)
class HandIn:
    """Practice has a sample, theory a paper. `fresh`: nobody has judged it yet."""

    email: str
    homework: str
    kind: Literal["theory", "practice"]
    at: datetime
    sample: Sample | None = None
    paper: Paper | None = None
    fresh: bool = False


Samples = Mapping[str, Sample]


def plan(
    students: Sequence[Student],
    times: Mapping[tuple[str, str], Times],
    samples: Mapping[str, Samples],
    now: datetime,
    zone: ZoneInfo,
) -> list[HandIn]:
    """All hand-ins up to `now`, oldest first. `times` by homework and section, `samples` by homework."""
    made: list[HandIn] = []
    for section in sorted({student.section for student in students}):
        for index, student in enumerate(one for one in students if one.section == section):
            made += _warmup(student, times[WARMUP, section], samples[WARMUP], zone)
            backprop = times[BACKPROP, section]
            if backprop.due < now:
                made += _past(student, index, backprop, samples[BACKPROP], zone)
            else:
                made += _under_way(student, index, backprop, samples[BACKPROP], now, zone)
            made += _ahead(student, index, times[TRANSFORMER, section], samples[TRANSFORMER], now, zone)
    return sorted((one for one in made if one.at < now), key=lambda one: (one.at, one.email, one.kind))


def _draw(student: Student, homework: str) -> Random:
    return Random(f"{student.email} {homework}")  # noqa: S311  # made-up data, not a secret


def _warmup(student: Student, times: Times, samples: Samples, zone: ZoneInfo) -> Iterator[HandIn]:
    """Everybody's first homework, but for a few who joined the course afterwards."""
    draw = _draw(student, WARMUP)
    if student.email in VISITED:
        at = times.due + 10 * HOUR if student.email == LATE else _before(times.due, times.release, zone, draw)
        yield HandIn(student.email, WARMUP, "practice", at, sample=samples["correct-plain"])
    elif draw.random() > 0.05:
        yield from _tries(student, WARMUP, samples, _before(times.due, times.release, zone, draw), times.release, draw)


def _past(student: Student, index: int, times: Times, samples: Samples, zone: ZoneInfo) -> Iterator[HandIn]:
    """Homework 1 where it was due: most on time, some up to four days late, two not at all. One waits for its visitor."""
    draw = _draw(student, BACKPROP)
    if index in MISSING and student.email not in VISITED:
        return
    yield HandIn(student.email, BACKPROP, "theory", _before(times.due, times.release, zone, draw), paper=draw.choice(KINDS))
    if student.email == LATE:
        return
    if days := DAYS_LATE.get(index, 0):
        at = times.due + (days - 1) * DAY + draw.uniform(9, 23) * HOUR
        yield HandIn(student.email, BACKPROP, "practice", at, sample=_pick(samples, "correct" if days % 2 else "partial", draw))
    else:
        yield from _tries(student, BACKPROP, samples, _before(times.due, times.release, zone, draw), times.release, draw)


def _under_way(student: Student, index: int, times: Times, samples: Samples, now: datetime, zone: ZoneInfo) -> Iterator[HandIn]:
    """Homework 1 where it is due soon: a third has handed in, a few of them just now."""
    draw = _draw(student, BACKPROP)
    if student.email not in VISITED and index % 3:
        return
    at = _before(now - 2 * HOUR, times.release, zone, draw)
    yield HandIn(student.email, BACKPROP, "theory", at, paper=draw.choice(KINDS))
    if student.email == STUDENT:
        return
    if student.email not in VISITED and index // 3 <= FRESH:
        minutes = timedelta(minutes=4 * (FRESH + 1 - index // 3) - 1)
        yield HandIn(student.email, BACKPROP, "practice", now - minutes, sample=_pick(samples, "correct", draw), fresh=True)
    else:
        yield from _tries(student, BACKPROP, samples, at - HOUR, times.release, draw)


def _ahead(student: Student, index: int, times: Times, samples: Samples, now: datetime, zone: ZoneInfo) -> Iterator[HandIn]:
    """Homework 3, due in three weeks and on GPUs: a few are there already. One visitor has tried twice, and is not done."""
    if student.email == STUDENT:
        for name, ago in (("partial-cuda-only", 5 * HOUR), ("partial-no-positions", 4 * HOUR)):
            yield HandIn(student.email, TRANSFORMER, "practice", now - ago, sample=samples[name])
    elif student.email != LATE and index % 8 == 2:
        draw = _draw(student, TRANSFORMER)
        yield from _tries(student, TRANSFORMER, samples, _before(now - 3 * HOUR, times.release, zone, draw), times.release, draw)


def _tries(student: Student, homework: str, samples: Samples, last: datetime, release: datetime, draw: Random) -> Iterator[HandIn]:
    """One to three hand-ins, the last one at `last`: most people get better."""
    (way,) = draw.choices(WAYS, weights=[weight for weight, _ in WAYS])
    at = last
    for quality in reversed(way[1]):
        yield HandIn(student.email, homework, "practice", at, sample=_pick(samples, quality, draw))
        at = max(release + HOUR, at - draw.uniform(0.2, 5) * HOUR)


def _pick(samples: Samples, quality: Quality, draw: Random) -> Sample:
    return draw.choice(of_quality(samples, quality))


def _before(end: datetime, release: datetime, zone: ZoneInfo, draw: Random) -> datetime:
    """A moment some hours before `end`, when people are awake; after the release in any case."""
    span = end - release
    at = end - min(draw.expovariate(1 / 30) * HOUR + timedelta(minutes=4), span * 0.8)
    asleep = at.astimezone(zone).hour
    return max(at - (asleep + 1) * HOUR, release + span * 0.1) if asleep < 8 else at
