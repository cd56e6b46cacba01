"""Zip files written while they are sent: of whatever size, in the memory of a few chunks."""

import io
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime


class _Sink(io.RawIOBase):
    """Takes what zipfile writes until somebody fetches it. It cannot seek, so zipfile puts sizes behind the contents."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        part = bytes(data)  # type: ignore[call-overload]  # any buffer, as the base class says
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def stream(entries: Iterable[tuple[str, Iterable[bytes]]]) -> Iterator[bytes]:
    """A zip file of the entries (path and content), in pieces."""
    sink = _Sink()
    now = datetime.now(UTC).timetuple()[:6]
    with zipfile.ZipFile(sink, "w") as archive:
        for path, content in entries:
            info = zipfile.ZipInfo(path, now)
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w", force_zip64=True) as out:
                for chunk in content:
                    out.write(chunk)
                    if piece := sink.take():
                        yield piece
    yield sink.take()
