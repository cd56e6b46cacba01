"""`manage.py export_person EMAIL`: what the site keeps of somebody, as they could download it themselves."""

import os
import secrets
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from courseapp import zips
from courseapp.formats import filesize
from courseapp.models import User
from grading.queries import export


class Command(BaseCommand):
    help = "Write everything that the site keeps of one person, as far as they may see it, into a zip file."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="the address that the person signs in with")
        parser.add_argument("--output", type=Path, help="the file to write (default: USERNAME.zip here); it must not exist yet")

    def handle(self, *args: Any, email: str, output: Path | None, **options: Any) -> None:
        user = User.objects.filter(email__iexact=email).first()
        if user is None:
            raise CommandError(f"Nobody signs in as {email}.")
        target = output or Path(f"{user.username}.zip")
        if target.exists():
            raise CommandError(f"{target} is there already; accepted is the name of a new file.")
        part = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for piece in zips.stream(export.entries(user)):
                    out.write(piece)
            part.rename(target)
        except OSError as error:
            raise CommandError(f"{target} could not be written: {error.filename or ''} {error.strerror}. Nothing was kept.") from error
        finally:
            part.unlink(missing_ok=True)
        self.stdout.write(f"{target}: {filesize(target.stat().st_size)}.")
