"""What a backup says of itself. It is written last: a folder without it is no backup."""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from courseapp.management.backup import BackupError

FORMAT = 1
NAME, SUM = "manifest.json", "manifest.sha256"
CHUNK = 2**20


@dataclass(frozen=True)
class Manifest:
    """`files` by their path in the backup: SHA-256 and size. `missing` are files that rows name and that the site itself had lost.

    `keys` are fingerprints of the keys that receipts were signed with; `key_kept` tells whether today's lies in the backup.
    """

    made_at: str
    engine: str
    server: str
    database: str
    migrations: list[str]
    counts: dict[str, int]
    keys: list[str]
    key_kept: bool
    files: dict[str, tuple[str, int]]
    missing: list[str] = field(default_factory=list)
    format: int = FORMAT

    @property
    def size(self) -> int:
        return sum(size for _, size in self.files.values())


def write(folder: Path, manifest: Manifest) -> None:
    text = json.dumps(asdict(manifest), indent=1, sort_keys=True) + "\n"
    write_synced(folder / NAME, text)
    write_synced(folder / SUM, f"{hashlib.sha256(text.encode()).hexdigest()}  {NAME}\n")


def read(folder: Path) -> Manifest:
    """BackupError when the folder is no whole backup, or its list was changed."""
    try:
        text, expected = (folder / NAME).read_bytes(), (folder / SUM).read_text().split()[0]
    except (OSError, IndexError) as error:
        raise BackupError(f"{folder} is not a whole backup: {NAME} or {SUM} is missing. One that broke off has neither.") from error
    if hashlib.sha256(text).hexdigest() != expected:
        raise BackupError(f"{folder / NAME} is not what {SUM} says: one of them was changed or damaged.")
    values = json.loads(text)
    if values.get("format") != FORMAT:
        raise BackupError(f"{folder} has the format {values.get('format')!r}; accepted is {FORMAT}.")
    found = Manifest(**values | {"files": {path: (sha256, size) for path, (sha256, size) in values["files"].items()}})
    if found.database not in found.files:
        raise BackupError(f"{folder / NAME} does not list the database {found.database!r}, so nothing vouches for it.")
    for path in found.files:
        if not (folder / path).resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"{folder / NAME} lists {path!r}, which is not inside the backup.")
    return found


def problems(folder: Path, manifest: Manifest) -> Iterator[str]:
    """A sentence for every file that is not as the list says, and for what was missing when the backup was made."""
    for path, (sha256, size) in manifest.files.items():
        file = folder / path
        try:
            found = file.stat().st_size
            if found != size:
                yield f"{path} has {found} bytes; the list says {size}."
            elif digest(file) != sha256:
                yield f"{path} is damaged: its SHA-256 is not that of the list."
        except OSError as error:
            yield f"{path} cannot be read: {error.strerror}."
    there = {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()}
    for path in sorted(there - manifest.files.keys() - {NAME, SUM}):
        yield f"{path} is not in the list."
    for sha256 in manifest.missing:
        yield f"The file {sha256} is named by the database and was missing or damaged when the backup was made."


def digest(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_synced(file: Path, text: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())


def sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
