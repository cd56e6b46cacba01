"""What ends in grading when somebody leaves the course."""

from typing import Any

from django.dispatch import receiver

from courseapp.models import Enrollment
from courseapp.services.people import dropped
from grading.services import runs


@receiver(dropped)
def end_runs(enrollment: Enrollment, **_: Any) -> None:
    """What they handed in stays; nothing of it is run any more."""
    runs.cancel_all(student=enrollment, note="Left the course.")
