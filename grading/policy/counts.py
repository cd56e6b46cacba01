"""Which of a student's hand-ins counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from grading.policy.walltime import in_utc
from grading.policy.words import count, number


@dataclass(frozen=True)
class Attempt:
    """One hand-in as the rule needs it. `net` is the score after deductions and penalty, None until judged; `stopped`: it will not be."""

    id: int
    number: int
    received: datetime
    days_late: int
    accepted: bool
    judged: bool
    raw: Decimal | None
    net: Decimal | None
    stopped: bool = False


@dataclass(frozen=True)
class Counting:
    """The id of the hand-in that counts, None when none does yet, and a sentence that says why."""

    id: int | None
    why: str


def which_counts(attempts: Sequence[Attempt], *, autograded: bool, chosen: int | None) -> Counting:
    """The student's choice (an id), else the judged one that nets most (autograded), else the last one on time (graded by people)."""
    in_order = sorted(attempts, key=_time)
    accepted = [attempt for attempt in in_order if attempt.accepted]
    note = ""
    if chosen is not None:
        pick = next((attempt for attempt in in_order if attempt.id == chosen), None)
        if pick is None:
            raise ValueError(f"hand-in {chosen} was chosen but is not one of {[attempt.id for attempt in in_order]}")
        if pick.accepted:
            return Counting(pick.id, f"Hand-in #{pick.number} counts because it was chosen.")
        note = f" The chosen hand-in #{pick.number} was not accepted."
    if not accepted:
        return Counting(None, ("No hand-in was accepted." if in_order else "Nothing was handed in.") + note)
    counting = _best(accepted) if autograded else _last(accepted)
    return Counting(counting.id, counting.why + note)


def _time(attempt: Attempt) -> tuple[datetime, int]:
    return in_utc(attempt.received), attempt.number


def _best(accepted: Sequence[Attempt]) -> Counting:
    judged = [(attempt.net, attempt) for attempt in accepted if attempt.judged and attempt.net is not None]
    without = [attempt for attempt in accepted if not attempt.judged or attempt.net is None]
    if not judged:
        return Counting(None, f"{_without(without)}.")
    most = max(net for net, _ in judged)
    best = next(attempt for net, attempt in judged if net == most)
    if len(accepted) == 1:
        return Counting(best.id, f"Hand-in #{best.number} counts: it is the only one.")
    so_far = f"; {_without(without)}" if without else ""
    tie = ", first to reach it" if sum(net == most for net, _ in judged) > 1 else ""
    return Counting(best.id, f"Hand-in #{best.number} counts: it nets most, {number(most)} points{tie}{so_far}.")


def _without(attempts: Sequence[Attempt]) -> str:
    """What is to be said of hand-ins without a score."""
    stopped = sum(attempt.stopped for attempt in attempts)
    said = {"not judged yet": len(attempts) - stopped, "stopped before it had a score": stopped}
    return ", ".join(f"{count(many, 'hand-in')} {words}" for words, many in said.items() if many)


def _last(accepted: Sequence[Attempt]) -> Counting:
    on_time = [attempt for attempt in accepted if attempt.days_late == 0]
    last = (on_time or accepted)[-1]
    if len(accepted) == 1:
        return Counting(last.id, f"Hand-in #{last.number} counts: it is the only one.")
    if on_time and accepted[-1].days_late:
        return Counting(last.id, f"Hand-in #{last.number} counts: it is the last one on time. A late one counts only when it is chosen.")
    return Counting(last.id, f"Hand-in #{last.number} counts: it is the last one.")
