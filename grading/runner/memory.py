"""Who notices that a sandbox takes too much memory: a memory cgroup where one can be made, else the host, which adds up and kills.

Resource limits alone do not do it: RLIMIT_DATA counts neither shared memory nor files in a tmpfs.
"""

import contextlib
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

_CGROUP_ROOT = Path("/sys/fs/cgroup")


class Watch(Protocol):
    """Watches one sandbox from before its first process to its end."""

    def entry(self) -> AbstractContextManager[Sequence[int]]:
        """A descriptor to which the sandbox's first process writes itself in, if there is one."""

    def attach(self, pidfd: int, inherited: int) -> None:
        """`pidfd` is the sandbox's first process; what it starts belongs to it. It is closed here.

        `inherited`: its proportional memory in bytes, as it measured it itself before it ran anybody's code.
        """

    def exceeded(self, scratch: Sequence[int]) -> bool:
        """Whether the limit was passed. `scratch`: descriptors of the sandbox's tmpfs directories."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class CgroupFiles:
    """The names of cgroup v1 or v2 for the same things."""

    version: int
    limit: str
    swap: str
    swap_value: str  # "" = the same as the limit
    events: str
    group: Path

    def make(self, limit_bytes: int) -> "CgroupWatch":
        path = self.group / f"sandbox-{os.getpid()}-{secrets.token_hex(4)}"
        path.mkdir()
        try:
            (path / self.limit).write_text(str(limit_bytes))
            if (path / self.swap).exists():
                (path / self.swap).write_text(self.swap_value or str(limit_bytes))
        except OSError:
            path.rmdir()
            raise
        return CgroupWatch(path, self)


class CgroupWatch:
    """The kernel kills; this reads that it did. Pages shared with the warm process are counted where they were made, not here."""

    def __init__(self, path: Path, files: CgroupFiles) -> None:
        self.path = path
        self._files = files

    @contextlib.contextmanager
    def entry(self) -> Iterator[Sequence[int]]:
        # The kernel asks whether the one who opened the file may move a process, not whether the one who writes to it may.
        with (self.path / "cgroup.procs").open("r+b", buffering=0) as file:
            yield [file.fileno()]

    def attach(self, pidfd: int, inherited: int) -> None:  # noqa: ARG002 - the kernel counts from the start
        os.close(pidfd)

    def exceeded(self, scratch: Sequence[int]) -> bool:  # noqa: ARG002 - the kernel counts tmpfs itself
        events = dict(line.split(" ", 1) for line in (self.path / self._files.events).read_text().splitlines())
        return int(events.get("oom_kill", "0")) > 0

    def close(self) -> None:
        with contextlib.suppress(OSError):  # a process that is still being reaped; the next host's start removes it
            self.path.rmdir()


class ProcessWatch:
    """Adds up the proportional memory (PSS) of a sandbox's processes and what its tmpfs hold, less what it was forked with."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self._first = 0
        self._inherited = 0

    @contextlib.contextmanager
    def entry(self) -> Iterator[Sequence[int]]:
        yield []

    def attach(self, pidfd: int, inherited: int) -> None:
        self._inherited = inherited
        for line in _read(f"/proc/self/fdinfo/{pidfd}").splitlines():
            if line.startswith("Pid:"):
                self._first = max(0, int(line.split()[1]))  # −1 when it has ended
        os.close(pidfd)

    def exceeded(self, scratch: Sequence[int]) -> bool:
        used = sum((stat.f_blocks - stat.f_bfree) * stat.f_frsize for stat in map(os.fstatvfs, scratch))
        pids = [self._first, *_descendants(self._first)] if self._first else []
        # Resident pages count a shared page once per process: an upper bound that is cheap to read.
        if used + sum(map(_resident, pids)) <= self._limit:
            return False
        return used + sum(map(proportional, pids)) - self._inherited > self._limit

    def close(self) -> None:
        pass


def find_cgroup(root: Path = _CGROUP_ROOT, own: Path = Path("/proc/self/cgroup")) -> CgroupFiles | None:
    """Where this process may make memory cgroups, tried out, or None."""
    for files in _candidates(root, own):
        try:
            files.make(64 * 2**20).close()
        except OSError:
            continue
        return files
    return None


def _candidates(root: Path, own: Path) -> list[CgroupFiles]:
    found = []
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            group = root / "memory" / path.lstrip("/")
            found.append(CgroupFiles(1, "memory.limit_in_bytes", "memory.memsw.limit_in_bytes", "", "memory.oom_control", group))
        elif not controllers:
            group = root / path.lstrip("/")
            # Version 2 lets a group have processes or controlled subgroups: in a delegated unit the host sits beside its sandboxes.
            for place in (group, group.parent) if group.parent.suffix in (".service", ".scope") else (group,):
                if _controls_memory(place):
                    found.append(CgroupFiles(2, "memory.max", "memory.swap.max", "0", "memory.events", place))
    return found


def _controls_memory(group: Path) -> bool:
    control = group / "cgroup.subtree_control"
    try:
        if "memory" not in control.read_text().split():
            control.write_text("+memory")
        return "memory" in control.read_text()
    except OSError:
        return False


def remove_leftovers(files: CgroupFiles) -> None:
    """Groups of hosts that were killed. A living host may be about to use its own."""
    for path in files.group.glob("sandbox-*-*"):
        if not os.path.exists(f"/proc/{path.name.split('-')[1]}"):
            with contextlib.suppress(OSError):
                path.rmdir()


def _descendants(pid: int) -> list[int]:
    found: list[int] = []
    waiting = [pid]
    while waiting:
        parent = waiting.pop()
        for task in _listdir(f"/proc/{parent}/task"):
            children = [int(word) for word in _read(f"/proc/{parent}/task/{task}/children").split()]
            found += children
            waiting += children
    return found


def _listdir(path: str) -> list[str]:
    try:
        return os.listdir(path)
    except OSError:  # the process has ended
        return []


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def _threads(pid: int | str) -> Iterator[str]:
    """Where the memory of `pid` may be read: a first thread that has ended shows none, though the others live on in it."""
    yield f"/proc/{pid}"
    for task in _listdir(f"/proc/{pid}/task"):
        yield f"/proc/{pid}/task/{task}"


def _resident(pid: int | str) -> int:
    for place in _threads(pid):
        fields = _read(f"{place}/statm").split()
        if fields and fields[1] != "0":
            return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def proportional(pid: int | str) -> int:
    """PSS in bytes: pages that several processes share count in parts."""
    for place in _threads(pid):
        for line in _read(f"{place}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)
