"""How long `autograde` takes for many hand-ins of homework 1, from the command to its last result."""

import itertools
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

BAR_S = {200: 25.0}
_HOMEWORK = Path("examples/ds-ga-1008/hw1-backprop")
_SAMPLES = Path("examples/ds-ga-1008/demo/hw1-backprop")


@dataclass(frozen=True)
class Row:
    """`n` different hand-ins, all checks of each, `jobs` at a time; starting the command and the warm process is part of `seconds`."""

    n: int
    jobs: int
    seconds: float

    @property
    def holds(self) -> bool:
        return self.seconds <= BAR_S.get(self.n, float("inf"))

    def __str__(self) -> str:
        bar = f"  (bar {BAR_S[self.n]:g} s: {'held' if self.holds else 'MISSED'})" if self.n in BAR_S else ""
        return f"{self.n:>4} hand-ins, {self.jobs} at a time: {self.seconds:6.1f} s{bar}"


def run(*, counts: list[int], jobs: int, say: Callable[[str], None]) -> list[Row]:
    rows = []
    for count in counts:
        say(f"{count} hand-ins of {_HOMEWORK.name}.")
        rows.append(_measure(count, jobs))
    return rows


def _measure(count: int, jobs: int) -> Row:
    samples = sorted((settings.BASE_DIR / _SAMPLES).glob("correct-*/mlp.py"))
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for number, sample in zip(range(count), itertools.cycle(samples), strict=False):
            path = Path(folder) / str(number) / "mlp.py"
            path.parent.mkdir()
            shutil.copy(sample, path)
            with path.open("a") as file:
                file.write(f"# {number}\n")  # another digest, so other inputs
            paths.append(str(path.parent))
        command = [sys.executable, "manage.py", "autograde", str(_HOMEWORK), *paths, "--json", "--jobs", str(jobs)]
        began = time.monotonic()
        said = subprocess.run(command, cwd=settings.BASE_DIR, capture_output=True, text=True, check=False)
        seconds = time.monotonic() - began
    outcomes = json.loads(said.stdout or "[]")
    if len(outcomes) != count or any(outcome["points"] != outcome["max_points"] for outcome in outcomes):
        raise CommandError(f"Not every hand-in was judged as right.\n{said.stderr[-2000:]}")
    return Row(count, jobs, round(seconds, 1))
