"""Wall-clock due times as moments.

A due time is what the clock on the wall of the course's zone shows. Its minute belongs to it: due 23:59 takes a hand-in until 00:00.
Moments are compared in UTC, never as local times: two local times of one zone compare by their digits, which run backwards once a year.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from grading.policy.words import clock

MINUTE = timedelta(minutes=1)


def in_utc(moment: datetime) -> datetime:
    """The same moment in UTC; a naive one is refused, because it names no moment."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()} has no time zone: an aware time is needed")
    return moment.astimezone(UTC)


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise ValueError(f'zone "{name}" is not known: accepted are names such as America/New_York') from None


def _exists(wall: datetime, zone: ZoneInfo) -> bool:
    return wall.replace(tzinfo=zone).astimezone(UTC).astimezone(zone).replace(tzinfo=None) == wall


def _later_instant(wall: datetime, zone: ZoneInfo) -> datetime:
    """The moment of an existing wall time; the later one where the clock shows it twice."""
    return wall.replace(tzinfo=zone, fold=1).astimezone(UTC)


def _end_of_gap(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment at which the clock shows more than a wall time that it skips: when it is put forward."""
    early = wall.replace(tzinfo=zone, fold=1).astimezone(UTC)  # read with the offset that holds after the change
    late = wall.replace(tzinfo=zone, fold=0).astimezone(UTC)
    below, above = 0, int((late - early).total_seconds())
    while above - below > 1:
        middle = (below + above) // 2
        shown = (early + timedelta(seconds=middle)).astimezone(zone).replace(tzinfo=None)
        below, above = (below, middle) if shown >= wall else (middle, above)
    return early + timedelta(seconds=above)


def end_of_minute(wall: datetime, zone: ZoneInfo) -> datetime:
    """The first moment, in UTC, after a wall time's minute; for a wall time that the clock skips, the moment it is put forward."""
    return _later_instant(wall, zone) + MINUTE if _exists(wall, zone) else _end_of_gap(wall, zone)


@dataclass(frozen=True)
class Due:
    """A due time: naive `wall` time with whole minutes, in `zone`. An ambiguous one means the later moment."""

    wall: datetime
    zone: str

    def __post_init__(self) -> None:
        zone = _zone(self.zone)
        if self.wall.tzinfo is not None or self.wall.second or self.wall.microsecond:
            raise ValueError(f"due time {self.wall.isoformat()}: accepted is a local time with whole minutes, such as 2023-10-22 23:59")
        if not 2000 <= self.wall.year < 2200:
            raise ValueError(f"due time {self.wall.isoformat(' ', 'minutes')}: accepted are years from 2000 to 2199")
        if not _exists(self.wall, zone):
            after = clock(_end_of_gap(self.wall, zone), self.zone)
            raise ValueError(
                f"due time {self.wall.isoformat(' ', 'minutes')} does not exist in {self.zone}: the clock is put forward then, to {after}. "
                "Choose a time before or after the change."
            )

    @classmethod
    def parse(cls, text: str, zone: str) -> "Due":
        """From "2023-10-22 23:59" (or with a T between). ValueError says what is wrong with it."""
        try:
            wall = datetime.fromisoformat(text.strip())
        except ValueError:
            raise ValueError(f'due time "{text}": accepted is a local time such as 2023-10-22 23:59') from None
        if len(text.strip()) <= len("2023-10-22"):
            raise ValueError(f'due time "{text}" names no hour: accepted is a local time such as 2023-10-22 23:59')
        if wall.tzinfo is not None:
            raise ValueError(f'due time "{text}" names an offset: leave it out, the course\'s zone {zone} is used')
        return cls(wall, zone)

    @classmethod
    def soonest(cls, wall: datetime, zone: str) -> "Due":
        """The due time at `wall` rounded up to the minute, or right after the clock change that skips it. For computed due times."""
        whole = wall.replace(second=0, microsecond=0)
        if whole < wall:
            whole += MINUTE
        known = _zone(zone)
        if not _exists(whole, known):
            whole = _end_of_gap(whole, known).astimezone(known).replace(tzinfo=None)
        return cls(whole, zone)

    @property
    def instant(self) -> datetime:
        """The start of the due minute, in UTC."""
        return _later_instant(self.wall, ZoneInfo(self.zone))

    @property
    def end(self) -> datetime:
        """The first moment, in UTC, that is no longer on time."""
        return self.instant + MINUTE

    def __str__(self) -> str:
        return clock(self.instant, self.zone)
