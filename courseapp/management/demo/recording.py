"""Runs of the demo's sample hand-ins, made once by `manage.py record_demo`: loading the demo shows them without running anything.

A recorded run is believed only for the very files and the very bundle that were run. Where checks need a GPU there are two of a sample,
as of a hand-in: the smoke check and, if that passes, the run that counts, recorded on a stand-in for a GPU.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grading.runner.curves import Curves, Lines
from grading.runner.outcome import Outcome

Files = Mapping[str, str]
"""Path → SHA-256, of a hand-in."""
Stage = Literal["grade", "smoke"]


@dataclass(frozen=True)
class RecordedRun:
    homework: str
    sample: str
    files: Files
    bundle: str
    seed: int
    outcome: Outcome
    stage: Stage = "grade"

    def to_json(self) -> dict[str, Any]:
        outcome = self.outcome.to_json()
        return {
            "homework": self.homework,
            "sample": self.sample,
            "files": dict(self.files),
            "bundle": self.bundle,
            "seed": self.seed,
            "outcome": outcome,
        } | ({} if self.stage == "grade" else {"stage": self.stage})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RecordedRun":
        return cls(**{**data, "outcome": Outcome.from_json(data["outcome"])})


class Recording:
    """The recorded runs, found by what was run."""

    def __init__(self, runs: tuple[RecordedRun, ...] = ()) -> None:
        self.runs = runs
        self._by: dict[object, RecordedRun] = {(run.bundle, _key(run.files), run.stage): run for run in runs}

    def of(self, bundle: str, files: Files, stage: str = "grade") -> RecordedRun | None:
        return self._by.get((bundle, _key(files), stage))

    def bundles(self, homework: str) -> set[str]:
        """The digests that the homework's runs were recorded with."""
        return {run.bundle for run in self.runs if run.homework == homework}

    @classmethod
    def read(cls, file: Path) -> "Recording":
        """Empty when nothing was recorded yet."""
        if not file.exists():
            return cls()
        return cls(tuple(RecordedRun.from_json(run) for run in json.loads(file.read_text(encoding="utf-8"))["runs"]))

    def write(self, file: Path) -> None:
        """One run a line, so that a change shows which runs came out differently."""
        lines = [json.dumps(run.to_json(), ensure_ascii=False, sort_keys=True) for run in sorted(self.runs, key=_place)]
        file.write_text('{"runs": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")


def curves(outcome: Outcome) -> dict[str, Any]:
    """Of what it printed, as the runner host reads it."""
    found = Curves()
    lines = Lines(found)
    lines.feed(outcome.output.encode())
    lines.end()
    return found.to_json()


def _place(run: RecordedRun) -> tuple[str, str, str]:
    return run.homework, run.sample, run.stage


def _key(files: Files) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(files.items()))
