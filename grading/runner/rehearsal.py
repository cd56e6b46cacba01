"""What every job does first, done in the warm process a few times before anything is forked from it.

First calls are slow: libraries build tables, the interpreter specialises bytecode, and each write of that kind to a page that is shared
costs a fork a copy of it. So a small hand-in is judged, with this process once in the checker's role and once in the student's, and a child
in the other one. Nothing may be left behind that a job could see: no thread, no module, no file, no seed that is used. No gradient is
taken: its engine does not live on in a fork.
"""

import contextlib
import io
import os
import random
import shutil
import socket
import sys
import zipfile
from typing import Any

import numpy
import torch

from grading.runner import checker_main, checks, student_line
from grading.runner.answering import Answerer
from grading.runner.loading import HAND_IN
from grading.runner.protocol import ProtocolError, pack_frame

ROUNDS = 10  # after eight calls the interpreter specialises a function
_CHECKS = """
import torch
from grading.runner.checks import Student, Trial, check

for number in range({rounds}):

    @check(f"twice-{{number}}")
    def twice(student: Student, trial: Trial) -> None:
        x = torch.randn(6, 3, generator=trial.generator)
        weight = torch.rand(3, 4, generator=trial.generator)
        trial.close("y", student.call("rehearsed.twice", x), 2 * x)
        trial.equal("x", student.argument(0), x)
        trial.close("product", (x @ weight).relu().sigmoid().sum(), (x @ weight).relu().sigmoid().sum())
        held = student.new("rehearsed.Held", 3)
        student.set(held, "values", {{"x": x}})
        trial.close("held", student.get(held, "values"), {{"x": x}})
        trial.close("wrong", student.call(held, "fails", x), x)
"""
_CODE = b"""
import math
import torch


class Held:
    def __init__(self, size):
        self.values = {"x": torch.zeros(size)}

    def fails(self, x):
        raise ValueError("on purpose")


def twice(x):
    return 2 * x
"""


def rehearse() -> None:
    specs = [{"id": f"twice-{number}", "visibility": "hidden", "fresh": False, "seeds": 1} for number in range(ROUNDS)]
    limits = {"wall_s": 60.0, "cpu_s": 60.0, "call_s": 60.0}
    job = {"checks": specs, "limits": limits, "seed": 1, "smoke": False, "entry": ["rehearsed.py"], "files": [("rehearsed.py", len(_CODE))]}
    state = random.getstate(), numpy.random.get_state(), torch.get_rng_state()
    path, arguments = list(sys.path), sys.argv
    for role in (_as_checker, _as_student):
        role(job | {"mode": "definitions", "prelude": "", "outputs": {}})
        os.chdir("/")
        sys.path[:], sys.argv = path, arguments
        sys.modules.pop("rehearsed", None)
        checks.registered.clear()
        for folder in (HAND_IN, checker_main.BUNDLE):
            shutil.rmtree(folder, ignore_errors=True)
    random.setstate(state[0])
    numpy.random.set_state(state[1])
    torch.set_rng_state(state[2])


def _as_checker(job: dict[str, Any]) -> None:
    channel, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        channel.close()
        with contextlib.suppress(BaseException):
            _answer(other)
        os._exit(0)
    with channel:
        other.close()
        _judge(job, channel)
    os.waitpid(pid, 0)


def _as_student(job: dict[str, Any]) -> None:
    channel, other = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        other.close()
        with contextlib.suppress(BaseException):
            _judge(job, channel)
        os._exit(0)
    channel.close()
    with other, contextlib.suppress(ProtocolError):
        _answer(other)
    os.waitpid(pid, 0)


def _answer(channel: socket.socket) -> None:
    channel.setblocking(False)
    Answerer(channel, 1, 1, -1).serve()


class _Control(student_line.Control):
    """The line to a host that is not there: it has one student process, and agrees with everything."""

    def __init__(self, channel: socket.socket) -> None:
        self._channel = channel

    def tell(self, event: str, **fields: Any) -> None:
        pack_frame({"event": event, **fields})

    tell_later = tell

    def ask(self, event: str, **fields: Any) -> dict[str, Any]:
        self.tell(event, **fields)
        return {"message": ""}

    def student(self, *, hidden: bool) -> tuple[int, socket.socket]:  # noqa: ARG002 - as the real one
        self._channel.setblocking(False)
        return 0, self._channel


def _judge(job: dict[str, Any], channel: socket.socket) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("checks.py", _CHECKS.format(rounds=ROUNDS))
    registered = checker_main._load_bundle(buffer.getvalue(), {spec["id"] for spec in job["checks"]})
    checker_main.Checker(_Control(channel), job, _CODE, b"", registered).run()
