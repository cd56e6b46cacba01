"""The Celery application: it rings bells; the queue of record is the database."""

import os

from celery import Celery
from celery.signals import setup_logging

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "courseapp.settings")

app = Celery("courseapp")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()


@setup_logging.connect
def _as_the_site_logs(**_: object) -> None:
    """Django has set logging up by LOGGING; without a receiver here Celery would add its own."""
