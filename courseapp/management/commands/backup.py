"""`manage.py backup TARGET`: everything that must not be lost, in one folder, while the site runs."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from courseapp.formats import filesize
from courseapp.management.backup import BackupError, manifest
from courseapp.management.backup.make import make


class Command(BaseCommand):
    help = "Back up the database, every file of every hand-in and the site's key, or verify such a backup (docs/operations.md)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("target", type=Path, help="a new folder; with --verify, that of a backup")
        parser.add_argument("--verify", action="store_true", help="hold every file of a backup to its hash; nothing is written")
        parser.add_argument("--previous", type=Path, help="an earlier backup on the same disk: its files are linked to, not copied again")
        parser.add_argument("--without-key", action="store_true", help="leave out the key that signs receipts: you keep it elsewhere")

    def handle(self, *args: Any, target: Path, verify: bool, previous: Path | None, without_key: bool, **options: Any) -> None:
        try:
            made = manifest.read(target.absolute()) if verify else make(target, previous=previous, with_key=not without_key)
            wrong = list(manifest.problems(target.absolute(), made)) if verify or made.missing else []
        except BackupError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{target}: {made.made_at}, {len(made.files)} files, {filesize(made.size)}; {_listed(made)}.")
        if wrong:
            raise CommandError("\n".join(["Not all is well with this backup:", *wrong]))
        if verify:
            self.stdout.write("Every file is as the list says.")
        elif not made.key_kept:
            self.stdout.write("The key that signs receipts is not in it: keep SECRET_KEY safe yourself, or old receipts will not verify.")
        else:
            self.stdout.write("The key that signs receipts is in it: whoever reads the backup can forge receipts and sessions.")


def _listed(made: manifest.Manifest) -> str:
    return ", ".join(f"{number} {word}" for word, number in made.counts.items())
