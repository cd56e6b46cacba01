"""`manage.py load_course PATH`: a course from its files. The same files twice change nothing."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from grading.runner.tomlfile import ManifestError
from grading.services.course_file import read_course
from grading.services.load import load


class Command(BaseCommand):
    help = "Load a course, its people and its homeworks from a folder with course.toml (docs/homework-files.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("path", type=Path, help="the folder of course.toml")

    def handle(self, *args: Any, path: Path, **options: Any) -> None:
        try:
            course, changes = load(read_course(path))
        except ManifestError as error:
            raise CommandError(f"{error}\nNothing was changed.") from None
        self.stdout.write("\n".join([f"{course.slug}: {course}", *changes.lines()]))
