"""Files that the visible checks' student process leaves behind: handed over through a pipe, never fetched by a path.

The student's process writes frames (protocol.py): {"name", "size"} and the content, or {"name", "size", "skipped": true} for a file that
does not fit. The pipe is the student's code's own, like its standard output, so the host believes nothing: names must be plain and asked
for, number and sizes are capped, and what breaks the format ends the taking. Whatever is not kept is told with its reason.
"""

import contextlib
import fcntl
import hashlib
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from grading.runner import messages
from grading.runner.protocol import Frame, FrameBuffer, ProtocolError, pack_frame, plain

MAX_FILES = 20
MAX_NAME = 100  # characters
MAX_DROPPED = 20  # reasons that are told
MAX_FRAMES = 200  # of all of a run's processes
ALL = ("*",)  # as patterns
MEGABYTE = 2**20
PIPE_BYTES = MEGABYTE
READ_BYTES = 1 << 16
_MAX_HEADER = 1024
_MAX_WHY = 4096  # bytes
_MOST_STATUS = 255


@dataclass(frozen=True)
class OutputFile:
    """A file that was kept. `sha256` in hex."""

    name: str
    sha256: str
    size: int
    content: bytes


class Collector:
    """The host's end of the pipe: takes bytes, gives files. `limit` bytes are kept at most, of `given`, the hand-in's own files, none."""

    def __init__(self, patterns: Sequence[str], limit: int, given: Mapping[str, bytes]) -> None:
        self.files: dict[str, OutputFile] = {}
        self.dropped: list[str] = []
        self._patterns = patterns
        self.limit = limit
        self._given = given
        self._kept = 0
        self.frames_left = MAX_FRAMES
        self.bytes_left = 2 * limit + MEGABYTE  # of all streams: names and sizes of what is not kept go through them, too

    def drop(self, sentence: str) -> None:
        if len(self.dropped) < MAX_DROPPED and sentence not in self.dropped:
            self.dropped.append(sentence)

    def take(self, frame: Frame) -> None:
        name, size = frame.header.get("name"), frame.header.get("size")
        if not isinstance(name, str) or type(size) is not int:
            raise ProtocolError("a file without name and size")
        if self._patterns == ALL and not is_plain(name):
            self.drop(messages.OUTPUT_ODD.format(file=_quoted(name)))
        elif not is_plain(name) or not any(fnmatchcase(name, pattern) for pattern in self._patterns):
            self.drop(messages.OUTPUT_NAME.format(file=_quoted(name), accepted=", ".join(self._patterns)))
        elif frame.header.get("skipped") is True or self._kept + len(frame.payload) > self.limit:
            self.drop(messages.OUTPUT_SIZE.format(file=name, limit=messages.megabytes(self.limit // MEGABYTE)))
        elif len(frame.payload) != size:
            raise ProtocolError("a file of another size than it says")
        elif name in self.files:
            if self.files[name].content != frame.payload:
                self.drop(messages.OUTPUT_TWICE.format(file=name))
        elif len(self.files) >= MAX_FILES:
            self.drop(messages.OUTPUT_NUMBER.format(file=name, most=MAX_FILES))
        elif (content := bytes(frame.payload)) != self._given.get(name):
            self._kept += size
            self.files[name] = OutputFile(name, hashlib.sha256(content).hexdigest(), size, content)


class ScriptCollector(Collector):
    """Of a lab run, whose first frame says how the script ended: {"ended": exit status, minus a signal's number, or null at the time
    limit}, and why, in words. It is the script's own word, as are the folders that it names last: {"folder": name}."""

    exit_code: int | None = None
    why = ""
    told = False

    def take(self, frame: Frame) -> None:
        if isinstance(folder := frame.header.get("folder"), str):
            self.drop(messages.OUTPUT_FOLDER.format(folder=_quoted(folder)))
            return
        if self.told or "ended" not in frame.header:
            super().take(frame)
            return
        exit_code = frame.header["ended"]
        if exit_code is not None and (type(exit_code) is not int or abs(exit_code) > _MOST_STATUS):
            raise ProtocolError("an end of no known form")
        self.exit_code, self.why, self.told = exit_code, plain(bytes(frame.payload[:_MAX_WHY]).decode(errors="replace")), True


class Intake:
    """One student process's pipe. `open` until it has broken the format, which ends the taking."""

    def __init__(self, collector: Collector) -> None:
        self._collector = collector
        self._frames = FrameBuffer(max_header=_MAX_HEADER, max_payload=collector.limit)
        self.open = True

    def feed(self, piece: bytes) -> None:
        if not self.open:
            return
        self._collector.bytes_left -= len(piece)
        self._frames.feed(piece)
        try:
            if self._collector.bytes_left < 0:
                raise ProtocolError("more than may be handed over")
            for frame in self._frames:
                self._collector.frames_left -= 1
                if self._collector.frames_left < 0:
                    raise ProtocolError("more files than may be handed over")
                self._collector.take(frame)
        except ProtocolError:
            self._break()

    def end(self) -> None:
        """The process has ended, or closed its pipe: half a file is none, and is not kept in memory."""
        if self.open and self._frames.pending:
            self._break()
        self.open = False

    def _break(self) -> None:
        self._collector.drop(messages.OUTPUT_BROKEN)
        self._frames = FrameBuffer()
        self.open = False


def is_plain(name: str) -> bool:
    """Whether a name can be shown and kept as it is: one line of printing characters without folders, not hidden."""
    plain_text = bool(name) and name == plain(name) and name.isprintable() and unicodedata.is_normalized("NFC", name)
    return plain_text and len(name) <= MAX_NAME and name[0] not in ". " and name[-1] not in ". " and not set(name) & set('/\\:*?"<>|')


def hand_over(folder: Path, pipe: int, patterns: Sequence[str], limit: int) -> None:
    """In the student's process: write the files of `folder` that are asked for to `pipe`. OSError when the host has closed it."""
    left = limit
    with os.scandir(folder) as entries:
        files = sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))
    found = [name for name in files if any(fnmatchcase(name, pattern) for pattern in patterns)]
    for name in found[: MAX_FILES + MAX_DROPPED]:  # more are neither kept nor told
        (folder / name).chmod(0o600)
        size = (folder / name).stat().st_size
        content = b"" if size > left else (folder / name).read_bytes()
        header = {"name": name, "size": size, "skipped": True} if size > left else {"name": name, "size": len(content)}
        left -= len(content)
        _write(pipe, pack_frame(header, content, max_payload=limit))


def say_ended(pipe: int, exit_code: int | None, why: bytes) -> None:
    """In the process of a lab run, before its files: how the script ended. `exit_code`: minus a signal's number; None at the time limit."""
    _write(pipe, pack_frame({"ended": exit_code}, why))


def say_folders(folder: Path, pipe: int, given: Iterable[str]) -> None:
    """In the process of a lab run, after its files: which folders of `folder` hold files that it was not `given`; they stay behind."""
    known, found = set(given), set()
    for place, _, names in os.walk(folder):
        parts = Path(place).relative_to(folder).parts
        if parts and any("/".join([*parts, name]) not in known for name in names):
            found.add(parts[0])
    for name in sorted(found)[:MAX_DROPPED]:
        _write(pipe, pack_frame({"folder": name[:50]}))  # more of it is not shown


def _write(pipe: int, frame: bytes) -> None:
    view = memoryview(frame)
    while view:
        view = view[os.write(pipe, view) :]


def _quoted(name: str) -> str:
    """A name that is not kept, so that a sentence can show it."""
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in plain(name))
    return f"“{shown[:40]}{'…' if len(shown) > 40 else ''}”"


def pipe() -> tuple[int, int]:
    """The host's non-blocking end to read from, and the student process's end to write to."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with contextlib.suppress(OSError):  # a larger one saves turns; the user may have too many of them
        fcntl.fcntl(reading, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


def read_pipe(pipe: int) -> bytes | None:
    """What waits in the pipe; None at its end. The pipe is non-blocking."""
    with contextlib.suppress(BlockingIOError):
        return os.read(pipe, READ_BYTES) or None
    return b""
