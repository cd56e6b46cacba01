"""Days late and what they cost: the settings of `[late]`, the segments of a deadline, lateness, and the cost said beforehand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Literal, TypeVar, get_args
from zoneinfo import ZoneInfo

from grading.policy.walltime import MINUTE, Due, end_of_minute, in_utc
from grading.policy.words import clock, count, number

__all__ = ["Cost", "Due", "LatePolicy", "Lateness", "Segment", "cost", "lateness", "segment_at", "timeline"]

Base = Literal["of_possible", "of_earned", "ceiling", "compounding"]
Scope = Literal["component", "homework"]
DayRule = Literal["wall_clock", "elapsed_24h"]
AfterLast = Literal["refuse", "zero"]

DAY = timedelta(days=1)
HUNDRED = Decimal(100)
MOST_DAYS = 60
MOST_GRACE = 24 * 60 - 1


@dataclass(frozen=True)
class LatePolicy:
    """What lateness costs. `steps` are percents per started day, summed up; their number is the number of days accepted."""

    steps: tuple[Decimal, ...] = (Decimal(10),) * 4
    base: Base = "of_possible"
    scope: Scope = "component"
    day_rule: DayRule = "wall_clock"
    grace_minutes: int = 0
    after_last: AfterLast = "refuse"

    def __post_init__(self) -> None:
        if len(self.steps) > MOST_DAYS:
            raise _refusal("steps", list(map(number, self.steps)), f"at most {MOST_DAYS} days")
        for step in self.steps:
            _percent("steps", step)
        for name, accepted in _WORDS.items():
            _word(name, getattr(self, name), accepted)
        _whole("grace_minutes", self.grace_minutes, MOST_GRACE)
        if self.scope == "homework" and self.base not in ("of_possible", "ceiling"):
            raise ValueError(
                f'late.scope = "homework": accepted with base of_possible or ceiling; {self.base} takes a share of what was earned'
            )

    @classmethod
    def from_settings(cls, settings: Mapping[str, object], course: Mapping[str, object] | None = None) -> "LatePolicy":
        """From the `[late]` table of a homework.toml, over the course's own. ValueError names key, value, accepted.

        What both leave out takes its default. `steps` replace the course's `percent_per_day` and `days`, and the reverse.
        """
        if course:
            by_day, by_step = {"percent_per_day", "days"}, {"steps"}
            replaced = (by_day if by_step & settings.keys() else set()) | (by_step if by_day & settings.keys() else set())
            settings = {key: value for key, value in course.items() if key not in replaced} | dict(settings)
        for key, value in settings.items():
            if key not in SETTINGS:
                raise ValueError(f"late.{key} = {_quoted(value)}: there is no such setting; accepted are {', '.join(SETTINGS)}")
        if "steps" in settings:
            for other in ("percent_per_day", "days"):
                if other in settings:
                    raise ValueError(f"late.{other} = {_quoted(settings[other])}: not accepted beside steps, which already says it")
            steps = settings["steps"]
            if not isinstance(steps, Sequence) or isinstance(steps, str):
                raise _refusal("steps", steps, "a list of percents, such as [20]")
            percents = tuple(_percent("steps", step) for step in steps)
        else:
            per_day = _percent("percent_per_day", settings.get("percent_per_day", 10))
            percents = (per_day,) * _whole("days", settings.get("days", 4), MOST_DAYS)
        return cls(
            steps=percents,
            base=_word("base", settings.get("base", cls.base), get_args(Base)),
            scope=_word("scope", settings.get("scope", cls.scope), get_args(Scope)),
            day_rule=_word("day_rule", settings.get("day_rule", cls.day_rule), get_args(DayRule)),
            grace_minutes=_whole("grace_minutes", settings.get("grace_minutes", cls.grace_minutes), MOST_GRACE),
            after_last=_word("after_last", settings.get("after_last", cls.after_last), get_args(AfterLast)),
        )

    def to_settings(self) -> dict[str, object]:
        """The settings that give this policy back; plain values that JSON and TOML can hold."""
        rest: dict[str, object] = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "steps"}
        if self.steps and len(set(self.steps)) == 1:
            return {"percent_per_day": _plain(self.steps[0]), "days": self.last_day, **rest}
        return {"steps": [_plain(step) for step in self.steps], **rest}

    @property
    def last_day(self) -> int:
        """How many days late a hand-in may be."""
        return len(self.steps)

    def percent(self, days: int) -> Decimal:
        """Percent taken after `days` (0 or more) started days, 0..100, of what `base` names."""
        if days > self.last_day:
            return HUNDRED
        if self.base == "compounding":
            left = Decimal(1)
            for step in self.steps[:days]:
                left *= 1 - step / HUNDRED
            return HUNDRED - HUNDRED * left
        return min(HUNDRED, sum(self.steps[:days], Decimal(0)))

    def penalty(self, *, earned: Decimal, possible: Decimal, days: int, homework_possible: Decimal | None = None) -> Decimal:
        """Points taken from `earned`: never more than that. `homework_possible` is needed when the scope is the homework."""
        if days <= 0:
            return Decimal(0)
        if days > self.last_day:
            return earned
        share = self.percent(days) / HUNDRED
        whole = self.measure(possible, homework_possible)
        if self.base == "of_possible":
            return min(earned, whole * share)
        if self.base == "ceiling":
            return max(Decimal(0), earned - max(Decimal(0), possible - whole * share))
        return earned * share

    def measure(self, possible: Decimal, homework_possible: Decimal | None) -> Decimal:
        """The maximum that a percentage of the possible is taken of: the component's, or the homework's by `scope`."""
        if self.scope == "component":
            return possible
        if homework_possible is None:
            raise ValueError('late.scope = "homework": the homework\'s possible points are needed')
        return homework_possible

    def formula(self, days: int, of: str) -> str:
        """The percents of `days` steps in words: "10 % of the 50 possible × 2 days", or "10 % + 20 % of …"."""
        taken = self.steps[:days]
        if len(set(taken)) == 1:
            return f"{number(taken[0])} % of {of} × {count(days, 'day')}"
        return f"{' + '.join(f'{number(step)} %' for step in taken)} of {of}"

    def boundary(self, due: Due, days: int) -> datetime:
        """The first moment, in UTC, at which a hand-in is more than `days` days late; 0 asks for the end of on time."""
        start = due.end + days * DAY if self.day_rule == "elapsed_24h" else end_of_minute(due.wall + days * DAY, ZoneInfo(due.zone))
        return start + self.grace_minutes * MINUTE

    def days_late(self, due: Due, received: datetime) -> int:
        """Started days past the due time, 0 when on time; goes on counting after the last accepted day."""
        moment = in_utc(received)
        if moment < self.boundary(due, 0):
            return 0
        days = 1
        while moment >= self.boundary(due, days):
            days += 1
        return days


_WORDS: dict[str, tuple[str, ...]] = {
    "base": get_args(Base),
    "scope": get_args(Scope),
    "day_rule": get_args(DayRule),
    "after_last": get_args(AfterLast),
}
SETTINGS: dict[str, tuple[str, ...]] = {"percent_per_day": (), "days": (), "steps": (), "grace_minutes": (), **_WORDS}
"""Every key of `[late]`, with the words it accepts; none where it takes numbers."""


@dataclass(frozen=True)
class Segment:
    """A stretch of time in which a hand-in is treated alike. Times in UTC, `end` excluded; None where it has no bound.

    `credit` is the percent of the possible that can still be reached, `days` how many days late a hand-in is.
    """

    kind: Literal["before", "on_time", "late", "closed"]
    credit: Decimal
    start: datetime | None
    end: datetime | None
    open: bool
    days: int = 0

    @property
    def last_minute(self) -> datetime | None:
        """The minute to print after "until": due 23:59 ends before 00:00 but reads 23:59."""
        return None if self.end is None else self.end - MINUTE


def timeline(
    policy: LatePolicy,
    *,
    release: datetime | None,
    due: Due,
    possible: Decimal | None = None,
    homework_possible: Decimal | None = None,
) -> tuple[Segment, ...]:
    """All of time, cut where the treatment changes. The points are needed only when the scope is the homework."""
    ends = [policy.boundary(due, days) for days in range(policy.last_day + 1)]
    pieces = [Segment("on_time", HUNDRED, None, ends[0], open=True)]
    for days in range(1, policy.last_day + 1):
        credit = _reachable(policy, days, possible, homework_possible)
        pieces.append(Segment("late", credit, ends[days - 1], ends[days], open=True, days=days))
    after, days = ends[-1], policy.last_day + 1
    if policy.after_last == "zero":
        pieces.append(Segment("late", Decimal(0), after, None, open=True, days=days))
    else:
        pieces.append(Segment("closed", Decimal(0), after, None, open=False, days=days))
    if release is None:
        return tuple(pieces)
    opens = in_utc(release)
    shown = [Segment("before", HUNDRED, None, opens, open=False)]
    for piece in pieces:
        if piece.end is None or piece.end > opens:
            start = opens if piece.start is None else max(piece.start, opens)
            shown.append(Segment(piece.kind, piece.credit, start, piece.end, piece.open, piece.days))
    return tuple(shown)


def _reachable(policy: LatePolicy, days: int, possible: Decimal | None, homework_possible: Decimal | None) -> Decimal:
    if policy.scope == "component":
        return HUNDRED - policy.percent(days)
    if possible is None:
        raise ValueError("late.scope = \"homework\": the component's and the homework's possible points are needed")
    if not possible:
        return Decimal(0)
    lost = policy.penalty(earned=possible, possible=possible, days=days, homework_possible=homework_possible)
    return HUNDRED * (possible - lost) / possible


def segment_at(segments: Sequence[Segment], moment: datetime) -> Segment:
    """The segment of `timeline` that an aware moment falls in."""
    now = in_utc(moment)
    for segment in segments:
        if segment.end is None or now < segment.end:
            return segment
    raise ValueError("a timeline ends with an open segment; these segments do not")


@dataclass(frozen=True)
class Lateness:
    """How late a hand-in is. `by` is the time since the due minute ended, grace not counted; zero when it had not."""

    days: int
    accepted: bool
    late: bool
    by: timedelta
    label: str


def lateness(policy: LatePolicy, *, due: Due, received: datetime) -> Lateness:
    days = policy.days_late(due, received)
    by = max(timedelta(0), in_utc(received) - due.end)
    accepted = days <= policy.last_day or policy.after_last == "zero"
    if days == 0:
        label = "on time, within the grace" if by else "on time"
    elif days <= policy.last_day:
        label = f"{count(days, 'day')} late"
    elif accepted:
        label = f"{count(days, 'day')} late, scored 0"
    else:
        label = f"closed since {clock(policy.boundary(due, policy.last_day) - MINUTE, due.zone)}"
    return Lateness(days=days, accepted=accepted, late=days > 0, by=by, label=label)


@dataclass(frozen=True)
class Cost:
    """What `days` days late take. `points` is None when it depends on the points that the hand-in earns."""

    percent: Decimal
    points: Decimal | None
    accepted: bool
    sentence: str


def cost(policy: LatePolicy, *, possible: Decimal, days: int, homework_possible: Decimal | None = None) -> Cost:
    """What a hand-in would cost that is `days` days late, said before it is made."""
    if days <= 0:
        return Cost(Decimal(0), Decimal(0), accepted=True, sentence="On time: it costs nothing.")
    if days > policy.last_day:
        accepted = policy.after_last == "zero"
        return Cost(HUNDRED, possible, accepted=accepted, sentence=f"{after_last_words(policy)}.")
    percent, late = policy.percent(days), f"{count(days, 'day')} late"
    most = possible - policy.penalty(earned=possible, possible=possible, days=days, homework_possible=homework_possible)
    if policy.base == "of_possible":
        points = possible - most
        taken = policy.formula(days, measure_words(policy, possible, homework_possible))
        return Cost(percent, points, accepted=True, sentence=f"{late}: it costs {count(points, 'point')} ({taken}).")
    if policy.base == "ceiling":
        return Cost(
            percent, None, accepted=True, sentence=f"{late}: it can reach {number(most)} of the {number(possible)} possible points."
        )
    how = f", {each_day(policy, days)} of what is left, day by day" if policy.base == "compounding" and days > 1 else ""
    return Cost(percent, None, accepted=True, sentence=f"{late}: it costs {number(percent)} % of the points it earns{how}.")


def measure_words(policy: LatePolicy, possible: Decimal, homework_possible: Decimal | None) -> str:
    whole = policy.measure(possible, homework_possible)
    return f"the {number(whole)} possible" if policy.scope == "component" else f"the homework's {number(whole)} possible"


def each_day(policy: LatePolicy, days: int) -> str:
    """The percents of the days that compound: "10 %", or "10 %, then 20 %" when they differ."""
    steps = policy.steps[:days]
    return f"{number(steps[0])} %" if len(set(steps)) == 1 else ", then ".join(f"{number(step)} %" for step in steps)


def after_last_words(policy: LatePolicy) -> str:
    """What happens to a hand-in after the last accepted day."""
    past = f"More than {count(policy.last_day, 'day')} late" if policy.last_day else "Late"
    return f"{past}: not accepted" if policy.after_last == "refuse" else f"{past}: accepted, and scored 0"


def _quoted(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def _refusal(key: str, value: object, accepted: str) -> ValueError:
    return ValueError(f"late.{key} = {_quoted(value)}: accepted is {accepted}")


def _plain(percent: Decimal) -> int | str:
    return int(percent) if percent == percent.to_integral_value() else str(percent)


def _percent(key: str, value: object) -> Decimal:
    accepted = "a percent from 0 to 100"
    try:
        percent = Decimal(str(value))
    except InvalidOperation:
        raise _refusal(key, value, accepted) from None
    if not percent.is_finite() or not 0 <= percent <= HUNDRED:
        raise _refusal(key, value, accepted)
    return percent


def _whole(key: str, value: object, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= most:
        raise _refusal(key, value, f"a whole number from 0 to {most}")
    return value


_Word = TypeVar("_Word", bound=str)


def _word(key: str, value: object, accepted: tuple[_Word, ...]) -> _Word:
    if value not in accepted:
        raise ValueError(f"late.{key} = {_quoted(value)}: accepted are {', '.join(accepted)}")
    return value
