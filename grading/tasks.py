"""What Celery calls. No task carries a run's id: a bell that is lost or doubled changes nothing."""

from celery import shared_task

from courseapp import bell
from grading import execution


def ring_soon(queue: str) -> None:
    """Tell the workers of `queue` that a run waits. Never waits for the broker, and never fails."""
    bell.ring("grading.tasks.ring", queue, queue)


@shared_task(name="grading.tasks.sweep")
def sweep() -> None:
    for queue in execution.sweep():
        ring_soon(queue)
