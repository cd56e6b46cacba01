"""Runs of the demo's sample hand-ins, made once by `manage.py record_demo`: loading the demo shows them without running anything.

A recorded run is believed only for the very files and the very bundle that were run.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.runner.outcome import Outcome

Files = Mapping[str, str]
"""Path → SHA-256, of a hand-in."""


@dataclass(frozen=True)
class RecordedRun:
    homework: str
    sample: str
    files: Files
    bundle: str
    seed: int
    outcome: Outcome

    def to_json(self) -> dict[str, Any]:
        outcome = self.outcome.to_json()
        return {
            "homework": self.homework,
            "sample": self.sample,
            "files": dict(self.files),
            "bundle": self.bundle,
            "seed": self.seed,
            "outcome": outcome,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "RecordedRun":
        return cls(**{**data, "outcome": Outcome.from_json(data["outcome"])})


class Recording:
    """The recorded runs, found by what was run."""

    def __init__(self, runs: tuple[RecordedRun, ...] = ()) -> None:
        self.runs = runs
        self._by = {(run.bundle, _key(run.files)): run for run in runs}

    def of(self, bundle: str, files: Files) -> RecordedRun | None:
        return self._by.get((bundle, _key(files)))

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


def _place(run: RecordedRun) -> tuple[str, str]:
    return run.homework, run.sample


def _key(files: Files) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(files.items()))
