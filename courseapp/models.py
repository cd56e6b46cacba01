"""The course, its people, and the mail that goes to them."""

from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.contrib.auth.models import AbstractUser
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models.functions import Lower
from django.utils import timezone

JsonObject = dict[str, Any]


def validate_zone(name: str) -> None:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValidationError(f"{name!r} is not a time zone; accepted are names such as America/New_York.") from error


class User(AbstractUser):
    """A person who can sign in. `username` is the institution's short name (NetID), e-mail is what one signs in with."""

    email = models.EmailField("e-mail address")
    institutional_id = models.CharField(max_length=40, blank=True)
    vouched = models.BooleanField(default=False, help_text="Made by staff: username and institutional id are known to be this person's.")

    class Meta(AbstractUser.Meta):
        constraints = [models.UniqueConstraint(Lower("email"), name="user_email_unique", violation_error_message="This address is taken.")]

    def save(self, *args: Any, **options: Any) -> None:
        """A new password, wherever it is set, ends what opened the account beside the old one: sessions (by Django) and API tokens."""
        replaced = self.pk is not None and self._password is not None  # type: ignore[attr-defined]  # what set_password was given
        with transaction.atomic():
            super().save(*args, **options)
            if replaced:
                self.api_tokens.filter(revoked_at=None).update(revoked_at=timezone.now())

    @property
    def display_name(self) -> str:
        return self.get_full_name() or self.username

    @property
    def initials(self) -> str:
        return (self.first_name[:1] + self.last_name[:1]).upper() or self.email[:1].upper()


class Identity(models.Model):
    """A name by which an identity provider that decides such names knows a person: as good as an address that they confirmed."""

    class Kind(models.TextChoices):
        USERNAME = "username"
        INSTITUTIONAL_ID = "institutional_id", "institutional id"

    user = models.ForeignKey(User, models.CASCADE, related_name="identities")
    kind = models.CharField(max_length=16, choices=Kind.choices)
    value = models.CharField(max_length=150)
    provider = models.CharField(max_length=40)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        verbose_name_plural = "identities"
        constraints = [models.UniqueConstraint("kind", Lower("value"), name="identity_unique")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.value}"


class Course(models.Model):
    """One offering of a course in one term."""

    slug = models.SlugField(unique=True, max_length=60)
    code = models.CharField(max_length=30)
    title = models.CharField(max_length=120)
    term = models.CharField(max_length=40)
    institution = models.CharField(max_length=120, blank=True)
    timezone = models.CharField(max_length=60, default="America/New_York", validators=[validate_zone])
    mark = models.CharField(max_length=3, default="C", help_text="One to three letters in the top bar.")
    starts_on = models.DateField(help_text="Monday of week 1.")
    weeks = models.PositiveSmallIntegerField(default=15)
    description = models.TextField(blank=True)

    def __str__(self) -> str:
        return f"{self.code} {self.term}"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)

    def week(self, moment: datetime) -> int:
        """The week of term that `moment` (aware) lies in, 1-based; below 1 before the term."""
        return (moment.astimezone(self.zone).date() - self.starts_on).days // 7 + 1


class Section(models.Model):
    course = models.ForeignKey(Course, models.CASCADE, related_name="sections")
    name = models.CharField(max_length=20)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["course", "name"], name="section_unique")]

    def __str__(self) -> str:
        return self.name


class Role(models.TextChoices):
    STUDENT = "student"
    GRADER = "grader"
    TA = "ta", "TA"
    INSTRUCTOR = "instructor"


class Track(models.TextChoices):
    DEFAULT = "default"
    PHD = "phd", "PhD"


class Enrollment(models.Model):
    """A person's place in a course. It may wait for its person: then `user` is empty and taken up at sign-in."""

    class State(models.TextChoices):
        ACTIVE = "active"
        DROPPED = "dropped"

    course = models.ForeignKey(Course, models.CASCADE, related_name="enrollments")
    user = models.ForeignKey(User, models.PROTECT, null=True, blank=True, related_name="enrollments")
    email = models.EmailField()
    username = models.CharField(max_length=60, blank=True)
    institutional_id = models.CharField(max_length=40, blank=True)
    first_name = models.CharField(max_length=80, blank=True)
    last_name = models.CharField(max_length=80, blank=True)
    role = models.CharField(max_length=12, choices=Role.choices, default=Role.STUDENT)
    track = models.CharField(max_length=8, choices=Track.choices, default=Track.DEFAULT)
    section = models.ForeignKey(Section, models.PROTECT, null=True, blank=True, related_name="enrollments")
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["last_name", "first_name", "pk"]
        constraints = [
            models.UniqueConstraint("course", Lower("email"), name="enrollment_email_unique"),
            models.UniqueConstraint(fields=["course", "user"], name="enrollment_user_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.display_name} ({self.get_role_display()}, {self.course})"

    @property
    def display_name(self) -> str:
        return f"{self.first_name} {self.last_name}".strip() or self.email

    @property
    def sort_name(self) -> str:
        return ", ".join(part for part in (self.last_name, self.first_name) if part) or self.email

    @property
    def is_staff(self) -> bool:
        return self.role != Role.STUDENT

    @property
    def may_manage(self) -> bool:
        """TA and instructor: extensions, hand-ins on somebody's behalf."""
        return self.role in {Role.TA, Role.INSTRUCTOR}

    @property
    def is_instructor(self) -> bool:
        return self.role == Role.INSTRUCTOR


class ApiToken(models.Model):
    """A key with which programs use the API in somebody's name. The key itself is never stored: `digest` is its SHA-256."""

    class Scope(models.TextChoices):
        READ = "read", "Read my courses, homework and hand-ins"
        SUBMIT = "submit", "Hand in, confirm late work, choose what counts"
        STAFF = "staff", "Read as course staff: hand-ins of others and the roster"

    user = models.ForeignKey(User, models.CASCADE, related_name="api_tokens")
    name = models.CharField(max_length=60)
    prefix = models.CharField(max_length=12, help_text="How the key begins, to tell it from others.")
    digest = models.CharField(max_length=64, unique=True)
    scopes: "models.JSONField[list[str], list[str]]" = models.JSONField(default=list)
    created_at = models.DateTimeField()
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at", "-pk"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def scope_labels(self) -> list[str]:
        return [scope.label for scope in self.Scope if scope.value in self.scopes]


class OutboxMail(models.Model):
    """A mail to send, written in the transaction that caused it. Sent once; a failure is kept with its reason and tried again."""

    to = models.EmailField()
    subject = models.CharField(max_length=200)
    body = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)
    not_before = models.DateTimeField()
    sent_at = models.DateTimeField(null=True, blank=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    last_error = models.TextField(blank=True)

    class Meta:
        indexes = [models.Index(fields=["not_before"], condition=models.Q(sent_at=None), name="outbox_waiting")]

    def __str__(self) -> str:
        return f"{self.subject} → {self.to}"
