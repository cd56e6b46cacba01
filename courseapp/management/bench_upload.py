"""How long a hand-in takes while workers judge: with nothing queued, with much queued, and with the broker down."""

from collections.abc import Callable
from dataclasses import dataclass

from django.core.management import call_command
from django.db import connection

from courseapp.clock import database_now
from courseapp.management.bench_site import SIZE, Site, ended, percentile, waiting
from grading.models import Run, Submission

WARM_UP = 5
BAR_MS, BAR_BROKER_DOWN_MS = 100.0, 1000.0


@dataclass(frozen=True)
class Row:
    """One measurement. `queued` runs waited when it began; `runs_ended` were judged while it went on."""

    queued: int
    broker: str
    p50_ms: float
    p95_ms: float
    bar_ms: float
    uploads: int
    bytes: int
    receipts: int
    runs_ended: int
    database: str

    @property
    def holds(self) -> bool:
        return self.p95_ms <= self.bar_ms and self.receipts == self.uploads

    def __str__(self) -> str:
        return (
            f"{self.queued:>5} queued, broker {self.broker:<4}  p50 {self.p50_ms:7.1f} ms  p95 {self.p95_ms:7.1f} ms  "
            f"(bar {self.bar_ms:.0f} ms: {'held' if self.holds else 'MISSED'})  {self.receipts} of {self.uploads} receipts genuine, "
            f"{self.runs_ended} runs ended meanwhile"
        )


def run(*, uploads: int, queued: int, say: Callable[[str], None]) -> list[Row]:
    """Start the site and measure it; the settings are those of the benchmark's own folder."""
    call_command("migrate", interactive=False, verbosity=0)
    site = Site(say)
    try:
        site.start()
        site.settle()
        say(f"{uploads} uploads of {SIZE // 1000} kB a row, on {connection.vendor}.")
        rows = [_measure(site, uploads, "up")]
        _lengthen_queue(queued)
        rows.append(_measure(site, uploads, "up"))
        site.supervisor.end(site.broker)
        rows.append(_measure(site, uploads, "down"))
        return rows
    finally:
        connection.close()
        site.supervisor.stop()


def _lengthen_queue(length: int) -> None:
    """Queue further runs of what was handed in, until so many wait."""
    now, runs = database_now(), []
    handed_in = list(Submission.objects.select_related("component__homework"))
    for number in range(max(0, length - waiting())):
        submission = handed_in[number % len(handed_in)]
        bundle = submission.component.homework.bundle
        assert bundle is not None
        owns = {"submission": submission, "component": submission.component, "enrollment_id": submission.enrollment_id}
        runs.append(Run(**owns, bundle=bundle, seed=number, created_at=now, not_before=now))
    Run.objects.bulk_create(runs)


def _measure(site: Site, uploads: int, broker: str) -> Row:
    for number in range(WARM_UP):
        site.upload(number)
    queued, before = waiting(), ended()
    times, addresses = [], []
    for number in range(uploads):
        site.supervisor.tick()
        seconds, address = site.upload(number)
        times.append(seconds * 1000)
        addresses.append((number, address))
    meanwhile = ended() - before
    return Row(
        queued=queued,
        broker=broker,
        p50_ms=round(percentile(times, 50), 1),
        p95_ms=round(percentile(times, 95), 1),
        bar_ms=BAR_MS if broker == "up" else BAR_BROKER_DOWN_MS,
        uploads=uploads,
        bytes=len(site.content),
        receipts=sum(site.receipt_holds(number, address) for number, address in addresses),
        runs_ended=meanwhile,
        database=connection.vendor,
    )
