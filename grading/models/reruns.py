"""Reruns: hand-ins judged again, whose new results count once staff have accepted them."""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models

from courseapp.fields import DigestField
from courseapp.models import Enrollment
from grading.models.homework import Component, Submission


class Rerun(models.Model):
    """Hand-ins of one component that staff have judged again, first a sample of them, then the rest."""

    class State(models.TextChoices):
        SAMPLE = "sample"
        ALL = "all"
        ACCEPTED = "accepted"
        DISCARDED = "discarded"

    OPEN = (State.SAMPLE, State.ALL)

    component = models.ForeignKey(Component, models.PROTECT, related_name="reruns")
    asked_by = models.ForeignKey(Enrollment, models.PROTECT, related_name="+")
    reason = models.CharField(max_length=300, help_text="Students whose score changes read it.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.SAMPLE)
    repair_percent = models.DecimalField(
        max_digits=5,
        decimal_places=2,
        default=Decimal(0),
        validators=[MinValueValidator(0), MaxValueValidator(100)],
        help_text="Of the possible points, taken off because staff had to repair the code.",
    )
    created_at = models.DateTimeField()
    decided_at = models.DateTimeField(null=True, blank=True)
    decided_by = models.ForeignKey(Enrollment, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["-pk"]

    def __str__(self) -> str:
        return f"Rerun {self.pk} of {self.component}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN


class RerunFile(models.Model):
    """A file of the staff's that stands in the place of the hand-in's own of that path, in the runs of one rerun only."""

    rerun = models.ForeignKey(Rerun, models.PROTECT, related_name="files")
    path = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sha256: "models.CharField[str, str]" = DigestField()

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["rerun", "path"], name="rerun_path_unique")]

    def __str__(self) -> str:
        return self.path


class RerunItem(models.Model):
    """One hand-in of a rerun."""

    rerun = models.ForeignKey(Rerun, models.PROTECT, related_name="items")
    submission = models.ForeignKey(Submission, models.PROTECT, related_name="rerun_items")
    sample = models.BooleanField(help_text="Among the first ones judged.")
    applied = models.BooleanField(default=False, help_text="Its new result counts since the rerun was accepted.")
    before = models.ForeignKey(
        "RunResult", models.PROTECT, null=True, blank=True, related_name="+", help_text="What counted when it was decided."
    )

    class Meta:
        ordering = ["pk"]
        constraints = [models.UniqueConstraint(fields=["rerun", "submission"], name="rerun_submission_once")]

    def __str__(self) -> str:
        return f"{self.submission}, rerun {self.rerun_id}"
