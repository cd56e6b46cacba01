"""Measure the site. Every benchmark says its bar, and ends with status 1 when it is missed."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict

from django.core.management.base import BaseCommand, CommandError

from courseapp.management import bench_storm, bench_upload, local_postgres
from courseapp.management.bench_site import in_a_folder_of_its_own

Measured = Sequence[bench_upload.Row] | Sequence[bench_storm.Storm]
BENCHMARKS: dict[str, tuple[Callable[..., Measured], tuple[str, ...]]] = {
    "upload": (bench_upload.run, ("uploads", "queued")),
    "storm": (bench_storm.run, ("students", "seconds")),
}


class Command(BaseCommand):
    help = "Measure a part of the site, in a data folder of its own that is thrown away. Logs go to standard error."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        benchmarks = parser.add_subparsers(dest="benchmark", required=True)
        upload = benchmarks.add_parser("upload", help="hand in 100 kB: to an empty queue, to a long one, and with the broker down")
        upload.add_argument("--uploads", type=int, default=200, help="hand-ins per row (default 200)")
        upload.add_argument("--queued", type=int, default=1000, help="length of the long queue (default 1000)")
        storm = benchmarks.add_parser("storm", help="the last minutes before a deadline, on PostgreSQL")
        storm.add_argument("--students", type=int, default=300, help="how many hand in (default 300)")
        storm.add_argument("--seconds", type=float, default=120, help="within so many seconds (default 120)")
        for each in (upload, storm):
            each.add_argument("--database-url", default="", help="an empty database; by default one that is thrown away afterwards")
            each.add_argument("--json", action="store_true", help="one JSON document on standard output")
            each.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)

    def handle(self, *args: object, benchmark: str, inside: bool, **options: object) -> None:
        run, names = BENCHMARKS[benchmark]
        numbers = {name: options[name] for name in names}
        if not inside:
            given = [part for name, value in numbers.items() for part in (f"--{name}", str(value))]
            given += ["--json"] if options["json"] else []
            sys.exit(self._apart(benchmark, given, str(options["database_url"])))
        measured = run(**numbers, say=self._say)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(row) for row in measured], indent=1))
        else:
            self.stdout.write("\n".join(map(str, measured)))
        if not all(row.holds for row in measured):
            sys.exit(1)

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
