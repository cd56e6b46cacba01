"""What of grading is not needed for good: what runs printed and left behind, once the course is long over."""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db.models import Exists, OuterRef, Q

from courseapp.clock import database_now
from courseapp.models import Course
from courseapp.services import retention
from courseapp.services.retention import Doomed, Rule
from grading.models import OutputFile, Run, RunResult


def run_outputs() -> list[Doomed]:
    """Points, checks and what they say stay; only what the code printed, and the files it left behind, go."""
    if not settings.RETENTION_OUTPUT_DAYS:
        return []
    before = (database_now() - timedelta(days=settings.RETENTION_OUTPUT_DAYS)).date()
    found = []
    for course in Course.objects.order_by("pk"):
        if course.starts_on + timedelta(weeks=course.weeks) >= before:
            continue
        results = RunResult.objects.filter(run__submission__component__homework__course=course)
        number = results.filter(~Q(output="") | ~Q(files_dropped=[]) | Exists(OutputFile.objects.filter(result=OuterRef("pk")))).count()
        if number:
            found.append(Doomed(f"{course.slug}: what {number} runs printed or left behind", partial(_forget, course)))
    return found


def _forget(course: Course) -> None:
    ended = Run.objects.filter(submission__component__homework__course=course).exclude(Q(state__in=Run.OPEN) | Q(progress={}))
    ended.update(progress={})
    results = RunResult.objects.filter(run__submission__component__homework__course=course)
    OutputFile.objects.filter(result__in=results).delete()  # their content is then nobody's, and goes with the unused files
    results.filter(~Q(output="") | ~Q(files_dropped=[])).update(output="", files_dropped=[])


retention.rules.append(Rule("run outputs", run_outputs))
