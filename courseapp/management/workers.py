"""The processes that judge on one machine: what `workers` and the demo keep running."""

import os
import sys
import threading
from collections.abc import Callable, Iterable

from django.conf import settings
from django.core.management.base import CommandError

from courseapp.management.supervisor import Child
from grading.runner import devices
from grading.runner.devices import Device, DeviceError, DriverError

_CELERY = [sys.executable, "-m", "celery", "-A", "courseapp"]
# Threads: an orderly stop reaches the job of each.
_WORKER = [*_CELERY, "worker", "--pool", "threads", "--without-mingle", "--without-gossip", "--loglevel", "INFO"]


def find_gpus() -> tuple[tuple[Device, ...], str]:
    """What this machine has, and why it cannot tell while the driver of its GPUs fails. Raises CommandError for an unknown GPU_SLOTS."""
    try:
        return devices.find(os.environ), ""
    except DriverError as error:
        return (), str(error)
    except DeviceError as error:
        raise CommandError(str(error)) from error


def await_driver(then: Callable[[], None], stop: threading.Event, every_s: float) -> None:
    """Ask a driver that fails until it answers, then call `then`; or until `stop`."""
    while not stop.wait(every_s):
        if not find_gpus()[1]:
            then()
            return


def runner_host(*arguments: str) -> Child:
    return Child("runner_host", [sys.executable, str(settings.BASE_DIR / "manage.py"), "runner_host", *arguments], niceness=5)


def cpu_worker(at_once: int | None = None) -> Child:
    count = str(at_once or os.cpu_count() or 1)
    return Child("worker-cpu", [*_WORKER, "--queues", "cpu", "--hostname", "cpu@%h", "--concurrency", count])


def gpu_workers(gpus: Iterable[Device]) -> list[Child]:
    """One for each GPU, with that one's UUID in its environment."""
    return [
        Child(
            f"worker-gpu-{number}",
            [*_WORKER, "--queues", f"gpu,gpu.{gpu.kind}", "--hostname", f"gpu{number}@%h", "--concurrency", "1"],
            environ={"GPU_SLOT": gpu.uuid, "CUDA_VISIBLE_DEVICES": gpu.uuid},
        )
        for number, gpu in enumerate(gpus)
        if not gpu.fault
    ]


def system_worker() -> Child:
    return Child("worker-system", [*_WORKER, "--queues", "system", "--hostname", "system@%h", "--concurrency", "1"])


def beat() -> Child:
    return Child("beat", [*_CELERY, "beat", "--loglevel", "INFO", "--pidfile", ""])
