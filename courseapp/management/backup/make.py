"""Make a backup while the site runs.

The database comes first. Files are written before the rows that name them, and never change, so every file that the copied database
names is there afterwards. Everything is written beside the target and takes its name in the end: what has the name is whole.
"""

import errno
import os
import secrets
import shutil
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.utils.crypto import salted_hmac

from courseapp import blobs
from courseapp.management.backup import BackupError, databases, manifest
from courseapp.management.backup.manifest import Manifest
from grading.services import receipts

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
KEY = "secret_key"


def make(target: Path, *, previous: Path | None = None, with_key: bool = True) -> Manifest:
    """The backup as the new folder `target`. Files that the backup `previous` has are linked to, not copied, once they have been read."""
    target = target.absolute()
    if target.exists():
        raise BackupError(f"{target} is there already; accepted is the name of a new folder.")
    known = manifest.read(previous.absolute()).files if previous else {}
    part = target.with_name(f"{target.name}.part-{secrets.token_hex(4)}")
    try:
        part.mkdir(mode=0o700, parents=True)
        made = _fill(part, previous.absolute() if previous else None, known, with_key=with_key)
        manifest.write(part, made)
        for folder in (*(each for each in part.rglob("*") if each.is_dir()), part):
            manifest.sync_folder(folder)
        part.rename(target)
        manifest.sync_folder(target.parent)
    except OSError as error:
        why = "the disk is full" if error.errno in FULL else f"{error.filename or target}: {error.strerror or error}"
        raise BackupError(f"The backup could not be written ({why}). Nothing of it was kept.") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def fingerprint(key: str) -> str:
    """Tells keys apart and does not help to find one."""
    return salted_hmac("courseapp.backup.key", "fingerprint", secret=key, algorithm="sha256").hexdigest()[:16]


def kept_key() -> str | None:
    """The key that the site made for itself. One that comes from the environment is kept by whoever set it there."""
    if os.environ.get("SECRET_KEY"):
        return None
    return (settings.DATA_DIR / KEY).read_text()


def _fill(folder: Path, previous: Path | None, known: Mapping[str, tuple[str, int]], *, with_key: bool) -> Manifest:
    dumped = databases.dump(folder)
    name = dumped.file.name
    files = {name: (manifest.digest(dumped.file), dumped.file.stat().st_size)}
    missing = []
    (folder / "uploads").mkdir(mode=0o700)
    for sha256 in dumped.digests:
        path = f"uploads/{blobs.name(sha256)}"
        (folder / path).parent.mkdir(mode=0o700, exist_ok=True)
        linked = previous is not None and path in known and _link(previous / path, folder / path, sha256)
        if linked or _copy(sha256, folder / path):
            files[path] = (sha256, (folder / path).stat().st_size)
        else:
            missing.append(sha256)
    key = kept_key() if with_key else None
    if key is not None:
        manifest.write_synced(folder / KEY, key)
        files[KEY] = (manifest.digest(folder / KEY), len(key.encode()))
    return Manifest(
        made_at=f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
        engine=dumped.engine,
        server=dumped.server,
        database=name,
        migrations=dumped.migrations,
        counts=dumped.counts,
        keys=[fingerprint(one) for one in receipts.signing_keys()],
        key_kept=key is not None,
        files=files,
        missing=missing,
    )


def _copy(sha256: str, into: Path) -> bool:
    """False when the site has no such file, or one with another content."""
    try:
        content = blobs.open(sha256)
    except FileNotFoundError:
        return False
    with content, os.fdopen(os.open(into, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "wb") as out:
        shutil.copyfileobj(content, out, manifest.CHUNK)
        out.flush()
        os.fsync(out.fileno())
    if manifest.digest(into) == sha256:
        return True
    into.unlink()
    return False


def _link(there: Path, into: Path, sha256: str) -> bool:
    """False when it must be copied: gone, damaged, or on another disk."""
    try:
        if manifest.digest(there) != sha256:
            return False
        into.hardlink_to(there)
    except OSError:
        return False
    return True
