"""Measure the site. Every benchmark says its bar, and ends with status 1 when it is missed."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from courseapp.management import bench_autograde, bench_claim, bench_sandbox, bench_starts, bench_storm, bench_upload, local_postgres
from courseapp.management.bench_site import in_a_folder_of_its_own

Measured = Sequence[bench_upload.Row] | Sequence[bench_storm.Storm] | Sequence[bench_claim.Claims] | Sequence[bench_starts.Starts]
BENCHMARKS: dict[str, tuple[Callable[..., Measured], tuple[str, ...]]] = {
    "upload": (bench_upload.run, ("uploads", "queued")),
    "storm": (bench_storm.run, ("students", "seconds")),
    "claim": (bench_claim.run, ("queued", "claimants", "seconds", "hold")),
    "starts": (bench_starts.run, ("runs",)),
}


class Command(BaseCommand):
    help = "Measure a part of the site, in a data folder of its own that is thrown away. Logs go to standard error."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        benchmarks = parser.add_subparsers(dest="benchmark", required=True)
        sandbox = benchmarks.add_parser("sandbox", help="a job in the sandbox, against the same interpreter without one")
        sandbox.add_argument("--runs", type=int, default=21, help="rounds of baselines and jobs in turn (default 21)")
        sandbox.add_argument("--jobs", type=int, default=200, help="jobs for the throughput (default 200)")
        autograde = benchmarks.add_parser("autograde", help="many hand-ins of homework 1, all checks")
        autograde.add_argument("--counts", type=int, nargs="+", default=[20, 200], metavar="N", help="how many (default 20 200)")
        autograde.add_argument("--jobs", type=int, default=2, help="how many at a time (default 2)")
        for each in (sandbox, autograde):
            each.add_argument("--json", action="store_true", help="one JSON document on standard output")
        upload = benchmarks.add_parser("upload", help="hand in 100 kB: to an empty queue, to a long one, and with the broker down")
        upload.add_argument("--uploads", type=int, default=200, help="hand-ins per row (default 200)")
        upload.add_argument("--queued", type=int, default=1000, help="length of the long queue (default 1000)")
        storm = benchmarks.add_parser("storm", help="the last minutes before a deadline, on PostgreSQL")
        storm.add_argument("--students", type=int, default=300, help="how many hand in (default 300)")
        storm.add_argument("--seconds", type=float, default=120, help="within so many seconds (default 120)")
        claim = benchmarks.add_parser("claim", help="claims of GPU runs from a long queue, on PostgreSQL")
        claim.add_argument("--queued", type=int, default=3000, help="runs that wait (default 3000)")
        claim.add_argument("--claimants", type=int, default=50, help="slots that are claimed for (default 50)")
        claim.add_argument("--seconds", type=float, default=30, help="for so long (default 30)")
        claim.add_argument("--hold", type=float, default=3, help="seconds that each run is held for, about (default 3)")
        starts = benchmarks.add_parser("starts", help="from an upload, and from a run's end, to the claim of the next, on PostgreSQL")
        starts.add_argument("--runs", type=int, default=40, help="how many of each (default 40)")
        for each in (upload, storm, claim, starts):
            each.add_argument("--database-url", default="", help="an empty database; by default one that is thrown away afterwards")
            each.add_argument("--json", action="store_true", help="one JSON document on standard output")
            each.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: object, benchmark: str, inside: bool = False, **options: Any) -> None:
        if benchmark == "sandbox":
            measured = bench_sandbox.run(runs=options["runs"], jobs=options["jobs"], say=self._say)
            self._show(asdict(measured) if options["json"] else measured, holds=measured.holds)
        elif benchmark == "autograde":
            rows = bench_autograde.run(counts=options["counts"], jobs=options["jobs"], say=self._say)
            self._show([asdict(row) for row in rows] if options["json"] else rows, holds=all(row.holds for row in rows))
        else:
            self._of_the_site(benchmark, inside=inside, **options)

    def _show(self, measured: object, *, holds: bool) -> None:
        """A document of plain values as JSON, rows as lines. Ends with status 1 when a bar is missed."""
        if isinstance(measured, dict) or (isinstance(measured, list) and measured and isinstance(measured[0], dict)):
            self.stdout.write(json.dumps(measured, indent=1))
        else:
            self.stdout.write("\n".join(map(str, measured if isinstance(measured, list) else [measured])))
        if not holds:
            sys.exit(1)

    def _of_the_site(self, benchmark: str, *, inside: bool, **options: Any) -> None:
        run, names = BENCHMARKS[benchmark]
        numbers = {name: options[name] for name in names}
        if not inside:
            given = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
            given += ["--json"] if options["json"] else []
            sys.exit(self._apart(benchmark, given, str(options["database_url"])))
        measured = run(**numbers, say=self._say)
        rows = [asdict(row) for row in measured] if options["json"] else list(measured)
        self._show(rows, holds=all(row.holds for row in measured))

    @staticmethod
    def _apart(benchmark: str, given: Sequence[str], database_url: str) -> int:
        if benchmark == "upload" or database_url:
            return in_a_folder_of_its_own(benchmark, given, database_url=database_url)
        try:
            cluster = local_postgres.start(durable=True)
        except local_postgres.MissingError as missing:
            raise CommandError(f"{missing} Or name an empty database: --database-url postgres://…") from missing
        try:
            return in_a_folder_of_its_own(benchmark, given, database_url=cluster.url)
        finally:
            cluster.stop()

    def _say(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()
