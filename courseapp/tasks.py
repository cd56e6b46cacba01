"""Background work of the course itself."""

from celery import shared_task

from courseapp.services import outbox


@shared_task(name="courseapp.tasks.send_outbox")
def send_outbox() -> None:
    outbox.send_waiting()
