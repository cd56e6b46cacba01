"""A homework folder as one immutable archive: the same files give the same bytes, on every machine.

The bundle holds what a run needs and nothing else: homework.toml, statement.md, the Python files beside them, starter/ and data/.
Entries are stored uncompressed, sorted, with a fixed time, because compressors differ between versions.
"""

import hashlib
import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from grading.runner.tomlfile import ManifestError

MAX_BYTES = 64 * 2**20
_FOLDERS = ("starter", "data")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Bundle:
    """`digest` is the SHA-256 of `data`, in hex."""

    data: bytes
    digest: str


def pack(folder: Path) -> Bundle:
    """Archive a homework folder. ManifestError when a file in it is a link, special, or when all of them are too large."""
    files = sorted((path.relative_to(folder).as_posix(), path) for path in _members(folder))
    size = 0
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, path in files:
            if path.is_symlink() or not path.is_file():
                raise ManifestError(path, 0, "only plain files belong in a homework folder; replace the link by the file itself.")
            content = path.read_bytes()
            size += len(content)
            if size > MAX_BYTES:
                raise ManifestError(folder, 0, f"the folder holds more than {MAX_BYTES // 2**20} MB; keep large data elsewhere.")
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.create_system = 3
            archive.writestr(entry, content)
    data = buffer.getvalue()
    return Bundle(data, hashlib.sha256(data).hexdigest())


def starter_archive(bundle: bytes) -> bytes | None:
    """The files of starter/ in a bundle as a zip of their own, for students; None when there are none."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(bundle)) as source, zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as target:
        for entry in source.infolist():
            if entry.filename.startswith("starter/"):
                target.writestr(zipfile.ZipInfo(entry.filename.removeprefix("starter/"), _EPOCH), source.read(entry))
        empty = not target.namelist()
    return None if empty else buffer.getvalue()


def _members(folder: Path) -> Iterator[Path]:
    yield folder / "homework.toml"
    yield folder / "statement.md"
    yield from folder.glob("[!._]*.py")
    for name in _FOLDERS:
        if (folder / name).is_symlink():
            yield folder / name
            continue
        for path in (folder / name).rglob("*"):
            wanted = not any(part[0] in "._" for part in path.relative_to(folder).parts)
            if wanted and (path.is_symlink() or not path.is_dir()):
                yield path
