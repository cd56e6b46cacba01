"""`manage.py load_demo`: the demo course in a believable half-finished semester. A second time it changes nothing."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from courseapp.management.demo.semester import load_semester
from grading.runner.tomlfile import ManifestError


class Command(BaseCommand):
    help = "Load the example course with its dates moved so that today lies in week 8, with hand-ins and recorded results."

    def handle(self, *args: Any, verbosity: int, **options: Any) -> None:
        try:
            loaded = load_semester(timezone.now())
        except ManifestError as error:
            raise CommandError(f"{error}\nNothing was changed.") from None
        if verbosity:
            self.stdout.write("\n".join(loaded.said))
        for warning in loaded.warnings:
            self.stderr.write(warning)
