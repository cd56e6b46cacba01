"""A day of uploads on paper: when each would have its result, under each way of ordering them.

Who goes first is decided by `queueing.Line`, the same one that claims real runs. Times are seconds since the scenario's beginning. Every
policy of a seed gets the same uploads with the same lengths, so that a difference between two policies is theirs and not chance's.
"""

import heapq
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace

from grading.policy.queueing import ALL, Line, Purpose, Rules, Waiting

LONGEST = 1_000  # hours, slots, teams or uploads: more of any would not end
_ENDS, _COMES = range(2)


@dataclass(frozen=True)
class Teams:
    """`count` teams of `uploads` uploads each."""

    count: int
    uploads: int

    @classmethod
    def from_settings(cls, settings: object) -> "Teams":
        if not isinstance(settings, Mapping) or settings.keys() != {"count", "uploads"}:
            raise _refusal("teams", settings, "tables of count and uploads")
        return cls(**{key: _whole(f"teams.{key}", value) for key, value in settings.items()})


@dataclass(frozen=True)
class Scenario:
    """What comes when. `rush_percent` of the uploads come in the last `rush_hours`, each time of those and of the others being as likely.

    With the number of a team's uploads given, that is a Poisson process. Lengths are lognormal.
    """

    title: str
    slots: int
    hours: float
    rush_hours: float
    rush_percent: float
    length_median_min: float
    length_sigma: float
    broken_percent: float
    smoke_check_s: float
    seeds: tuple[int, ...]
    teams: tuple[Teams, ...]

    @classmethod
    def from_settings(cls, settings: Mapping[str, object]) -> "Scenario":
        """From a TOML document. ValueError names key, value, and what is accepted."""
        known = [field.name for field in fields(cls)]
        for key in [*settings, *known]:
            if key not in known:
                raise _refusal(key, settings[key], f"only {', '.join(known)}")
            if key not in settings:
                raise ValueError(f"{key} is missing; a scenario has {', '.join(known)}")
        hours = _number("hours", settings["hours"], LONGEST)
        return cls(
            title=str(settings["title"]),
            slots=_whole("slots", settings["slots"]),
            hours=hours,
            rush_hours=_number("rush_hours", settings["rush_hours"], hours),
            rush_percent=_number("rush_percent", settings["rush_percent"], 100),
            length_median_min=_number("length_median_min", settings["length_median_min"], LONGEST),
            length_sigma=_number("length_sigma", settings["length_sigma"], 3),
            broken_percent=_number("broken_percent", settings["broken_percent"], 100),
            smoke_check_s=_number("smoke_check_s", settings["smoke_check_s"], 3600),
            seeds=tuple(_whole("seeds", seed) for seed in _some("seeds", settings["seeds"])),
            teams=tuple(Teams.from_settings(teams) for teams in _some("teams", settings["teams"])),
        )


@dataclass(frozen=True)
class Upload:
    """`length_s`: how long it holds a slot; a broken one fails on the way there, after `fails_after_s`."""

    id: int
    team: int
    at: float
    length_s: float
    fails_after_s: float | None

    @property
    def broken(self) -> bool:
        return self.fails_after_s is not None

    @property
    def holds_s(self) -> float:
        return self.length_s if self.fails_after_s is None else self.fails_after_s


@dataclass(frozen=True)
class Policy:
    """What holds, besides the rules of the line.

    Smoke check: an upload is first tried on a CPU, and a broken one never takes a slot. Superseding: what still waits when its team's
    newer upload joins the line is judged after everybody's newest.
    """

    name: str
    smoke_check: bool = True
    superseding: bool = True
    rules: Rules = ALL


FIFO = Policy("fifo", smoke_check=False, superseding=False, rules=Rules(fair_share=False, one_at_a_time=False))
OURS = Policy("ours")
POLICIES = (
    FIFO,
    OURS,
    Policy("ours-without-smoke-check", smoke_check=False),
    Policy("ours-without-superseding", superseding=False),
    Policy("ours-without-fair-share", rules=Rules(fair_share=False)),
    Policy("ours-without-one-at-a-time", rules=Rules(one_at_a_time=False)),
)


@dataclass(frozen=True)
class Use:
    """A slot's time for one upload. `counts`: whether its team is held to have used it, which superseded uploads are not."""

    slot: int
    upload: int
    began: float
    ended: float
    counts: bool


@dataclass(frozen=True)
class Day:
    """What came of the uploads. `ended`: when each had its result, by its id."""

    uploads: tuple[Upload, ...]
    ended: Mapping[int, float]
    uses: tuple[Use, ...]

    def by_team(self) -> dict[int, list[Upload]]:
        """Each team's uploads, oldest first."""
        found: defaultdict[int, list[Upload]] = defaultdict(list)
        for upload in self.uploads:
            found[upload.team].append(upload)
        return dict(found)

    def own_waits(self) -> dict[int, float]:
        """From each upload to its own result, by its id."""
        return {upload.id: self.ended[upload.id] - upload.at for upload in self.uploads}

    def waits(self) -> dict[int, float]:
        """From each upload to the result of it or of a newer one of its team, by its id: what its team waits for.

        A newer one that was broken says nothing about this one, so it does not count.
        """
        found = {}
        for uploads in self.by_team().values():
            newer = math.inf
            for upload in reversed(uploads):
                found[upload.id] = min(self.ended[upload.id], newer) - upload.at
                if not upload.broken:
                    newer = min(newer, self.ended[upload.id])
        return found

    def first_results(self) -> dict[int, float]:
        """From each team's first upload to its first result, whichever upload that is of."""
        return {team: min(self.ended[upload.id] for upload in own) - own[0].at for team, own in self.by_team().items()}


def uploads(scenario: Scenario, seed: int) -> tuple[Upload, ...]:
    """What comes that day, by time. Teams are numbered in the scenario's order."""
    draw = random.Random(seed)  # noqa: S311  # a simulation has to be repeatable
    per_team = [group.uploads for group in scenario.teams for _ in range(group.count)]
    came = []
    for team, count in enumerate(per_team):
        for _ in range(count):
            rushed = draw.random() < scenario.rush_percent / 100
            since, until = (scenario.hours - scenario.rush_hours, scenario.hours) if rushed else (0.0, scenario.hours - scenario.rush_hours)
            at = draw.uniform(since, until) * 3600
            length = draw.lognormvariate(math.log(scenario.length_median_min * 60), scenario.length_sigma)
            broken, part = draw.random() < scenario.broken_percent / 100, draw.random()
            came.append(Upload(0, team, at, length, part * length if broken else None))
    return tuple(replace(upload, id=number) for number, upload in enumerate(sorted(came, key=lambda upload: upload.at)))


def simulate(came: Sequence[Upload], policy: Policy, *, slots: int, smoke_check_s: float) -> Day:
    """Play the day until the last upload has its result."""
    by_id = {upload.id: upload for upload in came}
    line = Line([], {}, policy.rules)
    newest: dict[int, Waiting] = {}  # that still waits, by team
    free = list(range(slots))
    ended: dict[int, float] = {}
    uses: list[Use] = []
    events: list[tuple[float, int, int]] = []
    for upload in came:
        if policy.smoke_check and upload.broken:
            ended[upload.id] = upload.at + smoke_check_s
        else:
            events.append((upload.at + (smoke_check_s if policy.smoke_check else 0.0), _COMES, upload.id))
    heapq.heapify(events)
    while events:
        at, what, number = heapq.heappop(events)
        if what == _COMES:
            run = Waiting(number, by_id[number].team, Purpose.HAND_IN, at)
            older = newest.get(run.account)
            if policy.superseding and older is not None:
                line.remove(older)
                line.add(replace(older, purpose=Purpose.SUPERSEDED))
            line.add(run)
            newest[run.account] = run
        else:
            use = uses[number]
            ended[use.upload] = at
            if use.counts:
                line.give_back(by_id[use.upload].team, seconds=use.ended - use.began, at=at)
            heapq.heappush(free, use.slot)
        while free and (taken := line.take()) is not None:
            if newest.get(taken.account) == taken:
                del newest[taken.account]
            ends = at + by_id[taken.id].holds_s
            heapq.heappush(events, (ends, _ENDS, len(uses)))
            uses.append(Use(heapq.heappop(free), taken.id, at, ends, taken.counts))
    return Day(tuple(came), ended, tuple(uses))


def play(scenario: Scenario, policy: Policy) -> tuple[Day, ...]:
    """One day per seed."""
    return tuple(
        simulate(uploads(scenario, seed), policy, slots=scenario.slots, smoke_check_s=scenario.smoke_check_s) for seed in scenario.seeds
    )


def _refusal(key: str, value: object, accepted: str) -> ValueError:
    return ValueError(f"{key} = {value!r} is not accepted; accepted: {accepted}")


def _number(key: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise _refusal(key, value, f"a number from 0 to {most:g}")
    return float(value)


def _whole(key: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LONGEST:
        raise _refusal(key, value, f"a whole number from 1 to {LONGEST}")
    return value


def _some(key: str, value: object) -> list[object]:
    if not isinstance(value, list) or not value:
        raise _refusal(key, value, "a list that is not empty")
    return value
