"""The owner of this machine's sandboxes: judges one hand-in per call, each in the thread that asks."""

import subprocess
import threading
from collections.abc import Callable, Iterable
from decimal import Decimal
from pathlib import Path

from grading.runner import messages, tiers
from grading.runner.interpreter import exposed, inspect_interpreter
from grading.runner.job import Job
from grading.runner.outcome import Outcome, Progress
from grading.runner.protocol import ProtocolError
from grading.runner.run import Run
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused
from grading.runner.zygote import LaunchError, WarmUpError


class Host:
    """Owns the sandboxes of this machine. `tier` says how they are caged, or why nothing runs.

    Nothing is run while one of the folders `private` lies where sandboxes can look.
    """

    def __init__(self, private: Iterable[Path] = ()) -> None:
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
            with Run(job, self._factory, self.tier, on_progress or (lambda _progress: None), cancelled or threading.Event()) as run:
                return run.execute()
        except (LaunchError, WarmUpError) as error:
            return _system(job, str(error))
        except (OSError, subprocess.SubprocessError, ProtocolError) as error:
            return _system(job, f"{type(error).__name__}: {error}")
        finally:
            with self._lock:
                self._running -= 1


def _system(job: Job, reason: str) -> Outcome:
    total = sum((spec.points for spec in job.checks), Decimal(0))
    return Outcome("system", Decimal(0), total, 0.0, message=messages.SYSTEM, staff_message=reason)
