"""The queue of record. A broker may lose or double a message; a row here is claimed once and ends once."""

from datetime import datetime, timedelta

from django.db import models

from courseapp.fields import DigestField
from courseapp.models import Enrollment, JsonObject
from grading.models.homework import Bundle, Component, Submission
from grading.policy import queueing
from grading.runner.devices import STAND_IN

LAB_OUTPUTS_MB = 20  # of what a lab run writes
SILENT_AFTER = timedelta(seconds=30)
"""Who has not reported for so long, a runner host or a GPU slot, answers no more: three of its reports are missing (RUN_POLL_SECONDS)."""


class LabRun(models.Model):
    """A script of somebody's own, to be run and not judged: it counts for nothing. Its one run is `run`."""

    enrollment = models.ForeignKey(Enrollment, models.PROTECT, related_name="lab_runs")
    component = models.ForeignKey(Component, models.PROTECT, related_name="+", help_text="Whose environment, queue and limits it has.")
    number = models.PositiveIntegerField(help_text="1, 2, … per person and course.")
    script = models.CharField(max_length=255, help_text="The file that is run.")
    arguments = models.CharField(max_length=1000, blank=True, help_text="As they were typed; split as a shell does.")
    submission = models.ForeignKey(
        Submission, models.PROTECT, null=True, blank=True, related_name="+", help_text="The hand-in whose files it was given."
    )
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-pk"]
        constraints = [models.UniqueConstraint(fields=["enrollment", "number"], name="lab_run_number_unique")]

    def __str__(self) -> str:
        return f"Lab run #{self.number} of {self.enrollment}"


class LabFile(models.Model):
    """A file that a lab run was given. Retention may delete it."""

    lab = models.ForeignKey(LabRun, models.PROTECT, related_name="files")
    path = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sha256: "models.CharField[str, str]" = DigestField()

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["lab", "path"], name="lab_file_unique")]

    def __str__(self) -> str:
        return self.path


class Run(models.Model):
    """One judging of one hand-in, or a lab run, which has `lab` in the place of `submission` and `bundle`.

    done: it was judged to its end (its result may still blame the student's code or the assignment). failed: we could not judge it.
    """

    class State(models.TextChoices):
        QUEUED = "queued"
        WAITING_RUNTIME = "waiting_runtime", "preparing the runtime"
        RUNNING = "running"
        DONE = "done"
        FAILED = "failed"
        CANCELLED = "cancelled"
        SUPERSEDED = "superseded"

    WAITING = (State.QUEUED, State.WAITING_RUNTIME)
    OPEN = (*WAITING, State.RUNNING)

    class Stage(models.TextChoices):
        GRADE = "grade"
        SMOKE = "smoke", "smoke check"

    class Purpose(models.IntegerChoices):
        HAND_IN = queueing.Purpose.HAND_IN, "hand-in"
        LAB = queueing.Purpose.LAB, "lab run"
        RERUN = queueing.Purpose.RERUN, "rerun by staff"
        SUPERSEDED = queueing.Purpose.SUPERSEDED, "hand-in with a newer one after it"

    submission: "models.ForeignKey[Submission, Submission]" = models.ForeignKey(  # type: ignore[misc]  # None of a lab run alone
        Submission, models.PROTECT, null=True, blank=True, related_name="runs"
    )
    lab = models.OneToOneField(LabRun, models.PROTECT, null=True, blank=True, related_name="run")
    component = models.ForeignKey(Component, models.PROTECT, related_name="+", help_text="Its submission's: what it runs as.")
    enrollment = models.ForeignKey(Enrollment, models.PROTECT, related_name="+", help_text="Whose turn in the queue it takes.")
    bundle: "models.ForeignKey[Bundle, Bundle]" = models.ForeignKey(  # type: ignore[misc]  # as above
        Bundle, models.PROTECT, null=True, blank=True, related_name="+"
    )
    stage = models.CharField(max_length=12, choices=Stage.choices, default=Stage.GRADE)
    queue = models.CharField(max_length=40, default="cpu")
    state = models.CharField(max_length=16, choices=State.choices, default=State.QUEUED)
    seed = models.BigIntegerField(help_text="Draws the hidden inputs; kept for a rerun that can be compared.")
    purpose = models.PositiveSmallIntegerField(choices=Purpose.choices, default=Purpose.HAND_IN)
    requested_by = models.ForeignKey(Enrollment, models.PROTECT, null=True, blank=True, related_name="+")
    rerun = models.ForeignKey("Rerun", models.PROTECT, null=True, blank=True, related_name="runs")
    proposed = models.BooleanField(
        default=False, help_text="Of a rerun that nobody has accepted: it counts nowhere, and only staff see it."
    )
    created_at = models.DateTimeField()
    not_before = models.DateTimeField()
    short_of_minutes = models.BooleanField(default=False, help_text="It waits until not_before for GPU minutes, or for a grant.")
    claimed_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    token = models.PositiveIntegerField(default=0, help_text="Fencing token: every claim raises it; an older holder changes nothing.")
    attempts = models.PositiveSmallIntegerField(default=0, help_text="Claims that we failed.")
    worker = models.CharField(max_length=120, blank=True)
    slot = models.ForeignKey("GpuSlot", models.SET_NULL, null=True, blank=True, related_name="runs", help_text="Of its last claim.")
    progress: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict, blank=True)
    note = models.TextField(blank=True, help_text="Why it waits or failed, for staff.")

    class Meta:
        ordering = ["-pk"]
        indexes = [
            models.Index(
                fields=["queue", "enrollment", "purpose", "created_at", "id", "not_before"],
                condition=models.Q(state="queued"),
                name="run_queued",
            ),
            models.Index(fields=["queue"], condition=models.Q(state="waiting_runtime"), name="run_without_runtime"),
            models.Index(fields=["lease_until", "queue", "enrollment"], condition=models.Q(state="running"), name="run_running"),
            models.Index(fields=["finished_at"], name="run_finished"),
        ]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(submission__isnull=False, bundle__isnull=False, lab__isnull=True)
                | models.Q(submission__isnull=True, bundle__isnull=True, lab__isnull=False, purpose=queueing.Purpose.LAB),
                name="run_of_a_hand_in_or_lab",
            )
        ]

    def __str__(self) -> str:
        return f"Run {self.pk} of {self.lab or self.submission}"

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def ended_at(self) -> datetime | None:
        """When it ended, as people are told: by parts of a second, code in a hidden check could say what it saw."""
        return self.finished_at and self.finished_at.replace(microsecond=0)

    @property
    def owner_id(self) -> int:
        """Whose work it runs; `enrollment` is only whose turn it takes, in a rerun that of the staff who asked."""
        return self.lab.enrollment_id if self.lab else self.submission.enrollment_id

    @property
    def owner(self) -> Enrollment:
        return self.lab.enrollment if self.lab else self.submission.enrollment

    @staticmethod
    def owned_by(person: Enrollment, through: str = "") -> models.Q:
        """`through`: the path to the run, with its underscores."""
        return models.Q((f"{through}submission__enrollment", person)) | models.Q((f"{through}lab__enrollment", person))

    @property
    def subject(self) -> str:
        """What it runs, in words."""
        return f"lab run #{self.lab.number}" if self.lab else f"hand-in #{self.submission.number}"


class GpuSlot(models.Model):
    """A GPU, or a part of one, that one run at a time may have. Its host reports it; what is not reported is not given out."""

    class State(models.TextChoices):
        FREE = "free"
        BUSY = "busy"
        QUARANTINED = "quarantined"

    host = models.CharField(max_length=120)
    uuid = models.CharField(max_length=80, unique=True)
    kind = models.CharField(max_length=40, help_text="Of its device name: a100, h200, fake. It serves the queues gpu and gpu.<kind>.")
    memory_mb = models.PositiveIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State.choices, default=State.FREE)
    run = models.ForeignKey(
        Run,
        models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        help_text="Who has it; two may have one that began again.",
    )
    drained = models.BooleanField(default=False, help_text="Staff give it out no more; what runs on it ends.")
    note = models.TextField(blank=True, help_text="Why it is not given out.")
    quarantined_at = models.DateTimeField(null=True, blank=True, help_text="Since when its host finds it faulty.")
    seen_at = models.DateTimeField()

    class Meta:
        ordering = ["host", "uuid"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(state="busy", run__isnull=False) | (~models.Q(state="busy") & models.Q(run__isnull=True)),
                name="gpu_slot_busy_with_a_run",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.uuid} on {self.host}"

    @property
    def stand_in(self) -> bool:
        """No hardware: what runs there goes on the processor."""
        return self.kind == STAND_IN

    @staticmethod
    def queues_of(kind: str) -> tuple[str, str]:
        """Which queues a slot of that kind serves."""
        return ("gpu", f"gpu.{kind}")


class SlotFailure(models.Model):
    """A run failed on a slot by our fault, or was refused by it: its next try goes to another, while there is one. Append-only."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="slot_failures")
    slot = models.ForeignKey(GpuSlot, models.CASCADE, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "slot"], name="slot_failure_unique")]

    def __str__(self) -> str:
        return f"{self.run_id}: {self.slot}"


class GpuUse(models.Model):
    """GPU time of one claim, against its owner's minutes of a week: reserved when it is claimed, charged when it has ended."""

    run = models.ForeignKey(Run, models.PROTECT, related_name="gpu_uses")
    token = models.PositiveIntegerField(help_text="Of the claim.")
    enrollment = models.ForeignKey(Enrollment, models.PROTECT, related_name="gpu_uses")
    week = models.DateField(help_text="Its Monday, in the course's time zone.")
    reserved_s = models.PositiveIntegerField()
    charged_s = models.PositiveIntegerField(null=True, blank=True, help_text="0 when the failure was ours; empty while it runs.")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "token"], name="gpu_use_unique")]
        indexes = [models.Index(fields=["enrollment", "week"], name="gpu_use_of_week")]

    def __str__(self) -> str:
        return f"{self.run}: {self.reserved_s if self.charged_s is None else self.charged_s} s"


class GpuGrant(models.Model):
    """Minutes that somebody has in one week beyond the course's. Append-only."""

    enrollment = models.ForeignKey(Enrollment, models.PROTECT, related_name="gpu_grants")
    week = models.DateField(help_text="Its Monday, in the course's time zone.")
    minutes = models.PositiveSmallIntegerField()
    reason = models.CharField(max_length=300)
    granted_by = models.ForeignKey(Enrollment, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["enrollment", "week"], name="gpu_grant_of_week")]

    def __str__(self) -> str:
        return f"{self.enrollment}: {self.minutes} min"


class QueueShare(models.Model):
    """What somebody has used of the machines, as `grading.policy.queueing.charged` reckons it. `pool`: cpu or gpu."""

    enrollment = models.ForeignKey(Enrollment, models.CASCADE, related_name="queue_shares")
    pool = models.CharField(max_length=8)
    level = models.FloatField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["enrollment", "pool"], name="queue_share_unique")]

    def __str__(self) -> str:
        return f"{self.enrollment}: {self.pool}"


class RunResult(models.Model):
    """What one run found. Written once, by the holder of the run's token."""

    class Kind(models.TextChoices):
        OK = "ok"
        STUDENT = "student"
        ASSIGNMENT = "assignment"
        SYSTEM = "system"
        SMOKE = "smoke", "smoke check passed"

    run = models.OneToOneField(Run, models.PROTECT, related_name="result")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    points = models.DecimalField(max_digits=7, decimal_places=2)
    max_points = models.DecimalField(max_digits=7, decimal_places=2)
    seconds = models.FloatField()
    check_results: "models.JSONField[list[JsonObject], list[JsonObject]]" = models.JSONField(default=list)
    output = models.TextField(blank=True, help_text="Standard output and error of the visible checks, capped.")
    files_dropped: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list, help_text="Why a file was not kept.")
    message = models.TextField(blank=True)
    staff_message = models.TextField(blank=True)
    provenance: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict)
    recorded = models.BooleanField(default=False, help_text="A real run of the demo's data, recorded beforehand.")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        indexes = [models.Index(fields=["run"], condition=models.Q(kind="assignment"), name="result_assignment")]

    def __str__(self) -> str:
        return f"Result of run {self.run_id}: {self.points} of {self.max_points}"


class OutputFile(models.Model):
    """A file that the visible checks' student process left behind, as it was handed over. Never changed; retention may delete it."""

    result = models.ForeignKey(RunResult, models.PROTECT, related_name="files")
    name = models.CharField(max_length=100)
    size = models.PositiveIntegerField()
    sha256: "models.CharField[str, str]" = DigestField()

    class Meta:
        ordering = ["result", "name"]
        constraints = [models.UniqueConstraint(fields=["result", "name"], name="output_file_unique")]

    def __str__(self) -> str:
        return self.name


class RunLog(models.Model):
    """A piece of what the visible checks of a run print, while it runs. Once there is a result, its `output` is the whole log."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="log_pieces")
    token = models.PositiveIntegerField(help_text="Of the claim that printed it; only the newest claim's is shown.")
    seq = models.PositiveIntegerField(help_text="How many characters of the log come before it.")
    text = models.TextField()

    class Meta:
        ordering = ["run", "token", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "token", "seq"], name="run_log_unique")]

    def __str__(self) -> str:
        return f"{self.run_id}: from character {self.seq}"


class RunCurves(models.Model):
    """The curves that a run has logged so far, as `grading.runner.curves` says them."""

    run = models.ForeignKey(Run, models.CASCADE, related_name="curves")
    token = models.PositiveIntegerField(help_text="Of the claim that logged them; only the newest claim's are shown.")
    data: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["run", "token"], name="run_curves_unique")]

    def __str__(self) -> str:
        return f"Curves of run {self.run_id}"


class RunnerHost(models.Model):
    """The sandbox owner of one machine, as it last reported. Pages read from here whether anybody serves a queue."""

    name = models.CharField(max_length=120, unique=True)
    queues: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    tier = models.CharField(max_length=40, blank=True, help_text="The kind of sandbox; empty when none holds.")
    memory_guard = models.CharField(max_length=40, blank=True, help_text="What bounds the memory of a run.")
    refusal = models.TextField(blank=True, help_text="Why it runs nothing, and what would help.")
    runtimes: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list, help_text="Those that are installed there.")
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name
