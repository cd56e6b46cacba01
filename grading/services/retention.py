"""What of grading is not needed for good: what runs printed and left behind, and what lab runs were given, once the course is long over."""

from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db.models import Exists, OuterRef, Q, QuerySet

from courseapp.clock import database_now
from courseapp.models import Course
from courseapp.services import retention
from courseapp.services.retention import Doomed, Rule
from grading.models import LabFile, OutputFile, Run, RunCurves, RunLog, RunResult


def run_outputs() -> list[Doomed]:
    """Points, checks and what they say stay; only what the code printed, the files it left behind, and the files of lab runs go."""
    if not settings.RETENTION_OUTPUT_DAYS:
        return []
    before = (database_now() - timedelta(days=settings.RETENTION_OUTPUT_DAYS)).date()
    found = []
    for course in Course.objects.order_by("pk"):
        if course.starts_on + timedelta(weeks=course.weeks) >= before:
            continue
        of_run, of_result = OuterRef("pk"), OuterRef("result")
        left = [RunLog.objects.filter(run=of_run), RunCurves.objects.filter(run=of_run), OutputFile.objects.filter(result=of_result)]
        said = Q(result__isnull=False) & (~Q(result__output="") | ~Q(result__files_dropped=[]))
        left.append(LabFile.objects.filter(lab__run=of_run))
        ended = Run.objects.filter(component__homework__course=course).exclude(state__in=Run.OPEN)
        number = ended.filter(said | Exists(left[0]) | Exists(left[1]) | Exists(left[2]) | Exists(left[3])).count()
        if number:
            found.append(Doomed(f"{course.slug}: what {number} runs printed or left behind", partial(_forget, course)))
    return found


def lab_files() -> list[Doomed]:
    """What a lab run was given and wrote, some time after it has ended; its log and its curves stay as long as a hand-in's."""
    if not settings.RETENTION_LAB_DAYS:
        return []
    old = Run.objects.filter(lab__isnull=False, finished_at__lt=database_now() - timedelta(days=settings.RETENTION_LAB_DAYS))
    given, written = LabFile.objects.filter(lab__run__in=old), OutputFile.objects.filter(result__run__in=old)
    number = given.count() + written.count()
    return [Doomed(f"{number} of lab runs that ended before", partial(_delete, given, written))] if number else []


def _delete(*rows: "QuerySet[LabFile] | QuerySet[OutputFile]") -> None:
    for found in rows:
        found.delete()


def _forget(course: Course) -> None:
    ended = Run.objects.filter(component__homework__course=course).exclude(state__in=Run.OPEN)
    ended.exclude(progress={}).update(progress={})
    for rows in (RunLog.objects, RunCurves.objects):
        rows.filter(run__in=ended).delete()
    results = RunResult.objects.filter(run__component__homework__course=course)
    LabFile.objects.filter(lab__run__in=ended).delete()  # a hand-in's stay: they are what was graded
    OutputFile.objects.filter(result__in=results).delete()  # their content is then nobody's, and goes with the unused files
    results.filter(~Q(output="") | ~Q(files_dropped=[])).update(output="", files_dropped=[])


retention.rules += [Rule("lab files", lab_files), Rule("run outputs", run_outputs)]
