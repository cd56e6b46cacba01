"""A person's GPU minutes of a week, as lines that lead to what is left."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta, tzinfo

from courseapp.models import Course, Enrollment
from grading.models import Component, CoursePolicy, GpuGrant, GpuUse
from grading.policy import minutes
from grading.runner.limits import Limits


@dataclass(frozen=True)
class Line:
    """`minutes` is what it adds to what is left; `submission_pk` or `lab_pk` is what it is about."""

    item: str
    why: str
    minutes: float
    submission_pk: int | None = None
    lab_pk: int | None = None
    chip: str = ""


@dataclass(frozen=True)
class Budget:
    """In minutes. `granted` is the course's and what staff gave; `used` and `reserved` are taken from it."""

    week: date
    granted: float
    used: float
    reserved: float
    left: float
    lines: Sequence[Line]


def beyond(seconds: float, every_week: int) -> str:
    """What is to be said of a run that may take more than the minutes of a week; empty of others."""
    if seconds <= every_week * 60:
        return ""
    return f"It may take {minutes.whole(seconds)} min, and a week has {every_week}: it runs only when staff grant more."


def too_long(course: Course) -> list[str]:
    """The parts of homework whose runs on a GPU may take more than the minutes of a week, a sentence each. Two statements."""
    policy = CoursePolicy.objects.filter(course=course).first() or CoursePolicy()
    parts = Component.objects.filter(homework__course=course).exclude(queue="cpu").select_related("homework")
    found = [(part, beyond(Limits(**part.limits).wall_s, policy.gpu_minutes_per_week)) for part in parts]
    return [f"{part.homework}, {part.kind}: {sentence}" for part, sentence in found if sentence]


def monday(zone: tzinfo, now: datetime) -> date:
    """The first day of the week in the course's zone."""
    day = now.astimezone(zone).date()
    return day - timedelta(days=day.weekday())


def budget(member: Enrollment, now: datetime) -> Budget:
    """This week's. Three statements."""
    week = monday(member.course.zone, now)
    policy = CoursePolicy.objects.filter(course=member.course_id).first() or CoursePolicy()
    grants = list(GpuGrant.objects.filter(enrollment=member, week=week).order_by("pk"))
    of_week = (
        GpuUse.objects.filter(enrollment=member, week=week)
        .select_related("run__submission", "run__lab", "run__component__homework")
        .order_by("pk")
    )
    uses = list(of_week.defer("run__submission__receipt_text", "run__progress"))
    lines = [Line("Every week", "for everybody in this course", policy.gpu_minutes_per_week)]
    lines += [Line("Granted by staff", grant.reason, grant.minutes) for grant in grants]
    granted = sum(grant.minutes for grant in grants)
    charged = sum(use.charged_s for use in uses if use.charged_s is not None)
    reserved = sum(use.reserved_s for use in uses if use.charged_s is None)
    return Budget(
        week=week,
        granted=policy.gpu_minutes_per_week + granted,
        used=charged / 60,
        reserved=reserved / 60,
        left=minutes.left(policy.gpu_minutes_per_week, granted, minutes.Spent(charged, reserved)).now_s / 60,
        lines=[*lines, *map(_line, uses)],
    )


def _line(use: GpuUse) -> Line:
    run = use.run
    item = f"Homework {run.component.homework.number} {run.component.kind}, {run.subject}"
    why, minutes, chip = f"run {run.pk}", -(use.charged_s or 0) / 60, ""
    if use.charged_s is None:
        why, minutes, chip = f"run {run.pk} is at work: the most it may take is set aside", -use.reserved_s / 60, "reserved"
    elif use.charged_s == 0:
        why, minutes = f"run {run.pk} failed by our fault, and costs nothing", 0
    return Line(item, why, minutes, run.submission_id, run.lab_id, chip)
