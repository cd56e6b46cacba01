"""Where students stand in components: every hand-in with its lateness and score, and the one that counts.

Lateness is recomputed from today's due times (an extension refunds at once); the receipts are not touched.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import OuterRef, Subquery

from courseapp.models import Enrollment
from grading.models import Component, PointsByHand, Run, RunResult, Submission
from grading.policy.counts import Attempt, which_counts
from grading.policy.late import Lateness
from grading.policy.score import ComponentScore, Deduction, component_score
from grading.queries.due import Terms, all_terms
from grading.queries.runs import JUDGED, Judging, by_earlier_version, judging


@dataclass(frozen=True)
class Entry:
    """One hand-in as it stands now. `state` may differ from the row's: an extension opens what was closed.

    `earlier`: its score is of an earlier version of the autograder. `by_hand`: what staff set in the place of the checks' points.
    """

    submission: Submission
    lateness: Lateness
    state: Submission.State
    run: Run | None
    result: RunResult | None
    score: ComponentScore | None
    earlier: bool
    by_hand: PointsByHand | None = None

    @property
    def accepted(self) -> bool:
        return self.state == Submission.State.ACCEPTED

    @property
    def stopped(self) -> bool:
        """It has no score, and its run was cancelled: nothing goes on that would give it one."""
        return self.score is None and self.run is not None and self.run.state == Run.State.CANCELLED


@dataclass(frozen=True)
class Standing:
    """`entries` come newest first. `counting` is the entry that counts now, None when none does yet.

    `why` may name points: it is for those who may see the score.
    """

    component: Component
    terms: Terms
    entries: tuple[Entry, ...]
    counting: Entry | None
    why: str

    @property
    def autograded(self) -> bool:
        return self.terms.autograded

    @property
    def score(self) -> ComponentScore | None:
        return self.counting.score if self.counting else None

    @property
    def earlier(self) -> bool:
        """The score that counts is of an earlier version of the autograder."""
        return self.counting is not None and self.counting.earlier

    @property
    def open_run(self) -> Run | None:
        return next((entry.run for entry in self.entries if entry.run and entry.run.is_open), None)


def standings(components: Sequence[Component], enrollments: Sequence[Enrollment]) -> dict[tuple[int, int], Standing]:
    """By (component, enrollment), in a constant number of statements. The components come with homework, its bundle and course."""
    terms = all_terms(components, enrollments)
    found = Submission.objects.filter(component__in=components)
    if len(enrollments) <= 50:
        found = found.filter(enrollment__in=enrollments)
    newest = PointsByHand.objects.filter(submission=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    rows = list(found.annotate(by_hand_pk=Subquery(newest)).order_by("-received_at", "-pk").defer("receipt_text"))
    judged = judging(rows) if any(one.autograded for one in terms.values()) else {}
    by_hand = points_by_hand([row.by_hand_pk for row in rows if row.by_hand_pk is not None])
    grouped: dict[tuple[int, int], list[Submission]] = {key: [] for key in terms}
    for row in rows:
        if (row.component_id, row.enrollment_id) in grouped:
            grouped[row.component_id, row.enrollment_id].append(row)
    by_pk = {component.pk: component for component in components}
    standing = {}
    for key, mine in grouped.items():
        component = by_pk[key[0]]
        entries = tuple(_entry(row, component, terms[key], judged.get(row.pk), by_hand.get(row.pk)) for row in mine)
        standing[key] = _standing(component, terms[key], entries)
    return standing


def points_by_hand(keys: Sequence[int]) -> dict[int, PointsByHand]:
    """By hand-in, of the newest rows, those that were not taken back. One statement, none without keys."""
    rows = PointsByHand.objects.filter(pk__in=keys, points__isnull=False).select_related("set_by") if keys else []
    return {row.submission_id: row for row in rows}


def standing_of(component: Component, enrollment: Enrollment) -> Standing:
    return standings([component], [enrollment])[component.pk, enrollment.pk]


def _entry(row: Submission, component: Component, terms: Terms, judged: Judging | None, by_hand: PointsByHand | None) -> Entry:
    late = terms.lateness(row.counted_at)
    run, result = (judged.run, judged.result) if judged else (None, None)
    score, earlier = None, False
    if by_hand is not None and by_hand.points is not None:
        why = f"set by hand by {by_hand.set_by.display_name}: {by_hand.reason}"
        score = _score(terms, row, late.days, raw=by_hand.points, raw_why=why)
    elif result is not None and result.kind in JUDGED:
        score = score_of(terms, raw=result.points, days_late=late.days, row=row, run=result.run)
        earlier = by_earlier_version(result, component.homework)
    return Entry(row, late, terms.state_now(row), run, result, score, earlier, by_hand)


def score_of(terms: Terms, *, raw: Decimal, days_late: int, row: Submission, run: Run) -> ComponentScore:
    """`run` comes with its rerun: what staff take off for a repair goes with the result of the repaired code."""
    repaired = run.rerun if run.rerun is not None and run.rerun.repair_percent else None
    deductions = [Deduction("not_runnable", repaired.repair_percent, repaired.reason)] if repaired else ()
    return _score(terms, row, days_late, raw=raw, raw_why=f"from the checks, run {run.pk}", deductions=deductions)


def _score(
    terms: Terms, row: Submission, days_late: int, *, raw: Decimal, raw_why: str, deductions: Sequence[Deduction] = ()
) -> ComponentScore:
    return component_score(
        terms.policy,
        raw=raw,
        possible=terms.possible,
        days_late=days_late,
        deductions=deductions,
        homework_possible=terms.homework_possible,
        due=terms.due.due,
        received=row.counted_at,
        raw_why=raw_why,
    )


def _standing(component: Component, terms: Terms, entries: tuple[Entry, ...]) -> Standing:
    attempts = [
        Attempt(
            id=entry.submission.pk,
            number=entry.submission.number,
            received=entry.submission.counted_at,
            days_late=entry.lateness.days,
            accepted=entry.accepted,
            judged=entry.score is not None,
            raw=entry.score.raw if entry.score else None,
            net=entry.score.final if entry.score else None,
            stopped=entry.stopped,
        )
        for entry in _that_may_count(entries, terms.frozen_at(component))
    ]
    chosen = next((entry.submission.pk for entry in entries if entry.submission.chosen), None)
    if chosen not in {attempt.id for attempt in attempts}:
        chosen = None
    counting = which_counts(attempts, autograded=terms.autograded, chosen=chosen)
    picked = next((entry for entry in entries if entry.submission.pk == counting.id), None)
    return Standing(component, terms, entries, picked, counting.why)


def _that_may_count(entries: tuple[Entry, ...], frozen_at: datetime | None) -> list[Entry]:
    """Once it is frozen, what comes later changes nothing for who had handed in, and counts for who had not."""
    early = [entry for entry in entries if frozen_at is None or entry.submission.counted_at < frozen_at]
    return early if any(entry.accepted for entry in early) else list(entries)
