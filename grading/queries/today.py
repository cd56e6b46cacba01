"""What Today shows: to a student the next deadline with one next step, to staff what came in and what waits."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import groupby

from django.db.models import Count, Exists, OuterRef, Q
from django.urls import reverse
from django.utils import timezone

from courseapp.formats import moment as moment_words
from courseapp.models import Course, Enrollment, Role
from grading.models import Check, Component, Homework, Run, RunResult, Submission
from grading.policy.late import Segment, segment_at
from grading.policy.visibility import Viewer
from grading.policy.words import number
from grading.queries.due import last_dues, released_at
from grading.queries.homework import moment_of, score_seen
from grading.queries.hosts import Hosts, hosts
from grading.queries.runs import result_of, state_word
from grading.queries.standing import Entry, Standing, standings

LATELY = timedelta(days=14)
EVENTS = 8
STUCK = 10


@dataclass(frozen=True)
class Part:
    """Theory or practice of a homework as it stands for the reader. `score` is there only if they may see it."""

    standing: Standing
    word: str
    tone: str
    score: Decimal | None
    segment: Segment

    @property
    def earlier(self) -> bool:
        return self.score is not None and self.standing.earlier

    @property
    def component(self) -> Component:
        return self.standing.component

    @property
    def handed_in(self) -> bool:
        return any(entry.accepted for entry in self.standing.entries)

    @property
    def due_at(self) -> datetime:
        return self.standing.terms.due.due.instant


@dataclass(frozen=True)
class Step:
    label: str
    url: str


@dataclass(frozen=True)
class Next:
    """The homework whose deadline comes next. `part` is the component that the step is about."""

    homework: Homework
    headline: str
    parts: Sequence[Part]
    part: Part
    step: Step


@dataclass(frozen=True)
class Event:
    """Something that happened, at a time of the course's zone; `day` is it in few letters: 11:40 for today's, Thu 2 for others."""

    at: datetime
    day: str
    text: str
    url: str
    what: str
    tone: str = ""
    chip: str = ""

    @property
    def iso(self) -> str:
        return self.at.isoformat(timespec="seconds")


@dataclass(frozen=True)
class Row:
    """A released homework with its parts, for the list of what was done so far."""

    homework: Homework
    parts: Sequence[Part]


@dataclass(frozen=True)
class StudentToday:
    now: datetime
    next: Next | None
    headline: str
    events: Sequence[Event]
    rows: Sequence[Row]
    points: Decimal
    possible: Decimal


def _components(course: Course) -> list[Component]:
    """Those of released homeworks, in their order. One statement."""
    rows = (
        Component.objects.filter(homework__course=course)
        .select_related("homework__course__policy", "homework__bundle")
        .order_by("homework__number", "-kind")
    )
    now = timezone.now()
    return [row for row in rows if released_at(row.homework) <= now]


def student_today(reader: Enrollment) -> StudentToday:
    """In a constant number of statements, whatever the number of homeworks and hand-ins."""
    now = timezone.now()
    components = _components(reader.course)
    standing = standings(components, [reader])
    parts = [_part(standing[row.pk, reader.pk], now) for row in components]
    rows = [Row(homework, tuple(group)) for homework, group in groupby(parts, key=lambda part: part.component.homework)]
    coming = _next(rows, reader.course, now)
    counted = [part for part in parts if part.score is not None and part.component.homework.weight]
    return StudentToday(
        now=now,
        next=coming,
        headline=coming.headline if coming else "Nothing is due" if parts else "Nothing is here yet",
        events=_events(parts, reader.course, now),
        rows=rows[::-1],
        points=sum((part.score for part in counted if part.score is not None), Decimal(0)),
        possible=sum((part.component.points for part in counted), Decimal(0)),
    )


def _part(standing: Standing, now: datetime) -> Part:
    component = standing.component
    seen = score_seen(Viewer(staff=False, owner=True), component, moment_of(component, standing.terms))
    score = standing.score.final if standing.score and seen else None
    segment = segment_at(standing.terms.timeline, now)
    word, tone = _state(standing, segment, score)
    return Part(standing, word, tone, score, segment)


def _state(standing: Standing, segment: Segment, score: Decimal | None) -> tuple[str, str]:
    """A chip: what the student should know first."""
    if _unconfirmed(standing):
        return "waits for your confirmation", "warn"
    if not any(entry.accepted for entry in standing.entries):
        return ("not handed in", "bad" if segment.kind == "closed" else "warn" if segment.kind == "late" else "")
    if standing.open_run:
        return state_word(standing.open_run), "info"
    if score is not None:
        return f"{number(score)} of {number(standing.component.points)}", "good" if score == standing.component.points else "info"
    return "handed in", "good"


def _unconfirmed(standing: Standing) -> Entry | None:
    """A late hand-in that waits for the student's word."""
    return next((entry for entry in standing.entries if entry.state == Submission.State.UNCONFIRMED), None)


def _next(rows: Sequence[Row], course: Course, now: datetime) -> Next | None:
    """The open homework with something missing that is due first; else the open one that is due first."""
    chosen = [(row, part) for row in rows for part in row.parts if part.segment.open]
    chosen.sort(key=lambda pair: (pair[1].handed_in, pair[1].segment.kind == "late" and pair[1].handed_in, pair[1].due_at))
    for row, part in chosen:
        if part.handed_in and part.segment.kind == "late":
            continue  # done, and what may still be handed in late costs points: nothing to do
        return Next(row.homework, _headline(row, part, course, now), row.parts, part, _step(row, part, course))
    return None


def _headline(row: Row, part: Part, course: Course, now: datetime) -> str:
    name = f"Homework {row.homework.number}"
    if part.segment.kind == "late" and part.segment.end:
        return f"{name} is late: {number(part.segment.credit)} % until {moment_words(part.segment.end - timedelta(minutes=1), course.zone)}"
    local, today = part.due_at.astimezone(course.zone), now.astimezone(course.zone).date()
    days = (local.date() - today).days
    if all(one.handed_in for one in row.parts):
        until = f"{local:%H:%M}" if days == 0 else "tomorrow" if days == 1 else f"{local:%A}" if days < 7 else f"{local.day} {local:%B}"
        return f"{name} is handed in, and open until {until}"
    when = (
        f"today at {local:%H:%M}"
        if days == 0
        else "tomorrow"
        if days == 1
        else f"on {local:%A}"
        if days < 7
        else f"on {local.day} {local:%B}"
    )
    return f"{name} is due {when}"


def _step(row: Row, part: Part, course: Course) -> Step:
    """The one button."""
    for one in row.parts:
        if waiting := _unconfirmed(one.standing):
            return Step("Decide about the late hand-in", reverse("submission", args=[course.slug, waiting.submission.pk]))
    homework = reverse("homework", args=[course.slug, row.homework.slug])
    if not part.handed_in:
        return Step(f"Hand in the {part.component.kind}", f"{homework}#{part.component.kind}")
    running = next((entry for one in row.parts for entry in one.standing.entries if entry.run and entry.run.is_open), None)
    if running:
        return Step("Watch the run", reverse("submission", args=[course.slug, running.submission.pk]))
    for one in row.parts:
        if one.score is not None and one.score < one.component.points and one.segment.kind == "on_time":
            return Step(f"Hand in the {one.component.kind} again", f"{homework}#{one.component.kind}")
    return Step("See what you handed in", homework)


def _events(parts: Sequence[Part], course: Course, now: datetime) -> list[Event]:
    """What happened lately, newest first: receipts, finished runs, published scores."""
    found: list[Event] = []
    for part in parts:
        name = f"{part.component.homework.number} {part.component.kind}"
        published = part.component.published_at
        if published and part.standing.autograded:
            url = reverse("homework", args=[course.slug, part.component.homework.slug])
            found.append(Event(published, _day(published, course, now), f"Homework {name}", url, "The scores were published."))
        for entry in part.standing.entries:
            found += _entry_events(entry, part, f"Homework {name}", course, now)
    recent = [event for event in found if event.at > now - LATELY]
    newest = sorted(recent, key=lambda event: event.at, reverse=True)[:EVENTS]
    return [replace(event, at=event.at.astimezone(course.zone)) for event in newest]


def _day(at: datetime, course: Course, now: datetime) -> str:
    local = at.astimezone(course.zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(course.zone).date() else f"{local:%a} {local.day}"


def _entry_events(entry: Entry, part: Part, name: str, course: Course, now: datetime) -> list[Event]:
    row = entry.submission
    url = reverse("submission", args=[course.slug, row.pk])
    chip, tone = ("late", "warn") if entry.lateness.late else ("", "")
    day = _day(row.received_at, course, now)
    found = [Event(row.received_at, day, name, url, f"Hand-in #{row.number} received, receipt {row.receipt_code}.", tone, chip)]
    run = entry.run
    if run and run.finished_at and run.state in {Run.State.DONE, Run.State.FAILED}:
        said, at = f"Run {run.pk} finished", run.finished_at
        if run.rerun is not None and run.rerun.decided_at is not None:
            said, at = f"The staff had hand-in #{row.number} judged again", run.rerun.decided_at
        found.append(_run_event(run, entry, part, said, Event(at, _day(at, course, now), name, url, f"{said}.")))
    return found


def _run_event(run: Run, entry: Entry, part: Part, said: str, event: Event) -> Event:
    result = result_of(run)
    if result is None:
        return replace(event, what="Our fault, not yours: the run failed, and staff see it.", chip="not judged", tone="bad")
    if result.kind == RunResult.Kind.ASSIGNMENT:
        return replace(event, what="Not your fault: the assignment's checks failed, and staff see it.", chip="not judged", tone="bad")
    if part.score is None or entry.score is None:
        return event
    chip, tone = ("recorded", "") if result.recorded else ("", "")
    return replace(event, what=f"{said}: {number(result.points)} of {number(result.max_points)} from the checks.", chip=chip, tone=tone)


@dataclass(frozen=True)
class Tally:
    """One component in numbers, for staff."""

    component: Component
    due_at: datetime
    students: int
    handed_in: int
    late: int
    open_runs: int
    failed_runs: int


@dataclass(frozen=True)
class StaffRow:
    homework: Homework
    released: bool
    release: datetime
    tallies: Sequence[Tally]


@dataclass(frozen=True)
class StaffToday:
    headline: str
    rows: Sequence[StaffRow]
    failed: Sequence[Run]
    queued: int
    running: int
    reruns: int
    hosts: Hosts
    unconfirmed: int
    newest: Sequence[Submission]
    week: int


def staff_today(course: Course) -> StaffToday:
    """Sums made by the database: no hand-in is read but the newest ones."""
    now = timezone.now()
    components = list(
        Component.objects.filter(homework__course=course).select_related("homework__course").order_by("-homework__number", "-kind")
    )
    autograded = set(Check.objects.filter(component__in=components).order_by().values_list("component", flat=True).distinct())
    runs = Run.objects.filter(component__in=components, lab=None).order_by()
    working = runs.filter(state__in=Run.OPEN).values_list("component", "state", "proposed").annotate(Count("pk"))
    open_runs, states, reruns = Counter[int](), Counter[str](), 0
    for component, state, proposed, number_of in working:
        if proposed:
            reruns += number_of
            continue
        open_runs[component] += number_of
        states[state] += number_of
    stuck = list(runs.filter(_failed()).order_by("-pk").values_list("pk", "component"))
    rows = _staff_rows(course, components, open_runs, Counter(component for _, component in stuck), now)
    # The few keys first: sorting whole rows of a whole semester takes ten times as long.
    keys = list(Submission.objects.filter(component__in=components).order_by("-pk").values_list("pk", flat=True)[:EVENTS])
    newest = Submission.objects.filter(pk__in=keys).select_related("enrollment", "component__homework").defer("receipt_text")
    return StaffToday(
        headline=_staff_headline(rows, course, now),
        rows=rows,
        failed=_runs([pk for pk, _ in stuck[:STUCK]]),
        queued=states.total() - states[Run.State.RUNNING],
        running=states[Run.State.RUNNING],
        reruns=reruns,
        hosts=hosts({component.queue for component in components if component.pk in autograded}),
        unconfirmed=Submission.objects.filter(component__in=components, state=Submission.State.UNCONFIRMED).count(),
        newest=list(newest),
        week=course.week(now),
    )


def _staff_rows(
    course: Course, components: Sequence[Component], open_runs: Counter[int], failed_runs: Counter[int], now: datetime
) -> list[StaffRow]:
    students = course.enrollments.filter(role=Role.STUDENT, state=Enrollment.State.ACTIVE)
    class_size = students.count()
    accepted = Submission.objects.filter(component__in=components, enrollment__in=students, state=Submission.State.ACCEPTED).order_by()
    by_people = accepted.values_list("component").annotate(
        Count("enrollment", distinct=True), on_time=Count("enrollment", distinct=True, filter=Q(days_late=0))
    )
    handed = {component: (people, on_time) for component, people, on_time in by_people}
    latest = last_dues(components)

    def tally(component: Component) -> Tally:
        people, on_time = handed.get(component.pk, (0, 0))
        due_at = latest[component.pk].instant
        return Tally(component, due_at, class_size, people, people - on_time, open_runs[component.pk], failed_runs[component.pk])

    rows = []
    for homework, group in groupby(components, key=lambda component: component.homework):
        release = released_at(homework)
        rows.append(StaffRow(homework, release <= now, release, [tally(component) for component in group]))
    return rows


def _runs(keys: Sequence[int]) -> list[Run]:
    found = Run.objects.filter(pk__in=keys).select_related("submission__enrollment", "submission__component__homework")
    return list(found.order_by("-pk"))


def _failed() -> Q:
    """The newest run of a hand-in, where we could not bring it to its end or the assignment's own checks broke: staff must look."""
    newer = Run.objects.filter(submission=OuterRef("submission"), pk__gt=OuterRef("pk"), proposed=False)
    broken = RunResult.objects.filter(kind=RunResult.Kind.ASSIGNMENT).values("run")
    return Q(proposed=False) & (Q(state=Run.State.FAILED) | Q(pk__in=broken)) & ~Q(Exists(newer))


def _staff_headline(rows: Sequence[StaffRow], course: Course, now: datetime) -> str:
    coming = [(tally.due_at, row.homework) for row in rows if row.released for tally in row.tallies if tally.due_at > now]
    if not coming:
        return "Nothing is due"
    due, homework = min(coming, key=lambda pair: pair[0])
    return f"Homework {homework.number} is due {moment_words(due, course.zone)}"
