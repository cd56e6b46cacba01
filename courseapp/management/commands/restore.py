"""`manage.py restore SOURCE`: a backup in the place of what this site has."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from courseapp.formats import filesize
from courseapp.management.backup import BackupError
from courseapp.management.backup.restore import Restored, restore

SHOWN = 5


class Command(BaseCommand):
    help = "Verify a backup and put it in the place of what this site has. Stop all other processes of the site first."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("source", type=Path, help="the folder that “manage.py backup” made")
        parser.add_argument("--force", action="store_true", help="also where accounts, courses or files are already; they are lost")

    def handle(self, *args: Any, source: Path, force: bool, **options: Any) -> None:
        try:
            done = restore(source, force=force)
        except BackupError as error:
            raise CommandError(str(error)) from error
        found = done.manifest
        self.stdout.write(f"The backup of {found.made_at} is back: {len(found.files)} files, {filesize(found.size)}.")
        if done.pending:
            self.stdout.write("It is of an older version of the site. Run: manage.py migrate")
        if problems := _problems(done):
            raise CommandError("\n".join(problems))
        self.stdout.write(f"{done.receipts} of {done.receipts} receipts verify.")


def _problems(done: Restored) -> list[str]:
    lines = [f"The file {sha256} was missing when the backup was made; its hand-in cannot be opened." for sha256 in done.manifest.missing]
    if done.keys_unknown:
        lines.append(
            f"{done.keys_unknown} of the keys that the site signed with are not here: "
            "set SECRET_KEY, or SECRET_KEY_FALLBACKS for former ones."
        )
    if wrong := done.false_receipts:
        more = f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        lines.append(f"{len(wrong)} of {done.receipts} receipts do not verify: {', '.join(wrong[:SHOWN])}{more}.")
    return lines
