"""Points that staff set by hand where the checks cannot judge. No run ever overwrites them."""

from django.db import models

from courseapp.models import Enrollment
from grading.models.homework import Submission


class PointsByHand(models.Model):
    """Stands in the place of what the checks give a hand-in, before deductions for lateness. Append-only: the newest row holds."""

    submission = models.ForeignKey(Submission, models.PROTECT, related_name="points_by_hand")
    points = models.DecimalField(
        max_digits=7, decimal_places=2, null=True, blank=True, help_text="Empty: taken back, the checks' hold again."
    )
    reason = models.CharField(max_length=300, help_text="The student reads it.")
    set_by = models.ForeignKey(Enrollment, models.PROTECT, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["pk"]
        verbose_name_plural = "points by hand"

    def __str__(self) -> str:
        return f"{self.submission}: {'taken back' if self.points is None else self.points}"
