"""What the queue's simulation came to: one row per policy, and the bars that ours has to hold. Waits are in minutes."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from courseapp.management.bench_site import percentile
from grading.policy.simulation import FIFO, OURS, POLICIES, Day, Scenario, play
from grading.policy.words import count

NAMES = {
    "fifo": "first come, first served",
    "ours": "ours, all rules",
    "ours-without-smoke-check": "ours without smoke check",
    "ours-without-superseding": "ours without superseding",
    "ours-without-fair-share": "ours without fair share",
    "ours-without-one-at-a-time": "ours without one at a time",
}


@dataclass(frozen=True)
class Row:
    """`wait`: from an upload to the result of it or of a newer one of its team; `own_wait`: to its own result."""

    policy: str
    wait_p50_min: float  # of each team's last upload of a day, as the next one
    wait_p95_min: float
    first_result_worst_min: float  # from a team's first upload of a day to its first result; over all teams and days
    first_result_median_min: float  # the median day's worst
    unbroken_wait_p50_min: float  # as wait_p50_min, of each team's last upload that was not broken
    unbroken_first_result_worst_min: float  # from a team's first upload that was not broken to the first result of such a one
    every_wait_p50_min: float  # of all uploads
    every_wait_p95_min: float
    every_own_wait_p50_min: float
    every_own_wait_p95_min: float
    team_p95_min: tuple[float, ...]  # of all uploads of a team, all days together
    team_own_p95_min: tuple[float, ...]
    teams_worse: int  # whose p95 is above the one under FIFO
    teams_own_worse: int
    team_days_worse: int  # the same, each day for itself
    last_waits_min: tuple[float, ...]  # of each team's last upload of a day, ascending


@dataclass(frozen=True)
class Bar:
    what: str
    value: float
    limit: float

    @property
    def holds(self) -> bool:
        return self.value <= self.limit

    def __str__(self) -> str:
        return f"{self.what}: {self.value:g} (bar {self.limit:g}: {'held' if self.holds else 'MISSED'})"


@dataclass(frozen=True)
class Report:
    scenario: Scenario
    rows: tuple[Row, ...]
    bars: tuple[Bar, ...]

    @property
    def holds(self) -> bool:
        return all(bar.holds for bar in self.bars)

    def row(self, policy: str) -> Row:
        return next(row for row in self.rows if row.policy == policy)

    def document(self) -> dict[str, object]:
        """For JSON, without the waits one by one."""
        rows = [{key: value for key, value in asdict(row).items() if key != "last_waits_min"} for row in self.rows]
        return {"scenario": asdict(self.scenario), "rows": rows, "bars": [asdict(bar) | {"held": bar.holds} for bar in self.bars]}

    def __str__(self) -> str:
        lines = [
            f"{headline(self.scenario)} Minutes.",
            "",
            f"{'':28}{'last upload':>14}{'first result':>16}{'every upload':>14}{'its own result':>16}{'teams worse':>13}",
            f"{'':28}{'p50':>7}{'p95':>7}{'worst':>8}{'median':>8}{'p50':>7}{'p95':>7}{'p50':>8}{'p95':>8}{'than FIFO':>13}",
        ]
        for row in self.rows:
            cells = (
                (row.wait_p50_min, 7),
                (row.wait_p95_min, 7),
                (row.first_result_worst_min, 8),
                (row.first_result_median_min, 8),
                (row.every_wait_p50_min, 7),
                (row.every_wait_p95_min, 7),
                (row.every_own_wait_p50_min, 8),
                (row.every_own_wait_p95_min, 8),
            )
            figures = "".join(f"{value:{width}.1f}" for value, width in cells)
            lines.append(f"{NAMES[row.policy]:28}{figures}{row.teams_worse:13}")
        ours = self.row(OURS.name)
        lines += [
            "",
            f"Under ours, {ours.team_days_worse} of {len(ours.last_waits_min)} teams' days have a worse p95 than under FIFO; "
            f"by each upload's own result, {ours.teams_own_worse} of {len(ours.team_p95_min)} teams have.",
            *map(str, self.bars),
        ]
        return "\n".join(lines)


def headline(scenario: Scenario) -> str:
    teams = sum(group.count for group in scenario.teams)
    uploads = sum(group.count * group.uploads for group in scenario.teams)
    sizes = (
        f"{count(teams, 'team')}, {count(uploads, 'upload')} a day, {count(scenario.slots, 'slot')}, {count(len(scenario.seeds), 'day')}"
    )
    return f"{scenario.title}: {sizes}."


def measure(scenario: Scenario) -> Report:
    days = {policy.name: play(scenario, policy) for policy in POLICIES}
    rows = tuple(_row(name, played, days[FIFO.name]) for name, played in days.items())
    by_name = {row.policy: row for row in rows}
    fifo, ours = by_name[FIFO.name], by_name[OURS.name]
    bars = (
        Bar("Last upload's wait, p50, at most 1/5 of FIFO's", ours.wait_p50_min, round(fifo.wait_p50_min / 5, 1)),
        Bar("Worst wait for a first result, at most 1/3 of FIFO's", ours.first_result_worst_min, round(fifo.first_result_worst_min / 3, 1)),
        Bar("Teams whose p95 is worse than under FIFO", ours.teams_worse, 0),
    )
    return Report(scenario, rows, bars)


def _row(policy: str, days: Sequence[Day], fifo: Sequence[Day]) -> Row:
    last: list[float] = []
    unbroken_last: list[float] = []
    unbroken_first: list[float] = []
    every: list[float] = []
    every_own: list[float] = []
    worst_firsts: list[float] = []
    for day in days:
        waits, own_waits = day.waits(), day.own_waits()
        for uploads in day.by_team().values():
            last.append(waits[uploads[-1].id])
            unbroken = [upload for upload in uploads if not upload.broken]
            if unbroken:
                unbroken_last.append(waits[unbroken[-1].id])
                unbroken_first.append(min(day.ended[upload.id] for upload in unbroken) - unbroken[0].at)
        worst_firsts.append(max(day.first_results().values()))
        every += waits.values()
        every_own += own_waits.values()
    p95, own_p95, before, own_before = _team_p95(days), _team_p95(days, own=True), _team_p95(fifo), _team_p95(fifo, own=True)
    pairs = [(_team_p95([day]), _team_p95([first])) for day, first in zip(days, fifo, strict=True)]
    return Row(
        policy=policy,
        wait_p50_min=_minutes(percentile(last, 50)),
        wait_p95_min=_minutes(percentile(last, 95)),
        first_result_worst_min=_minutes(max(worst_firsts)),
        first_result_median_min=_minutes(percentile(worst_firsts, 50)),
        unbroken_wait_p50_min=_minutes(percentile(unbroken_last, 50)),
        unbroken_first_result_worst_min=_minutes(max(unbroken_first)),
        every_wait_p50_min=_minutes(percentile(every, 50)),
        every_wait_p95_min=_minutes(percentile(every, 95)),
        every_own_wait_p50_min=_minutes(percentile(every_own, 50)),
        every_own_wait_p95_min=_minutes(percentile(every_own, 95)),
        team_p95_min=tuple(_minutes(p95[team]) for team in sorted(p95)),
        team_own_p95_min=tuple(_minutes(own_p95[team]) for team in sorted(own_p95)),
        teams_worse=_worse(p95, before),
        teams_own_worse=_worse(own_p95, own_before),
        team_days_worse=sum(_worse(one, other) for one, other in pairs),
        last_waits_min=tuple(_minutes(wait) for wait in sorted(last)),
    )


def _team_p95(days: Sequence[Day], *, own: bool = False) -> dict[int, float]:
    waits: defaultdict[int, list[float]] = defaultdict(list)
    for day in days:
        found = day.own_waits() if own else day.waits()
        for upload in day.uploads:
            waits[upload.team].append(found[upload.id])
    return {team: percentile(own_waits, 95) for team, own_waits in waits.items()}


def _worse(teams: dict[int, float], before: dict[int, float]) -> int:
    return sum(p95 > before[team] for team, p95 in teams.items())


def _minutes(seconds: float) -> float:
    return round(seconds / 60, 1)
