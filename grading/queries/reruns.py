"""Reruns as staff see them: what can be run again, and what would change."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from typing import Any

from django.db.models import Max

from courseapp import blobs
from courseapp.models import Enrollment, Role
from grading.models import Check, Component, PointsByHand, Rerun, RerunItem, Run, RunResult, Submission
from grading.policy.reruns import Case, Comparison, Judgement, Scored, Totals, compare, files_used, old_and_new, totals
from grading.queries.runs import JUDGED, judging, result_of, state_word
from grading.queries.standing import points_by_hand, standings
from grading.runner.changed import Changed, changed

LISTED = 100
UNKNOWN = Changed(shared=("files that are not in the store any more",))
_DEFER = ("submission__receipt_text", "submission__receipt_signature")


@dataclass(frozen=True)
class Choice:
    """A hand-in that can be run again. `points` are from the checks; None when it has none."""

    submission: Submission
    student: Enrollment
    points: Decimal | None
    counts: bool
    earlier: bool
    open: bool


def choices(component: Component) -> list[Choice]:
    """Every accepted hand-in of those who are in the course, by name and number. A constant number of statements."""
    students = list(
        Enrollment.objects.filter(course=component.homework.course_id, role=Role.STUDENT, state=Enrollment.State.ACTIVE).select_related(
            "section", "course"
        )
    )
    found = []
    standing = standings([component], students)
    for student in sorted(students, key=lambda one: one.sort_name):
        one = standing[component.pk, student.pk]
        for entry in reversed(one.entries):
            if entry.accepted and entry.run is not None:
                points = entry.score.raw if entry.score else None
                found.append(Choice(entry.submission, student, points, entry is one.counting, entry.earlier, entry.run.is_open))
    return found


@dataclass(frozen=True)
class Row:
    """One hand-in of a rerun. `before` is the result that counts now, or counted when it was decided; `run` is the rerun's newest.

    `old` and `new` are their points, less what is taken off for a repair.
    """

    item: RerunItem
    before: RunResult | None
    run: Run | None
    after: RunResult | None
    old: Decimal | None
    new: Decimal | None
    comparison: Comparison

    @property
    def submission(self) -> Submission:
        return self.item.submission

    @property
    def state(self) -> str:
        """What is to be said of a run without a result that can be compared."""
        if self.run is None:
            return "not begun"
        if self.after is None and (found := result_of(self.run)) is not None and self.run.state == Run.State.DONE:
            return "the assignment’s checks failed" if found.kind == RunResult.Kind.ASSIGNMENT else "goes on"
        return state_word(self.run)

    @property
    def staff_message(self) -> str:
        found = result_of(self.run) if self.run else None
        return found.staff_message if found is not None and self.after is None else ""


@dataclass(frozen=True)
class Table:
    """`rows` have the largest losses first, and last those that wait or are not asked for yet. `totals` are of those that were accepted,
    once it was. `version` changes when any row does."""

    rows: Sequence[Row]
    totals: Totals
    changed: Changed
    version: str

    @cached_property
    def differing(self) -> list[Row]:
        return [row for row in self.rows if row.comparison.reason != "same" or row.comparison.flags]

    @cached_property
    def listed(self) -> list[Row]:
        """The first ones, with the largest losses: as many as a page bears."""
        return self.differing[:LISTED]

    @cached_property
    def unlisted(self) -> list[Row]:
        return self.differing[LISTED:]

    @cached_property
    def unlisted_advised(self) -> list[Row]:
        return [row for row in self.unlisted if row.comparison.advised]

    @cached_property
    def same(self) -> list[Row]:
        return [row for row in self.rows if row.comparison.reason == "same" and not row.comparison.flags]

    @cached_property
    def judged(self) -> int:
        return sum(row.run is not None and not row.run.is_open for row in self.rows)

    @cached_property
    def asked(self) -> int:
        return sum(row.run is not None for row in self.rows)


def table(rerun: Rerun) -> Table:
    """What the rerun would change now, or has changed. A constant number of statements."""
    items = list(rerun.items.select_related("submission__enrollment", "before__run__bundle", "before__run__rerun").defer(*_DEFER))
    rows = Run.objects.filter(rerun=rerun).select_related("result", "bundle", "rerun").defer("result__output", "progress").order_by("pk")
    newest = {run.submission_id: run for run in rows}
    before = _before(rerun, items)
    checks = Check.objects.filter(component=rerun.component_id)
    tolerances = {check.check_id: check.tolerance for check in checks}
    differences = _changed(before.values(), newest.values())
    by_hand = _by_hand(rerun)
    patched, published = rerun.files.exists(), rerun.component.published_at is not None
    found = []
    for item in items:
        run, old = newest.get(item.submission_id), before.get(item.submission_id)
        result = result_of(run) if run else None
        after = result if result is not None and result.kind in JUDGED else None
        of_before, of_after = (_judgement(one, rerun.component.points) if one else None for one in (old, after))
        case = Case(
            old=of_before,
            new=of_after,
            missing=_missing(run, after),
            patched=patched,
            by_hand=by_hand.get(item.submission_id),
            published=published,
        )
        old_points, new_points = (one.net if one else None for one in (of_before, of_after))
        found.append(Row(item, old, run, after, old_points, new_points, compare(case, tolerances=tolerances, changed=differences.checks)))
    found.sort(key=_place)
    counted = [row.comparison for row in found if row.item.applied or rerun.state != Rerun.State.ACCEPTED]
    return Table(found, totals(counted), differences, _version(rerun, found))


def _place(row: Row) -> tuple[bool, bool, Decimal, str, int]:
    comparison = row.comparison
    student = row.submission.enrollment.sort_name
    return row.run is None, comparison.reason == "waits", comparison.difference or Decimal(0), student, row.submission.number


def _by_hand(rerun: Rerun) -> dict[int, Decimal]:
    """By hand-in, the points set by hand; of a decided rerun, those of when it was decided."""
    rows = PointsByHand.objects.filter(submission__rerun_items__rerun=rerun)
    if rerun.decided_at is not None:
        rows = rows.filter(created_at__lte=rerun.decided_at)
    newest = rows.order_by().values("submission").annotate(newest=Max("pk")).values_list("newest", flat=True)
    return {pk: row.points for pk, row in points_by_hand(list(newest)).items() if row.points is not None}


def _before(rerun: Rerun, items: Sequence[RerunItem]) -> dict[int, RunResult]:
    """By hand-in, with the checks."""
    if not rerun.is_open:
        return {item.submission_id: item.before for item in items if item.before is not None}
    counting = {pk: one.result for pk, one in judging([item.submission for item in items]).items()}
    keys = [result.pk for result in counting.values() if result is not None and result.kind in JUDGED]
    full = {
        result.pk: result for result in RunResult.objects.filter(pk__in=keys).select_related("run__bundle", "run__rerun").defer("output")
    }
    return {pk: full[result.pk] for pk, result in counting.items() if result is not None and result.pk in full}


def _missing(run: Run | None, after: RunResult | None) -> Any:
    if after is not None:
        return ""
    if run is None or run.is_open:
        return "waits"
    result = result_of(run)
    if run.state == Run.State.CANCELLED:
        return "stopped"
    return "waits" if result is not None and result.kind == RunResult.Kind.SMOKE else "unjudged"


def _judgement(result: RunResult, possible: Decimal) -> Judgement:
    checks = tuple(
        Scored(
            id=check["id"],
            title=check["title"],
            points=Decimal(check["points"]),
            out_of=Decimal(check["max_points"]),
            judged=check["judged"],
            message=check.get("staff_message") or check["message"],
        )
        for check in result.check_results
    )
    environment = str(result.provenance.get("runtime_digest", ""))
    taken = possible * result.run.rerun.repair_percent / 100 if result.run.rerun else Decimal(0)
    return Judgement(result.run_id, result.points, result.max_points, checks, result.run.bundle.autograder_digest, environment, taken)


def _changed(before: Iterable[RunResult], runs: Iterable[Run]) -> Changed:
    """What differs between the autograders of the old results, all together, and the newest of the new ones."""
    new = max(runs, key=lambda run: run.pk, default=None)
    if new is None:
        return Changed()
    olds = {one.run.bundle.autograder_digest: one.run.bundle.digest for one in before}
    olds.pop(new.bundle.autograder_digest, None)
    found = [_compared(digest, new.bundle.digest) for digest in sorted(olds.values())]
    return Changed(frozenset(id_ for one in found for id_ in one.checks), tuple(sorted({name for one in found for name in one.shared})))


def _compared(old: str, new: str) -> Changed:
    try:
        return _compared_whole(old, new)
    except (OSError, ValueError):
        return UNKNOWN


@lru_cache(maxsize=64)
def _compared_whole(old: str, new: str) -> Changed:
    """By the bundles' digests, so it holds for good; not what a store could not read just then."""
    return changed(blobs.read(old), blobs.read(new))


def _version(rerun: Rerun, rows: Sequence[Row]) -> str:
    seen = [
        (row.item.pk, row.before and row.before.pk, row.after and row.after.pk, row.run and row.run.state, row.comparison.flags)
        for row in rows
    ]
    return hashlib.sha256(repr((str(rerun.state), sorted(seen, key=lambda one: one[0]))).encode()).hexdigest()[:16]


def pulse(rerun: Rerun) -> str:
    """What changes whenever a run of it does. One statement."""
    rows = Run.objects.filter(rerun=rerun).order_by("pk").values_list("pk", "state")
    return hashlib.sha256(repr((str(rerun.state), list(rows))).encode()).hexdigest()[:16]


def listing(component: Component) -> list[dict[str, Any]]:
    """The reruns of a component, newest first. Two statements."""
    reruns = list(component.reruns.select_related("asked_by", "decided_by"))
    counted: dict[int, list[bool]] = {rerun.pk: [] for rerun in reruns}
    for pk, applied in RerunItem.objects.filter(rerun__in=reruns).values_list("rerun_id", "applied"):
        counted[pk].append(applied)
    return [{"rerun": one, "hand_ins": len(counted[one.pk]), "applied": sum(counted[one.pk])} for one in reruns]


def page(rerun: Rerun) -> dict[str, Any]:
    beat = pulse(rerun)  # before the table: what ends in between is asked for again
    found = table(rerun)
    asked, judged = found.asked, found.judged
    titles: Mapping[str, str] = {check.check_id: check.title for check in Check.objects.filter(component=rerun.component_id)}
    return {
        "rerun": rerun,
        "component": rerun.component,
        "homework": rerun.component.homework,
        "files": list(rerun.files.all()),
        "table": found,
        "asked": asked,
        "judged": judged,
        "left": len(found.rows) - asked,
        "working": asked - judged,
        "changed_checks": [titles.get(id_, id_) for id_ in sorted(found.changed.checks)],
        "applied": sum(row.item.applied for row in found.rows),
        "polling": rerun.is_open and asked > judged,
        "version": found.version,
        "pulse": beat,
    }


@dataclass(frozen=True)
class JudgedAgain:
    """What a hand-in's page says of a result of a rerun. `files`: with whose files, where they are not the hand-in's alone; `points`: old
    and new, for who may see the score."""

    reason: str
    files: str
    points: str


def judged_again(result: RunResult, submission: Submission, *, own: bool, seen: bool) -> JudgedAgain | None:
    """Of an accepted rerun's result; None of any other. `own`: its student reads it. Three statements."""
    rerun = result.run.rerun
    if rerun is None:
        return None
    paths = frozenset(submission.files.values_list("path", flat=True))
    files = files_used([file.path for file in rerun.files.all()], paths, whose="yours" if own else "the student’s")
    item = rerun.items.select_related("before__run__bundle", "before__run__rerun").get(submission=submission)
    possible = submission.component.points
    old, new = _judgement(item.before, possible) if item.before else None, _judgement(result, possible)
    return JudgedAgain(rerun.reason, files, old_and_new(old.net if old else None, new.net, new.taken) if seen else "")


def _plain(value: Decimal | None) -> str:
    """For programs: hundredths, an ASCII minus, nothing where there is none."""
    return "" if value is None else f"{value:.2f}"


def lines(rerun: Rerun) -> list[list[str]]:
    """The table as a file's rows, with a header."""
    head = ["Student", "Hand-in", "Old points", "New points", "Difference", "Reason", "Flags", "Checks", "Counts"]
    found = [head]
    for row in table(rerun).rows:
        comparison = row.comparison
        found.append(
            [
                row.submission.enrollment.sort_name,
                str(row.submission.number),
                _plain(row.old),
                _plain(row.new),
                _plain(comparison.difference),
                comparison.words,
                "; ".join(comparison.flags),
                "; ".join(f"{change.title}: {change.words}" for change in comparison.changes),
                "yes" if row.item.applied else "no",
            ]
        )
    return found
