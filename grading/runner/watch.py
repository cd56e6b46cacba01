"""Who notices that a sandbox takes too much memory or time: its control group where there is one, else the host, which adds up and kills.

Resource limits alone do not do it: RLIMIT_DATA counts neither shared memory nor files in a tmpfs, RLIMIT_CPU each process by itself.
A sandbox in which a crowd wants the processors goes behind all others: they would find every processor taken whenever they wake.
"""

import contextlib
import os
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from grading.runner.cgroups import Group

Fault = Literal["", "memory", "cpu", "processes", "forks"]
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_CROWD = 4  # threads that want to run at once, besides what a homework is allowed
_SWARM = 16  # threads that want to run at once, and half of all that it may have: nobody can work beside that
_PARENTS = 3  # of those: whoever needs workers starts them from one process
_LOOKS, _CALM_LOOKS = 2, 40  # in a row at a crowd, and at none
_BLIND_LOOKS = 40  # at a crowd that changes, before its memory is added up


def swarm(processes: int) -> int:
    """How many threads may want to run at once in a sandbox that may have `processes`."""
    return max(_SWARM, processes // 2)


class Watch:
    """Watches one sandbox, from before its first process to its end. Bytes; seconds of processor time of all its processes together."""

    def __init__(self, group: Group | None, *, memory_bytes: int, cpu_s: float, processes: int, threads: int) -> None:
        self._group = group
        self._memory_bytes = memory_bytes
        self._cpu_s = cpu_s
        self._threads = threads
        self._swarm = swarm(processes)
        self._first = 0
        self._pidfd = -1
        self._inherited = 0
        self._used = 0.0
        self._crowded = self._calm = 0
        self._next_sum = 0.0
        self._tasks: list[tuple[int, str]] = []
        self._changes = False
        if group is not None:
            group.limit(memory_bytes, processes)
        self._counts_memory = group is not None and group.has("memory")
        self._counts_time = group is not None and group.has("cpuacct")
        self._kills = group.kills() if group and self._counts_memory else 0
        self._time = group.cpu_s() if group and self._counts_time else 0.0

    def attach(self, pidfd: int, inherited: int) -> None:
        """`pidfd` is the sandbox's first process; what it starts belongs to it. It is this object's from now on.

        `inherited`: its proportional memory in bytes, as it measured it itself before it ran anybody's code.
        """
        self._inherited = inherited
        for line in _read(f"/proc/self/fdinfo/{pidfd}").splitlines():
            if line.startswith("Pid:"):
                self._first = max(0, int(line.split()[1]))  # −1 when it has ended
        self._pidfd = pidfd

    def kill(self) -> None:
        """End everything in the sandbox at once, where its first process is known: a slot may wait long for a processor in a crowd."""
        self.bring_forward()
        if self._pidfd >= 0:
            with contextlib.suppress(OSError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def close(self) -> None:
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1

    def pids(self) -> list[int]:
        return family(self._first)[0] if self._first else []

    def fault(self, scratch: Sequence[int]) -> Fault:
        """Which cap was passed. `scratch`: descriptors of the sandbox's tmpfs directories."""
        pids, parents = family(self._first) if self._first else ([], 0)
        return self._crowd(pids, parents) or self._fault(pids, scratch)

    def last_fault(self, scratch: Sequence[int]) -> Fault:
        """The same, of a sandbox whose processes have ended: their numbers may be others' by now."""
        return self._fault([], scratch)

    def _fault(self, pids: Sequence[int], scratch: Sequence[int]) -> Fault:
        if self._over_memory(pids, scratch):
            return "memory"
        return "cpu" if self.cpu_used(pids) > self._cpu_s else ""

    def bring_forward(self) -> None:
        """Have a share of the processors again; dying takes time of its own."""
        if self._group is not None:
            self._group.stand_back(behind=False)

    def cpu_used(self, pids: Iterable[int] = ()) -> float:
        if self._group is not None and self._counts_time:
            return self._group.cpu_s() - self._time
        self._used = max(self._used, sum(map(_cpu_s, pids)))
        return self._used

    def _over_memory(self, pids: Sequence[int], scratch: Sequence[int]) -> bool:
        if self._group is not None and self._counts_memory:
            return self._group.kills() > self._kills
        used = sum((stat.f_blocks - stat.f_bfree) * stat.f_frsize for stat in map(os.fstatvfs, scratch))
        # Resident pages count a shared page once per process: an upper bound that is cheap to read.
        if used + sum(map(_resident, pids)) <= self._memory_bytes:
            return False
        # Many processes take long to add up, and whoever does it takes the processors from their neighbours, too: a quarter of the time.
        # What forks without end lets nobody look at it for long: such a crowd is to be ended as a swarm before it is looked at.
        began = time.monotonic()
        if began < self._next_sum or (self._changes and 0 < self._crowded < _BLIND_LOOKS):
            return False
        total = used + sum(map(proportional, pids)) - self._inherited
        self._next_sum = time.monotonic() + 3 * (time.monotonic() - began)
        return total > self._memory_bytes

    def _crowd(self, pids: Sequence[int], parents: int) -> Fault:
        """Let a sandbox that has many threads to run at once have what others leave, and end a swarm. What it starts inherits that.

        `parents`: how many of the processes have children. Forks of forks double: that is ended before there are many, since each fork and
        each end holds locks that those of its neighbours need.

        With a group it has its share again when the crowd is gone; an ordinary user may not raise what he has lowered.
        """
        tasks = [(pid, task) for pid in pids for task in _listdir(f"/proc/{pid}/task")]
        most = self._threads + _CROWD - 1
        runnable = sum(_state(pid, task) == "R" for pid, task in tasks) if len(tasks) > most else 0
        self._tasks, self._changes = tasks, tasks != self._tasks
        if runnable > most and parents >= _PARENTS:
            return "forks"
        if runnable > most:
            self._crowded, self._calm = self._crowded + 1, 0
        elif self._crowded:
            self._calm += 1
            if self._crowded < _LOOKS or self._calm >= _CALM_LOOKS:
                self._crowded = 0
                self.bring_forward()
        if self._crowded < _LOOKS:
            return ""
        if runnable > self._swarm:
            return "processes"
        if self._group is not None and self._group.has("cpu"):
            self._group.stand_back()
        elif not self._changes or self._crowded > 2 * _LOOKS:  # who waits for the processors while he forks holds locks that others need
            for _, task in tasks:
                with contextlib.suppress(OSError):  # it has ended
                    os.sched_setscheduler(int(task), os.SCHED_IDLE, os.sched_param(0))
        return ""


@contextlib.contextmanager
def entry(group: Group | None) -> Iterator[Sequence[int]]:
    """Descriptors to which a slot writes itself in, if there are any."""
    if group is None:
        yield []
        return
    with group.entry() as fds:
        yield fds


def descendants(pid: int) -> list[int]:
    return family(pid)[0][1:]


def family(pid: int) -> tuple[list[int], int]:
    """(a process and its descendants, how many of them have children)"""
    found, parents = [pid], 0
    for parent in found:
        tasks = _listdir(f"/proc/{parent}/task")
        children = [int(word) for task in tasks for word in _read(f"/proc/{parent}/task/{task}/children").split()]
        found += children
        parents += bool(children)
    return found, parents


def is_sandboxed(pid: int) -> bool:
    """Whether it is a sandbox's, and none of those that they are forked from: two pid namespaces below this process."""
    return _depth(pid) == _depth("self") + 2


def _depth(pid: int | str) -> int:
    """In how many pid namespaces it has a number; 0 when it has ended."""
    lines = _read(f"/proc/{pid}/status").splitlines()
    return next((len(line.split()) - 1 for line in lines if line.startswith("NSpid:")), 0)


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


def _state(pid: int, task: str) -> str:
    return _read(f"/proc/{pid}/task/{task}/stat").rpartition(")")[2].strip()[:1]


def _cpu_s(pid: int) -> float:
    """Seconds of processor time of a process and of the children that it has waited for."""
    fields = _read(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / _TICKS_PER_S


def _resident(pid: int | str) -> int:
    for place in _threads(pid):
        fields = _read(f"{place}/statm").split()
        if fields and fields[1] != "0":
            return int(fields[1]) * _PAGE
    return 0


def proportional(pid: int | str) -> int:
    """PSS in bytes: pages that several processes share count in parts."""
    for place in _threads(pid):
        for line in _read(f"{place}/smaps_rollup").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)
