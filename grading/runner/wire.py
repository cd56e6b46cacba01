"""What the two ends of the runner host's socket share: its address, and a Job as one frame."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from decimal import Decimal
from pathlib import Path
from typing import Any

from grading.runner.job import Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.protocol import Frame, ProtocolError, pack_frame
from grading.runner.runtimes import Runtime

MAX_HEADER = 16 * 2**20  # an answer holds the texts of a student's code: none may be so long that its run has no result
MAX_PAYLOAD = 256 * 2**20
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
        "checks": [asdict(spec) | {"points": str(spec.points)} for spec in job.checks],
        "limits": asdict(job.limits),
        "runtime": {"name": job.runtime.name, "python": str(job.runtime.python), "digest": job.runtime.digest},
        "seed": job.seed,
        "entry": list(job.entry),
        "outputs": list(job.outputs),
        "outputs_mb": job.outputs_mb,
        "bundle": len(job.bundle),
        "files": [(name, len(content)) for name, content in job.files.items()],
    }
    return pack_frame(header, b"".join([job.bundle, *job.files.values()]), max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)


def unpack_job(frame: Frame) -> Job:
    header: Mapping[str, Any] = frame.header
    at = header["bundle"]
    bundle = bytes(frame.payload[:at])
    files = {}
    for name, size in header["files"]:
        files[name] = bytes(frame.payload[at : at + size])
        at += size
    if at != len(frame.payload):
        raise ProtocolError("a job whose sizes do not add up")
    runtime = header["runtime"]
    return Job(
        bundle=bundle,
        files=files,
        checks=tuple(CheckSpec(**{**spec, "points": Decimal(spec["points"])}) for spec in header["checks"]),
        limits=Limits(**header["limits"]),
        runtime=Runtime(runtime["name"], Path(runtime["python"]), runtime["digest"]),
        seed=header["seed"],
        entry=tuple(header["entry"]),
        outputs=tuple(header["outputs"]),
        outputs_mb=header["outputs_mb"],
    )
