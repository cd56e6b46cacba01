"""Homework, its two components, due dates, and what students handed in."""

from datetime import datetime
from decimal import Decimal

from django.conf import settings
from django.core.validators import RegexValidator
from django.db import models

from courseapp.fields import DigestField
from courseapp.models import Course, Enrollment, JsonObject, Section

wall_time = RegexValidator(r"^\d{4}-\d\d-\d\d \d\d:\d\d$", "Accepted is a wall time of the course's zone such as 2023-10-22 23:59.")


def wall_field(**options: object) -> "models.CharField[str, str]":
    """A wall-clock time of the course's zone, `YYYY-MM-DD HH:MM`: stored as said, so that it sorts and no clock change moves it."""
    return models.CharField(max_length=16, validators=[wall_time], **options)  # type: ignore[arg-type]  # passed through to the field


GPU_MINUTES = 240  # of each person and week, where a course does not say


class CoursePolicy(models.Model):
    """The grading settings of a course; a homework may override the late policy."""

    course = models.OneToOneField(Course, models.CASCADE, related_name="policy")
    late: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict, blank=True)
    gpu_minutes_per_week = models.PositiveSmallIntegerField(default=GPU_MINUTES, help_text="Of each person; staff may grant more.")

    class Meta:
        verbose_name_plural = "course policies"

    def __str__(self) -> str:
        return f"Policy of {self.course}"


class Bundle(models.Model):
    """A homework folder as it was loaded, immutable; its bytes lie in the blob store under `digest`."""

    digest: "models.CharField[str, str]" = DigestField(unique=True)
    autograder_digest = models.CharField(max_length=64, help_text="SHA-256 of what decides a score; bundles that share it judge alike.")
    size = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.digest[:12]


class Homework(models.Model):
    course = models.ForeignKey(Course, models.CASCADE, related_name="homeworks")
    slug = models.SlugField(max_length=60)
    number = models.PositiveSmallIntegerField()
    title = models.CharField(max_length=120)
    weight = models.DecimalField(max_digits=6, decimal_places=3, default=1, help_text="Share of its category; 0 does not count.")
    release_wall = wall_field()
    statement = models.TextField(help_text="Markdown with $math$.")
    late: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict, blank=True, help_text="Overrides the course's.")
    bundle = models.ForeignKey(Bundle, models.PROTECT, null=True, related_name="homeworks")
    starter_sha256: "models.CharField[str, str]" = DigestField(blank=True, help_text="The starter files as one zip in the blob store.")

    class Meta:
        ordering = ["course", "number"]
        constraints = [models.UniqueConstraint(fields=["course", "slug"], name="homework_slug_unique")]

    def __str__(self) -> str:
        return f"Homework {self.number} · {self.title}"


class Component(models.Model):
    """Theory or practice of a homework: what is handed in, by when, and worth how much."""

    class Kind(models.TextChoices):
        THEORY = "theory"
        PRACTICE = "practice"

    class ScoreRelease(models.TextChoices):
        AT_ONCE = "at_once"
        AFTER_DUE = "after_due"
        AFTER_PUBLISHED = "after_published"

    homework = models.ForeignKey(Homework, models.CASCADE, related_name="components")
    kind = models.CharField(max_length=8, choices=Kind.choices)
    title = models.CharField(max_length=60, blank=True)
    points = models.DecimalField(max_digits=7, decimal_places=2)
    due_wall = wall_field()
    files_required: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    files_allowed: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list, blank=True, help_text="Patterns such as *.py.")
    max_file_mb = models.PositiveSmallIntegerField(default=20)
    max_total_mb = models.PositiveSmallIntegerField(default=50)
    max_files = models.PositiveSmallIntegerField(default=200)
    hand_ins_per_day = models.PositiveSmallIntegerField(default=20, help_text="Only where there are hidden checks.")
    limits: "models.JSONField[JsonObject, JsonObject]" = models.JSONField(default=dict, blank=True)
    runtime = models.CharField(max_length=40, default="torch")
    queue = models.CharField(max_length=40, default="cpu")
    outputs: "models.JSONField[list[str], list[str]]" = models.JSONField(
        default=list, blank=True, help_text="Patterns of files that runs keep."
    )
    outputs_mb = models.PositiveSmallIntegerField(default=10)
    score_release = models.CharField(max_length=16, choices=ScoreRelease.choices, default=ScoreRelease.AT_ONCE)
    published_at = models.DateTimeField(null=True, blank=True)
    published_by = models.ForeignKey(Enrollment, models.PROTECT, null=True, blank=True, related_name="+")

    class Meta:
        ordering = ["homework", "-kind"]
        constraints = [models.UniqueConstraint(fields=["homework", "kind"], name="component_unique")]

    def __str__(self) -> str:
        return f"{self.homework}, {self.kind}"


class Check(models.Model):
    """A row of `[[check]]`: known without importing the instructor's code."""

    component = models.ForeignKey(Component, models.CASCADE, related_name="check_rows")
    check_id = models.CharField(max_length=80)
    title = models.CharField(max_length=120)
    points = models.DecimalField(max_digits=7, decimal_places=2)
    visibility = models.CharField(max_length=16)
    fresh = models.BooleanField(default=False)
    fresh_group = models.CharField(max_length=40, blank=True, help_text="Checks of one group share a fresh process.")
    needs_gpu = models.BooleanField(default=False)
    seeds = models.PositiveSmallIntegerField(default=1, help_text="How many draws it is judged on.")
    tolerance = models.DecimalField(
        max_digits=7, decimal_places=2, default=Decimal(0), help_text="Points that another run may differ by for no reason."
    )
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["component", "position"]
        constraints = [models.UniqueConstraint(fields=["component", "check_id"], name="check_unique")]

    def __str__(self) -> str:
        return self.check_id


class SectionDue(models.Model):
    component = models.ForeignKey(Component, models.CASCADE, related_name="section_dues")
    section = models.ForeignKey(Section, models.CASCADE, related_name="+")
    due_wall = wall_field()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["component", "section"], name="section_due_unique")]

    def __str__(self) -> str:
        return f"{self.component}, section {self.section}: {self.due_wall}"


class Extension(models.Model):
    """A later due time for one student and component. Append-only: the newest row counts."""

    component = models.ForeignKey(Component, models.CASCADE, related_name="extensions")
    enrollment = models.ForeignKey(Enrollment, models.CASCADE, related_name="extensions")
    due_wall = wall_field()
    reason = models.TextField()
    granted_by = models.ForeignKey(Enrollment, models.PROTECT, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["pk"]

    def __str__(self) -> str:
        return f"{self.enrollment}: {self.component} until {self.due_wall}"


class Accommodation(models.Model):
    """Standing extra time. Private: graders see only the resulting due date."""

    enrollment = models.OneToOneField(Enrollment, models.CASCADE, related_name="accommodation")
    days = models.PositiveSmallIntegerField(default=0)
    factor = models.DecimalField(max_digits=4, decimal_places=2, default=1, help_text="1.5: half as much time again.")
    stacks = models.BooleanField(default=False, help_text="Added on top of an extension.")
    note = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"Accommodation of {self.enrollment}"


class Submission(models.Model):
    """One hand-in. Its files, times and receipt never change."""

    class State(models.TextChoices):
        ACCEPTED = "accepted"
        UNCONFIRMED = "unconfirmed", "waits for your confirmation"
        NOT_ACCEPTED = "not_accepted", "not accepted"

    component = models.ForeignKey(Component, models.PROTECT, related_name="submissions")
    enrollment = models.ForeignKey(Enrollment, models.PROTECT, related_name="submissions")
    number = models.PositiveIntegerField(help_text="1, 2, … per student and component.")
    state = models.CharField(max_length=12, choices=State.choices, default=State.ACCEPTED)
    received_at = models.DateTimeField(help_text="When the server had read the request's headers.")
    completed_at = models.DateTimeField(help_text="When the last byte had arrived.")
    own_work = models.BooleanField(help_text="The student stated that the work is their own.")
    days_late = models.PositiveSmallIntegerField(default=0, help_text="As the receipt says; an extension granted later does not change it.")
    body_late = models.BooleanField(default=False, help_text="The last byte came too late: no extension makes it count.")
    refusal = models.TextField(blank=True, help_text="Why it was not accepted, for the student.")
    chosen = models.BooleanField(default=False, help_text="The student's own choice of what counts.")
    dropped: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list, blank=True)
    handed_in_by = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="+")
    on_behalf_reason = models.TextField(blank=True)
    stated_at = models.DateTimeField(null=True, blank=True, help_text="On behalf only: when the student had the work ready.")
    idempotency_key = models.CharField(
        max_length=64, blank=True, help_text="Named by a program, so that its second try is no second hand-in."
    )
    receipt_code = models.CharField(max_length=16, unique=True)
    receipt_text = models.TextField(help_text="The signed document, byte for byte.")
    receipt_signature = models.CharField(max_length=64)

    class Meta:
        ordering = ["-received_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["component", "enrollment", "number"], name="submission_number_unique"),
            models.UniqueConstraint(fields=["component", "enrollment"], condition=models.Q(chosen=True), name="submission_one_chosen"),
            models.UniqueConstraint(
                fields=["handed_in_by", "idempotency_key"], condition=~models.Q(idempotency_key=""), name="submission_key_unique"
            ),
        ]
        indexes = [models.Index(fields=["component", "enrollment", "state", "days_late"], name="submission_tally")]

    def __str__(self) -> str:
        return f"#{self.number} of {self.enrollment}, {self.component}"

    @property
    def counted_at(self) -> datetime:
        """The time that lateness is reckoned from."""
        return self.stated_at or self.received_at

    @property
    def receipt_document(self) -> str:
        """What the student keeps: the signed text and its signature."""
        return f"{self.receipt_text}\nSignature {self.receipt_signature}\n"


class SubmissionFile(models.Model):
    submission = models.ForeignKey(Submission, models.PROTECT, related_name="files")
    path = models.CharField(max_length=255)
    size = models.PositiveBigIntegerField()
    sha256: "models.CharField[str, str]" = DigestField(db_index=True)

    class Meta:
        ordering = ["path"]
        constraints = [models.UniqueConstraint(fields=["submission", "path"], name="submission_path_unique")]

    def __str__(self) -> str:
        return self.path
