"""The runner host's socket: one connection is one job, or one ping. A job whose connection closes is killed."""

import contextlib
import errno
import fcntl
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from grading.runner.host import Host
from grading.runner.job import Cancelled
from grading.runner.outcome import Progress
from grading.runner.protocol import DeadlineError, ProtocolError, TooLargeError, pack_frame, receive_frame, send_frame
from grading.runner.tiers import Refused
from grading.runner.wire import MAX_HEADER, MAX_PAYLOAD, address, unpack_job

REQUEST_S = 60.0  # to send a whole job
ANSWER_S = 30.0  # to take an answer; a client that does not read is gone
_POLL_S = 0.2
_GONE = select.POLLRDHUP | select.POLLHUP | select.POLLERR


class AlreadyServedError(Exception):
    """Another runner host holds this socket."""


def serve(host: Host, socket_path: Path, *, stop: threading.Event, ready: threading.Event | None = None) -> None:
    """Answer on `socket_path` until `stop` is set; then every job that still runs is killed. Raises AlreadyServedError, OSError.

    The socket's folder is made with mode 0700, and one that others can enter is refused: whoever reaches the socket may run jobs.
    """
    with _locked(socket_path), socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        socket_path.unlink(missing_ok=True)
        with address(socket_path) as name:
            listener.bind(name)
        listener.listen(64)
        listener.settimeout(_POLL_S)
        if ready:
            ready.set()
        threads: list[threading.Thread] = []
        try:
            while not stop.is_set():
                try:
                    connection, _ = listener.accept()
                except TimeoutError:
                    continue
                thread = threading.Thread(target=_serve_one, args=(host, connection, stop))
                thread.start()
                threads = [other for other in threads if other.is_alive()] + [thread]
        finally:
            stop.set()
            socket_path.unlink(missing_ok=True)
            for thread in threads:
                thread.join()


@contextlib.contextmanager
def _locked(socket_path: Path) -> Iterator[None]:
    folder = socket_path.parent
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_mode & 0o077 or found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, "others can enter the folder of the runner's socket; give it a folder of its own", str(folder))
    with socket_path.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyServedError(f"another runner host serves {socket_path}") from None
        yield


def _serve_one(host: Host, connection: socket.socket, stop: threading.Event) -> None:
    with connection, contextlib.suppress(ProtocolError, DeadlineError, OSError):
        connection.setblocking(False)
        frame = receive_frame(connection, time.monotonic() + REQUEST_S, max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)
        if frame.header.get("op") == "ping":
            _send(connection, _described(host))
            return
        try:
            job = unpack_job(frame)
        except ProtocolError as error:
            _send(connection, {"refused": f"not a job: {error}"})
            return
        cancelled = threading.Event()
        finished, finish = socket.socketpair()
        teller = _Teller(connection)
        guard = threading.Thread(target=_guard, args=(connection, teller, cancelled, finished, stop))
        guard.start()
        try:
            outcome = host.run(job, on_progress=teller.tell, cancelled=cancelled)
        except Cancelled:
            if stop.is_set():
                teller.end({"stopping": True})
            return
        finally:
            finish.close()
            guard.join()
            finished.close()
        teller.end({"outcome": outcome.to_json()}, outcome.payload)


class _Teller:
    """Tells a job's client where it is, in whole frames, and never waits for it before the end: what the socket does not take now is kept.

    What has not been begun is told as one, so no more is kept than a run may print.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._begun = memoryview(b"")  # of a frame, the part that has not been taken
        self._untold: Progress | None = None

    @property
    def behind(self) -> bool:
        """Whether something is kept."""
        return bool(self._begun) or self._untold is not None

    def tell(self, progress: Progress) -> None:
        with self._lock:
            self._untold = progress if self._untold is None else progress.after(self._untold)
        self.go_on()

    def go_on(self) -> None:
        """Send what the socket takes now."""
        with self._lock, contextlib.suppress(OSError):  # a client that is gone is the guard's business
            while self.behind:
                self._begin()
                self._begun = self._begun[self._connection.send(self._begun, socket.MSG_NOSIGNAL) :]

    def _begin(self) -> None:
        if not self._begun and self._untold is not None:
            self._begun, self._untold = memoryview(_packed({"progress": self._untold.to_json()})), None

    def end(self, header: dict[str, object], payload: bytes = b"") -> None:
        """Send all that is kept, and the answer. Raises DeadlineError, ProtocolError."""
        deadline = time.monotonic() + ANSWER_S
        send_frame(self._connection, self._begun, deadline)
        if self._untold is not None:
            send_frame(self._connection, _packed({"progress": self._untold.to_json()}), deadline)
        send_frame(self._connection, _packed(header, payload), deadline)


def _send(connection: socket.socket, header: dict[str, object]) -> None:
    send_frame(connection, _packed(header), time.monotonic() + ANSWER_S)


def _packed(header: dict[str, object], payload: bytes = b"") -> bytes:
    try:
        return pack_frame(header, payload, max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)
    except TooLargeError as error:
        return pack_frame({"refused": f"the answer is too large: {error}"})


def _guard(connection: socket.socket, teller: _Teller, cancelled: threading.Event, finished: socket.socket, stop: threading.Event) -> None:
    """Until `finished` is at its end: cancel a job whose client closes its connection, or when the host is told to stop.

    A client that reads again is told what was kept, also while the job has nothing new to tell.
    """
    poll = select.poll()
    poll.register(finished, select.POLLIN)
    while True:
        poll.register(connection, _GONE | (select.POLLOUT if teller.behind else 0))
        ready = dict(poll.poll(_POLL_S * 1000))
        if finished.fileno() in ready:
            return
        if ready.get(connection.fileno(), 0) & ~select.POLLOUT or stop.is_set():
            cancelled.set()
            return
        if ready:
            teller.go_on()


def _described(host: Host) -> dict[str, object]:
    load = os.getloadavg()[0]
    if isinstance(host.tier, Refused):
        return {"tier": "", "reason": host.tier.reason, "fix": host.tier.fix, "running": host.running, "load": load}
    described = {"tier": host.tier.name, "why_not_better": host.tier.why_not_better, "running": host.running, "load": load}
    return described | {"faults": dict(host.faults)}
