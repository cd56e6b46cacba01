"""Put a backup in the place of what a site has. All other processes of the site are to be stopped.

Every hash is verified before anything is touched. Then files (they harm nobody), the key, and last the database, in one transaction.
"""

import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from django.db.migrations.loader import MigrationLoader

from courseapp import blobs
from courseapp.management.backup import BackupError, databases, make, manifest
from courseapp.management.backup.manifest import Manifest
from courseapp.models import Course, User
from grading.models import Submission
from grading.services import receipts


@dataclass(frozen=True)
class Restored:
    """What was found when everything was back. `false_receipts` are codes of receipts that verify with none of the keys there are."""

    manifest: Manifest
    receipts: int
    false_receipts: list[str]
    keys_unknown: int
    pending: bool


def restore(source: Path, *, force: bool = False) -> Restored:
    source = source.absolute()
    found = manifest.read(source)
    wrong = [line for line in manifest.problems(source, found) if not line.startswith("The file ")]
    if wrong:
        raise BackupError("\n".join([f"{source} is damaged, so nothing was restored:", *wrong]))
    _fits(found)
    if not force and (what := _there()):
        raise BackupError(f"There is something already: {what}. Nothing was restored; --force puts the backup in its place.")
    key = _restored_key(source, found)
    try:
        for path, (sha256, _) in found.files.items():
            if path.startswith("uploads/"):
                _keep(source / path, sha256)
        if key is not None:
            _write_key(key)
    except (OSError, blobs.BlobError) as error:
        raise BackupError(f"The files could not be put back ({error}). The database was not touched.") from error
    databases.restore(source / found.database)
    return _look(found, [key, *receipts.signing_keys()] if key else receipts.signing_keys())


def _fits(found: Manifest) -> None:
    if found.engine != databases.engine():
        raise BackupError(
            f"The backup is of {found.engine} and DATABASE_URL names {databases.engine()}; accepted is a database of the same kind."
        )
    known = {f"{app}.{name}" for app, name in MigrationLoader(None, ignore_no_migrations=True).disk_migrations or ()}
    if newer := sorted(set(found.migrations) - known):
        raise BackupError(
            f"The backup was made by a newer version of the site: this one does not know the migration {newer[0]}. Install that version."
        )


def _there() -> str:
    """What would be lost, in a few words; empty when nothing would."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
    for model, words in ((User, "accounts"), (Course, "courses")):
        if model._meta.db_table in tables and (number := model._default_manager.count()):
            return f"the database holds {number} {words}"
    if isinstance(default_storage, FileSystemStorage) and any(Path(default_storage.location).glob("??/*")):
        return f"{default_storage.location} holds files"
    return ""


def _restored_key(source: Path, found: Manifest) -> str | None:
    """The backup's key, if it has one and this site takes its key from the data folder."""
    return (source / make.KEY).read_text() if found.key_kept and not os.environ.get("SECRET_KEY") else None


def _write_key(key: str) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f"{make.KEY}-", dir=settings.DATA_DIR)
    with os.fdopen(descriptor, "w") as out:
        out.write(key)
        out.flush()
        os.fsync(out.fileno())
    Path(name).rename(settings.DATA_DIR / make.KEY)
    manifest.sync_folder(settings.DATA_DIR)


def _keep(file: Path, sha256: str) -> None:
    """Put one file into the store; what lies there under its name and is damaged gives way."""
    if blobs.exists(sha256):
        if _intact(sha256):
            return
        default_storage.delete(blobs.name(sha256))
    with file.open("rb") as content:
        blobs.put(File(content).chunks(manifest.CHUNK))


def _intact(sha256: str) -> bool:
    found = hashlib.sha256()
    with blobs.open(sha256) as content:
        while chunk := content.read(manifest.CHUNK):
            found.update(chunk)
    return found.hexdigest() == sha256


def _look(found: Manifest, keys: list[str]) -> Restored:
    rows = Submission.objects.order_by("pk").values_list("receipt_code", "receipt_text", "receipt_signature")
    number, wrong = 0, []
    for code, text, signature in rows.iterator():
        number += 1
        if not receipts.verify(text, signature, keys):
            wrong.append(code)
    unknown = set(found.keys) - {make.fingerprint(key) for key in keys}
    known = MigrationLoader(connection)
    pending = bool(set(known.disk_migrations or ()) - set(known.applied_migrations or ()))
    return Restored(found, number, wrong, len(unknown), pending)
