"""Files by their SHA-256: written once, whole, and never changed. Who may read one is decided before it is asked for here."""

import hashlib
import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from django.core.files.base import File
from django.core.files.storage import FileSystemStorage, default_storage


@dataclass(frozen=True)
class Blob:
    digest: str  # SHA-256, hex
    size: int


def _name(digest: str) -> str:
    return f"{digest[:2]}/{digest}"


def put(chunks: Iterable[bytes]) -> Blob:
    """Keep the content on stable storage; the same content twice is one file."""
    local = Path(default_storage.path("")) if isinstance(default_storage, FileSystemStorage) else None
    descriptor, temporary = tempfile.mkstemp(prefix="part-", dir=local)
    try:
        digest, size = hashlib.sha256(), 0
        with os.fdopen(descriptor, "wb") as out:
            for chunk in chunks:
                out.write(chunk)
                digest.update(chunk)
                size += len(chunk)
            out.flush()
            os.fsync(out.fileno())
        blob = Blob(digest.hexdigest(), size)
        if not exists(blob.digest):
            if local:
                _rename(Path(temporary), local / _name(blob.digest))
            else:
                with Path(temporary).open("rb") as content:
                    default_storage.save(_name(blob.digest), File(content))
        return blob
    finally:
        Path(temporary).unlink(missing_ok=True)


def _rename(temporary: Path, kept: Path) -> None:
    """In one step, and on disk when this returns: the name too is lost in a power cut unless its folder is synced."""
    new = not kept.parent.exists()
    kept.parent.mkdir(mode=0o700, exist_ok=True)
    temporary.rename(kept)
    for folder in (kept.parent, kept.parent.parent) if new else (kept.parent,):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def put_bytes(content: bytes) -> Blob:
    return put([content])


def exists(digest: str) -> bool:
    return default_storage.exists(_name(digest))


def open_blob(digest: str) -> IO[bytes]:
    """For reading; FileNotFoundError when it was never put."""
    opened: IO[bytes] = default_storage.open(_name(digest), "rb")
    return opened


def read(digest: str) -> bytes:
    with open_blob(digest) as content:
        return content.read()
