"""What Celery calls. No task carries a run's id: a bell that is lost or doubled changes nothing."""

import logging
import socket
import threading

from celery import shared_task
from celery.signals import worker_shutting_down
from django.conf import settings

from courseapp import bell
from grading import execution
from grading.queries import turns

log = logging.getLogger(__name__)

_stopping = threading.Event()


@worker_shutting_down.connect
def _give_back_when_stopping(**_: object) -> None:
    # Reaches the jobs of a worker with `--pool threads`, which is how the site starts them; others are found by their lease.
    _stopping.set()


def ring_soon(queue: str) -> None:
    """Tell the workers of `queue` that a run waits. Never waits for the broker, and never fails."""
    bell.ring(ring.name, queue, queue)


@shared_task(name="grading.tasks.ring")
def ring(queue: str) -> None:
    """Execute runs of `queue` until none can be claimed; ring for the next worker as soon as the first is.

    Not one run for each bell: a worker whose thread became free looks for the next message up to a second later.
    """
    worker = f"{socket.gethostname()} worker {threading.get_native_id()}"
    slot = settings.GPU_SLOT if turns.pool(queue) == "gpu" else ""
    first = True
    while not _stopping.is_set():
        if execution.work_once(queue, worker, slot=slot, ring=ring_soon, first=first, stopping=_stopping) is not execution.Work.DONE:
            return
        first = False


@shared_task(name="grading.tasks.sweep")
def sweep() -> None:
    for queue in execution.sweep():
        ring_soon(queue)
