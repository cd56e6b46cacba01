"""The owner of this machine's sandboxes: judges one hand-in per call, each in the thread that asks."""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from grading.runner import devices, messages, tiers
from grading.runner.devices import Device, DeviceError
from grading.runner.graded import GradedRun
from grading.runner.interpreter import exposed, inspect_interpreter
from grading.runner.job import Cancelled, Job
from grading.runner.outcome import Outcome, Progress
from grading.runner.protocol import ProtocolError
from grading.runner.runtimes import Runtime
from grading.runner.script import ScriptRun
from grading.runner.tiers import Refused
from grading.runner.zygote import LaunchError, WarmUpError

COMES_BACK_S = 10.0
KILLED_S = 10.0
HELD_S = KILLED_S + COMES_BACK_S + devices.QUERY_S  # all that the job before may take to let go
ERRORS = "{count} errors of its memory could not be corrected. Reset it (nvidia-smi --gpu-reset --id={uuid}) or restart the machine."


class _NotGivenError(DeviceError):
    """A GPU is not given to a job that has asked for it, which has no process yet."""


@dataclass
class _Hold:
    """A job's GPU, if it has one, and what became of that while it had it; empty for nothing."""

    device: Device | None = None
    failure: str = ""


class Host:
    """Owns the sandboxes of this machine. `tier` says how they are caged, or why nothing runs.

    Nothing is run while one of the folders `private` lies where sandboxes can look. `gpus` are those that it may give to jobs, one job each
    at a time, which the files in `locks` see to; `faults` says by UUID why one is not given out, until `look_again` finds it well.
    """

    def __init__(self, private: Iterable[Path] = (), *, gpus: Iterable[Device] = (), locks: Path | None = None) -> None:
        self.devices = {device.uuid: device for device in gpus}
        self.faults: dict[str, str] = {}
        self._locks = locks
        if self.devices and locks is None:
            raise ValueError("GPUs are given out by locks; name their folder")
        self._in_use: set[str] = set()
        self._check(self.devices.values())
        self.tier, self._factory = tiers.probe()
        self._private = tuple(private)
        self._running = 0
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """How many jobs are running."""
        return self._running

    @property
    def memory_guard(self) -> str:
        """What bounds the memory of a job; empty where nothing runs."""
        return self._factory.memory_guard if self._factory else ""

    def try_again(self) -> bool:
        """Where no sandbox held, look whether one does by now."""
        if isinstance(self.tier, Refused):
            former = self._factory
            tier, self._factory = tiers.probe()
            self.tier = tier
            if former is not None:
                former.close()
        return not isinstance(self.tier, Refused)

    def warm(self, runtime: Runtime, *, fully: bool = False) -> str:
        """Import a runtime before its first job comes, `fully` with all that jobs may use; says why that cannot be."""
        if self._factory is None:
            return "there is no sandbox"
        try:
            self._factory.warm(inspect_interpreter(runtime.python), fully=fully)
        except (OSError, subprocess.SubprocessError, LaunchError, WarmUpError) as error:
            return str(error)
        return ""

    def close(self) -> None:
        """End the warm processes; what still runs ends first."""
        if self._factory is not None:
            self._factory.close()

    def run(
        self,
        job: Job,
        *,
        on_progress: Callable[[Progress], None] | None = None,
        cancelled: threading.Event | None = None,
    ) -> Outcome:
        """Judge a hand-in. Raises Cancelled when `cancelled` is set before it is done."""
        if isinstance(self.tier, Refused) or self._factory is None:
            refused = self.tier if isinstance(self.tier, Refused) else Refused("there is no sandbox", "")
            return _system(job, f"{refused.reason} {refused.fix}")
        with self._lock:
            self._running += 1
        try:
            if fault := exposed(inspect_interpreter(job.runtime.python), self._private):
                return _system(job, fault)
            say, cancel = on_progress or (lambda _progress: None), cancelled or threading.Event()
            with self._held(job.device, cancel) as hold:
                kind = ScriptRun if job.script else GradedRun
                with kind(job, self._factory, self.tier, say, cancel, hold.device) as run:
                    outcome = run.execute()
            # Only what is seen from outside counts: the student's process may say what it likes of the GPU.
            lost = outcome.kind != "ok" or outcome.points < outcome.max_points
            return _system(job, hold.failure) if hold.failure and lost else outcome
        except _NotGivenError as error:
            return replace(_system(job, str(error)), started=False)
        except (LaunchError, WarmUpError, DeviceError) as error:
            return _system(job, str(error))
        except (OSError, subprocess.SubprocessError, ProtocolError) as error:
            return _system(job, f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._running -= 1

    @contextlib.contextmanager
    def _held(self, uuid: str, cancelled: threading.Event) -> Iterator[_Hold]:
        """Have a GPU for oneself, by the machine's lock: whatever rows and workers say. Raises DeviceError, Cancelled."""
        hold = _Hold(self.devices.get(uuid))
        if not uuid:
            yield hold
            return
        if hold.device is None:
            raise DeviceError(f"this machine has no GPU {uuid}")
        with self._lock_file(uuid, cancelled):
            if fault := self.faults.get(uuid):
                raise _NotGivenError(fault)
            try:
                yield hold
            finally:
                hold.failure = self._look_at(hold.device)

    @contextlib.contextmanager
    def _lock_file(self, uuid: str, cancelled: threading.Event) -> Iterator[None]:
        assert self._locks is not None
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._locks / f"{uuid}.lock").open("w") as file:
            deadline = time.monotonic() + HELD_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise _NotGivenError(f"the GPU {uuid} is still held by an earlier job") from None
                    if cancelled.wait(0.02):
                        raise Cancelled from None
                else:
                    break
            self._in_use.add(uuid)
            try:
                yield
            finally:
                self._in_use.discard(uuid)

    @property
    def in_use(self) -> frozenset[str]:
        """The UUIDs of the GPUs that a job of this host has now."""
        return frozenset(self._in_use)

    def _look_at(self, device: Device) -> str:
        """After a job: how the GPU itself has failed meanwhile. One that has, or whose memory does not come back, is given out no more."""
        deadline = time.monotonic() + COMES_BACK_S
        while True:
            failure, used_mb = _state(device)
            if failure or used_mb <= devices.LEFT_MB:
                break
            if time.monotonic() > deadline:
                self.faults[device.uuid] = f"{used_mb} MB of its memory are in use {COMES_BACK_S:g} s after its last job."
                break
            time.sleep(0.2)
        if failure:
            self.faults[device.uuid] = failure
        return failure

    def look_again(self) -> None:
        """Give those GPUs out again that are well by now: that answer, and whose memory is sound and idle."""
        self._check([self.devices[uuid] for uuid in list(self.faults)])

    def _check(self, gpus: Iterable[Device]) -> None:
        """Note what is wrong with GPUs that no job has."""
        for device in gpus:
            failure, used_mb = _state(device)
            if used_mb > devices.LEFT_MB:
                failure = f"{used_mb} MB of its memory are in use, and no job has it."
            if fault := device.fault or failure:
                self.faults[device.uuid] = fault
            else:
                self.faults.pop(device.uuid, None)


def _state(device: Device) -> tuple[str, int]:
    """(how a GPU has failed, MB of its memory in use). One that has had errors of its memory is never given out, so those are new."""
    try:
        state = devices.look(device, os.environ)
    except DeviceError as error:
        return str(error), 0
    return ERRORS.format(count=state.errors, uuid=device.uuid) if state.errors else "", state.used_mb or 0


def _system(job: Job, reason: str) -> Outcome:
    total = sum((spec.points for spec in job.checks), Decimal(0))
    return Outcome("system", Decimal(0), total, 0.0, message=messages.SYSTEM, staff_message=reason)
