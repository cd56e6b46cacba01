"""The last two minutes before a deadline: everybody hands in, most of them at the very end, while a worker judges what has come.

Nothing may be lost: every hand-in has one row, one genuine receipt and one result.
"""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random

from django.core.management import call_command
from django.db import connection
from django.db.models import Count

from courseapp.management.bench_site import SIZE, Site, ended, machine, percentile
from grading.models import RunResult, Submission

BAR_MS = 500.0
JUDGED_WITHIN_S = 1800.0
AT_ONCE = 64  # uploads under way; a browser's each
LAST = 3.0  # how much denser the last moments are: the density grows as this power of time, less one


@dataclass(frozen=True)
class Storm:
    """What was measured; times in milliseconds and seconds."""

    machine: str
    database: str
    students: int
    bytes: int
    window_s: float
    busiest_second: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    worst_ms: float
    stored: int
    receipts: int
    judged: int
    judged_in_window: int
    last_result_s: float

    @property
    def holds(self) -> bool:
        return self.p99_ms <= BAR_MS and self.stored == self.receipts == self.judged == self.students

    def __str__(self) -> str:
        bar = f"bar {BAR_MS:.0f} ms: {'held' if self.p99_ms <= BAR_MS else 'MISSED'}"
        rows = {
            "machine": self.machine,
            "database": self.database,
            "hand-ins": f"{self.students} of {self.bytes // 1000} kB in {self.window_s:.0f} s, {self.busiest_second} in the busiest second",
            "receipt p50 / p95": f"{self.p50_ms:.0f} / {self.p95_ms:.0f} ms",
            "receipt p99": f"{self.p99_ms:.0f} ms ({bar}), worst {self.worst_ms:.0f} ms",
            "stored": f"{self.stored} of {self.students}",
            "receipts genuine": f"{self.receipts} of {self.students}",
            "judged": f"{self.judged} of {self.students}, {self.judged_in_window} of them before the last upload",
            "last result": f"{self.last_result_s:.0f} s after the last upload",
        }
        return "\n".join(f"{name:<18} {value}" for name, value in rows.items())


def run(*, students: int, seconds: float, say: Callable[[str], None]) -> list[Storm]:
    """Start the site and let the storm come; the settings are those of the benchmark's own folder."""
    call_command("migrate", interactive=False, verbosity=0)
    site = Site(say)
    try:
        site.start(students + 1)
        site.settle()
        say(f"{students} students hand in {SIZE // 1000} kB each within {seconds:.0f} s, on {connection.vendor}.")
        return [_storm(site, students, seconds)]
    finally:
        connection.close()
        site.supervisor.stop()


def moments(students: int, seconds: float) -> list[float]:
    """When each hands in, from 0 to `seconds`: more and more of them towards the end. Always the same."""
    draw = Random(1008)  # noqa: S311 - a load, not a secret
    return sorted(seconds * draw.random() ** (1 / LAST) for _ in range(students))


def _storm(site: Site, students: int, seconds: float) -> Storm:
    at = moments(students, seconds)
    began = time.monotonic()

    def hand_in(number: int) -> tuple[int, float, str]:
        time.sleep(max(0.0, began + at[number] - time.monotonic()))
        return (number, *site.upload(number + 1))

    with ThreadPoolExecutor(AT_ONCE) as browsers:
        answers = [browsers.submit(hand_in, number) for number in range(students)]
        while not all(answer.done() for answer in answers):
            site.supervisor.tick()
            time.sleep(0.5)
        made = [answer.result() for answer in answers]
    last = time.monotonic()
    in_window = ended() - 1
    site.watch_until_ended(students + 1, JUDGED_WITHIN_S)
    waited = time.monotonic() - last
    times = [taken * 1000 for _, taken, _ in made]
    judged = RunResult.objects.filter(kind="ok", points=site.practice.points).count() - 1
    per_hand_in = Submission.objects.annotate(results=Count("runs__result")).filter(results=1).count() - 1
    return Storm(
        machine=machine(),
        database=connection.vendor,
        students=students,
        bytes=len(site.content),
        window_s=seconds,
        busiest_second=max(sum(second <= moment < second + 1 for moment in at) for second in range(int(seconds) + 1)),
        p50_ms=round(percentile(times, 50), 1),
        p95_ms=round(percentile(times, 95), 1),
        p99_ms=round(percentile(times, 99), 1),
        worst_ms=round(max(times), 1),
        stored=Submission.objects.count() - 1,
        receipts=sum(site.receipt_holds(number + 1, address) for number, _, address in made),
        judged=min(judged, per_hand_in),
        judged_in_window=in_window,
        last_result_s=round(waited, 1),
    )
