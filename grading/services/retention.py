"""What of grading is not needed for good: the printed output of runs, once the course is long over."""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db.models import Q

from courseapp.clock import database_now
from courseapp.models import Course
from courseapp.services import retention
from courseapp.services.retention import Doomed, Rule
from grading.models import Run, RunResult


def run_outputs() -> list[Doomed]:
    """Points, checks and what they say stay; only what the code printed goes."""
    if not settings.RETENTION_OUTPUT_DAYS:
        return []
    before = (database_now() - timedelta(days=settings.RETENTION_OUTPUT_DAYS)).date()
    found = []
    for course in Course.objects.order_by("pk"):
        if course.starts_on + timedelta(weeks=course.weeks) >= before:
            continue
        printed = RunResult.objects.filter(run__submission__component__homework__course=course).exclude(output="")
        number = printed.count()
        if number:
            found.append(Doomed(f"{course.slug}: what {number} runs printed", partial(_forget, course)))
    return found


def _forget(course: Course) -> None:
    ended = Run.objects.filter(submission__component__homework__course=course).exclude(Q(state__in=Run.OPEN) | Q(progress={}))
    ended.update(progress={})
    RunResult.objects.filter(run__submission__component__homework__course=course).exclude(output="").update(output="")


retention.rules.append(Rule("run outputs", run_outputs))
