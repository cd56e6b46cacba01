"""`manage.py retention [--dry-run]`: delete what has had its time. Beat does the same every night."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from courseapp.services import retention


class Command(BaseCommand):
    help = "Delete what has had its time: old mail, sessions, temporary and unused files, outputs of past courses (docs/operations.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--dry-run", action="store_true", help="list what would be deleted, and delete nothing")

    def handle(self, *args: Any, dry_run: bool, **options: Any) -> None:
        found = [(rule, rule.find()) for rule in retention.rules]
        for rule, doomed in found:
            self.stdout.write(f"{rule.name}: {len(doomed) or 'nothing'}")
            for one in doomed:
                self.stdout.write(f"  {one.label}")
        if dry_run:
            self.stdout.write("Nothing was deleted.")
            return
        for _, doomed in found:
            for one in doomed:
                one.delete()
        self.stdout.write("Deleted.")
