"""A warm process and its slots as the host sees them: started, asked to fork, retired, ended. The other side is `zygote_main.py`."""

import errno
import json
import os
import secrets
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from grading.runner.cgroups import Cgroups, Group
from grading.runner.devices import Device
from grading.runner.interpreter import CODE, LIBRARY_LINKS, PACKAGE, Interpreter, trees
from grading.runner.watch import entry

SANDBOX_UID = 64090  # of nobody; the host's processes and files never have it
FIRST_SLOT_UID, SLOTS = 2_100_000_000, 4096  # beyond what distributions, containers, directories and systemd hand out
MEGABYTE = 2**20
SLOT_S = 30.0  # to fork a slot on a busy machine
WARM_UP_S = 180.0  # to import a runtime on a busy machine

_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
_TEXTS = {
    "/etc/passwd": "student:x:1000:1000:student:/tmp:/bin/false\n",
    "/etc/group": "student:x:1000:\n",
    "/etc/hosts": "127.0.0.1 localhost\n",
}
_BOOTSTRAP = f"import sys; sys.path.append({CODE!r}); from grading.runner import zygote_main; zygote_main.main(sys.argv[1])"


class WarmUpError(Exception):
    """The warm process did not come up: the runtime's packages do not import, or it was ended. The text is for staff."""


class LaunchError(Exception):
    """The sandbox could not be built. `number` is the errno of `step`."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


class Slot:
    """A fork of a warm process with a uid, a control group and a network namespace of its own, for one sandbox at a time."""

    def __init__(self, number: int, group: Group | None, *, early: bool) -> None:
        self.number = number
        self.group = group
        self.early = early  # forked before its warm process had imported everything
        self.requests, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)

    def start(self, request: dict[str, object], fds: Sequence[int]) -> None:
        """Have a process forked; `fds` as zygote_main takes them. Raises OSError when the slot has ended."""
        socket.send_fds(self.requests, [json.dumps(request).encode()], list(fds))

    def close(self) -> None:
        """Let it end; its last sandbox is over."""
        self.requests.close()
        self.theirs.close()
        if self.group:
            self.group.close()


class Zygote:
    """A warm process of one interpreter. It lives until `retire`, and until the last sandbox that came from it is closed."""

    def __init__(
        self,
        interpreter: Interpreter,
        modules: Sequence[str],
        later: Sequence[str],
        filter_fd: int,
        numbers: "Numbers",
        cgroups: Cgroups | None,
        device: Device | None = None,
    ) -> None:
        """It can be used when it has imported `modules`; of `later`, it has whatever the runtime has once it is settled."""
        argument: dict[str, object] = {"site": [str(path) for path in interpreter.site], "modules": list(modules), "later": list(later)}
        argument["environment"] = device.environment if device else {}
        command = [str(interpreter.binary), "-I", "-S", "-X", "utf8", "-c", _BOOTSTRAP, json.dumps(argument)]
        self.started = 0
        self._numbers = numbers
        self._cgroups = cgroups
        self._idle: list[Slot] = []
        self._living = 0
        self._retired = False
        self._settled: bool | None = None  # False: it stays as it is
        self._lock = threading.Lock()
        self._warming = threading.Lock()  # held for as long as that takes, so nothing else may wait for it
        self._control, launcher_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._requests, requests_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            self._launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", PACKAGE / "launcher.py", str(launcher_end.fileno())],
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
                socket.send_fds(self._control, [json.dumps(_plan(interpreter, device) | {"argv": command}).encode()], fds)
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

    @property
    def settled(self) -> bool:
        """Whether it has said that it has all that it will have."""
        self._look()
        return self._settled is not None

    def settle(self) -> None:
        """Until it has imported the rest too, or has ended. Slots of before are used no more."""
        deadline = time.monotonic() + WARM_UP_S
        while not self.settled and self.alive and time.monotonic() < deadline:
            select.select([self._requests], [], [], 0.1)

    def _look(self) -> None:
        """Take notice when it says that it is settled."""
        with self._lock:
            if self._settled is not None:
                return
            self._settled = self._report(self._requests).get("settled")
            early, self._idle = (self._idle, []) if self._settled else ([], self._idle)
        for slot in early:
            self.drop_slot(slot)

    def take_slot(self) -> Slot:
        """One that is idle, or a new one. Raises OSError or LaunchError."""
        self._look()
        while True:
            with self._lock:
                slot = self._idle.pop() if self._idle else None
            if slot is None:
                break
            if not select.select([slot.requests], [], [], 0)[0]:
                return slot
            self.drop_slot(slot)  # it says something unasked: it has ended
        number = self._numbers.take()
        try:
            slot = Slot(number, self._cgroups.make() if self._cgroups else None, early=self._settled is None)
        except OSError:
            self._numbers.give_back(number)
            raise
        try:
            with slot.theirs, entry(slot.group) as groups:
                message = json.dumps({"number": number}).encode()
                socket.send_fds(self._requests, [message], [slot.theirs.fileno(), *groups])
            self._await(slot)  # with the other end closed here: if the warm process ends, so does the waiting
        except BaseException:
            self.drop_slot(slot)
            raise
        return slot

    @staticmethod
    def _await(slot: Slot) -> None:
        if not select.select([slot.requests], [], [], SLOT_S)[0]:
            raise LaunchError("a slot was not forked in time", errno.ETIMEDOUT)
        report = Zygote._report(slot.requests)
        if "ready" not in report:
            raise LaunchError(report.get("error", "the warm process was ended"), report.get("errno", errno.EPIPE))

    def put_back(self, slot: Slot) -> None:
        """Its sandbox is over and was let go."""
        with self._lock:
            if not self._retired and not (slot.early and self._settled):
                self._idle.append(slot)
                return
        self.drop_slot(slot)

    def drop_slot(self, slot: Slot) -> None:
        """End a slot that could not be used, or has ended by itself."""
        slot.close()
        self._numbers.give_back(slot.number)

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
            idle, self._idle = self._idle, []
        self.kill()
        for slot in idle:
            self.drop_slot(slot)

    def kill(self) -> None:
        """End it, and with it everything that it forked."""
        self._launcher.kill()  # pid 1 dies with it
        self._launcher.wait()


class Numbers:
    """Gives each slot of a host a number that no other has: the next that is free, from anywhere on, so that none comes back soon."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._next = secrets.randbelow(SLOTS)
        self._lock = threading.Lock()

    def take(self) -> int:
        with self._lock:
            if len(self._used) == SLOTS:
                raise OSError(errno.EAGAIN, f"all {SLOTS} slots of this host are in use")
            while self._next in self._used:
                self._next = (self._next + 1) % SLOTS
            number = self._next
            self._used.add(number)
            self._next = (number + 1) % SLOTS
            return number

    def give_back(self, number: int) -> None:
        with self._lock:
            self._used.discard(number)


def _plan(interpreter: Interpreter, device: Device | None) -> dict[str, object]:
    """What the launcher has to build, but for the command. The files of its GPU are all that a sandbox with one sees beyond others."""
    return {
        "uid": SANDBOX_UID,
        "first_slot_uid": FIRST_SLOT_UID,
        "slots": SLOTS,
        "trees": trees(interpreter),
        "devices": [*_DEVICES, *(device.nodes if device else ())],
        "links": [(str(Path(path).readlink()), path) for path in LIBRARY_LINKS if Path(path).is_symlink()],
        "texts": _TEXTS,
        "scratch_bytes": 16 * MEGABYTE,
        "scratch_files": 256,
    }
