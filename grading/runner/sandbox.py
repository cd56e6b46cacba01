"""Sandboxed Python processes, as the host sees them: start one, watch it, kill it.

Every one is forked from a warm process (`zygote_main.py`) that has the runtime imported; there is one per runtime, itself in a cage that
`launcher.py` makes. The fork adds namespaces and scratch space of its own, limits, and `confine.py` the system call filter. There is no
unsafe mode: when the probe (`tiers.py`) does not find every wall standing, nothing runs.
"""

import contextlib
import errno
import json
import os
import select
import socket
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from grading.runner import seccomp
from grading.runner.cgroups import Cgroups
from grading.runner.devices import Device
from grading.runner.interpreter import Interpreter, trees
from grading.runner.limits import Limits
from grading.runner.watch import Fault, Watch
from grading.runner.zygote import MEGABYTE, LaunchError, Numbers, Slot, WarmUpError, Zygote

SCRATCHES = ("/tmp", "/dev/shm")  # noqa: S108 - inside the sandbox
CPU_SLACK_S = 1.0  # for what starts and ends a process
CLOSE_S = 60.0  # for a killed process to be reported; past it, every job of its warm process is ended too
RUNTIME_MODULES = (
    "numpy",
    "numpy.random",
    "torch",
    "torch.optim",
    "torch.utils.data",
    "grading.runner.answering",
    "grading.runner.checker_main",
    "grading.runner.checks",
    "grading.runner.script_main",
    "grading.runner.student_main",
)
# What many hand-ins use takes long to import, too: the first optimizer would import torch._dynamo.
LATER_MODULES = ("torch._dynamo", "matplotlib.pyplot", "pandas")
JOBS_PER_ZYGOTE = 2000
RUNTIMES_KEPT_WARM = 4  # besides one for each GPU
_Key = tuple[Interpreter, tuple[str, ...], Device | None]  # with the modules that a job needs, and its GPU


@dataclass(frozen=True)
class Exit:
    """How a sandbox's first process ended: an exit status, or minus a signal's number."""

    status: int
    cpu_s: float = 0.0


class Sandbox:
    """One sandboxed process. Register `fileno()` for reading and call `poll()` when it is readable."""

    def __init__(self, zygote: Zygote, slot: Slot, control: socket.socket, watch: Watch) -> None:
        self._zygote = zygote
        self._slot = slot
        self._control = control
        self._watch = watch
        self._scratch: list[int] = []
        self._last_fault: Fault = ""
        self.killed = False
        self.exit: Exit | None = None
        self.error: LaunchError | None = None

    def fileno(self) -> int:
        return self._control.fileno()

    @property
    def ended(self) -> bool:
        return self.exit is not None or self.error is not None

    def poll(self) -> None:
        """Take what is reported; sets `exit` or `error` when it is over."""
        while not self.ended:
            try:
                message, fds, _, _ = socket.recv_fds(self._control, 4096, 4)
            except BlockingIOError:
                return
            except OSError:
                message, fds = b"", []
            if not message:
                self.error = LaunchError("the warm process was ended", errno.EPIPE)
                break
            report = json.loads(message)
            if "inherited" in report:
                *self._scratch, process = fds
                self._watch.attach(process, report["inherited"])
            elif "error" in report:
                self.error = LaunchError(report["error"], report["errno"])
            elif "exited" in report:
                self.exit = Exit(report["exited"], report["cpu_s"])
        self._let_go_of_scratch()

    def _let_go_of_scratch(self) -> None:
        """What it wrote is memory for as long as somebody holds a descriptor of it."""
        if self._scratch:
            self._last_fault = self._watch.last_fault(self._scratch)
        for fd in self._scratch:
            os.close(fd)
        self._scratch = []
        self._watch.close()

    def pids(self) -> list[int]:
        """The numbers of its processes, as this process sees them."""
        return [] if self.ended else self._watch.pids()

    def fault(self) -> Fault:
        """Which of its caps it has passed."""
        return self._last_fault if self.ended else self._watch.fault(self._scratch)

    def kill(self) -> None:
        """Have everything in there killed; `exit` follows."""
        self.killed = True
        self._watch.kill()
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Kill, wait, and let go of everything."""
        self.kill()
        deadline = time.monotonic() + CLOSE_S
        while not self.ended:
            if not select.select([self._control], [], [], max(0.1, deadline - time.monotonic()))[0]:
                self._zygote.kill()
            self.poll()
        self._control.close()
        if self.error and self.error.number == errno.EPIPE:  # nobody is left to fork another
            self._zygote.drop_slot(self._slot)
        else:
            self._zygote.put_back(self._slot)
        self._zygote.let_go()


class Factory:
    """Starts sandboxes for one host, and keeps a warm process for each interpreter."""

    def __init__(self, cgroups: Cgroups | None = None) -> None:
        self.cgroups = cgroups
        self._numbers = Numbers()
        self._filter_fd = seccomp.sealed(seccomp.build(), "filter")
        self._zygotes: dict[_Key, Zygote] = {}
        self._successors: dict[_Key, Zygote] = {}
        self._lock = threading.Lock()

    @property
    def memory_guard(self) -> str:
        return f"cgroup v{self.cgroups.version}" if self.cgroups and "memory" in self.cgroups.folders else "process sums"

    def start(
        self,
        module: str,
        argument: dict[str, object],
        *,
        interpreter: Interpreter,
        limits: Limits,
        memory_mb: int,
        stdout: int,
        stderr: int,
        fds: Sequence[int],
        extra_scratch: int = 0,
        modules: tuple[str, ...] = RUNTIME_MODULES,
        device: Device | None = None,
    ) -> Sandbox:
        """Start `grading.runner.<module>.main(argument)` with `fds` as 4, 5, … (3 is the filter).

        Raises OSError, LaunchError, WarmUpError. The first one of an interpreter waits until `modules` are imported.
        """
        request = {
            "module": module,
            "argument": {"threads": limits.threads, **argument},
            "nested": [target for _, target in trees(interpreter) if target.startswith(tuple(f"{path}/" for path in SCRATCHES))],
            "scratch_bytes": limits.tmp_mb * MEGABYTE + extra_scratch,
            "scratch_files": limits.files,
            "rlimits": _rlimits(limits, memory_mb),
            "counted": "memory" in self.cgroups.folders if self.cgroups else False,
        }
        zygote = self._reserved((interpreter, modules, device))
        with contextlib.ExitStack() as undo:
            undo.callback(zygote.let_go)
            slot = zygote.take_slot()
            undo.callback(zygote.drop_slot, slot)
            watch = Watch(
                slot.group,
                memory_bytes=memory_mb * MEGABYTE,
                cpu_s=limits.cpu_s + CPU_SLACK_S,
                processes=limits.processes,
                threads=limits.threads,
            )
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs:
                slot.start(request, [theirs.fileno(), stdout, stderr, *fds])
            ours.setblocking(False)
            undo.pop_all()
        return Sandbox(zygote, slot, ours, watch)

    def _reserved(self, key: _Key) -> Zygote:
        """The interpreter's warm process, ready; started when there is none, or the old one has ended or served for long."""
        with self._lock:
            zygote = self._current(key)
            zygote.reserve()
            self._zygotes[key] = zygote  # the last one used is the last in order
            without_gpu = [other for other in self._zygotes if other[2] is None]
            if len(without_gpu) > RUNTIMES_KEPT_WARM:
                self._zygotes.pop(without_gpu[0]).retire()
        try:
            zygote.wait()
        except (LaunchError, WarmUpError):
            with self._lock:
                if self._zygotes.get(key) is zygote:
                    del self._zygotes[key]
            zygote.retire()
            zygote.let_go()
            raise
        return zygote

    def _current(self, key: _Key) -> Zygote:
        """The warm process to fork from, taken out of the table. One that has served long goes on until its successor is settled."""
        zygote = self._zygotes.pop(key, None)
        if zygote and not zygote.alive:
            zygote.retire()
            zygote = None
        if zygote and zygote.started >= JOBS_PER_ZYGOTE:
            successor = self._successors.get(key)
            if successor is None or not successor.alive:
                self._successors[key] = self._new(key)
                threading.Thread(target=_prepare, args=[self._successors[key]], daemon=True).start()
            elif successor.settled:
                zygote.retire()
                zygote = None
        return zygote or self._successors.pop(key, None) or self._new(key)

    def _new(self, key: _Key) -> Zygote:
        interpreter, modules, device = key
        return Zygote(interpreter, modules, LATER_MODULES if modules else (), self._filter_fd, self._numbers, self.cgroups, device)

    def warm(self, interpreter: Interpreter, *, fully: bool) -> None:
        """Import the runtime before the first job needs it; `fully`, also what only some need. Raises as `start` does."""
        zygote = self._reserved((interpreter, RUNTIME_MODULES, None))
        if fully:
            zygote.settle()
        zygote.let_go()

    def close(self) -> None:
        """Leave nothing behind, once the sandboxes are closed."""
        self.cool()
        if self.cgroups:
            self.cgroups.close()
        if self._filter_fd >= 0:
            os.close(self._filter_fd)
            self._filter_fd = -1

    def cool(self) -> None:
        """End the warm processes once their sandboxes are closed."""
        with self._lock:
            for zygote in (*self._zygotes.values(), *self._successors.values()):
                zygote.retire()
            self._zygotes.clear()
            self._successors.clear()


def _prepare(zygote: Zygote) -> None:
    """Wait until it can take over; where it cannot, it has ended, and another is started for the next job."""
    zygote.reserve()
    with contextlib.suppress(LaunchError, WarmUpError):
        zygote.wait()
        zygote.settle()
    zygote.let_go()


def _rlimits(limits: Limits, memory_mb: int) -> dict[str, int]:
    return {
        "RLIMIT_CPU": int(limits.cpu_s) + 1,
        # Reserved address space is not used memory: the memory watch decides first, this bounds what it can miss.
        "RLIMIT_DATA": (memory_mb + 512) * MEGABYTE,
        "RLIMIT_FSIZE": limits.file_mb * MEGABYTE,
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_NOFILE": 256,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 512,
        "RLIMIT_STACK": 64 * MEGABYTE,
    }
