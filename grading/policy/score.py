"""A component's score with the lines that explain it: raw points, deductions, late penalty, score.

The lines are made by the same function that makes the score, and the points of all but the last add up to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Literal

from grading.policy.late import HUNDRED, Due, LatePolicy, after_last_words, each_day, measure_words
from grading.policy.words import clock, count, number

_DEDUCTIONS = {"format": "Wrong format", "not_runnable": "Repaired by staff before it ran"}


@dataclass(frozen=True)
class Deduction:
    """A percent of the component's possible points that staff takes off, with a reason that the student reads."""

    kind: Literal["format", "not_runnable"]
    percent: Decimal
    reason: str

    def __post_init__(self) -> None:
        if not 0 <= self.percent <= HUNDRED:
            raise ValueError(f"deduction of {self.percent} %: accepted is a percent from 0 to 100")


@dataclass(frozen=True)
class Line:
    """One line of a statement: what, points gained or lost, out of how many, and why."""

    item: str
    points: Decimal | None
    out_of: Decimal | None
    why: str
    children: tuple["Line", ...] = ()


@dataclass(frozen=True)
class ComponentScore:
    raw: Decimal
    final: Decimal
    possible: Decimal
    days_late: int
    lines: tuple[Line, ...]


def component_score(
    policy: LatePolicy,
    *,
    raw: Decimal,
    possible: Decimal,
    days_late: int,
    deductions: Sequence[Deduction] = (),
    homework_possible: Decimal | None = None,
    due: Due | None = None,
    received: datetime | None = None,
    raw_why: str = "",
) -> ComponentScore:
    """The score in its fixed order: raw points, then deductions, then the late penalty; never below 0.

    `homework_possible` is needed when the policy's scope is the homework; `due` and `received` are only printed.
    """
    if raw < 0 or possible < 0 or days_late < 0:
        raise ValueError(f"raw {raw} of {possible} points, {days_late} days late: none of them may be below 0")
    lines = [Line("Raw points", raw, possible, raw_why)]
    left = raw
    for deduction in deductions:
        full = possible * deduction.percent / HUNDRED
        why = f"{deduction.reason.rstrip('. ')}: {number(deduction.percent)} % of the {number(possible)} possible"
        lines.append(_taken(_DEDUCTIONS[deduction.kind], full, left, why))
        left -= min(full, left)
    if days_late:
        penalty = policy.penalty(earned=left, possible=possible, days=days_late, homework_possible=homework_possible)
        why = _penalty_why(policy, earned=left, possible=possible, days=days_late, homework_possible=homework_possible)
        when = f"; due {due}, received {clock(received, due.zone)}" if due and received else ""
        lines.append(Line(f"{count(days_late, 'day')} late", -penalty, None, f"{why}{when}"))
        left -= penalty
    terms = [number(raw), *(number(-line.points) for line in lines[1:] if line.points)]
    lines.append(Line("Score", left, possible, f"{' − '.join(terms)} = {number(left)}" if len(terms) > 1 else ""))
    return ComponentScore(raw=raw, final=left, possible=possible, days_late=days_late, lines=tuple(lines))


def _taken(item: str, full: Decimal, left: Decimal, why: str) -> Line:
    if full > left:
        return Line(item, -left, None, f"{why} is {number(full)}, only {number(left)} were left")
    return Line(item, -full, None, why)


def _penalty_why(policy: LatePolicy, *, earned: Decimal, possible: Decimal, days: int, homework_possible: Decimal | None) -> str:
    if days > policy.last_day:
        return after_last_words(policy)
    if policy.base == "of_earned":
        return policy.formula(days, f"the {number(earned)} earned")
    if policy.base == "compounding":
        return f"{each_day(policy, days)} of what is left, day by day, from {number(earned)}"
    whole = measure_words(policy, possible, homework_possible)
    formula = policy.formula(days, whole)
    share = policy.measure(possible, homework_possible) * policy.percent(days) / HUNDRED
    if policy.base == "ceiling":
        most = max(Decimal(0), possible - share)
        return f"at most {number(most)} of the {number(possible)} possible count: {number(possible)} less {formula}"
    return formula if share <= earned else f"{formula} is {number(share)}, only {number(earned)} were left"


def shown(value: Decimal, places: int = 2) -> str:
    """Rounded for display, half to even, with a true minus sign. The only place where a score is rounded."""
    rounded = value.quantize(Decimal(1).scaleb(-places), rounding=ROUND_HALF_EVEN)
    return f"{abs(rounded):f}" if not rounded else f"{rounded:f}".replace("-", "−")
