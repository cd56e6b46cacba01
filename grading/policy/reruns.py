"""What a rerun would change: the old result of each hand-in beside the new one, with the reason, before anything counts.

Points are those from the checks, less what is taken off for a repair, and before late penalties, which do not depend on the run.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from grading.policy.words import number

Reason = Literal["waits", "unjudged", "stopped", "overtaken", "first", "same", "noise", "patched", "checks", "environment", "unsteady"]
WITHOUT_RESULT: tuple[Reason, ...] = ("waits", "unjudged", "stopped")

REASONS: Mapping[Reason, str] = {
    "waits": "Not judged yet",
    "unjudged": "Could not be judged",
    "stopped": "Stopped",
    "overtaken": "A newer result counts by now",
    "first": "Had no score",
    "same": "No difference",
    "noise": "Within noise",
    "patched": "Code patched",
    "checks": "Checks changed",
    "environment": "Python environment changed",
    "unsteady": "Nothing changed but the result",
}


@dataclass(frozen=True)
class Scored:
    """One check of a result. `message` is what it says to staff."""

    id: str
    title: str
    points: Decimal
    out_of: Decimal
    judged: bool = True
    message: str = ""


@dataclass(frozen=True)
class Judgement:
    """A result as far as it is compared. `taken`: for a repair, of `points`. `autograder` and `environment` are digests."""

    run: int
    points: Decimal
    out_of: Decimal
    checks: tuple[Scored, ...]
    autograder: str
    environment: str = ""
    taken: Decimal = Decimal(0)

    @property
    def net(self) -> Decimal:
        return max(Decimal(0), self.points - self.taken)


@dataclass(frozen=True)
class CheckChange:
    """What happened to one check. `before` or `after` is None where the autograder has no such check; `words` says more, and
    `message` is what the check says now."""

    title: str
    before: Decimal | None
    after: Decimal | None
    words: str
    noise: bool = False
    message: str = ""

    @property
    def difference(self) -> Decimal:
        return (self.after or Decimal(0)) - (self.before or Decimal(0))


@dataclass(frozen=True)
class Case:
    """One hand-in of a rerun. `missing` says why there is no new result. `by_hand`: the points that staff set in the place of the checks'.
    `published`: its student knows the old score for good."""

    old: Judgement | None
    new: Judgement | None
    missing: Literal["", "waits", "unjudged", "stopped"] = ""
    patched: bool = False
    by_hand: Decimal | None = None
    published: bool = False


@dataclass(frozen=True)
class Comparison:
    """`may_apply`: accepting can put the new result in the old one's place. `advised`: it is ticked until staff say otherwise.

    `stands`: points set by hand, which nothing of it changes; the `difference` is None then.
    """

    reason: Reason
    difference: Decimal | None
    changes: tuple[CheckChange, ...]
    may_apply: bool
    advised: bool
    stands: Decimal | None = None
    flags: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        return REASONS[self.reason]

    @property
    def falls(self) -> bool:
        return self.difference is not None and self.difference < 0


def compare(case: Case, *, tolerances: Mapping[str, Decimal], changed: Collection[str] = ()) -> Comparison:
    """The old and the new result of one hand-in. `tolerances`: points by check id, of the checks that declare one; `changed`: the ids of
    the checks whose own code or settings are other ones now."""
    old, new, stands = case.old, case.new, case.by_hand
    difference = new.net - old.net if new is not None and old is not None and stands is None else None
    overtaken = old is not None and new is not None and old.run > new.run
    flags = tuple(_flags(case, None if overtaken else difference))
    if new is None:
        return Comparison(case.missing or "waits", None, (), may_apply=False, advised=False, stands=stands, flags=flags)
    if overtaken:
        return Comparison("overtaken", difference, (), may_apply=False, advised=False, stands=stands, flags=flags)
    may = stands is None
    if old is None:
        return Comparison("first", None, (), may_apply=may, advised=may, stands=stands, flags=flags)
    changes = tuple(_changes(old, new, tolerances, changed))
    reason = _reason(case, old, new, changes)
    loses = difference is not None and difference < 0 and (case.published or reason == "patched")  # who repairs code means to help
    advised = may and reason not in {"noise", "unsteady"} and not loses
    return Comparison(reason, difference, changes, may, advised, stands, flags)


def _flags(case: Case, difference: Decimal | None) -> Iterable[str]:
    if case.by_hand is not None:
        would = f"; the checks would give {number(case.new.net)}" if case.new else ""
        yield f"{number(case.by_hand)} by hand stands{would}"
    if case.published and difference is not None and difference < 0:
        yield "Falls after publishing"


def _reason(case: Case, old: Judgement, new: Judgement, changes: Sequence[CheckChange]) -> Reason:
    """Noise comes first: what a lucky draw could have done as well is no ground for another score."""
    if not changes and old.net == new.net:
        return "same"
    if changes and all(change.noise for change in changes):
        return "noise"
    if case.patched:
        return "patched"
    if old.autograder != new.autograder:
        return "checks"
    if old.environment and new.environment and old.environment != new.environment:
        return "environment"
    return "unsteady"


def _changes(old: Judgement, new: Judgement, tolerances: Mapping[str, Decimal], changed: Collection[str]) -> Iterable[CheckChange]:
    """Every check whose points or worth differ, in the new result's order, then those that are gone."""
    before = {check.id: check for check in old.checks}
    for check in new.checks:
        was = before.pop(check.id, None)
        if was is None:
            yield CheckChange(
                check.title, None, check.points, f"new check, {number(check.points)} of {number(check.out_of)}", message=check.message
            )
        elif (was.points, was.out_of) != (check.points, check.out_of):
            steady = was.out_of == check.out_of and was.judged and check.judged
            noise = steady and abs(check.points - was.points) <= tolerances.get(check.id, Decimal(0))
            yield CheckChange(check.title, was.points, check.points, _words(was, check, own_code=check.id in changed), noise, check.message)
    if old.taken != new.taken:
        yield CheckChange("Taken off for a repair", -old.taken, -new.taken, f"{number(-old.taken)} → {number(-new.taken)}")
    for was in before.values():
        yield CheckChange(was.title, was.points, None, f"no check any more, was {number(was.points)} of {number(was.out_of)}")


def _words(was: Scored, now: Scored, *, own_code: bool) -> str:
    words = f"{number(was.points)} → {number(now.points)}"
    words += f" of {number(now.out_of)}" if was.out_of == now.out_of else f", of {number(was.out_of)} → of {number(now.out_of)}"
    if was.judged and not now.judged:
        words += ", could not be judged now"
    elif now.judged and not was.judged:
        words += ", could not be judged before"
    return words + (", its check changed" if own_code else "")


@dataclass(frozen=True)
class Totals:
    """A rerun in numbers; each row is one of them. What goes up, down, stays or is a first score are rows that may be accepted, and `mean`
    is of their differences."""

    up: int
    down: int
    same: int
    first: int
    by_hand: int
    overtaken: int
    waiting: int
    unjudged: int
    mean: Decimal | None

    @property
    def begun(self) -> bool:
        """Whether there is anything to be said yet."""
        return any((self.up, self.down, self.same, self.first, self.by_hand, self.overtaken, self.unjudged))


def totals(rows: Iterable[Comparison]) -> Totals:
    found = list(rows)
    differences = [row.difference for row in found if row.may_apply and row.difference is not None]
    return Totals(
        up=sum(one > 0 for one in differences),
        down=sum(one < 0 for one in differences),
        same=sum(one == 0 for one in differences),
        first=sum(row.may_apply and row.reason == "first" for row in found),
        by_hand=sum(row.stands is not None and row.reason not in {*WITHOUT_RESULT, "overtaken"} for row in found),
        overtaken=sum(row.reason == "overtaken" for row in found),
        waiting=sum(row.reason == "waits" for row in found),
        unjudged=sum(row.reason in {"unjudged", "stopped"} for row in found),
        mean=sum(differences, Decimal(0)) / len(differences) if differences else None,
    )


def files_used(theirs: Iterable[str], own: Collection[str], *, whose: str) -> str:
    """How staff's files came into a run of a hand-in with its `own` ones: "with a.py from the staff in the place of yours"."""
    paths = sorted(theirs)
    instead, added = [path for path in paths if path in own], [path for path in paths if path not in own]
    if not instead:
        return f"with {_listed(added)} from the staff added" if added else ""
    words = f"with {_listed(instead)} from the staff in the place of {whose}"
    return f"{words}, and {_listed(added)} added" if added else words


def _listed(names: Sequence[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def old_and_new(old: Decimal | None, new: Decimal, taken: Decimal) -> str:
    """Points from the checks, less what is `taken` off for a repair."""
    before = "none" if old is None else number(old)
    after = f", after {number(taken)} taken off for the repair" if taken else ""
    return f"Points from the checks: {before} → {number(new)}{after}."


def spread(scores: Sequence[Decimal | None], many: int) -> list[int]:
    """The places of `many` of the scores, evenly chosen from the lowest to the highest; those without a score count as lowest."""
    order = sorted(range(len(scores)), key=lambda at: (scores[at] is not None, scores[at] or Decimal(0), at))
    if many >= len(order):
        return sorted(order)
    if many == 1:
        return [order[len(order) // 2]]
    return sorted({order[round(place * (len(order) - 1) / (many - 1))] for place in range(many)})
