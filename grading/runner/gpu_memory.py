"""A GPU's memory: whether the student's code ran out of it, and how much its processes have, as the driver sees it.

Inside, PyTorch keeps to a limit that the student's process has set before any of its code runs (`answering.py`). That code can undo it, so
the host reads what `nvidia-smi` tells about a second apart, and ends what has more.
"""

import logging
import os
import re
import threading
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

from grading.runner import devices
from grading.runner.devices import Device, DeviceError

log = logging.getLogger(__name__)

READ_S = 1.0
CONTEXT_MB = 1024  # what CUDA and its libraries take in each process, and PyTorch's limit does not count
_RAN_OUT = re.compile(
    r"\b(CUDA|HIP) (error: )?out of memory\b"
    r"|\b(CUBLAS|CUDNN|CUSOLVER|CUSPARSE)_STATUS_ALLOC_FAILED\b"
    r"|\bCUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED\b"
    r"|\bCUFFT_ALLOC_FAILED\b"
)
_ASKED = re.compile(r"\bTried to allocate (\d{1,6}(?:\.\d{1,2})? (?:bytes|[KMGT]iB))")
_CLASSES = {"torch.OutOfMemoryError", "torch.cuda.OutOfMemoryError"}  # since PyTorch 2.5, and before


def ran_out(error: BaseException) -> bool:
    """Whether an exception means that a GPU had no memory left. Whoever raised it may lie: good for a message, and nothing else."""
    if any(f"{cls.__module__}.{cls.__qualname__}" in _CLASSES for cls in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and _RAN_OUT.search(str(error)) is not None


def asked_for(text: str) -> str:
    """ "2.00 GiB" of what PyTorch says when it has not got it; empty when the text does not say."""
    found = _ASKED.search(text)
    return found[1] if found else ""


@dataclass(frozen=True)
class Reading:
    """MB in use of one GPU: of all, None where nobody can tell, and by process where the driver tells that. `before`: when it was idle."""

    total: int | None = None
    by_process: Mapping[int, int] = field(default_factory=dict)
    before: int = 0


def over(reading: Reading, *, at_work: Sequence[Set[int]], waiting: int, limit_mb: int) -> list[bool]:
    """Of each sandbox `at_work`, given by its processes, whether it has more than it may.

    Where the driver names none of the processes (it sees other numbers than a container does), what is in use of the whole GPU since before
    the run is theirs, and that of the `waiting` ones, which have a context and run nobody's code yet.
    """
    found = [[reading.by_process[pid] for pid in pids if pid in reading.by_process] for pids in at_work]
    if any(found) or reading.total is None:
        return [sum(used) > limit_mb + CONTEXT_MB * len(used) for used in found]
    most = (limit_mb + CONTEXT_MB) * len(at_work) + CONTEXT_MB * waiting
    return [reading.total - reading.before > most] * len(at_work)


class Reader(threading.Thread):
    """Reads one GPU's memory again and again, beside the loop of a run, which must not wait for the driver."""

    def __init__(self, device: Device) -> None:
        super().__init__(name=f"memory of {device.uuid}", daemon=True)
        self._device = device
        self._over = threading.Event()
        self._latest: Reading | None = None

    def take(self) -> Reading | None:
        """The latest reading; each is taken once."""
        reading, self._latest = self._latest, None
        return reading

    def run(self) -> None:
        before: int | None = None
        while not self._over.is_set():
            try:
                total = devices.look(self._device, os.environ).used_mb
                if total is None:
                    return
                before = min(total, devices.LEFT_MB) if before is None else before
                self._latest = Reading(total, devices.used_by_process(self._device, os.environ), before)
            except DeviceError as error:  # whether the GPU is still there is looked at after the run
                log.warning("%s", error)
            self._over.wait(READ_S)

    def stop(self) -> None:
        self._over.set()
