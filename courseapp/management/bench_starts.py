"""How soon a run begins: after an upload while a worker is idle, and after the run before it on a GPU slot (a fake one).

Times are the database's, from when a hand-in is stored until its run is claimed, and from a run's end until the next one is claimed.
"""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from courseapp.clock import database_now
from courseapp.management import workers
from courseapp.management.bench_site import Site, ended, machine, percentile
from grading.models import CoursePolicy, Run, Submission
from grading.runner import devices

IDLE_S = 0.5  # that a worker has had nothing to do before each upload
MINUTES = 10_000


@dataclass(frozen=True)
class Starts:
    """What was measured, in milliseconds. The bar is on the 95th percentile of uploads, and on the median of gaps."""

    what: str
    machine: str
    database: str
    runs: int
    p50_ms: float
    p95_ms: float
    worst_ms: float
    bar_percent: int
    bar_ms: float

    @property
    def holds(self) -> bool:
        return (self.p50_ms if self.bar_percent == 50 else self.p95_ms) <= self.bar_ms

    def __str__(self) -> str:
        return (
            f"{self.what} ({self.runs} runs, {self.database}): p50 {self.p50_ms:.1f} ms, p95 {self.p95_ms:.1f} ms, "
            f"worst {self.worst_ms:.1f} ms (bar {self.bar_ms:.0f} ms for p{self.bar_percent}: {'held' if self.holds else 'MISSED'})"
        )


class _SiteWithSlot(Site):
    """A site whose machine has one GPU slot, with a worker of its own."""

    def _start_processes(self) -> None:
        super()._start_processes()
        for worker in workers.gpu_workers(devices.find(os.environ)):
            self.supervisor.add(worker)


def run(*, runs: int, say: Callable[[str], None]) -> list[Starts]:
    """Start the site and measure it; the settings are those of the benchmark's own folder."""
    os.environ["GPU_SLOTS"] = "fake:1"
    call_command("migrate", interactive=False, verbosity=0)
    site = _SiteWithSlot(say)
    try:
        site.start()
        site.settle()
        say(f"{runs} uploads, and {runs} runs on a slot one after the other, on {connection.vendor}.")
        return [
            _starts("upload to claimed, idle worker", _uploads(site, runs), percent=95, bar_ms=100),
            _starts("end to next claim, one slot", _gaps(site, runs), percent=50, bar_ms=50),
        ]
    finally:
        connection.close()
        site.supervisor.stop()


def _starts(what: str, times: Sequence[float], *, percent: int, bar_ms: float) -> Starts:
    p50, p95, worst = (round(percentile(times, each), 1) for each in (50, 95, 100))
    return Starts(what, machine(), connection.vendor, len(times), p50, p95, worst, percent, bar_ms)


def _uploads(site: Site, count: int) -> list[float]:
    """Milliseconds from a hand-in's receipt to its claim, each when the one before is judged and the worker has waited a while."""
    times = []
    for number in range(count):
        before = ended()
        _, address = site.upload(number)
        if not _ended(site, before + 1, 60):
            raise CommandError(f"Hand-in {address} was not judged within a minute.")
        made = Run.objects.get(submission=int(address.rstrip("/").rpartition("/")[2]))
        assert made.claimed_at
        times.append((made.claimed_at - made.created_at).total_seconds() * 1000)
        time.sleep(IDLE_S)
    return times


def _ended(site: Site, runs: int, seconds: float) -> bool:
    """Whether so many runs are over within that time."""
    return site.supervisor.watch(lambda: ended() >= runs, seconds)


def _gaps(site: Site, count: int) -> list[float]:
    """Milliseconds between runs on the slot, of a line that was there before the first began."""
    submission = Submission.objects.select_related("component__homework__course").order_by("pk")[0]
    bundle = submission.component.homework.bundle
    assert bundle is not None
    CoursePolicy.objects.filter(course=submission.component.homework.course).update(gpu_minutes_per_week=MINUTES)
    now, before = database_now(), ended()
    owns = {"submission": submission, "component": submission.component, "enrollment_id": submission.enrollment_id, "bundle": bundle}
    line = [Run(**owns, queue="gpu", seed=number, created_at=now, not_before=now) for number in range(count + 1)]
    Run.objects.bulk_create(line)
    if not _ended(site, before + len(line), 60 + 5 * count):
        raise CommandError(f"{ended() - before} of {len(line)} runs on the slot were judged in time.")
    times = Run.objects.filter(queue="gpu").order_by("claimed_at").values_list("claimed_at", "finished_at")
    return [(later[0] - earlier[1]).total_seconds() * 1000 for earlier, later in pairwise(times) if later[0] and earlier[1]]
