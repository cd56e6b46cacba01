"""Which due time holds for one student and component."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import ROUND_CEILING, Decimal
from zoneinfo import ZoneInfo

from grading.policy.late import DAY, Due, in_utc
from grading.policy.words import count, number

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Accommodation:
    """Standing extra time: whole `days`, or a `factor` (1 or more) on the span from release to due; one of the two.

    It is private, and adds to an extension only when `stacks` says so.
    """

    days: int | None = None
    factor: Decimal | None = None
    stacks: bool = False

    def __post_init__(self) -> None:
        if (self.days is None) == (self.factor is None):
            raise ValueError(f"accommodation of {self.days} days and factor {self.factor}: accepted is one of the two")
        if self.days is not None and not 0 <= self.days <= 365:
            raise ValueError(f"accommodation of {self.days} days: accepted are 0 to 365")
        if self.factor is not None and not (self.factor.is_finite() and 1 <= self.factor <= 10):
            raise ValueError(f"accommodation factor {self.factor}: accepted is a number from 1 to 10, such as 1.5")

    def __str__(self) -> str:
        return count(self.days, "day") if self.days is not None else f"{number(self.factor or Decimal(1))} times the time"


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
    extra = timedelta(0)
    if accommodation and accommodation.factor is not None and release is None:
        why.append(f"The accommodation of {accommodation} is not applied: the homework has no release time to count from.")
    elif accommodation:
        extra = _extra(accommodation, start, release)
        due = _plus(start, extra)
        why.append(f"The accommodation of {accommodation} makes it {due}.")
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
    if accommodation.factor is None or release is None:
        return (accommodation.days or 0) * DAY
    opened = in_utc(release).astimezone(ZoneInfo(due.zone)).replace(tzinfo=None)
    span = max(timedelta(0), due.wall - opened) // _MICROSECOND
    return int((span * (accommodation.factor - 1)).to_integral_value(ROUND_CEILING)) * _MICROSECOND


def _plus(due: Due, extra: timedelta) -> Due:
    return Due.soonest(due.wall + extra, due.zone)


def default_due(release: datetime, zone: str) -> Due:
    """What a new homework is offered: 23:59 on the Sunday of the week after its release."""
    local = in_utc(release).astimezone(ZoneInfo(zone))
    sunday = local.date() + timedelta(days=13 - local.weekday())
    return Due(datetime(sunday.year, sunday.month, sunday.day, 23, 59), zone)
