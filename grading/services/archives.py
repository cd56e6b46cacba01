"""Zip files of students, read entry by entry into memory. Nothing is ever extracted to a path, and an archive is never half taken.

Other archive formats are not read at all. What is refused is refused with the entry's name; what a computer adds by itself is dropped.
"""

import re
import stat
import struct
import unicodedata
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

from courseapp.formats import filesize

MB = 1024**2

DROPPED_PARTS = {"__MACOSX", "__pycache__", ".ipynb_checkpoints", ".DS_Store"}
_METHODS = {zipfile.ZIP_STORED: "stored", zipfile.ZIP_DEFLATED: "deflated"}
_ENCRYPTED = 0x1 | 0x40 | 0x2000  # traditional, strong, masked headers
_UTF8 = 0x800
_END = struct.Struct("<4s4H2LH")  # end of central directory
_ZIP64_LOCATOR_SIZE = 20
_CHUNK = 256 * 1024
_MOST_DEPTH = 16
_MOST_PART = 255  # bytes, what Linux takes
MOST_PATH = 255  # characters, what the row takes


@dataclass(frozen=True)
class Rules:
    """Caps on what an archive may unpack to, in bytes and counts. `ratio` is looked at where an entry is larger than a MB."""

    max_file: int = 20 * MB
    max_total: int = 50 * MB
    max_files: int = 200
    max_entries: int = 4000  # with folders and what is dropped
    ratio: int = 200


DEFAULT = Rules()


@dataclass(frozen=True)
class Unpacked:
    """Files by their path inside the archive; `folder` is the single top folder that was taken off their paths."""

    files: dict[str, bytes]
    dropped: list[str]
    folder: str = ""


class RefusedError(ValueError):
    """The archive is not taken. `reason` is a sentence that names the archive and, where one is to blame, the entry."""

    def __init__(self, reason: str, entry: str = "") -> None:
        self.reason, self.entry = reason, entry
        super().__init__(reason)


class BadNameError(ValueError):
    """A file name is not taken; the text ends the sentence "“name” …"."""


def unpack(name: str, data: bytes | BinaryIO, rules: Rules = DEFAULT) -> Unpacked:
    """Read the zip `name` whole. RefusedError when any entry is not acceptable."""
    source = BytesIO(data) if isinstance(data, bytes) else data
    _look_at_directory(name, source, rules)
    try:
        archive = zipfile.ZipFile(source)
    except (zipfile.BadZipFile, ValueError, OSError, struct.error, NotImplementedError) as error:
        raise RefusedError(f"“{name}” cannot be read as a zip file ({error}). Make it again, or send the files one by one.") from error
    with archive:
        return _Reader(name, archive, rules).read()


def clean_name(name: str) -> str:
    """A relative path as it is kept: NFC, with single slashes. BadNameError says what is wrong with any other."""
    clean = unicodedata.normalize("NFC", name)
    if "\\" in clean:
        raise BadNameError("has a backslash in its name; folders are separated by /")
    if any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in clean):
        raise BadNameError("has an invisible or control character in its name")
    if clean.startswith("/") or re.match(r"[A-Za-z]:", clean):
        raise BadNameError("is an absolute path; accepted are paths inside the hand-in")
    parts = clean.split("/")
    if ".." in parts:
        raise BadNameError("leads out of the hand-in with ..; accepted are paths inside it")
    if "" in parts or "." in parts:
        raise BadNameError("is not a plain path; accepted are names such as mlp.py or figures/loss.png")
    if len(clean) > MOST_PATH or any(len(part.encode()) > _MOST_PART for part in parts):
        raise BadNameError(f"has too long a name ({len(clean)} characters); accepted are {MOST_PATH} in all and {_MOST_PART} bytes a part")
    if len(parts) > _MOST_DEPTH:
        raise BadNameError(f"lies {len(parts) - 1} folders deep; accepted are {_MOST_DEPTH - 1}")
    return clean


def same_name(name: str) -> str:
    """What two names have in common that a computer may take for one: folded in case and in Unicode form."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def is_dropped(path: str) -> bool:
    """Whether a computer put this file there, not its owner."""
    parts = path.split("/")
    return bool(DROPPED_PARTS.intersection(parts)) or any(part.startswith("._") for part in parts)


def printable(name: str) -> str:
    """A name fit for a sentence: invisible characters as escapes, and not too long."""
    safe = "".join(letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in name)
    return safe if len(safe) <= 120 else f"{safe[:80]}…{safe[-30:]}"


def find_clash(paths: Sequence[str]) -> tuple[str, str, str] | None:
    """Two paths that cannot both be kept, and why: the same name after folding, or a file where the other needs a folder."""
    files: dict[str, str] = {}
    for path in paths:
        before = files.setdefault(same_name(path), path)
        if before is not path:
            return before, path, "are the same name" if before == path else "differ only in case or spelling of the same letters"
    for path in paths:
        parts = same_name(path).split("/")
        for depth in range(1, len(parts)):
            if (file := files.get("/".join(parts[:depth]))) is not None:
                return file, path, "cannot both be kept: the first is a file, the second needs it to be a folder"
    return None


def _look_at_directory(name: str, source: BinaryIO, rules: Rules) -> None:
    """Refuse a directory of a million entries before it is read into memory, and formats beyond the plain one."""
    size = source.seek(0, 2)
    tail = min(size, _END.size + _ZIP64_LOCATOR_SIZE + 0xFFFF)
    source.seek(size - tail)
    block = source.read(tail)
    source.seek(0)
    plain = len(block) - _END.size
    at = plain if plain >= 0 and block[plain:].startswith(b"PK\5\6") and block.endswith(b"\0\0") else block.rfind(b"PK\5\6")
    if at < 0 or len(block) - at < _END.size:
        raise RefusedError(f"“{name}” is not a zip file, or its end is missing. Make it again, or send the files one by one.")
    directory = _END.unpack_from(block, at)[5]
    if b"PK\6\7" in block[max(0, at - _ZIP64_LOCATOR_SIZE) : at]:
        raise RefusedError(f"“{name}” is a zip file of the 64-bit kind, for archives above 4 GB. Make an ordinary zip file.")
    if directory > rules.max_entries * 256:
        raise RefusedError(f"The table of contents of “{name}” has {filesize(directory)}; accepted are {rules.max_entries} entries.")


class _Reader:
    def __init__(self, name: str, archive: zipfile.ZipFile, rules: Rules) -> None:
        self.name, self.archive, self.rules = name, archive, rules

    def read(self) -> Unpacked:
        entries = self.archive.infolist()
        if len(entries) > self.rules.max_entries:
            raise self._whole(f"holds {len(entries)} entries; accepted are {self.rules.max_entries}")
        kept: list[tuple[str, zipfile.ZipInfo]] = []
        dropped: list[str] = []
        for entry in entries:
            path = self._path(entry)
            if is_dropped(path):
                if not entry.is_dir():
                    dropped.append(path)
            elif not entry.is_dir():
                kept.append((path, entry))
        if not kept:
            raise self._whole("holds no files" + (f" besides {', '.join(map(printable, dropped[:3]))}" if dropped else ""))
        if len(kept) > self.rules.max_files:
            raise self._whole(f"holds {len(kept)} files; accepted are {self.rules.max_files}")
        if clash := find_clash([path for path, _ in kept]):
            raise RefusedError(f"“{printable(clash[0])}” and “{printable(clash[1])}” in “{self.name}” {clash[2]}. Rename one.", clash[1])
        self._caps(kept)
        files = {path: self._content(path, entry) for path, entry in kept}
        folder = _top_folder(files)
        if folder:
            files = {path.removeprefix(f"{folder}/"): content for path, content in files.items()}
        return Unpacked(files, sorted(dropped), folder)

    def _path(self, entry: zipfile.ZipInfo) -> str:
        """The entry's path, with everything refused that does not depend on its content."""
        name = entry.filename
        if not entry.flag_bits & _UTF8:
            # Without the flag the letters mean nothing certain; macOS and Linux write UTF-8 all the same.
            try:
                name = name.encode("cp437").decode("utf-8")
            except UnicodeError:
                name = entry.filename
        if "\0" in entry.orig_filename:
            raise self._refused(entry.orig_filename, "has an invisible or control character in its name")
        if "\\" in entry.orig_filename:
            raise self._refused(entry.orig_filename, "has a backslash in its name; folders are separated by /")
        try:
            path = clean_name(name.removesuffix("/") if entry.is_dir() else name)
        except BadNameError as error:
            raise self._refused(name, str(error)) from None
        kind = stat.S_IFMT(entry.external_attr >> 16)
        if stat.S_ISLNK(kind):
            raise self._refused(path, "is a link; put the file itself into the archive")
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise self._refused(path, "is neither a file nor a folder")
        if entry.flag_bits & _ENCRYPTED:
            raise self._refused(path, "is encrypted; make the archive without a password")
        if entry.compress_type not in _METHODS:
            raise self._refused(path, f"is packed by method {entry.compress_type}; accepted are {' and '.join(_METHODS.values())}")
        return path

    def _caps(self, kept: list[tuple[str, zipfile.ZipInfo]]) -> None:
        """Before anything is unpacked, by the sizes that the archive states; `_content` holds it to them."""
        for path, entry in kept:
            if entry.file_size > self.rules.max_file:
                raise self._refused(path, f"has {filesize(entry.file_size)}; accepted are {filesize(self.rules.max_file)} a file")
            if entry.file_size > MB and entry.file_size > self.rules.ratio * max(1, entry.compress_size):
                ratio = entry.file_size // max(1, entry.compress_size)
                raise self._refused(path, f"unpacks to {ratio} times its packed size; accepted are {self.rules.ratio} times")
        total = sum(entry.file_size for _, entry in kept)
        if total > self.rules.max_total:
            raise self._whole(f"unpacks to {filesize(total)}; accepted are {filesize(self.rules.max_total)} in all")

    def _content(self, path: str, entry: zipfile.ZipInfo) -> bytes:
        """Read by its directory entry; the stated size bounds what is read, and the checksum is verified at the end."""
        parts: list[bytes] = []
        try:
            with self.archive.open(entry) as packed:
                while part := packed.read(_CHUNK):
                    parts.append(part)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as error:
            raise self._refused(path, f"cannot be read ({error}); make the archive again") from error
        content = b"".join(parts)
        if len(content) != entry.file_size:
            raise self._refused(path, f"has {len(content)} bytes where the archive states {entry.file_size}; make the archive again")
        return content

    def _refused(self, entry: str, why: str) -> RefusedError:
        return RefusedError(f"“{printable(entry)}” in “{self.name}” {why}.", entry)

    def _whole(self, why: str) -> RefusedError:
        return RefusedError(f"“{self.name}” {why}.")


def _top_folder(files: dict[str, bytes]) -> str:
    """The folders that all files lie in, such as a net-id folder around everything."""
    shared: list[str] = []
    folders = [path.split("/")[:-1] for path in files]
    for level in zip(*folders, strict=False):
        if len(set(level)) > 1:
            break
        shared.append(level[0])
    return "/".join(shared)
