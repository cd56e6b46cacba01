"""A homework folder as one immutable archive: the same files give the same bytes, on every machine.

The bundle holds what a run needs and nothing else: homework.toml, statement.md, the Python files beside them, starter/ and data/.
Entries are stored uncompressed, sorted, with a fixed time, because compressors differ between versions.
"""

import hashlib
import io
import json
import tomllib
import zipfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from grading.runner.entry import NotebookSpec
from grading.runner.limits import Limits
from grading.runner.tomlfile import ManifestError

MAX_BYTES = 64 * 2**20
_FOLDERS = ("starter", "data")
_EPOCH = (1980, 1, 1, 0, 0, 0)

# What homework.toml says of people and times. Whatever is not named here counts as part of the autograder, so a new setting does at once.
_NOT_OF_SCORES = {
    "": {"slug", "number", "title", "weight", "release", "due", "sections", "late", "theory"},
    "practice": {
        *("title", "points", "due", "sections", "allowed", "max_file_mb", "max_total_mb", "max_files"),  # the checks' points sum to points
        *("queue", "score_release", "hand_ins_per_day", "outputs", "outputs_mb"),
    },
    "check": {"title", "tolerance"},  # the tolerance is for those who compare two scores
}


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


def autograder_digest(bundle: bytes) -> str:
    """The SHA-256, in hex, of what decides a score: the same for two bundles that judge every hand-in alike.

    That is the check rows (but their titles, and which kind of hidden a hidden one is), limits, runtime, required files, data/ and every
    Python file beside homework.toml. A default that is written out is the same as one that is left out. ValueError when `bundle` is none.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(bundle)) as archive:
            settings = tomllib.loads(archive.read("homework.toml").decode(), parse_float=Decimal)
            files = {
                name: hashlib.sha256(archive.read(name)).hexdigest()
                for name in sorted(archive.namelist())
                if name not in ("homework.toml", "statement.md") and not name.startswith("starter/")
            }
    except (zipfile.BadZipFile, KeyError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"not a homework's bundle: {error}") from error
    text = json.dumps([_deciding(settings), files], sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _deciding(settings: Mapping[str, Any]) -> dict[str, object]:
    """The settings of a homework.toml that decide a score, as JSON holds them."""
    kept = _without(settings, _NOT_OF_SCORES[""])
    if practice := settings.get("practice"):
        kept["practice"] = _without(practice, _NOT_OF_SCORES["practice"], {"runtime": "torch"})
        for name, defaults in (("limits", asdict(Limits())), ("notebook", asdict(NotebookSpec()))):
            kept["practice"][name] = _without(practice.get(name, {}), (), defaults)
    kept["check"] = [
        _without(row, _NOT_OF_SCORES["check"], {"fresh": False, "needs_gpu": False, "seeds": 1})
        | {"visibility": row.get("visibility") == "visible"}
        for row in settings.get("check", ())
    ]
    return {key: _canonical(value) for key, value in kept.items()}


def _without(table: Mapping[str, Any], names: Collection[str], defaults: Mapping[str, object] | None = None) -> dict[str, Any]:
    defaults = defaults or {}
    return {key: value for key, value in table.items() if key not in names and not (key in defaults and defaults[key] == value)}


def _canonical(value: object) -> object:
    """4, 4.0 and 4.00 are one number."""
    if isinstance(value, dict):
        return {key: _canonical(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        return f"{Decimal(value).normalize():f}"
    return value if isinstance(value, bool) else str(value)


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
