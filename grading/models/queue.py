"""What staff decide about the queue, and what went wrong in it."""

from django.db import models

from courseapp.models import Enrollment
from grading.models.runs import Run


class QueuePause(models.Model):
    """Nothing of a pool is claimed while its row is there; what runs goes on. The machines are shared: it holds for all courses."""

    pool = models.CharField(max_length=8, unique=True, help_text="cpu or gpu: all queues of it.")
    reason = models.CharField(max_length=300, help_text="Whoever waits reads it.")
    paused_by = models.ForeignKey(Enrollment, models.PROTECT, related_name="+")
    at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.pool}: {self.reason}"

    @property
    def sentence(self) -> str:
        """The reason, ended, so that others may follow it."""
        return self.reason if self.reason.endswith((".", "!", "?", "…")) else f"{self.reason}."


class RunIncident(models.Model):
    """A claim that did not go as it should; kept as a row, since whose memory would count it may be what died. Append-only."""

    class Kind(models.TextChoices):
        EXPIRED = "expired", "holder went silent"
        FENCED = "fenced", "came too late, and changed nothing"

    run = models.ForeignKey(Run, models.PROTECT, related_name="incidents")
    token = models.PositiveIntegerField(help_text="Of the claim.")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "token", "kind"], name="run_incident_unique")]

    def __str__(self) -> str:
        return f"{self.run}, claim {self.token}: {self.get_kind_display()}"
