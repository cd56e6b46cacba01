"""The checker's side of a student's process: one call at a time, under the limits of a call and of the whole run.

Whatever comes back that is not the one answer to the one request ends that process.
"""

import builtins
import contextlib
import math
import secrets
import socket
import time
from typing import Any, NoReturn

from grading.runner import messages
from grading.runner.protocol import (
    MAX_REQUEST,
    MAX_REQUEST_HEADER,
    Closed,
    DeadlineError,
    Frame,
    ProtocolError,
    has_input,
    pack_frame,
    receive_frame,
    send_frame,
)

CONTROL, ARRIVALS = 4, 5
BOOT_S = 60.0
MOST_TEXT = 2000  # characters of a message; two of them fit a frame to the host even when each takes twelve bytes
EXCEPTIONS = {name for name, cls in vars(builtins).items() if isinstance(cls, type) and issubclass(cls, BaseException)}


class EndedError(BaseException):
    """The student's process had to be ended; not an Exception, so that a check cannot swallow it. The text is the host's."""


class NotLoadedError(BaseException):
    """A module of the hand-in does not load."""

    def __init__(self, message: str, builtin: str) -> None:
        super().__init__(message)
        self.builtin = builtin


class Control:
    """The line to the host."""

    def __init__(self) -> None:
        self._socket = socket.socket(fileno=CONTROL)
        self._socket.setblocking(False)
        self._arrivals = socket.socket(fileno=ARRIVALS)
        self._waiting = b""

    def tell(self, event: str, **fields: Any) -> None:
        self.tell_later(event, **fields)
        send_frame(self._socket, self._waiting, math.inf)
        self._waiting = b""

    def tell_later(self, event: str, **fields: Any) -> None:
        """With what is told next: each time that the host is woken costs more than what it is told."""
        self._waiting += pack_frame({"event": event, **fields})

    def ask(self, event: str, **fields: Any) -> dict[str, Any]:
        self.tell(event, **fields)
        return receive_frame(self._socket, math.inf).header

    def student(self, *, hidden: bool) -> tuple[int, socket.socket]:
        number = self.ask("student", hidden=hidden)["student"]
        _, fds, _, _ = socket.recv_fds(self._arrivals, 16, 1)
        channel = socket.socket(fileno=fds[0])
        channel.setblocking(False)
        return number, channel


class Clock:
    """How long the student's code was waited for, over all its processes, against the run's wall limit."""

    def __init__(self, wall_s: float) -> None:
        self._wall_s = wall_s
        self.waited = 0.0

    @property
    def left(self) -> float:
        return max(self._wall_s - self.waited, 0.0)

    @contextlib.contextmanager
    def running(self) -> Any:
        start = time.monotonic()
        try:
            yield
        finally:
            self.waited += time.monotonic() - start


class StudentLine:
    """One student process. `ask` gives the answer, or raises Failed, Raised, NotLoadedError or EndedError."""

    def __init__(self, control: Control, clock: Clock, job: dict[str, Any], files: bytes, prelude: bytes, *, hidden: bool) -> None:
        from grading.runner import checks, values

        self._checks = checks
        self._values = values
        self._control = control
        self._files = _by_name(job["files"], files)
        self._clock = clock
        self._call_s = float(job["limits"]["call_s"])
        self._hidden = hidden
        self._number, self._channel = control.student(hidden=hidden)
        self._receive("boot", time.monotonic() + BOOT_S, 0)
        header = {"op": "load", **{name: job[name] for name in ("files", "entry", "mode", "prelude")}}
        try:
            answer = self._exchange(header, files + prelude, "load", clock.left)
        except (checks.Failed, NotLoadedError) as error:  # such as a hand-in that does not fit the scratch space
            self._end("protocol", detail=str(error))
        found = _unloadable(answer)
        self.unloadable: dict[str, tuple[str, str]] = self._end("protocol", detail="no list of modules") if found is None else found

    def ask(self, operation: str, **arguments: Any) -> Any:
        name = arguments.get("name", "")
        if "ref" not in arguments and "." in name:
            why = self.unloadable.get(name.rpartition(".")[0])
            if why:
                raise NotLoadedError(*why)
        data, payload = self._values.pack(arguments, depth=-2)
        return self._exchange({"op": operation, "request": data}, payload, *self._limit())

    def file(self, name: str) -> memoryview | None:
        """The content of a file as it was handed in, whatever the student's process has made of its copy; None when there is none."""
        return self._files.get(name)

    def forget(self) -> None:
        self._exchange({"op": "forget"}, b"", *self._limit())

    def hand_over(self, patterns: list[str], limit: int) -> None:
        """Have the process write its files to the host's pipe."""
        try:
            self._exchange({"op": "outputs", "patterns": patterns, "limit": limit}, b"", *self._limit())
        except (self._checks.Failed, NotLoadedError) as error:
            self._control.tell("lost", message=str(error))

    def close(self) -> None:
        self._channel.close()
        self._control.ask("ended", student=self._number, why="done", hidden=self._hidden)

    def _limit(self) -> tuple[str, float]:
        """Which limit ends a call, and in how many seconds."""
        left = self._clock.left
        return ("call", self._call_s) if self._call_s <= left else ("wall", left)

    def _exchange(self, header: dict[str, Any], payload: bytes, phase: str, limit: float) -> Any:
        if has_input(self._channel):
            self._end("protocol", detail="more than the reply to a request")
        number = secrets.randbits(62)
        frame = pack_frame({"id": number, **header}, payload, max_header=MAX_REQUEST_HEADER, max_payload=MAX_REQUEST)
        deadline = time.monotonic() + limit
        with self._clock.running():
            try:
                send_frame(self._channel, frame, deadline)
            except DeadlineError:
                self._end(phase)
            except Closed:
                self._end("closed", phase)
            answer = self._receive(phase, deadline, number)
        return self._judge(answer, phase)

    def _receive(self, phase: str, deadline: float, number: int) -> Frame:
        try:
            frame = receive_frame(self._channel, deadline)
        except DeadlineError:
            self._end(phase)
        except Closed:
            self._end("closed", phase)
        except ProtocolError as error:
            self._end("protocol", detail=str(error))
        answered = frame.header.get("id")
        if type(answered) is not int or answered != number:
            self._end("protocol", detail="a reply to another request")
        return frame

    def _judge(self, frame: Frame, phase: str) -> Any:
        header = frame.header
        if "problem" not in header:
            try:
                return self._values.unpack(header.get("value"), frame.payload, depth=-1 if phase == "load" else 0)
            except ProtocolError as error:
                self._end("protocol", detail=str(error))
        message, builtin = header.get("message"), header.get("builtin")
        if not isinstance(message, str) or not isinstance(builtin, str):
            self._end("protocol", detail="a problem without its texts")
        message = message[:MOST_TEXT] or messages.NO_REASON
        builtin = builtin if builtin in EXCEPTIONS else "Exception"
        if header["problem"] == "memory":
            self._end("memory")
        if header["problem"] == "gpu_memory":
            self._end("gpu_memory", detail=message)
        if header["problem"] == "load":
            # By now the process has seen inputs of its checks; where they are hidden, a text of its own may carry one.
            raise NotLoadedError(f"{builtin}, {messages.HIDDEN}" if self._hidden else message, builtin)
        if header["problem"] == "raised":
            raise self._checks.Raised(message, builtin)
        raise self._checks.Failed(message)

    def _end(self, why: str, phase: str = "", detail: str = "") -> NoReturn:
        self._channel.close()
        reply = self._control.ask("ended", student=self._number, why=why, phase=phase, detail=detail, hidden=self._hidden)
        raise EndedError(reply["message"])


def _unloadable(answer: Any) -> dict[str, tuple[str, str]] | None:
    """{module: (why it does not load, builtin exception)} as the student's process says; None when it says something else."""
    if not isinstance(answer, dict):
        return None
    found = {}
    for name, why in answer.items():
        if not isinstance(name, str) or not isinstance(why, list) or [type(part) for part in why] != [str, str]:
            return None
        found[name] = (why[0][:MOST_TEXT], why[1] if why[1] in EXCEPTIONS else "")
    return found


def _by_name(sizes: list[tuple[str, int]], files: bytes) -> dict[str, memoryview]:
    found = {}
    at = 0
    for name, size in sizes:
        found[name] = memoryview(files)[at : at + size]
        at += size
    return found
