"""Sandboxed Python processes, as the host sees them: probe what this machine allows, start one, watch it, kill it.

Every one is forked from a warm process (`zygote_main.py`) that has the runtime imported; there is one per runtime, itself in a cage that
`launcher.py` makes. The fork adds namespaces and scratch space of its own, limits, and `confine.py` the system call filter. There is no
unsafe mode: when the probe does not find every wall standing, nothing runs.
"""

import contextlib
import errno
import functools
import json
import os
import re
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.runner import seccomp
from grading.runner.limits import Limits
from grading.runner.memory import CgroupFiles, ProcessWatch, Watch, find_cgroup, remove_leftovers

OLDEST_KERNEL = (5, 14)  # mount_setattr, and a count of processes per user namespace
SANDBOX_UID = 64090  # of nobody; the host's processes and files never have it
CODE = "/opt/runner"  # where the sandbox finds this package
MEGABYTE = 2**20
SCRATCHES = ("/tmp", "/dev/shm")  # noqa: S108 - inside the sandbox
CLOSE_S = 60.0  # for a killed process to be reported; past it, every job of its warm process is ended too

_PACKAGE = Path(__file__).resolve().parent
_SYSTEM_TREES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/libx32", "/usr/local/lib", "/usr/share/zoneinfo", "/etc/ld.so.cache")
_LIBRARY_LINKS = ("/lib", "/lib32", "/lib64", "/libx32")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_TEXTS = {
    "/etc/passwd": "student:x:1000:1000:student:/tmp:/bin/false\n",
    "/etc/group": "student:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}
_BOOTSTRAP = f"import sys; sys.path.append({CODE!r}); from grading.runner import zygote_main; zygote_main.main(sys.argv[1])"
# The first optimizer would import torch._dynamo, for half a second of every job.
RUNTIME_MODULES = ("numpy", "numpy.random", "torch", "torch._dynamo", "torch.optim", "torch.utils.data", "grading.runner.answering")
WARM_UP_S = 90.0  # to import them on a busy machine
JOBS_PER_ZYGOTE = 2000
RUNTIMES_KEPT_WARM = 4


@dataclass(frozen=True)
class Tier:
    """How runs are caged here. `why_not_better` is empty for the best tier, else says what would lift it."""

    name: str
    why_not_better: str = ""


@dataclass(frozen=True)
class Refused:
    """No tier holds, so nothing runs: why, and what an administrator can do about it."""

    reason: str
    fix: str


@dataclass(frozen=True)
class Interpreter:
    """A Python as a sandbox needs it: the real binary and the folders that it imports from."""

    binary: Path
    libraries: tuple[Path, ...]
    site: tuple[Path, ...]


@dataclass(frozen=True)
class Exit:
    """How a sandbox's first process ended: an exit status, or minus a signal's number."""

    status: int
    cpu_s: float = 0.0


class WarmUpError(Exception):
    """The warm process did not come up: the runtime's packages do not import, or it was ended. The text is for staff."""


class LaunchError(Exception):
    """The sandbox could not be built. `number` is the errno of `step`."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


@functools.lru_cache(maxsize=16)
def inspect_interpreter(python: Path) -> Interpreter:
    """Ask `python` where it lives. It is the runtime's own interpreter, so running it is as safe as having installed it."""
    program = "import json, os, sys; print(json.dumps([os.path.realpath(sys.executable), sys.path]))"
    answer = subprocess.run([python, "-I", "-c", program], capture_output=True, check=True, timeout=30, cwd="/", env={})
    binary, path = json.loads(answer.stdout)
    prefix = Path(binary).parents[1]
    libraries = tuple(folder for name in ("lib", "lib64") if (folder := prefix / name).is_dir() and not folder.is_symlink())
    site = tuple(Path(folder) for folder in path if Path(folder).name in ("site-packages", "dist-packages") and Path(folder).is_dir())
    return Interpreter(Path(binary), libraries, site)


def trees(interpreter: Interpreter) -> list[tuple[str, str]]:
    """(source, path inside) of all that a sandbox sees of the host, outermost first and none twice."""
    sources = [Path(path) for path in _SYSTEM_TREES if Path(path).exists()]
    sources += [Path(path) for path in _LIBRARY_LINKS if Path(path).is_dir() and not Path(path).is_symlink()]
    sources += [interpreter.binary, *interpreter.libraries, *interpreter.site]
    kept: list[Path] = []
    for source in sorted(set(sources), key=lambda path: len(path.parts)):
        if not any(source.is_relative_to(other) for other in kept):
            kept.append(source)
    return [(str(path), str(path)) for path in kept] + [(str(_PACKAGE), f"{CODE}/grading/runner")]


def exposed(interpreter: Interpreter, private: Iterable[Path]) -> str:
    """A sentence about the first folder of `private` that lies in a tree that sandboxes see; empty when none does."""
    for folder in private:
        for source, _ in trees(interpreter):
            if folder.resolve().is_relative_to(Path(source).resolve()):
                return f"{folder} lies below {source}, which every hand-in can read. Move it elsewhere."
    return ""


class Zygote:
    """A warm process of one interpreter. It lives until `retire`, and until the last sandbox that came from it is closed."""

    def __init__(self, interpreter: Interpreter, modules: Sequence[str], filter_fd: int) -> None:
        argument = {"site": [str(path) for path in interpreter.site], "modules": list(modules)}
        command = [str(interpreter.binary), "-I", "-S", "-X", "utf8", "-c", _BOOTSTRAP, json.dumps(argument)]
        self.started = 0
        self._living = 0
        self._retired = False
        self._lock = threading.Lock()
        self._warming = threading.Lock()  # held for as long as that takes, so nothing else may wait for it
        self._control, launcher_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests, requests_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", _PACKAGE / "launcher.py", str(launcher_end.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[launcher_end.fileno()],
                env={},
                cwd="/",
                process_group=0,  # a Ctrl-C is for the host; the session stays the host's, and with it its share of the processors
            )
            with Path(os.devnull).open("r+b") as null:
                fds = [null.fileno()] * 3 + [filter_fd, requests_end.fileno()]
                socket.send_fds(self._control, [json.dumps(_plan(interpreter) | {"argv": command}).encode()], fds)
        except OSError:
            self._control.close()
            self._requests.close()
            raise
        finally:
            launcher_end.close()
            requests_end.close()
        self._ready = False
        self._failure: LaunchError | WarmUpError | None = None

    @property
    def alive(self) -> bool:
        return self._launcher.poll() is None

    def wait(self) -> None:
        """Until it can fork. Raises LaunchError or WarmUpError."""
        with self._warming:
            if not self._ready:
                self._failure = self._failure or self._warmed_up()
            if self._failure:
                raise self._failure
            self._ready = True

    def _warmed_up(self) -> LaunchError | WarmUpError | None:
        """Wait until it is ready; why it will not be."""
        if not select.select([self._requests, self._control], [], [], WARM_UP_S)[0]:
            return WarmUpError(f"The runtime's packages were not imported within {WARM_UP_S:g} s.")
        report = self._report(self._control) or self._report(self._requests)
        if "error" in report:
            return LaunchError(report["error"], report["errno"])
        if "ready" not in report:
            return WarmUpError(report.get("failed") or "The runtime's process ended while its packages were imported.")
        return None

    @staticmethod
    def _report(end: socket.socket) -> dict[str, Any]:
        try:
            message = end.recv(1 << 16, socket.MSG_DONTWAIT)
        except OSError:
            return {}
        report: dict[str, Any] = json.loads(message or b"{}")
        return report

    def start(self, request: dict[str, object], fds: Sequence[int]) -> None:
        """Have a process forked; `fds` as zygote_main takes them. Raises OSError when it has ended."""
        socket.send_fds(self._requests, [json.dumps(request).encode()], list(fds))

    def reserve(self) -> None:
        """Promise it one sandbox more: it does not end before that many were let go."""
        with self._lock:
            self.started += 1
            self._living += 1

    def let_go(self) -> None:
        """One of its sandboxes is closed, or could not be started."""
        with self._lock:
            self._living -= 1
        self._end_if_done()

    def retire(self) -> None:
        """Start no more; it ends with its last sandbox."""
        self._retired = True
        self._end_if_done()

    def _end_if_done(self) -> None:
        with self._lock:
            if not self._retired or self._living or self._control.fileno() < 0:
                return
            self._control.close()
            self._requests.close()
        self.kill()

    def kill(self) -> None:
        """End it, and with it everything that it forked."""
        self._launcher.kill()  # pid 1 dies with it
        self._launcher.wait()


class Sandbox:
    """One sandboxed process. Register `fileno()` for reading and call `poll()` when it is readable."""

    def __init__(self, zygote: Zygote, control: socket.socket, watch: Watch) -> None:
        self._zygote = zygote
        self._control = control
        self._watch = watch
        self._scratch: list[int] = []
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
                return
            report = json.loads(message)
            if "inherited" in report:
                *self._scratch, process = fds
                self._watch.attach(process, report["inherited"])
            elif "error" in report:
                self.error = LaunchError(report["error"], report["errno"])
            elif "exited" in report:
                self.exit = Exit(report["exited"], report["cpu_s"])

    def over_memory(self) -> bool:
        return self._watch.exceeded(self._scratch)

    def kill(self) -> None:
        """Have everything in there killed; `exit` follows."""
        self.killed = True
        with contextlib.suppress(OSError):
            self._control.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Kill, wait, and let go of everything."""
        self.kill()
        deadline = time.monotonic() + CLOSE_S
        while not self.ended:
            if not select.select([self._control], [], [], max(0.0, deadline - time.monotonic()))[0]:
                self._zygote.kill()
            self.poll()
        self._control.close()
        for fd in self._scratch:
            os.close(fd)
        self._scratch = []
        self._watch.close()
        self._zygote.let_go()


class Factory:
    """Starts sandboxes for one host, and keeps a warm process for each interpreter."""

    def __init__(self, cgroup: CgroupFiles | None = None) -> None:
        self.cgroup = cgroup
        self._filter_fd = seccomp.sealed(seccomp.build(), "filter")
        self._zygotes: dict[tuple[Interpreter, tuple[str, ...]], Zygote] = {}
        self._lock = threading.Lock()

    @property
    def memory_guard(self) -> str:
        return f"cgroup v{self.cgroup.version}" if self.cgroup else "process sums"

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
    ) -> Sandbox:
        """Start `grading.runner.<module>.main(argument)` with `fds` as 4, 5, … (3 is the filter).

        Raises OSError, LaunchError, WarmUpError. The first one of an interpreter waits until `modules` are imported.
        """
        memory_bytes = memory_mb * MEGABYTE
        request = {
            "module": module,
            "argument": {"threads": limits.threads, **argument},
            "nested": [target for _, target in trees(interpreter) if target.startswith(tuple(f"{path}/" for path in SCRATCHES))],
            "scratch_bytes": limits.tmp_mb * MEGABYTE + extra_scratch,
            "scratch_files": limits.files,
            "rlimits": _rlimits(limits, memory_mb),
            "grouped": self.cgroup is not None,
        }
        zygote = self._reserved(interpreter, modules)
        with contextlib.ExitStack() as undo:
            undo.callback(zygote.let_go)
            watch: Watch = self.cgroup.make(memory_bytes) if self.cgroup else ProcessWatch(memory_bytes)
            undo.callback(watch.close)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            undo.callback(ours.close)
            with theirs, watch.entry() as group:
                zygote.start(request, [theirs.fileno(), *group, stdout, stderr, *fds])
            ours.setblocking(False)
            undo.pop_all()
        return Sandbox(zygote, ours, watch)

    def _reserved(self, interpreter: Interpreter, modules: tuple[str, ...]) -> Zygote:
        """The interpreter's warm process, ready; started when there is none, or the old one has ended or served for long."""
        key = (interpreter, modules)
        with self._lock:
            zygote = self._zygotes.pop(key, None)
            if zygote and (not zygote.alive or zygote.started >= JOBS_PER_ZYGOTE):
                zygote.retire()
                zygote = None
            zygote = zygote or Zygote(interpreter, modules, self._filter_fd)
            zygote.reserve()
            self._zygotes[key] = zygote  # the last one used is the last in order
            if len(self._zygotes) > RUNTIMES_KEPT_WARM:
                self._zygotes.pop(next(iter(self._zygotes))).retire()
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

    def warm(self, interpreter: Interpreter) -> None:
        """Import the runtime before the first job needs it. Raises as `start` does."""
        self._reserved(interpreter, RUNTIME_MODULES).let_go()

    def close(self) -> None:
        """End the warm processes once their sandboxes are closed."""
        with self._lock:
            for zygote in self._zygotes.values():
                zygote.retire()
            self._zygotes.clear()


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


def _plan(interpreter: Interpreter) -> dict[str, object]:
    """What the launcher has to build, but for the command."""
    return {
        "uid": SANDBOX_UID,
        "trees": trees(interpreter),
        "devices": _DEVICES,
        "links": [(str(Path(path).readlink()), path) for path in _LIBRARY_LINKS if Path(path).is_symlink()],
        "texts": _TEXTS,
        "scratch_bytes": 16 * MEGABYTE,
        "scratch_files": 256,
    }


def probe() -> tuple[Tier | Refused, Factory | None]:
    """Build a sandbox with this process's own Python and look whether every wall stands."""
    if not sys.platform.startswith("linux"):
        return Refused("The sandbox needs Linux.", "Run the runner host on Linux x86-64."), None
    release = os.uname().release
    if tuple(int(number) for number in re.findall(r"\d+", release)[:2]) < OLDEST_KERNEL:
        return Refused(f"Linux {release} is too old for the sandbox.", "Use Linux 5.14 or newer."), None
    try:
        cgroup = find_cgroup()
        if cgroup:
            remove_leftovers(cgroup)
        factory = Factory(cgroup)
    except (RuntimeError, OSError) as error:
        return Refused(f"The system call filter cannot be built: {error}.", "Install libseccomp: apt-get install libseccomp2"), None
    with tempfile.TemporaryFile() as output:
        try:
            sandbox = factory.start(
                "probe_main",
                {},
                interpreter=inspect_interpreter(Path(sys.executable)),
                limits=Limits(cpu_s=10),
                memory_mb=256,
                stdout=output.fileno(),
                stderr=output.fileno(),
                fds=[],
                modules=(),
            )
        except LaunchError as error:
            return explain(error), None
        except (OSError, subprocess.SubprocessError, WarmUpError) as error:
            return Refused(f"No process could be started: {error}.", "Look at the limits of this user: ulimit -a"), None
        try:
            tier = _judge(sandbox, output.fileno())
        finally:
            sandbox.close()
            factory.close()
        return tier, factory


def _judge(sandbox: Sandbox, output: int) -> Tier | Refused:
    while not sandbox.ended:
        if not select.select([sandbox], [], [], 20)[0]:
            return Refused("A trial sandbox did not answer within 20 s.", "Look at the machine's load and try again.")
        sandbox.poll()
    if sandbox.error:
        return explain(sandbox.error)
    said = os.pread(output, 2000, 0).decode(errors="replace").strip()
    if sandbox.exit is None or sandbox.exit.status != 0:
        return Refused(f"A trial sandbox failed: {said or sandbox.exit}.", "Report this with the kernel's version.")
    return Tier("namespaces")


def explain(error: LaunchError) -> Refused:
    """What a refused step means for whoever runs the machine."""
    reason = f"A sandbox could not be built ({error})."
    if error.number == errno.ENOSYS:
        return Refused(reason, "Use Linux 5.14 or newer, and allow its mount calls to this process.")
    if error.step in ("unshare", "uid_map") or error.number in (errno.EPERM, errno.EACCES, errno.ENOSPC, errno.EUSERS):
        for path, wanted, command in (
            ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "0", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
            ("/proc/sys/kernel/unprivileged_userns_clone", "1", "sysctl -w kernel.unprivileged_userns_clone=1"),
        ):
            with contextlib.suppress(OSError):
                if Path(path).read_text().strip() != wanted:
                    return Refused(reason, f"As root: {command}")
        with contextlib.suppress(OSError):
            if Path("/proc/sys/user/max_user_namespaces").read_text().strip() == "0":
                return Refused(reason, "As root: sysctl -w user.max_user_namespaces=15000")
        return Refused(
            reason,
            "Allow user namespaces to this process. In a container: start it with --security-opt seccomp=deploy/seccomp-runner.json "
            "--security-opt apparmor=unconfined --security-opt systempaths=unconfined.",
        )
    return Refused(reason, "Report this with the kernel's version.")
