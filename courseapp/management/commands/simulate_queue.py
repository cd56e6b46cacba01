"""`manage.py simulate_queue`: a day before a deadline under each way of ordering the queue. Needs no database."""

import json
import sys
import tomllib
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from courseapp.management import simulation_picture, simulation_report
from grading.policy.simulation import Scenario

SCENARIO = settings.BASE_DIR / "examples" / "queue" / "term-end.toml"


class Command(BaseCommand):
    help = (
        "Play a day of uploads on few slots: first come, first served; our order; and ours with each rule off. Status 1: a bar is missed."
    )
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--scenario", type=Path, default=SCENARIO, metavar="FILE", help="by default examples/queue/term-end.toml")
        parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
        parser.add_argument("--svg", type=Path, metavar="FILE", help="also draw the picture there")

    def handle(self, *args: object, scenario: Path, json: bool, svg: Path | None, **options: Any) -> None:
        report = simulation_report.measure(_read(scenario))
        if svg is not None:
            try:
                svg.write_text(simulation_picture.draw(report), encoding="utf-8")
            except OSError as error:
                raise CommandError(f"The picture could not be written to {svg}: {error.strerror}.", returncode=2) from None
        self.stdout.write(_document(report) if json else str(report))
        if not report.holds:
            sys.exit(1)


def _document(report: simulation_report.Report) -> str:
    return json.dumps(report.document(), indent=1)


def _read(path: Path) -> Scenario:
    try:
        return Scenario.from_settings(tomllib.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise CommandError(f"{path} could not be read: {error.strerror}.", returncode=2) from None
    except ValueError as error:  # of its encoding, its TOML, or its values
        raise CommandError(f"{path}: {error}.", returncode=2) from None
