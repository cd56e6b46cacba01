"""Look at what was sent before anything is kept: names, sizes, what is missing, what is too much, and whether files are what they say."""

import fnmatch
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from django.core.files.uploadedfile import UploadedFile

from courseapp.formats import filesize
from grading.models import Component
from grading.services import archives

MB = archives.MB
MOST_SENTENCES = 10

_RENAMED = re.compile(r" ?\(\d+\)|[-_ ]\d+|[-_ ]copy", re.IGNORECASE)
_TEXT = {".py": "Python files", ".ipynb": "notebooks"}


@dataclass(frozen=True)
class Incoming:
    """A file that may be handed in. `chunks` reads it from its beginning each time."""

    path: str
    size: int
    chunks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True)
class Prepared:
    """`dropped` are files that a computer adds by itself; `folder` was taken off the paths of a zip file."""

    files: tuple[Incoming, ...]
    dropped: tuple[str, ...] = ()
    folder: str = ""


@dataclass(frozen=True)
class Problems:
    """Sentences, each with the thing, its value and what is accepted."""

    sentences: tuple[str, ...]


def prepare(component: Component, files: "Sequence[UploadedFile[Any]]", *, any_name: bool = False) -> Prepared | Problems:
    """Hold what was sent to the component's rules; with `any_name`, to those of sizes and content only. Nothing is written."""
    asked = "asked for are the script and what it reads, or a zip file of them" if any_name else _asked(component)
    if not files:
        return Problems((f"No file was chosen; {asked}.",))
    total = sum(file.size or 0 for file in files)
    if total > component.max_total_mb * MB:
        return Problems((f"Together the files have {filesize(total)}; accepted are {component.max_total_mb} MB in all.",))
    zips = [file for file in files if takes_zip(component) and (file.name or "").lower().endswith(".zip")]
    if zips and len(files) > 1:
        return Problems(("A zip file came with other files; send either one zip file or single files.",))
    try:
        prepared = _from_zip(component, zips[0]) if zips else _single(files)
    except archives.RefusedError as refusal:
        return Problems((refusal.reason,))
    if not prepared.files:
        return Problems((f"Only files that a computer adds by itself were sent ({', '.join(prepared.dropped)}); {asked}.",))
    problems = [*_clashes(prepared), *_counted(component, prepared), *([] if any_name else _named(component, prepared))]
    for file in prepared.files:
        problems += _content(component, file)
    if len(problems) > MOST_SENTENCES:
        problems[MOST_SENTENCES:] = [f"And {len(problems) - MOST_SENTENCES} more of the kind."]
    return Problems(tuple(problems)) if problems else prepared


def takes_zip(component: Component) -> bool:
    """A zip file is unpacked for the practice; elsewhere it would be a file like any other."""
    return component.kind == Component.Kind.PRACTICE


def _single(files: "Sequence[UploadedFile[Any]]") -> Prepared:
    kept, dropped = [], []
    for file in files:
        try:
            path = archives.clean_name(file.name or "")
        except archives.BadNameError as error:
            raise archives.RefusedError(f"“{archives.printable(file.name or '')}” {error}.") from None
        if archives.is_dropped(path):
            dropped.append(path)
        else:
            kept.append(Incoming(path, file.size or 0, file.chunks))
    return Prepared(tuple(kept), tuple(dropped))


def _from_zip(component: Component, file: "UploadedFile[Any]") -> Prepared:
    rules = archives.Rules(max_file=component.max_file_mb * MB, max_total=component.max_total_mb * MB, max_files=component.max_files)
    file.seek(0)
    unpacked = archives.unpack(archives.printable(file.name or "zip"), file, rules)  # type: ignore[arg-type]  # it reads and seeks
    kept = tuple(Incoming(path, len(content), partial(_whole, content)) for path, content in unpacked.files.items())
    return Prepared(kept, tuple(unpacked.dropped), unpacked.folder)


def _whole(content: bytes) -> Iterable[bytes]:
    return (content,)


def _clashes(prepared: Prepared) -> list[str]:
    clash = archives.find_clash([file.path for file in prepared.files])
    return [f"“{clash[0]}” and “{clash[1]}” {clash[2]}. Rename one."] if clash else []


def _counted(component: Component, prepared: Prepared) -> list[str]:
    count = len(prepared.files)
    return [f"{count} files were sent; accepted are {component.max_files}."] if count > component.max_files else []


def _named(component: Component, prepared: Prepared) -> list[str]:
    """What is missing, with the file that was probably meant, and what is too much."""
    paths = {file.path for file in prepared.files}
    missing = [name for name in component.files_required if name not in paths]
    extra = [path for path in paths if not _is_taken(component, path)]
    problems = []
    for name in missing:
        meant = next((path for path in sorted(paths - set(component.files_required)) if _meant(path, name)), None)
        if meant is None:
            problems.append(f"{name} is missing; {_asked(component)}.")
        elif "/" in meant and PurePosixPath(meant).name == name:
            problems.append(f"{name} is missing; “{meant}” was sent: take it out of its folder.")
        else:
            problems.append(f"{name} is missing; “{meant}” was sent: rename it to {name}.")
        if meant in extra:
            extra.remove(meant)
    if extra:
        shown = ", ".join(f"“{archives.printable(path)}”" for path in sorted(extra)[:5])
        more = f" and {len(extra) - 5} more" if len(extra) > 5 else ""
        verb = "is" if len(extra) == 1 else "are"
        problems.append(f"{shown}{more} {verb} not part of this hand-in; accepted are {', '.join(_accepted(component))}.")
    return problems


def _content(component: Component, file: Incoming) -> list[str]:
    if file.size > component.max_file_mb * MB:
        return [f"{file.path} has {filesize(file.size)}; accepted are {component.max_file_mb} MB a file."]
    if not file.size:
        return [f"{file.path} is empty (0 bytes)."] if file.path in component.files_required else []
    ending = PurePosixPath(file.path).suffix.lower()
    if ending == ".pdf":
        start = next(iter(file.chunks()))[:1024].lstrip()
        return [] if start.startswith(b"%PDF-") else [f"{file.path} is not a PDF: it does not start with %PDF-. Export it as PDF again."]
    if ending in _TEXT:
        return _text(file, _TEXT[ending])
    return []


def _text(file: Incoming, kind: str) -> list[str]:
    content = b"".join(file.chunks())
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        return [
            f"{file.path} is not text in UTF-8 (byte {content[error.start]:#04x} at position {error.start}); accepted are {kind} in UTF-8."
        ]
    return [f"{file.path} is not text: it holds a zero byte at position {text.index(chr(0))}."] if "\0" in text else []


def _is_taken(component: Component, path: str) -> bool:
    return path in component.files_required or any(fnmatch.fnmatchcase(path, pattern) for pattern in component.files_allowed)


def _accepted(component: Component) -> list[str]:
    return list(dict.fromkeys([*component.files_required, *component.files_allowed]))


def _asked(component: Component) -> str:
    wanted = ", ".join(component.files_required) or ", ".join(component.files_allowed)
    return f"asked for is {wanted}" + (", or a zip file of it" if takes_zip(component) else "")


def _meant(path: str, wanted: str) -> bool:
    """Whether a file is probably the wanted one, as a download folder, a mail program or a zip renamed it."""

    def plain(name: str) -> str:
        stem, dot, ending = name.lower().rpartition(".")
        return _RENAMED.sub("", stem) + dot + ending

    name = PurePosixPath(path).name
    return plain(name) == plain(wanted) or name.lower().removesuffix(".txt") == wanted.lower()
