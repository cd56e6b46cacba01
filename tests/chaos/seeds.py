"""Seeds from beginning to end, and what came of them."""

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from django.core.management import call_command
from django.db import DatabaseError, InterfaceError, connection
from django.db.models import F, Max, Sum

from courseapp.management import local_postgres
from grading.models import Run
from tests.chaos import plan, verdict
from tests.chaos.control import Control
from tests.chaos.site import Site
from tests.chaos.students import Students

ENDED_WITHIN_S = 120.0  # after the last fault and the last hand-in
SHOWN = 12  # problems of a seed in a table
CONTROL_WITHIN_S = 20.0  # so long the control may go on after that; what is not done then is not done


@dataclass(frozen=True)
class Seed:
    """What one seed came to. `executions`: claims, of which one a run is needed. `control_backlog`: what a broker without a file held when
    it was killed; `fenced`: how often a holder came too late, and nothing was recorded; `late_results`: how often it had a result by then.
    """

    seed: int
    keeps: bool
    faults: dict[str, int]
    hand_ins: int
    runs: int
    results: int
    executions: int
    fenced: int
    late_results: int
    slowest_run_s: float
    ended_after_s: float
    took_s: float
    problems: tuple[str, ...]
    control_done: int
    control_lost: int
    control_doubled: int
    control_backlog: int

    @property
    def holds(self) -> bool:
        return not self.problems


def proves(seeds: Sequence[Seed]) -> bool:
    """The faults were real: a late result was turned away, and the control failed."""
    return any(seed.late_results for seed in seeds) and control_fails(seeds)


def control_fails(seeds: Sequence[Seed]) -> bool:
    """The control lost work with a broker that kept nothing and had a backlog, and doubled some: so the faults were real."""
    lost = any(seed.control_lost and seed.control_backlog >= 20 for seed in seeds if not seed.keeps)
    return lost and any(seed.control_doubled for seed in seeds)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    address = urlsplit(os.environ["DATABASE_URL"])
    cluster = local_postgres.start(durable=True, port=address.port)
    done: list[Seed] = []
    try:
        call_command("migrate", interactive=False, verbosity=0)
        for number in range(options.first, options.first + options.seeds):
            done.append(run(number, cluster))
            print(line(done[-1]), file=sys.stderr, flush=True)
    finally:
        connection.close()
        cluster.stop()
    print(json.dumps([asdict(seed) for seed in done], indent=1) if options.json else table(done))
    sys.exit(0 if all(seed.holds for seed in done) and proves(done) else 1)


def run(number: int, cluster: local_postgres.Cluster) -> Seed:
    """One seed. What its processes said is kept when something did not hold."""
    planned = plan.make(number)
    folder = Path(tempfile.mkdtemp(prefix=f"chaos-{number}-"))
    port = urlsplit(os.environ["REDIS_URL"]).port
    assert port is not None
    began = time.monotonic()
    students, control = Students(planned, folder / "homework"), Control(planned)
    site = Site(folder, cluster, control, port=port, keeps=planned.keeps)
    try:
        site.start()
        ended_after = _live(planned, site, students, control)
    finally:
        students.stop()
        control.stop()
        site.stop()
    connection.close()
    _until_it_answers()
    handed_in = students.handed_in
    problems = verdict.problems(students.component, students.enrollments, handed_in)
    runs = Run.objects.filter(submission__component=students.component)
    numbers = runs.aggregate(claims=Sum("token"), slowest=Max(F("finished_at") - F("created_at")))
    fenced, late_results = site.fenced()
    control_done, lost, doubled = control.count()
    if ended_after > ENDED_WITHIN_S:
        problems.append(f"The last run ended {ended_after:.0f} s after the last fault; allowed are {ENDED_WITHIN_S:.0f} s.")
    seed = Seed(
        seed=number,
        keeps=planned.keeps,
        faults=dict(site.struck),
        hand_ins=len(handed_in),
        runs=runs.count(),
        results=runs.filter(result__isnull=False).count(),
        executions=numbers["claims"] or 0,
        fenced=fenced,
        late_results=late_results,
        slowest_run_s=round(numbers["slowest"].total_seconds(), 1) if numbers["slowest"] else 0.0,
        ended_after_s=round(ended_after, 1),
        took_s=round(time.monotonic() - began, 1),
        problems=tuple(problems),
        control_done=control_done,
        control_lost=lost,
        control_doubled=doubled,
        control_backlog=max(site.lost_backlogs, default=0),
    )
    if seed.holds:
        shutil.rmtree(folder)
    else:
        print(f"Seed {number}: the logs are in {folder}", file=sys.stderr)
    return seed


def _live(planned: plan.Plan, site: Site, students: Students, control: Control) -> float:
    """Hand-ins and faults, until all has ended; how long after the last fault and hand-in the last run ended."""
    began = last = time.monotonic()
    ended: float | None = None
    first: float | None = None  # when the first run had ended: only then is the sandbox there to be struck
    strikes = list(planned.strikes)
    students.begin(began)
    control.begin(began)
    while True:
        site.tick()
        now = time.monotonic()
        first = first or (now if _ended(students) else None)
        if strikes and first and now >= first + strikes[0].at and site.strike(strikes[0], now - first - strikes[0].at):
            del strikes[0]
        if strikes or not students.done or not site.whole:
            last, ended = now, None
        elif ended is None and (_ended(students) == len(planned.hand_ins) or now > last + ENDED_WITHIN_S):
            ended = now
        if ended is not None and (control.settled or now > ended + CONTROL_WITHIN_S):
            return ended - last
        time.sleep(0.05)


def _ended(students: Students) -> int:
    """How many runs have ended; 0 while the database does not answer."""
    try:
        return Run.objects.filter(submission__component=students.component).exclude(state__in=Run.OPEN).count()
    except (DatabaseError, InterfaceError):
        connection.close()
        return 0


def _until_it_answers() -> None:
    end = time.monotonic() + 30
    while True:
        try:
            return connection.ensure_connection()
        except DatabaseError:
            if time.monotonic() > end:
                raise
            time.sleep(0.2)


def line(seed: Seed) -> str:
    """One seed in a line, with what did not hold below it."""
    faults = ", ".join(f"{times} {kind}" for kind, times in seed.faults.items())
    said = (
        f"Seed {seed.seed} (AOF {'on' if seed.keeps else 'off'}): {faults}; "
        f"{seed.hand_ins} hand-ins, {seed.runs} runs, {seed.results} results; "
        f"{seed.executions} executions, {seed.fenced} of them fenced, {seed.late_results} with a late result; "
        f"slowest run {seed.slowest_run_s} s, all ended {seed.ended_after_s} s after the last fault, took {seed.took_s} s. "
        f"Control: {seed.control_done} done, {seed.control_lost} lost, {seed.control_doubled} doubled"
        + ("." if seed.keeps else f"; its broker died with {seed.control_backlog} messages.")
    )
    shown = (*seed.problems[:SHOWN], f"and {len(seed.problems) - SHOWN} more") if len(seed.problems) > SHOWN else seed.problems
    return "\n  ".join((said, *shown))


def table(seeds: Sequence[Seed]) -> str:
    """All seeds together: the site beside the control."""
    total = sum(seed.hand_ins for seed in seeds)
    rows = [
        ("seeds", f"{len(seeds)}, of which {sum(seed.keeps for seed in seeds)} with AOF"),
        ("faults", str(sum(sum(seed.faults.values()) for seed in seeds))),
        ("hand-ins, runs, results", f"{total}, {sum(seed.runs for seed in seeds)}, {sum(seed.results for seed in seeds)}"),
        ("executions", str(sum(seed.executions for seed in seeds))),
        ("fenced; with a late result", f"{sum(seed.fenced for seed in seeds)}; {sum(seed.late_results for seed in seeds)}"),
        ("slowest run", f"{max(seed.slowest_run_s for seed in seeds)} s"),
        ("longest after the last fault", f"{max(seed.ended_after_s for seed in seeds)} s"),
        ("control: done, lost, doubled", ", ".join(str(sum(part)) for part in zip(*map(_control, seeds), strict=True)) + f" of {total}"),
        ("the site", "lost and doubled nothing" if all(seed.holds for seed in seeds) else "DID NOT HOLD"),
        ("late results", "turned away, as they must be" if any(seed.late_results for seed in seeds) else "NONE SEEN: nothing is proved"),
        ("the control", "lost and doubled work, as it must" if control_fails(seeds) else "DID NOT FAIL: the faults prove nothing"),
    ]
    return "\n".join(f"{name:<30} {value}" for name, value in rows)


def _control(seed: Seed) -> tuple[int, int, int]:
    return seed.control_done, seed.control_lost, seed.control_doubled
