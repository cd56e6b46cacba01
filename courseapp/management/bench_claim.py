"""How long a claim takes when many wait and many claim: a long queue of GPU runs, and one claimant for each of as many slots.

Each claimant takes a run, holds it for a while, ends it, and queues another in its place, so that the queue keeps its length. Its first
claim is not among the times: in that one it connects, and the database plans the statements. At the end it is looked whether anything was
given out twice or beyond what there is.
"""

import multiprocessing
import random
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from django.core.management import CommandError, call_command
from django.db import connection, connections
from django.db.models import Count, F, Sum
from django.db.models.functions import Coalesce

from courseapp.clock import database_now
from courseapp.management.bench_site import machine, percentile
from courseapp.models import Course, Enrollment, User
from grading import claims, execution, slots
from grading.models import Bundle, Component, CoursePolicy, GpuSlot, GpuUse, Homework, Run, RunResult, Submission
from grading.runner.devices import STAND_IN, Device
from grading.runner.outcome import Outcome

BARS_MS = {50: 6.0, 95: 15.0}
PEOPLE = 60
MINUTES = 1000
WALL_S = 600
_DONE = Outcome("ok", Decimal(1), Decimal(1), 1.0)


@dataclass(frozen=True)
class Claims:
    """What was measured; milliseconds of `claims.claim`. `wrong` says what was given out twice or beyond what there is."""

    machine: str
    database: str
    queued: int
    claimants: int
    claims: int
    p50_ms: float
    p95_ms: float
    worst_ms: float
    wrong: list[str]

    @property
    def holds(self) -> bool:
        fast = self.p50_ms <= BARS_MS[50] and self.p95_ms <= BARS_MS[95]
        return not self.wrong and (fast or self.database != "postgresql")

    def __str__(self) -> str:
        bar = f"bars {BARS_MS[50]:g} and {BARS_MS[95]:g} ms on PostgreSQL: {'held' if self.holds else 'MISSED'}"
        return (
            f"{self.machine}, {self.database}: {self.claims} claims by {self.claimants} claimants, {self.queued} queued\n"
            f"p50 {self.p50_ms:.1f} ms, p95 {self.p95_ms:.1f} ms, worst {self.worst_ms:.1f} ms ({bar})\n"
            f"{'; '.join(self.wrong) or 'no slot, run, or budget was exceeded'}"
        )


def run(*, queued: int, claimants: int, seconds: float, hold: float, say: Callable[[str], None]) -> list[Claims]:
    call_command("migrate", interactive=False, verbosity=0)
    _prepare(queued)
    gpus = [Device(f"fake-bench-{number}", STAND_IN) for number in range(claimants)]
    slots.report("bench", gpus, in_use=frozenset(), faults={})
    say(f"{claimants} claimants on {queued} queued runs for {seconds:.0f} s, which have each for about {hold:g} s.")
    connections.close_all()
    # A process for each, as workers are: threads of one would wait for each other's interpreter, and not for the database.
    with ProcessPoolExecutor(claimants, multiprocessing.get_context("fork")) as pool:
        found = list(pool.map(_claim, [gpu.uuid for gpu in gpus], [seconds] * claimants, [hold] * claimants))
    times = [one for own in found for one in own[1:]]
    if not times:
        raise CommandError(f"Nobody claimed twice in {seconds:.0f} s: give more --seconds, or less --hold.")
    return [
        Claims(
            machine=machine(),
            database=connection.vendor,
            queued=Run.objects.filter(state=Run.State.QUEUED).count(),
            claimants=claimants,
            claims=len(times),
            p50_ms=round(percentile(times, 50), 1),
            p95_ms=round(percentile(times, 95), 1),
            worst_ms=round(max(times), 1),
            wrong=_wrong(sum(map(len, found))),
        )
    ]


def _prepare(queued: int) -> None:
    now = database_now()
    course = Course.objects.create(slug="bench", code="B 1", title="Bench", term="Fall", starts_on=now.date())
    CoursePolicy.objects.update_or_create(course=course, defaults={"gpu_minutes_per_week": MINUTES})
    bundle = Bundle.objects.create(digest="0" * 64, autograder_digest="0" * 64, size=0)
    homework = Homework.objects.create(
        course=course, slug="bench", number=1, title="Bench", release_wall="2023-09-01 00:00", statement="", bundle=bundle
    )
    component = Component.objects.create(
        homework=homework, kind="practice", points=1, due_wall="2030-10-01 23:59", queue="gpu", limits={"wall_s": WALL_S}
    )
    submissions = []
    for number in range(PEOPLE):
        user = User.objects.create(username=f"bench{number}", email=f"bench{number}@example.edu")
        person = Enrollment.objects.create(course=course, user=user, email=user.email, first_name=f"B{number}")
        values = {"component": component, "enrollment": person, "number": 1, "received_at": now, "completed_at": now, "own_work": True}
        submissions.append(Submission.objects.create(**values, handed_in_by=user, receipt_code=f"bench-{number}"))
    Run.objects.bulk_create(_waiting(submissions[number % PEOPLE], now - timedelta(seconds=queued - number)) for number in range(queued))


def _waiting(submission: Submission, at: datetime) -> Run:
    bundle = submission.component.homework.bundle
    assert bundle is not None
    owns = {"submission": submission, "component": submission.component, "enrollment_id": submission.enrollment_id}
    return Run(**owns, bundle=bundle, queue="gpu", seed=1, created_at=at, not_before=at)


def _claim(uuid: str, seconds: float, hold: float) -> list[float]:
    """Milliseconds of every claim of this slot's claimant, who has each run for about `hold` seconds; the first one's first."""
    times: list[float] = []
    draw = random.Random(uuid)  # noqa: S311 - a load, not a secret
    end = time.monotonic() + seconds
    try:
        time.sleep(draw.uniform(0, hold))
        while time.monotonic() < end:
            began = time.monotonic()
            claimed = claims.claim("gpu", uuid, slot=uuid)
            times.append((time.monotonic() - began) * 1000)
            assert claimed is not None
            time.sleep(draw.uniform(2 / 3 * hold, 4 / 3 * hold))
            GpuSlot.objects.filter(uuid=uuid).update(seen_at=database_now())
            execution.finish(claimed.run, claimed.token, _DONE)
            slots.release(uuid, claimed.run)
            _waiting(claimed.run.submission, database_now()).save()
    finally:
        connection.close()
    return times


def _wrong(claims: int) -> list[str]:
    found = []
    ended = Run.objects.filter(state=Run.State.DONE)
    if RunResult.objects.count() != claims or Run.objects.filter(token__gt=1).exists() or ended.count() != claims:
        found.append("a run was claimed twice or has not one result")
    of_slot: dict[str, list[tuple[datetime, datetime]]] = {}
    for uuid, start, stop in ended.values_list("slot__uuid", "claimed_at", "finished_at"):
        if start and stop:
            of_slot.setdefault(uuid, []).append((start, stop))
    for times in of_slot.values():
        times.sort()
        if any(later[0] < earlier[1] for earlier, later in pairwise(times)):
            found.append("a slot had two runs at once")
    taken = GpuUse.objects.values("enrollment", "week").annotate(seconds=Sum(Coalesce(F("charged_s"), F("reserved_s"))), uses=Count("pk"))
    if any(row["seconds"] > MINUTES * 60 for row in taken):
        found.append("somebody had more minutes than there are")
    return found
