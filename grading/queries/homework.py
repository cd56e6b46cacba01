"""What the homework pages show: the list, and one homework with both components side by side."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.urls import reverse
from django.utils import timezone

from courseapp.formats import moment as moment_text
from courseapp.models import Course, Enrollment
from courseapp.upload_box import LateCost, UploadBox
from grading.models import Component, Homework, Run, RunResult, Submission, SubmissionFile
from grading.policy.late import Due, segment_at
from grading.policy.score import ComponentScore
from grading.policy.visibility import Moment, Viewer, may_see_score
from grading.policy.words import number
from grading.queries.due import Terms, last_dues, released_at
from grading.queries.results import ResultCard, result_card
from grading.queries.runs import state_word, wait
from grading.queries.standing import Entry, Standing, standings

OWN_WORK = "This is my own work: I wrote the text and the code myself."


@dataclass(frozen=True)
class Chip:
    word: str
    tone: str = ""


@dataclass(frozen=True)
class ListBox:
    component: Component
    chip: Chip | None
    due_text: str
    due_at: datetime
    score: Decimal | None
    earlier: bool


@dataclass(frozen=True)
class ListRow:
    homework: Homework
    released: bool
    release: datetime
    boxes: list[ListBox]


@dataclass(frozen=True)
class HistoryEntry:
    """A row of the history. `score` is there only if the reader may see it; `earlier` says that an earlier version graded it."""

    submission: Submission
    state: Submission.State
    names: str
    lateness: str
    counts: bool
    score: ComponentScore | None
    earlier: bool
    run_words: str
    may_choose: bool
    may_unchoose: bool


@dataclass(frozen=True)
class Current:
    """What a component's card shows first: the hand-in that counts, else the newest accepted one."""

    submission: Submission
    run: Run | None
    files: list[dict[str, Any]]
    card: ResultCard | None
    score: ComponentScore | None
    score_words: str
    earlier: bool
    run_words: str


@dataclass(frozen=True)
class ComponentBox:
    component: Component
    terms: Terms
    autograded: bool
    chips: list[Chip]
    segments: Any
    mark_at: datetime | None
    mark_label: str
    due_text: str
    due_at: datetime
    due_note: str
    current: Current | None
    unconfirmed: list[dict[str, Any]]
    history: list[HistoryEntry]
    counting_why: str
    upload: UploadBox | None
    problem: Mapping[str, object] | None
    closed_note: str


def components_of(course: Course, *, homework: Homework | None = None) -> list[Component]:
    rows = Component.objects.filter(homework__course=course).select_related("homework__course__policy", "homework__bundle")
    return list((rows.filter(homework=homework) if homework else rows).order_by("homework__number", "-kind"))


def moment_of(component: Component, terms: Terms) -> Moment:
    """Now, in the life of a component: its latest due time, and this student's own if that is later."""
    due = max(terms.last_due, terms.due.due, key=lambda one: one.instant)
    return Moment(
        now=timezone.now(), due_end=due.end, published=component.published_at is not None, zone=component.homework.course.timezone
    )


def is_frozen(terms: Terms, component: Component, now: datetime) -> bool:
    frozen_at = terms.frozen_at(component)
    return frozen_at is not None and now >= frozen_at


def score_seen(viewer: Viewer, component: Component, moment: Moment) -> bool:
    return may_see_score(viewer, moment, release=component.score_release)  # type: ignore[arg-type]  # the column holds the gate's words


def index(reader: Enrollment) -> list[ListRow]:
    """Homeworks of the course, those not yet released for staff only."""
    components = components_of(reader.course)
    standing = {} if reader.is_staff else standings(components, [reader])
    last = last_dues(components) if reader.is_staff else {key[0]: one.terms.last_due for key, one in standing.items()}
    grouped: dict[int, list[Component]] = {}
    for component in components:
        grouped.setdefault(component.homework_id, []).append(component)
    now = timezone.now()
    rows = []
    for parts in grouped.values():
        release = released_at(parts[0].homework)
        if release > now and not reader.is_staff:
            continue
        boxes = [_list_box(component, standing.get((component.pk, reader.pk)), last[component.pk]) for component in parts]
        rows.append(ListRow(parts[0].homework, release <= now, release, boxes))
    return rows[::-1]


def _list_box(component: Component, standing: Standing | None, last: Due) -> ListBox:
    if standing is None:
        return ListBox(component, None, "last due", last.instant, None, False)
    seen = score_seen(Viewer(staff=False, owner=True), component, moment_of(component, standing.terms))
    chips = _chips(standing, seen)
    score = standing.score.final if standing.score and seen else None
    chip, due_at = chips[0] if chips else None, standing.terms.due.due.instant
    return ListBox(component, chip, _due_text(standing), due_at, score, score is not None and standing.earlier)


def _due_text(standing: Standing) -> str:
    return "due" if standing.terms.due.due.end > timezone.now() else "was due"


def _chips(standing: Standing, seen: bool) -> list[Chip]:
    """State in a word, most telling first."""
    entry = standing.counting or next((entry for entry in standing.entries if entry.accepted), None)
    if any(entry.state == Submission.State.UNCONFIRMED for entry in standing.entries):
        return [Chip("waits for your confirmation", "warn")]
    if entry is None:
        segment = segment_at(standing.terms.timeline, timezone.now())
        if segment.kind == "closed":
            return [Chip("missing", "bad")]
        return [Chip("open", "info") if segment.kind == "on_time" else Chip("open, late", "warn")]
    run = standing.open_run
    chips = []
    if run:
        chips.append(Chip(state_word(run), "info"))
    elif not standing.autograded:
        chips.append(Chip("waits for grading", "info"))
    elif entry.score and seen:
        chips.append(Chip("graded", "good"))
    elif entry.score:
        chips.append(Chip("graded, not yet shown", "info"))
    elif entry.run and entry.run.state == "failed":
        chips.append(Chip("could not be judged", "bad"))
    else:
        chips.append(Chip("handed in", "info"))
    if entry.lateness.late:
        chips.append(Chip(entry.lateness.label, "warn"))
    return chips


def page(reader: Enrollment, homework: Homework, *, problem: Mapping[str, object] | None = None, problem_kind: str = "") -> dict[str, Any]:
    """Everything the homework page shows to `reader`. `problem` is what was wrong with an upload to `problem_kind` just now."""
    components = components_of(reader.course, homework=homework)
    standing = standings(components, [reader])
    files = _files([entry.submission for one in standing.values() for entry in one.entries])
    results = _results([entry for one in standing.values() if (entry := shown_first(one))])
    boxes = [
        _box(standing[component.pk, reader.pk], reader, files, results, problem if component.kind == problem_kind else None)
        for component in components
    ]
    shared = len(boxes) > 1 and all(box.segments == boxes[0].segments for box in boxes)
    return {"homework": homework, "boxes": boxes, "shared_timeline": shared}


def shown_first(standing: Standing) -> Entry | None:
    """The hand-in that a component's card shows: the one that counts, else the newest accepted one."""
    return standing.counting or next((entry for entry in standing.entries if entry.accepted), None)


def _box(
    standing: Standing,
    reader: Enrollment,
    files: Mapping[int, list[SubmissionFile]],
    results: Mapping[int, RunResult],
    problem: Mapping[str, object] | None,
) -> ComponentBox:
    component, terms = standing.component, standing.terms
    moment = moment_of(component, terms)
    viewer = Viewer(staff=reader.is_staff, owner=not reader.is_staff)
    seen = score_seen(viewer, component, moment)
    shown = shown_first(standing)
    segment = segment_at(terms.timeline, moment.now)
    handed_in = shown and shown.accepted
    return ComponentBox(
        component=component,
        terms=terms,
        autograded=standing.autograded,
        chips=[] if reader.is_staff else _chips(standing, seen),
        segments=terms.timeline,
        mark_at=moment.now,
        mark_label="now",
        due_text="Due" if terms.due.due.end > moment.now else "Was due",
        due_at=terms.due.due.instant,
        due_note="your own due time" if "your own" in terms.due.public_why else "",
        current=_current(shown, reader, files, results, card_for=(viewer, moment, seen)) if shown else None,
        unconfirmed=[_unconfirmed(entry, terms) for entry in standing.entries if entry.state == Submission.State.UNCONFIRMED],
        history=[_history(entry, standing, seen, files, frozen=is_frozen(terms, component, moment.now)) for entry in standing.entries],
        counting_why=standing.why if seen or not standing.autograded else "",
        upload=upload_box(reader, component, terms, again=bool(handed_in)) if not reader.is_staff and segment.open else None,
        problem=problem,
        closed_note="" if reader.is_staff or segment.kind != "closed" else _sentence(terms.lateness(moment.now).label),
    )


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _files(submissions: Sequence[Submission]) -> dict[int, list[SubmissionFile]]:
    """By hand-in; one statement."""
    found: dict[int, list[SubmissionFile]] = {}
    for file in SubmissionFile.objects.filter(submission__in=submissions).order_by("path"):
        found.setdefault(file.submission_id, []).append(file)
    return found


def _results(entries: Sequence[Entry]) -> dict[int, RunResult]:
    """The whole results of these entries, with outputs and single checks; by their ids, one statement."""
    wanted = [entry.result.pk for entry in entries if entry.result]
    return RunResult.objects.in_bulk(wanted) if wanted else {}


def _names(files: Sequence[SubmissionFile]) -> str:
    """ "mlp.py", or "mlp.py and 2 more"."""
    if not files:
        return ""
    return files[0].path if len(files) == 1 else f"{files[0].path} and {len(files) - 1} more"


def _current(
    entry: Entry,
    reader: Enrollment,
    files: Mapping[int, list[SubmissionFile]],
    results: Mapping[int, RunResult],
    *,
    card_for: tuple[Viewer, Moment, bool],
) -> Current:
    viewer, moment, seen = card_for
    result = results.get(entry.result.pk) if entry.result else None
    return Current(
        submission=entry.submission,
        run=entry.run,
        files=file_rows(entry.submission, reader.course.slug, files.get(entry.submission.pk, [])),
        card=result_card(result, viewer, moment, score_seen=seen) if result else None,
        score=entry.score if seen else None,
        score_words=score_words(entry.score) if entry.score else "",
        earlier=entry.earlier,
        run_words=run_words(entry, reader.course),
    )


def score_words(score: ComponentScore) -> str:
    """ "· 41 from the checks − 5 for one day", when something was taken off."""
    if not score.days_late:
        return ""
    taken = score.raw - score.final
    days = "1 day late" if score.days_late == 1 else f"{score.days_late} days late"
    return f"· {number(score.raw)} from the checks − {number(taken)} for {days}"


def run_words(entry: Entry, course: Course) -> str:
    run = entry.run
    if run is None:
        return ""
    if run.state == "running":
        return "running"
    if run.is_open:
        found = wait(run, course.zone)
        return found.message if found else "queued"
    return "could not be judged" if run.state == "failed" else run.get_state_display()


def _unconfirmed(entry: Entry, terms: Terms) -> dict[str, Any]:
    return {"submission": entry.submission, "cost_sentence": terms.cost(entry.lateness.days).sentence}


def _history(entry: Entry, standing: Standing, seen: bool, files: Mapping[int, list[SubmissionFile]], *, frozen: bool) -> HistoryEntry:
    counts = standing.counting is entry
    several = sum(one.accepted for one in standing.entries) > 1
    taken = entry.score.raw - entry.score.final if entry.score and seen else None
    late = f"{entry.lateness.label}{f' · −{number(taken)}' if taken else ''}"
    return HistoryEntry(
        submission=entry.submission,
        state=entry.state,
        names=_names(files.get(entry.submission.pk, [])),
        lateness=late,
        counts=counts,
        score=entry.score if seen else None,
        earlier=entry.earlier and seen,
        run_words=""
        if entry.run is None
        else {"running": "running", "failed": "not judged"}.get(entry.run.state, entry.run.get_state_display()),
        may_choose=several
        and entry.accepted
        and entry.submission.state == "accepted"
        and not entry.submission.chosen
        and not counts
        and not frozen,
        may_unchoose=entry.submission.chosen and not frozen,
    )


def upload_box(reader: Enrollment, component: Component, terms: Terms, *, again: bool) -> UploadBox:
    """The rules that the browser checks beforehand and the server checks again."""
    late = terms.lateness(timezone.now())
    price = terms.cost(late.days)
    zip_too = ["*.zip"] if component.kind == Component.Kind.PRACTICE else []
    return UploadBox(
        action=reverse("submit", args=[reader.course.slug, component.homework.slug, component.kind]),
        component=component.kind,
        required=tuple(component.files_required),
        allowed=(*component.files_allowed, *zip_too),
        max_file_bytes=component.max_file_mb * 2**20,
        max_total_bytes=component.max_total_mb * 2**20,
        max_files=component.max_files,
        own_work=OWN_WORK,
        on_time=f"On time until {moment_text(terms.due.due.instant, reader.course.zone)}.",
        late=LateCost(late.days, f"{number(price.percent)} %", f"Handed in now it is {price.sentence}") if late.late else None,
        again=again,
    )


def file_rows(submission: Submission, slug: str, files: Iterable[SubmissionFile], *, hashes: bool = False) -> list[dict[str, Any]]:
    """For `components/_files.html`."""
    return [
        {
            "path": file.path,
            "size": file.size,
            "url": reverse("submission-file", args=[slug, submission.pk, file.pk]),
            "download": reverse("submission-file-raw", args=[slug, submission.pk, file.pk]),
            "sha256": file.sha256 if hashes else "",
        }
        for file in files
    ]
