"""Measure the site. Every benchmark says its bar, and ends with status 1 when it is missed."""

import argparse
import json
import sys
from dataclasses import asdict

from django.core.management.base import BaseCommand

from courseapp.management import bench_upload


class Command(BaseCommand):
    help = "Measure a part of the site, in a data folder of its own that is thrown away. Logs go to standard error."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        benchmarks = parser.add_subparsers(dest="benchmark", required=True)
        upload = benchmarks.add_parser("upload", help="hand in 100 kB: to an empty queue, to a long one, and with the broker down")
        upload.add_argument("--uploads", type=int, default=200, help="hand-ins per row (default 200)")
        upload.add_argument("--queued", type=int, default=1000, help="length of the long queue (default 1000)")
        upload.add_argument("--database-url", default="", help="an empty PostgreSQL database; by default a SQLite file of its own")
        upload.add_argument("--json", action="store_true", help="one JSON document on standard output")
        upload.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)

    def handle(
        self, *args: object, benchmark: str, uploads: int, queued: int, database_url: str, json: bool, inside: bool, **options: object
    ) -> None:
        if not inside:
            sys.exit(bench_upload.in_a_folder_of_its_own(uploads=uploads, queued=queued, database_url=database_url, as_json=json))
        rows = bench_upload.run(uploads=uploads, queued=queued, say=self._say)
        self._print(rows, as_json=json)
        if not all(row.holds for row in rows):
            sys.exit(1)

    def _print(self, rows: list[bench_upload.Row], *, as_json: bool) -> None:
        if as_json:
            self.stdout.write(json.dumps([asdict(row) for row in rows], indent=1))
            return
        for row in rows:
            self.stdout.write(
                f"{row.queued:>5} queued, broker {row.broker:<4}  p50 {row.p50_ms:7.1f} ms  p95 {row.p95_ms:7.1f} ms  "
                f"(bar {row.bar_ms:.0f} ms: {'held' if row.holds else 'MISSED'})  {row.receipts} of {row.uploads} receipts genuine, "
                f"{row.runs_ended} runs ended meanwhile"
            )

    def _say(self, line: str) -> None:
        self.stderr.write(line)
        self.stderr.flush()
