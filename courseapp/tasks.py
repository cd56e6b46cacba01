"""Background work of the course itself."""

from celery import shared_task

from courseapp.services import outbox, retention


@shared_task(name="courseapp.tasks.send_outbox")
def send_outbox() -> None:
    outbox.send_waiting()


@shared_task(name="courseapp.tasks.apply_retention")
def apply_retention() -> None:
    retention.apply()
