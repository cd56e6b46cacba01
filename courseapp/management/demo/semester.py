"""The demo's semester in the database: the example course, moved by whole weeks so that today lies in week 8, half of it lived."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from django.contrib.auth.hashers import make_password
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import transaction
from django.db.models import Max

from courseapp.management.demo import EXAMPLE, RECORDED, lab
from courseapp.management.demo.papers import theory_paper
from courseapp.management.demo.plan import BACKPROP, LATE, PLANNED, STUDENT, WARMUP, HandIn, Student, Times, plan
from courseapp.management.demo.recording import RecordedRun, Recording, curves
from courseapp.management.demo.samples import Sample, read_samples
from courseapp.models import Course, Enrollment, OutboxMail, Role, User
from grading import execution
from grading.models import Component, Extension, GpuUse, Run, RunCurves, RunResult, SectionDue, Submission
from grading.policy.walltime import Due
from grading.queries import budget
from grading.runner.limits import Limits
from grading.services import extensions
from grading.services.course_file import CourseFolder, later, read_course
from grading.services.handin import hand_in
from grading.services.load import load

WEEK = 8
PASSWORD = "demo"  # noqa: S105  # said on the page of every demo
CHIEF = "instructor@example.edu"
ACCOUNTS = ("student@example.edu", LATE, "phd@example.edu", "grader@example.edu", "ta@example.edu", CHIEF)
WAIT_S = timedelta(seconds=2)
"""Between a hand-in and its run, in the recorded past."""


@dataclass
class Loaded:
    """What a person should read; `warnings` even one who asked for silence."""

    said: list[str]
    warnings: list[str] = field(default_factory=list)


@transaction.atomic
def load_semester(now: datetime) -> Loaded:
    """Everything or nothing; what is there already stays."""
    folder = read_course(EXAMPLE)
    before = Course.objects.filter(slug=folder.course.slug).first()
    course, changes = load(later(folder, _weeks(folder, before, now)))
    loaded = Loaded(changes.lines())
    _open_accounts()
    if Submission.objects.filter(component__homework__course=course).exists():
        if course.week(now) != WEEK:
            week = course.week(now)
            loaded.warnings.append(f"The demo was loaded in an earlier week and is now in week {week}; --fresh begins anew in week {WEEK}.")
    else:
        _live(course, now, loaded)
    _extend_until_yesterday(course, now)
    return loaded


def _weeks(folder: CourseFolder, before: Course | None, now: datetime) -> int:
    """By how many weeks the files' dates move: today lies in week 8 when the demo is new; a loaded one is never moved."""
    starts = folder.course.starts_on
    if before is not None:
        return (before.starts_on - starts).days // 7
    return (now.astimezone(ZoneInfo(folder.course.timezone)).date() - starts).days // 7 - (WEEK - 1)


def _open_accounts() -> None:
    """Everybody of the demo's list signs in with the same password; one hash serves all, because making one takes its time."""
    closed = [user for user in User.objects.filter(email__in=ACCOUNTS) if not user.has_usable_password()]
    if closed:
        User.objects.filter(pk__in=[user.pk for user in closed]).update(password=make_password(PASSWORD))
    User.objects.filter(email=CHIEF, is_superuser=False).update(is_staff=True, is_superuser=True)


def _live(course: Course, now: datetime, loaded: Loaded) -> None:
    recording, samples = Recording.read(RECORDED), read_samples(EXAMPLE / "demo")
    people = {row.email: row for row in course.enrollments.select_related("user", "section", "course")}
    components = {
        (row.homework.slug, row.kind): row
        for row in Component.objects.filter(homework__course=course).select_related("homework__course", "homework__bundle")
    }
    students = [Student(row.email, row.section.name) for row in people.values() if row.role == Role.STUDENT and row.section]
    recorded = 0
    for one in plan(students, _times(course), samples, now, course.zone):
        submission = _hand_in(one, components[one.homework, one.kind], people[one.email])
        recorded += one.sample is not None and not one.fresh and _show_recorded(submission, one.sample, recording)
    _publish(components[WARMUP, "practice"], people[CHIEF])
    if not lab.show(components[lab.HOMEWORK, "practice"], people[STUDENT], now - timedelta(hours=20)):
        loaded.warnings.append("The demo's lab run was recorded of another script, and is left out. Renew: make demo-data.")
    _look_lived_in(course)
    queued = Run.objects.filter(submission__component__homework__course=course, state=Run.State.QUEUED).count()
    loaded.said.append(f"{recorded} results are recorded runs, {queued} hand-ins wait for a real one.")
    loaded.warnings += _outdated(components, recording)


def _times(course: Course) -> dict[tuple[str, str], Times]:
    """By homework and section."""
    rows = {row.homework.slug: row for row in Component.objects.filter(homework__course=course, kind="practice").select_related("homework")}
    own = {
        (row.component_id, row.section.name): row.due_wall
        for row in SectionDue.objects.filter(component__in=rows.values()).select_related("section")
    }
    found = {}
    for slug in PLANNED:
        practice = rows[slug]
        release = Due.parse(practice.homework.release_wall, course.timezone).instant
        for section in course.sections.all():
            due = Due.parse(own.get((practice.pk, section.name), practice.due_wall), course.timezone)
            found[slug, section.name] = Times(release, due.end)
    return found


def _hand_in(one: HandIn, component: Component, student: Enrollment) -> Submission:
    assert student.user is not None
    files = dict(one.sample.files) if one.sample else {"theory.pdf": theory_paper(student.username, one.paper or "full")}
    return hand_in(
        component=component,
        enrollment=student,
        by=student.user,
        files=[SimpleUploadedFile(path, content) for path, content in files.items()],
        received_at=one.at.astimezone(UTC),
        completed_at=one.at.astimezone(UTC) + timedelta(milliseconds=400),
        own_work=True,
        confirmed_days=99,
    )


def _show_recorded(submission: Submission, sample: Sample, recording: Recording) -> bool:
    """Give the hand-in's runs the results that the very same files had from the very same checks. False: it stays queued."""
    run: Run | None = submission.runs.select_related("bundle", "component", "enrollment__course").get()
    claimed_at = submission.completed_at + WAIT_S
    while run is not None:
        found = recording.of(run.bundle.digest, sample.digests, run.stage)
        if found is None:
            return False
        run = _end(run, found, claimed_at)
        claimed_at += timedelta(seconds=found.outcome.seconds) + WAIT_S
    return True


def _end(run: Run, found: RecordedRun, claimed_at: datetime) -> Run | None:
    """The run on a GPU that follows, where this was a smoke check that passed."""
    finished_at = claimed_at + timedelta(seconds=found.outcome.seconds)
    Run.objects.filter(pk=run.pk).update(
        state=Run.State.DONE,
        seed=found.seed,
        token=1,
        created_at=claimed_at - WAIT_S,
        not_before=claimed_at - WAIT_S,
        claimed_at=claimed_at,
        finished_at=finished_at,
        note="Recorded beforehand for the demo.",
    )
    goes_on = execution.would_run(run, found.outcome)
    result = execution.record(run, found.outcome, kind="smoke" if goes_on else "")
    RunResult.objects.filter(pk=result.pk).update(recorded=True, created_at=finished_at)
    if (logged := curves(found.outcome))["lines"]:
        RunCurves.objects.create(run=run, token=1, data=logged)
    if run.queue != "cpu":
        _charge(run, claimed_at, finished_at)
    return execution.go_on(run) if goes_on else None


def _charge(run: Run, claimed_at: datetime, finished_at: datetime) -> None:
    """Its minutes, of the week in which it was claimed."""
    run.claimed_at, run.token = claimed_at, 1
    reserved_s = round(Limits(**run.component.limits).wall_s)
    week = budget.monday(run.enrollment.course.zone, claimed_at)
    GpuUse.objects.create(run=run, token=1, enrollment_id=run.enrollment_id, week=week, reserved_s=reserved_s)
    execution.charge(run, finished_at)


def _publish(practice: Component, by: Enrollment) -> None:
    """On the Friday after the last day on which late work was taken."""
    due = Due.parse(practice.due_wall, practice.homework.course.timezone)
    at = datetime.combine(due.wall.date() + timedelta(days=5), time(12), practice.homework.course.zone)
    Component.objects.filter(pk=practice.pk).update(published_at=at, published_by=by)


def _look_lived_in(course: Course) -> None:
    """Receipts were mailed when they were made, and who handed in had signed in."""
    OutboxMail.objects.filter(sent_at=None).update(sent_at=datetime.now(UTC))
    handed_in = Submission.objects.filter(component__homework__course=course)
    for user, at in handed_in.order_by().values_list("enrollment__user").annotate(Max("received_at")):
        User.objects.filter(pk=user).update(last_login=at)


def _outdated(components: dict[tuple[str, str], Component], recording: Recording) -> Sequence[str]:
    said = []
    for (slug, kind), component in components.items():
        bundle = component.homework.bundle
        if kind == "practice" and bundle and recording.bundles(slug) - {bundle.digest}:
            said.append(
                f"{component.homework}: its files changed after its results were recorded; real runs are queued. Renew: make demo-data."
            )
    return said


def _extend_until_yesterday(course: Course, now: datetime) -> None:
    """One student's practice was due yesterday whenever one looks, so that a hand-in of today is one day late."""
    practice = Component.objects.select_related("homework__course", "homework__bundle").get(
        homework__course=course, homework__slug=BACKPROP, kind="practice"
    )
    student, chief = course.enrollments.get(email=LATE), course.enrollments.get(email=CHIEF)
    yesterday = now.astimezone(course.zone).date() - timedelta(days=1)
    wall = f"{yesterday:%Y-%m-%d} 23:59"
    newest = Extension.objects.filter(component=practice, enrollment=student).order_by("-pk").first()
    if newest is None or newest.due_wall < wall:
        reason = "A week in hospital; the certificate was seen."
        extensions.grant(component=practice, enrollment=student, due_wall=wall, reason=reason, by=chief)
        OutboxMail.objects.filter(sent_at=None, to=LATE).update(sent_at=datetime.now(UTC))  # it was told when it was granted
