"""The owner of this machine's sandboxes: judges one hand-in per call, each in the thread that asks."""

import contextlib
import fcntl
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from pathlib import Path

from grading.runner import devices, messages, tiers
from grading.runner.devices import Device, DeviceError
from grading.runner.interpreter import exposed, inspect_interpreter
from grading.runner.job import Job
from grading.runner.outcome import Outcome, Progress
from grading.runner.protocol import ProtocolError
from grading.runner.run import Run
from grading.runner.runtimes import Runtime
from grading.runner.script import ScriptRun
from grading.runner.tiers import Refused
from grading.runner.zygote import LaunchError, WarmUpError

HELD_S = 10.0  # for the job before to let go
COMES_BACK_S = 10.0


class Host:
    """Owns the sandboxes of this machine. `tier` says how they are caged, or why nothing runs.

    Nothing is run while one of the folders `private` lies where sandboxes can look. `gpus` are those that it may give to jobs, one job each
    at a time, which the files in `locks` see to; `faults` says by UUID why one is not given out.
    """

    def __init__(self, private: Iterable[Path] = (), *, gpus: Iterable[Device] = (), locks: Path | None = None) -> None:
        self.devices = {device.uuid: device for device in gpus}
        self.faults = {device.uuid: device.fault for device in self.devices.values() if device.fault}
        self._locks = locks
        if self.devices and locks is None:
            raise ValueError("GPUs are given out by locks; name their folder")
        self._in_use: set[str] = set()
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
            with self._held(job.device) as device:
                say, cancel = on_progress or (lambda _progress: None), cancelled or threading.Event()
                kind = ScriptRun if job.script else Run
                with kind(job, self._factory, self.tier, say, cancel, device) as run:
                    return run.execute()
        except (LaunchError, WarmUpError, DeviceError) as error:
            return _system(job, str(error))
        except (OSError, subprocess.SubprocessError, ProtocolError) as error:
            return _system(job, f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._running -= 1

    @contextlib.contextmanager
    def _held(self, uuid: str) -> Iterator[Device | None]:
        """Have a GPU for oneself, by the machine's lock: whatever rows and workers say. Raises DeviceError."""
        if not uuid:
            yield None
            return
        device = self.devices.get(uuid)
        if device is None or self.faults.get(uuid):
            raise DeviceError(self.faults.get(uuid) or f"this machine has no GPU {uuid}")
        with self._lock_file(uuid):
            try:
                yield device
            finally:
                self._look_at(device)

    @contextlib.contextmanager
    def _lock_file(self, uuid: str) -> Iterator[None]:
        assert self._locks is not None
        self._locks.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self._locks / f"{uuid}.lock").open("w") as file:
            deadline = time.monotonic() + HELD_S
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    if time.monotonic() > deadline:
                        raise DeviceError(f"the GPU {uuid} is still held by an earlier job") from None
                    time.sleep(0.02)
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

    def _look_at(self, device: Device) -> None:
        """After a job: a GPU whose memory does not come back, or that does not answer, is not given out again by this host."""
        deadline = time.monotonic() + COMES_BACK_S
        while True:
            try:
                used = devices.used_mb(device, os.environ)
            except DeviceError as error:
                self.faults[device.uuid] = str(error)
                return
            if used is None or used <= devices.LEFT_MB:
                return
            if time.monotonic() > deadline:
                self.faults[device.uuid] = f"{used} MB of its memory are in use {COMES_BACK_S:g} s after its last job."
                return
            time.sleep(0.2)


def _system(job: Job, reason: str) -> Outcome:
    total = sum((spec.points for spec in job.checks), Decimal(0))
    return Outcome("system", Decimal(0), total, 0.0, message=messages.SYSTEM, staff_message=reason)
