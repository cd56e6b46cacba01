"""What can be seen of a job from outside of it: its processes, and the memory that the machine lacks meanwhile."""

import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from grading.runner.watch import is_sandboxed

_SAMPLE_S = 0.02


@dataclass(frozen=True)
class Process:
    """A living process of this machine. `started` (clock ticks since boot) tells it from a later one with its number."""

    pid: int
    name: str
    parent: int
    started: int


def processes() -> dict[int, Process]:
    """Every process that /proc shows, less those that are dead and not buried yet."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a hundred times a second
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:  # it has ended meanwhile
            continue
        name = text[text.index("(") + 1 : text.rindex(")")]
        fields = text[text.rindex(")") + 2 :].split()
        if fields[0] not in "ZX":
            found[int(entry)] = Process(int(entry), name, int(fields[1]), int(fields[19]))
    return found


def descendants(of: int, among: dict[int, Process]) -> set[Process]:
    children: dict[int, list[Process]] = {}
    for process in among.values():
        children.setdefault(process.parent, []).append(process)
    found: set[Process] = set()
    waiting = [of]
    while waiting:
        below = children.get(waiting.pop(), [])
        found.update(below)
        waiting += [process.pid for process in below]
    return found


def jobs(among: dict[int, Process]) -> set[Process]:
    """What runs in the sandboxes of this process's host. What these are forked from is the host's own, and lives on from job to job."""
    return {process for process in descendants(os.getpid(), among) if is_sandboxed(process.pid)}


def living(mark: str, known: Iterable[Process]) -> set[Process]:
    """Processes of jobs that are not among `known`, and whatever carries the name `mark`, wherever it is."""
    now = processes()
    return {process for process in now.values() if process.name == mark} | (jobs(now) - set(known))


def available_mb() -> float:
    """The memory that the kernel could give out, MemAvailable: what a job takes in any way, also in pipes and sockets, is missing in it."""
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) / 1024
    raise OSError("/proc/meminfo has no line MemAvailable")


class MemoryTaken:
    """How much less memory was available at worst, against the beginning: `with MemoryTaken() as memory: …; memory.most_mb`."""

    def __enter__(self) -> "MemoryTaken":
        self.before_mb = self._least = available_mb()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._sample)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._over.set()
        self._thread.join()

    def _sample(self) -> None:
        while not self._over.wait(_SAMPLE_S):
            self._least = min(self._least, available_mb())

    @property
    def most_mb(self) -> float:
        return max(self.before_mb - self._least, 0.0)
