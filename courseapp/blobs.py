"""Files by their SHA-256: kept whole or not at all, written once, never changed.

Who may read one is decided before it is asked for here. A file is on stable storage, with its name, when `put` returns.
"""

import errno
import fcntl
import hashlib
import os
import re
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import IO

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, default_storage

_DIGEST = re.compile("[0-9a-f]{64}")
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BlobError(OSError):
    """A file could not be kept. The text is a sentence for whoever sent it; nothing of the file was left behind."""


@dataclass(frozen=True)
class Blob:
    sha256: str  # hex
    size: int  # bytes


def put(chunks: Iterable[bytes]) -> Blob:
    """Keep the content; the same content twice is one file. BlobError when it cannot be kept."""
    try:
        return _put(chunks, _root())
    except BlobError:
        raise
    except OSError as error:
        if error.errno in _FULL:
            raise BlobError("The server's disk is full, so nothing was kept. Nothing is lost on your side: send it again later.") from error
        raise BlobError(
            f"The server could not write the file ({error.strerror or error}). Nothing was kept: send it again later."
        ) from error


def put_bytes(content: bytes) -> Blob:
    return put([content])


def exists(sha256: str) -> bool:
    return default_storage.exists(name(sha256))


def open(sha256: str) -> IO[bytes]:
    """For reading; FileNotFoundError when it was never put."""
    opened: IO[bytes] = default_storage.open(name(sha256), "rb")
    return opened


def read(sha256: str) -> bytes:
    with open(sha256) as content:
        return content.read()


def forget(sha256: str, *, unused_for: timedelta) -> bool:
    """Delete a file that no row names, unless somebody has put it within that time: its row may not be written yet."""
    root = _root()
    assert root is not None
    kept = root / name(sha256)
    with _locked(root, fcntl.LOCK_EX):
        if not kept.exists() or time.time() - kept.stat().st_mtime < unused_for.total_seconds():
            return False
        kept.unlink()
    return True


@contextmanager
def _locked(root: Path, how: int) -> Iterator[None]:
    """Putting goes on side by side; while a file is deleted, nobody settles on it."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, how)
        yield
    finally:
        os.close(descriptor)


def name(sha256: str) -> str:
    """Where the store keeps it. Only a digest has a place: no other text can lead out of the store."""
    if not _DIGEST.fullmatch(sha256):
        raise FileNotFoundError(errno.ENOENT, "Not the SHA-256 of a file", sha256)
    return f"{sha256[:2]}/{sha256}"


def _root() -> Path | None:
    """The store's folder; None when it is not a folder of this machine."""
    return Path(default_storage.location) if isinstance(default_storage, FileSystemStorage) else None


def _put(chunks: Iterable[bytes], root: Path | None) -> Blob:
    if root is not None:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix="part-", dir=root)
    part = Path(temporary)
    try:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(descriptor, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            out.flush()
            os.fchmod(out.fileno(), 0o400)
            os.fsync(out.fileno())
        blob = Blob(digest.hexdigest(), size)
        if root is not None:
            _settle(part, root / name(blob.sha256))
        else:
            _send(part, name(blob.sha256))
        return blob
    finally:
        part.unlink(missing_ok=True)


def _settle(part: Path, kept: Path) -> None:
    """Give a written file its name. The folders are synced even when the name is there: whoever put it may not have come that far."""
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    with _locked(kept.parent.parent, fcntl.LOCK_SH):
        if kept.exists():
            os.utime(kept)  # in use again from now on, as `forget` sees it
        else:
            part.rename(kept)
    for folder in (kept.parent, kept.parent.parent):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _send(part: Path, wanted: str) -> None:
    if default_storage.exists(wanted):
        return
    with part.open("rb") as content:
        saved = default_storage.save(wanted, File(content))
    if saved != wanted:  # somebody put the same content in between, and the storage chose another name for ours
        default_storage.delete(saved)
