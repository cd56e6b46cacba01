"""The other end of `server.py`, for the worker that executes a claimed run."""

import contextlib
import select
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from grading.runner.job import Cancelled, Job
from grading.runner.outcome import Outcome, Progress
from grading.runner.protocol import DeadlineError, Frame, ProtocolError, TooLargeError, pack_frame, receive_frame, send_frame
from grading.runner.wire import MAX_HEADER, MAX_PAYLOAD, address, pack_job

CONNECT_S = 5.0
SLACK_S = 300.0  # over the wall limit, for starting, for the checks' own time, and for a busy machine
_TICK_S = 0.25


class HostUnavailable(Exception):  # noqa: N818 - the contract's name
    """No runner host answers, or it went away during the job. The text says which, for staff."""


class HostStopping(HostUnavailable):
    """The runner host was told to stop and killed the job: nobody's failure."""


def run_job(
    socket_path: Path,
    job: Job,
    on_progress: Callable[[Progress], None] | None = None,
    *,
    cancelled: threading.Event | None = None,
) -> Outcome:
    """Have the host judge a hand-in. Raises HostUnavailable or HostStopping; Cancelled after `cancelled` was set, with the job killed."""
    try:
        packed = pack_job(job)
    except TooLargeError as error:
        raise HostUnavailable(f"the job cannot be sent: {error}") from error
    end = time.monotonic() + job.limits.wall_s + SLACK_S
    with _connected(socket_path) as connection:
        send_frame(connection, packed, time.monotonic() + SLACK_S)
        while True:
            frame = _next(connection, end, cancelled)
            answer = frame.header
            if "outcome" in answer:
                return Outcome.from_json(answer["outcome"], frame.payload)
            if "stopping" in answer:
                raise HostStopping("the runner host was stopped")
            if "refused" in answer:
                raise HostUnavailable(str(answer["refused"]))
            if on_progress and "progress" in answer:
                on_progress(Progress.from_json(answer["progress"]))


def ping(socket_path: Path) -> dict[str, Any]:
    """{tier, why_not_better and faults | reason and fix, running, load}: `tier` is empty when nothing can run there; `faults` say of each
    GPU that is not given out why. Raises HostUnavailable."""
    with _connected(socket_path) as connection:
        send_frame(connection, pack_frame({"op": "ping"}), time.monotonic() + CONNECT_S)
        return receive_frame(connection, time.monotonic() + CONNECT_S).header


@contextlib.contextmanager
def _connected(socket_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(CONNECT_S)
        try:
            with address(socket_path) as name:
                connection.connect(name)
        except OSError as error:
            raise HostUnavailable(f"no runner host answers on {socket_path}: {error.strerror or error}") from error
        connection.setblocking(False)
        try:
            yield connection
        except (ProtocolError, DeadlineError) as error:
            raise HostUnavailable(f"the runner host went away: {error or 'no answer in time'}") from error


def _next(connection: socket.socket, end: float, cancelled: threading.Event | None) -> Frame:
    while cancelled and not _readable(connection):
        if cancelled.is_set():
            raise Cancelled
        if time.monotonic() > end:
            raise DeadlineError
    return receive_frame(connection, end, max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)


def _readable(connection: socket.socket) -> bool:
    return bool(select.select([connection], [], [], _TICK_S)[0])
