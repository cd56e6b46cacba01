"""Control groups, version 1 or 2, for what sandboxes may use: where this process may make them, and one per slot.

All of a host's groups lie in a folder of its own, so that together they have one share of the processors. Which controllers there are is
found by trying: `memory` bounds and counts memory, `pids` processes; `cpu` shares out the processors, `cpuacct` counts their time.
"""

import contextlib
import itertools
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path("/sys/fs/cgroup")
CONTROLLERS = ("memory", "pids", "cpu", "cpuacct")
SHARES = 335  # of the kernel's 1024, as niceness 5 has: a page and a receipt come before anybody's code
CLOSE_S = 1.0
_FOLDER = "sandboxes-"


@dataclass(frozen=True)
class Cgroups:
    """Where the host's groups are made: for each controller that works, a folder that this process owns. Version 2 has one for all."""

    version: int
    folders: Mapping[str, Path]

    def make(self) -> "Group":
        """A group for a slot. OSError when the kernel refuses."""
        return Group(self)

    def close(self) -> None:
        for folder in set(self.folders.values()):
            with contextlib.suppress(OSError):  # a slot that is still being reaped; the next host's start removes it
                folder.rmdir()


class Group:
    """What one slot, and every job of it, is counted in."""

    _serial = itertools.count()

    def __init__(self, cgroups: Cgroups) -> None:
        serial = next(self._serial)
        self._version = cgroups.version
        self._places = {name: folder / f"slot-{serial}" for name, folder in cgroups.folders.items()}
        self._limits: tuple[int, int] | None = None
        self._behind = False
        made: list[Path] = []
        try:
            for place in sorted(set(self._places.values())):
                place.mkdir()
                made.append(place)
        except OSError:
            for place in made:
                place.rmdir()
            raise

    def has(self, controller: str) -> bool:
        return controller in self._places

    @contextlib.contextmanager
    def entry(self) -> Iterator[Sequence[int]]:
        """Descriptors to which a process writes itself in."""
        # The kernel asks whether the one who opened the file may move a process, not whether the one who writes to it may.
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context((place / "cgroup.procs").open("r+b", buffering=0)) for place in set(self._places.values())]
            yield [file.fileno() for file in files]

    def stand_back(self, *, behind: bool = True) -> None:
        """Have only what other groups leave of the processors; `behind=False`: have a share again."""
        if behind == self._behind or not self.has("cpu"):
            return
        place = self._places["cpu"]
        with contextlib.suppress(OSError):  # less fair then, and nothing else
            if (place / "cpu.idle").exists():
                (place / "cpu.idle").write_text(str(int(behind)))
            elif self._version == 2:
                (place / "cpu.weight").write_text("1" if behind else "100")
            else:
                (place / "cpu.shares").write_text("2" if behind else "1024")
            self._behind = behind

    def limit(self, memory_bytes: int, processes: int) -> None:
        """Set the caps of the next job. The slot itself is one process more."""
        self.stand_back(behind=False)
        if self._limits == (memory_bytes, processes):
            return
        if self.has("memory"):
            place = self._places["memory"]
            if self._version == 2:
                writes = [("memory.max", memory_bytes), ("memory.swap.max", 0)]
            else:
                writes = [("memory.limit_in_bytes", memory_bytes), ("memory.memsw.limit_in_bytes", memory_bytes)]
                if self._limits is not None and memory_bytes > self._limits[0]:
                    writes.reverse()  # memory with swap is never to be less than memory alone
            for name, value in writes:
                if "sw" not in name or (place / name).exists():  # swap may not be counted
                    (place / name).write_text(str(value))
        if self.has("pids"):
            (self._places["pids"] / "pids.max").write_text(str(processes + 1))
        self._limits = (memory_bytes, processes)

    def kills(self) -> int:
        """How many processes the kernel has ended because the group was out of memory."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        return self._number("memory", name, "oom_kill")

    def cpu_s(self) -> float:
        """Seconds of processor time that were used in it so far."""
        if self._version == 2:
            return self._number("cpuacct", "cpu.stat", "usage_usec") / 1e6
        return int((self._places["cpuacct"] / "cpuacct.usage").read_text()) / 1e9

    def _number(self, controller: str, file: str, key: str) -> int:
        lines = (self._places[controller] / file).read_text().splitlines()
        return int(dict(line.split(" ", 1) for line in lines).get(key, "0"))

    def close(self) -> None:
        """Remove it, once the slot has been reaped; what is left after CLOSE_S, the next host's start removes."""
        end = time.monotonic() + CLOSE_S
        left = set(self._places.values())
        while left and time.monotonic() < end:
            for place in tuple(left):
                with contextlib.suppress(OSError):
                    place.rmdir()
                    left.discard(place)
            if left:
                time.sleep(0.002)


def find(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Cgroups | None:
    """Where this process may make groups, tried out; None where no controller can be had."""
    for cgroups in _candidates(root, own):
        working = {name: folder for name, folder in cgroups.folders.items() if _works(cgroups.version, name, folder)}
        if working:
            return Cgroups(cgroups.version, working)
    return None


def _candidates(root: Path, own: Path) -> Iterator[Cgroups]:
    folder = f"{_FOLDER}{os.getpid()}-{secrets.token_hex(4)}"
    first: dict[str, Path] = {}
    second: Path | None = None
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        first |= {name: (root / name).resolve() / path.lstrip("/") / folder for name in controllers.split(",") if name in CONTROLLERS}
        if not controllers:
            second = root / path.lstrip("/")
    if first:
        yield Cgroups(1, first)
    if second is not None:
        # Version 2 lets a group have processes or controlled subgroups: in a delegated unit the host sits beside its sandboxes.
        for place in (second, second.parent) if second.parent.suffix in (".service", ".scope") else (second,):
            controlled = _delegate(place)
            if "cpu" in controlled:
                controlled.append("cpuacct")
            yield Cgroups(2, dict.fromkeys(controlled, place / folder))


def _delegate(group: Path) -> list[str]:
    """Which controllers the groups below `group` can have, switched on for them."""
    found: list[str] = []
    for name in ("memory", "pids", "cpu"):
        control = group / "cgroup.subtree_control"
        with contextlib.suppress(OSError):
            if name not in control.read_text().split():
                control.write_text(f"+{name}")
            if name in control.read_text().split():
                found.append(name)
    return found


def _works(version: int, controller: str, folder: Path) -> bool:
    """Make the host's folder for a controller and a group in it."""
    try:
        folder.mkdir(exist_ok=True)
        if version == 2:
            (folder / "cgroup.subtree_control").write_text(f"+{controller if controller != 'cpuacct' else 'cpu'}")
        elif controller == "cpu":
            (folder / "cpu.shares").write_text(str(SHARES))
        group = Group(Cgroups(version, {controller: folder}))
    except OSError:
        with contextlib.suppress(OSError):
            folder.rmdir()
        return False
    try:
        group.limit(64 * 2**20, 16)
    except OSError:
        return False
    finally:
        group.close()
    return True


def remove_leftovers(cgroups: Cgroups) -> None:
    """Groups of hosts that were killed. A living host may be about to use its own."""
    for folder in set(cgroups.folders.values()):
        for other in folder.parent.glob(f"{_FOLDER}*-*"):
            if not Path("/proc", other.name.split("-")[1]).exists():
                for path in (*(one for one in other.iterdir() if one.is_dir()), other):
                    with contextlib.suppress(OSError):
                        path.rmdir()
