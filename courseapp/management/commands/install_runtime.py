"""Install the environment that homework runs in."""

import argparse
import os

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from grading.runner import runtimes


class Command(BaseCommand):
    help = "Install a runtime (the Python environment that homework runs in) into the data folder, once."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("name", choices=runtimes.known())
        parser.add_argument("--wait", action="store_true", help="wait for another installer instead of leaving the work to it")

    def handle(self, *args: object, name: str, wait: bool, **options: object) -> None:
        if override := os.environ.get("RUNTIME_PYTHON"):
            self._use_override(name, override)
            return
        try:
            runtime = runtimes.install(settings.DATA_DIR, name, wait=wait, say=self.stderr.write)
        except runtimes.AlreadyInstallingError as busy:
            self.stderr.write(str(busy))
        except runtimes.InstallError as error:
            raise CommandError(str(error)) from error
        else:
            self.stdout.write(f"The {runtimes.title(name)} runtime is ready: {runtime.python}")

    def _use_override(self, name: str, override: str) -> None:
        found = runtimes.find(settings.DATA_DIR, name)
        if not isinstance(found, runtimes.Ready):
            raise CommandError(found.status.message)
        self.stdout.write(f"RUNTIME_PYTHON={override} is used as the {runtimes.title(name)} runtime; nothing is installed.")
