"""Which due time holds for one student and component."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

from grading.policy.late import DAY
from grading.policy.walltime import Due, in_utc
from grading.policy.words import count, number

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Accommodation:
    """Standing extra time: `days`, or a `factor` on the span from release to due; with both, the one that gives more.

    It is private, and adds to an extension only when `stacks` says so.
    """

    days: int = 0
    factor: Decimal = Decimal(1)
    stacks: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.days <= 365:
            raise ValueError(f"accommodation of {self.days} days: accepted are 0 to 365")
        if not (self.factor.is_finite() and 1 <= self.factor <= 10):
            raise ValueError(f"accommodation factor {self.factor}: accepted is a number from 1 to 10, such as 1.5")

    def __str__(self) -> str:
        parts = [count(self.days, "day")] if self.days else []
        parts += [f"{number(self.factor)} times the time"] if self.factor != 1 else []
        return " or ".join(parts) or "no extra time"


@dataclass(frozen=True)
class EffectiveDue:
    """The due time that holds. `why` is for instructors; graders get the date alone, the student `public_why`."""

    due: Due
    why: tuple[str, ...]
    public_why: str


def effective_due(
    *, base: Due, section: Due | None, extension: Due | None, accommodation: Accommodation | None, release: datetime | None
) -> EffectiveDue:
    """The latest of what the student was given: a section's due time replaces the homework's, nothing else ever shortens it."""
    start = section or base
    due = start
    why = [f"The section's due time is {section}." if section else f"The homework's due time is {base}."]
    extra = _extra(accommodation, start, release) if accommodation else timedelta(0)
    if extra:
        due = _plus(start, extra)
        why.append(f"The accommodation of {accommodation} makes it {due}.")
    if accommodation and accommodation.factor != 1 and release is None:
        why.append(f"The factor {number(accommodation.factor)} is not applied: the homework has no release time to count from.")
    if extension:
        granted = extension
        why.append(f"An extension until {extension} was granted.")
        if accommodation and accommodation.stacks and extra:
            granted = _plus(extension, extra)
            why.append(f"The accommodation adds to it: {granted}.")
        if granted.instant > due.instant:
            due = granted
        else:
            why.append(f"It does not change the due time, which is {due}.")
    if due.instant == start.instant:
        return EffectiveDue(due, tuple(why), f"Due {due}.")
    return EffectiveDue(due, tuple(why), f"Due {due}: this is your own due time, instead of {start}.")


def _extra(accommodation: Accommodation, due: Due, release: datetime | None) -> timedelta:
    """Extra time by the wall clock, so that a due time keeps its hour across a clock change."""
    by_days = accommodation.days * DAY
    if release is None:
        return by_days
    opened = in_utc(release).astimezone(ZoneInfo(due.zone)).replace(tzinfo=None)
    span = max(timedelta(0), due.wall - opened) // _MICROSECOND
    by_factor = int((span * (accommodation.factor - 1)).to_integral_value(ROUND_CEILING)) * _MICROSECOND
    return max(by_days, by_factor)


def _plus(due: Due, extra: timedelta) -> Due:
    return Due.soonest(due.wall + extra, due.zone)


def default_due(release: datetime, zone: str) -> Due:
    """What a new homework is offered: 23:59 on the Sunday of the week after its release."""
    local = in_utc(release).astimezone(ZoneInfo(zone))
    sunday = local.date() + timedelta(days=13 - local.weekday())
    return Due(datetime(sunday.year, sunday.month, sunday.day, 23, 59), zone)
