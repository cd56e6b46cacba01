"""What the two ends of the runner host's socket share: its address, and a Job as one frame."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import asdict, fields
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from grading.runner.job import Job, Script
from grading.runner.limits import Limits
from grading.runner.manifest import MOST_SEEDS, VISIBILITIES, CheckSpec
from grading.runner.protocol import Frame, ProtocolError, pack_frame, plain
from grading.runner.runtimes import Runtime

MAX_HEADER = 16 * 2**20  # an answer holds the texts of a student's code: none may be so long that its run has no result
MAX_PAYLOAD = 256 * 2**20
MOST = 2**32  # of any limit
_MAX_ADDRESS = 100  # bytes; the kernel takes 107


@contextlib.contextmanager
def address(socket_path: Path) -> Iterator[str]:
    """A name for the socket that the kernel accepts, however deep its folder is."""
    if len(os.fsencode(socket_path)) <= _MAX_ADDRESS:
        yield str(socket_path)
        return
    folder = os.open(socket_path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{socket_path.name}"
    finally:
        os.close(folder)


def pack_job(job: Job) -> bytes:
    """Raises protocol.TooLargeError for a hand-in and bundle of more than MAX_PAYLOAD bytes together."""
    header = {
        "op": "run",
        "checks": [asdict(spec) | {"points": str(spec.points), "tolerance": str(spec.tolerance)} for spec in job.checks],
        "limits": asdict(job.limits),
        "runtime": {"name": job.runtime.name, "python": str(job.runtime.python), "digest": job.runtime.digest},
        "seed": job.seed,
        "entry": list(job.entry),
        "outputs": list(job.outputs),
        "outputs_mb": job.outputs_mb,
        "device": job.device,
        "smoke": job.smoke,
        "script": asdict(job.script) if job.script else None,
        "bundle": len(job.bundle),
        "files": [(name, len(content)) for name, content in job.files.items()],
    }
    return pack_frame(header, b"".join([job.bundle, *job.files.values()]), max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)


def unpack_job(frame: Frame) -> Job:
    """The job that `pack_job` sent. ProtocolError for anything else: whoever reaches the socket may run jobs, but not harm the host."""
    header = frame.header
    sizes = [(_text(pair[0]), _size(pair[1])) for pair in _list(header.get("files")) if len(_list(pair)) == 2]
    at = _size(header.get("bundle"))
    bundle = bytes(frame.payload[:at])
    files = {}
    for name, size in sizes:
        files[name] = bytes(frame.payload[at : at + size])
        at += size
    if at != len(frame.payload) or len(files) != len(_list(header.get("files"))):
        raise ProtocolError("a job whose files do not add up")
    runtime = _table(header.get("runtime"))
    try:
        return Job(
            bundle=bundle,
            files=files,
            checks=tuple(_check(_table(row)) for row in _list(header.get("checks"))),
            limits=_limits(_table(header.get("limits"))),
            runtime=Runtime(_text(runtime.get("name")), Path(_text(runtime.get("python"))), _text(runtime.get("digest"))),
            seed=_size(header.get("seed"), 2**63),
            entry=_texts(header.get("entry")),
            outputs=_texts(header.get("outputs")),
            outputs_mb=_size(header.get("outputs_mb"), MAX_PAYLOAD >> 20),
            device=_text(header.get("device")),
            smoke=header.get("smoke") is True,
            script=_script(header["script"]) if header.get("script") is not None else None,
        )
    except ValueError as error:
        raise ProtocolError(str(error)) from error


def _script(value: Any) -> Script:
    row = _table(value)
    return Script(_text(row.get("path")), _texts(row.get("arguments")))


def _check(row: dict[str, Any]) -> CheckSpec:
    points, tolerance = _points(row.get("points")), _points(row.get("tolerance"))
    visibility, fresh, needs_gpu = row.get("visibility"), row.get("fresh"), row.get("needs_gpu")
    if visibility not in VISIBILITIES or not isinstance(fresh, bool | str) or not isinstance(needs_gpu, bool):
        raise ProtocolError("a check of no known form")
    return CheckSpec(
        _text(row.get("id")), _text(row.get("title")), points, visibility, fresh, needs_gpu, _seeds(row.get("seeds")), tolerance
    )


def _points(value: Any) -> Decimal:
    try:
        points = Decimal(_text(value))
    except InvalidOperation:
        raise ProtocolError("points that are no number") from None
    if not points.is_finite() or not 0 <= points <= MOST:
        raise ProtocolError("points of no known form")
    return points


def _seeds(value: Any) -> int:
    if type(value) is not int or not 1 <= value <= MOST_SEEDS:
        raise ProtocolError("a number of seeds of no known form")
    return value


def _limits(row: dict[str, Any]) -> Limits:
    values: dict[str, Any] = {}
    for cap in fields(Limits):
        value = row.get(cap.name)
        if (type(value) is not int and (type(value) is not float or cap.type is int)) or not 0 <= value <= MOST:
            raise ProtocolError(f"a limit {cap.name} of no known form")
        values[cap.name] = value
    return Limits(**values)


def _size(value: Any, most: int = MAX_PAYLOAD) -> int:
    if type(value) is not int or not 0 <= value <= most:
        raise ProtocolError("a number of no known form")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or value != plain(value):
        raise ProtocolError("a text of no known form")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in _list(value))


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ProtocolError("a list of no known form")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ProtocolError("a table of no known form")
    return value
