"""What ends in grading when somebody leaves the course."""

from typing import Any

from django.dispatch import receiver

from courseapp.models import Enrollment
from courseapp.services.people import dropped
from grading.services import runs


@receiver(dropped)
def end_runs(enrollment: Enrollment, **_: Any) -> None:
    """What they handed in stays, and their runs end. Reruns of many are the staff’s and go on, whoever leaves."""
    runs.cancel_all(student=enrollment, note="Left the course.")
