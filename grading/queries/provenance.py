"""How a result came about, in plain names, as far as one reader may know it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from courseapp.formats import duration
from grading.models import RunResult
from grading.policy.visibility import Viewer
from grading.runner.devices import STAND_IN

PUBLIC = ("runtime", "runtime_digest", "bundle_digest", "tier", "device")
"""What a student may know. Not the seed, which draws hidden inputs; not the machine; no times that code in a hidden check could set."""

NAMES = {
    "device": "Device",
    "tier": "Sandbox",
    "memory_guard": "Memory watched by",
    "host": "Machine",
    "kernel": "Kernel",
    "seed": "Seed",
}
MARKS = {
    "started": "the checks’ process had started",
    "loaded": "the checks were loaded",
    "student": "the first student process was handed over",
    "first_output": "the student’s code first printed",
    "visible": "the first visible check began",
    "hidden": "the first hidden check began",
    "result": "the first check was judged",
    "ended": "the first student process was let go",
    "done": "the last check was judged",
}
_SHOWN_ELSEWHERE = {"runtime", "runtime_digest", "bundle_digest", "durations"}
_SAID_BY_OTHERS = {"begin"}  # a stage's first check


@dataclass(frozen=True)
class Fact:
    """One line. A `digest` is shown shortened and copied whole; `marks` are moments of the run: how long after its start, and what."""

    name: str
    value: str = ""
    digest: str = ""
    at: datetime | None = None
    marks: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class How:
    """`values` are the runner host's own words for programs, without what the reader may not know; so are `durations` and `seconds`."""

    facts: tuple[Fact, ...]
    values: Mapping[str, Any]
    durations: Mapping[str, float]
    autograder_digest: str
    seconds: float
    took: str


def how_it_was_run(result: RunResult, viewer: Viewer) -> How:
    """The result comes with its run and the run's bundle."""
    run = result.run
    values = {name: value for name, value in result.provenance.items() if viewer.staff or name in PUBLIC}
    autograder = "" if run.lab_id else run.bundle.autograder_digest
    seconds = result.seconds if viewer.staff else max(1, math.ceil(result.seconds))
    took = duration(seconds) if viewer.staff else f"at most {seconds} s"
    durations = _numbers(values.get("durations"))
    facts = [
        Fact("Ended" if run.lab_id else "Judged", at=run.ended_at),
        Fact("Took", took),
        Fact("Runtime", str(values.get("runtime", "")), str(values.get("runtime_digest", ""))),
        Fact("Autograder", digest=autograder),
        Fact("Homework’s files", digest=str(values.get("bundle_digest", ""))),
    ]
    known = [name for name in NAMES if name in values]
    known += [name for name in values if name not in NAMES and name not in _SHOWN_ELSEWHERE]
    facts += [Fact(NAMES.get(name, name.replace("_", " ").capitalize()), _shown(name, values[name])) for name in known]
    if viewer.staff:
        facts.append(Fact("Executed by", run.worker))
        facts.append(Fact("Failed tries before", str(run.attempts) if run.attempts else ""))
        facts.append(Fact("Moments", marks=tuple(_marks(durations))))
    told = tuple(fact for fact in facts if fact.value or fact.digest or fact.at or fact.marks)
    return How(told, values, durations, autograder, seconds, took)


def _shown(name: str, value: object) -> str:
    return f"{STAND_IN}: a stand-in for a GPU, on the processor" if (name, value) == ("device", STAND_IN) else _said(value)


def _said(value: object) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {_said(one)}" for name, one in value.items())
    return str(value)


def _numbers(durations: object) -> dict[str, float]:
    """A result of another version of the runner may hold anything."""
    if not isinstance(durations, Mapping):
        return {}
    return {name: value for name, value in durations.items() if isinstance(value, int | float)}


def _marks(durations: Mapping[str, float]) -> list[tuple[str, str]]:
    """In the order of time."""
    found = sorted((value, name) for name, value in durations.items() if name not in _SAID_BY_OTHERS)
    return [(duration(value), MARKS.get(name, name.replace("_", " "))) for value, name in found]
