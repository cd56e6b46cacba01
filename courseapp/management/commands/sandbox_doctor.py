"""`manage.py sandbox_doctor`: attack this machine's sandbox and say what it held. Needs no database."""

from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from grading.runner import runtimes
from grading.runner.doctor import command


class Command(BaseCommand):
    help = "Say which tier of the sandbox holds on this machine, and make every attack of the battery against it."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        command.add_arguments(parser)

    def handle(self, *args: Any, json: bool, only: list[str], classes: list[str], **options: Any) -> None:
        found = runtimes.find(settings.DATA_DIR, "torch")
        if not isinstance(found, runtimes.Ready):
            raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime torch")
        try:
            status = command.run(found.runtime, names=only, classes=classes, as_json=json, out=self._print, log=self._log)
        except command.UsageError as error:
            raise CommandError(str(error), returncode=2) from None
        if status:
            raise SystemExit(status)

    def _print(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()

    def _log(self, text: str) -> None:
        self.stderr.write(text)
        self.stderr.flush()
