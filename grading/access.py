"""The only way to a grading object. The sender's enrollment is the proof that they belong to the course; the rest is decided here."""

from django.http import Http404, HttpRequest

from courseapp.access import member as member_of
from courseapp.models import Enrollment
from grading.models import Component, GpuSlot, Homework, LabFile, LabRun, OutputFile, Rerun, Run, Submission, SubmissionFile
from grading.queries import turns
from grading.queries.due import released_now

_MOST_DIGITS = 18  # more do not fit into a row's number


def homework(member: Enrollment, slug: str) -> Homework:
    """A homework of the member's course. Students see it from its release on."""
    found = Homework.objects.filter(course=member.course_id, slug=slug).select_related("course", "bundle").first()
    if found is None or not (member.is_staff or released_now(found)):
        raise Http404
    return found


def component(found: Homework, kind: str) -> Component:
    for row in found.components.select_related("homework__course", "homework__bundle"):
        if row.kind == kind:
            return row
    raise Http404


def submission_read(member: Enrollment, pk: int) -> Submission:
    """A hand-in of the course: staff read all, students their own."""
    found = (
        Submission.objects.select_related(
            "component__homework__course", "component__homework__bundle", "enrollment__section", "enrollment__course", "handed_in_by"
        )
        .filter(pk=pk, component__homework__course=member.course_id)
        .first()
    )
    if found is None or not (member.is_staff or found.enrollment_id == member.pk):
        raise Http404
    return found


def submission_judged(member: Enrollment, pk: int) -> Submission:
    """A hand-in of a part that checks judge."""
    found = submission_read(member, pk)
    if not found.component.check_rows.exists():
        raise Http404
    return found


def submission_and_reader(request: HttpRequest, pk: int) -> tuple[Enrollment, Submission]:
    """A hand-in by its number alone, with the sender's place in its course."""
    course = Submission.objects.filter(pk=pk).values_list("component__homework__course__slug", flat=True).first()
    if course is None:
        raise Http404
    reader = member_of(request, course)
    return reader, submission_read(reader, pk)


def submission_of(found: Homework, pk: int) -> Submission:
    """A hand-in of a homework that the reader may see all hand-ins of."""
    row = Submission.objects.filter(pk=pk, component__homework=found).first()
    if row is None:
        raise Http404
    return row


def submission_own(member: Enrollment, pk: int) -> Submission:
    """A hand-in that the member made, or that was made for them."""
    found = submission_read(member, pk)
    if found.enrollment_id != member.pk:
        raise Http404
    return found


def submission_file(found: Submission, pk: int) -> SubmissionFile:
    row = found.files.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def output_file(found: Submission, pk: int) -> OutputFile:
    """A file that a run of the hand-in left behind: it is shown to whoever sees what the run printed."""
    row = OutputFile.objects.filter(result__run__submission=found, result__run__proposed=False, pk=pk).first()
    if row is None:
        raise Http404
    return row


def run_read(member: Enrollment, pk: int) -> Run:
    """A run of a hand-in, or a lab run, that the member may read: staff those of their course, students their own."""
    rows = Run.objects.select_related("result", "submission", "lab").defer("submission__receipt_text", "submission__receipt_signature")
    found = rows.filter(pk=pk, component__homework__course=member.course_id).first()
    if found is None or not (member.is_staff or (found.owner_id == member.pk and not found.proposed)):
        raise Http404
    return found


def run_beside(member: Enrollment, component_id: int, wanted: str) -> Run | None:
    """The run, by its number, whose curves are drawn beside those of another of the same component: one that the member may read."""
    if not wanted:
        return None
    if not _is_number(wanted):
        raise Http404
    other = run_read(member, int(wanted))
    if other.component_id != component_id:
        raise Http404
    return other


def lab_read(member: Enrollment, pk: int) -> LabRun:
    """A lab run of the course: staff read all, students their own."""
    rows = LabRun.objects.select_related("component__homework__course", "enrollment__course", "submission", "run__result")
    found = rows.filter(pk=pk, enrollment__course=member.course_id).first()
    if found is None or not (member.is_staff or found.enrollment_id == member.pk):
        raise Http404
    return found


def lab_own(member: Enrollment, pk: int) -> LabRun:
    found = lab_read(member, pk)
    if found.enrollment_id != member.pk:
        raise Http404
    return found


def lab_file(found: LabRun, pk: int) -> LabFile:
    """A file that a lab run was given."""
    row = found.files.filter(pk=pk).first()
    if row is None:
        raise Http404
    return row


def lab_output(found: LabRun, pk: int) -> OutputFile:
    """A file that a lab run wrote."""
    row = OutputFile.objects.filter(result__run__lab=found, pk=pk).first()
    if row is None:
        raise Http404
    return row


def starter(member: Enrollment, slug: str) -> Homework:
    """A homework of the member's course that has starter files."""
    found = homework(member, slug)
    if not found.starter_sha256:
        raise Http404
    return found


def comparison(member: Enrollment, found: Submission, wanted: str) -> Submission | Homework | None:
    """What a hand-in is compared with: `starter`, or the number of a row of the same student and component.

    Without a wish: the hand-in before it, else the starter files, else None.
    """
    if wanted == "starter":
        return starter(member, found.component.homework.slug)
    if wanted:
        if not _is_number(wanted):
            raise Http404
        other = submission_read(member, int(wanted))
        if (other.component_id, other.enrollment_id) != (found.component_id, found.enrollment_id):
            raise Http404
        return other
    rows = Submission.objects.select_related("component__homework__course", "enrollment")
    before = rows.filter(component=found.component_id, enrollment=found.enrollment_id, number__lt=found.number).order_by("-number").first()
    return before or (found.component.homework if found.component.homework.starter_sha256 else None)


def _is_number(wanted: str) -> bool:
    return wanted.isascii() and wanted.isdecimal() and len(wanted) <= _MOST_DIGITS


def receipt_read(user_id: int | None, code: str) -> Submission:
    """The hand-in behind a receipt code: its student's and its course's staff's only."""
    if not code.isprintable():  # PostgreSQL takes no zero byte, not even to compare with
        raise Http404
    found = (
        Submission.objects.select_related("component__homework__course", "enrollment__course", "handed_in_by")
        .filter(receipt_code=code.strip().upper())
        .first()
    )
    if found is None:
        raise Http404
    reader = Enrollment.objects.filter(course=found.component.homework.course_id, user=user_id, state=Enrollment.State.ACTIVE).first()
    if reader is None or not (reader.is_staff or reader.pk == found.enrollment_id):
        raise Http404
    return found


def run(member: Enrollment, pk: int) -> Run:
    """A run of the course, for its staff."""
    rows = Run.objects.select_related("component__homework__course", "submission__enrollment", "lab__enrollment")
    found = rows.filter(pk=pk, component__homework__course=member.course_id).first()
    if found is None or not member.is_staff:
        raise Http404
    return found


def rerun(member: Enrollment, pk: int) -> Rerun:
    """A rerun of the course, for its staff."""
    rows = Rerun.objects.select_related("component__homework__course__policy", "component__homework__bundle", "asked_by", "decided_by")
    found = rows.filter(pk=pk, component__homework__course=member.course_id).first()
    if found is None or not member.is_staff:
        raise Http404
    return found


def slot(member: Enrollment, pk: int) -> GpuSlot:
    """A GPU slot, which is every course's: for instructors."""
    found = GpuSlot.objects.filter(pk=pk).first() if member.is_instructor else None
    if found is None:
        raise Http404
    return found


def pool(name: str) -> str:
    """A pool that runs are claimed from."""
    if name not in turns.POOLS:
        raise Http404
    return name
