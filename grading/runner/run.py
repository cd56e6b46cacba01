"""One run, from bytes to an Outcome: what a hand-in that is graded (`graded.py`) and a script of a student's own (`script.py`) share.

Theory of operation. A run is a few processes, each in a sandbox of its own. Everything below happens in the calling thread, in one loop
around `selectors`: the clocks, the memory watch, what is printed and handed over, and the end of whatever has to be ended.
"""

import abc
import codecs
import contextlib
import hashlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Self

from grading.runner import gpu_memory, messages, sandbox
from grading.runner.curves import Curves, Lines
from grading.runner.devices import Device
from grading.runner.interpreter import inspect_interpreter
from grading.runner.job import Cancelled, Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import CheckResult, Kind, Outcome, Progress, Stage
from grading.runner.outputs import MEGABYTE, PIPE_BYTES, READ_BYTES, Collector, Intake, pipe, read_pipe
from grading.runner.protocol import plain
from grading.runner.sandbox import Exit, Sandbox
from grading.runner.tiers import Tier
from grading.runner.watch import swarm

TICK_S = 0.025  # of the watch
STREAM_S = 0.5  # between two reports of what was printed
FLOOD = 64 * 2**20  # bytes of output after which a process is stopped


@dataclass
class Student:
    """A student process as the host knows it. `channel` is the checker's end of its socket until the checker has it."""

    sandbox: Sandbox
    channel: socket.socket | None
    hidden: bool
    output: int = -1  # the pipe that it prints to
    printed: int = 0
    files: int = -1  # the pipe that it hands files over by
    intake: Intake = field(kw_only=True)
    lines: Lines = field(kw_only=True)
    killed_for: str = ""
    ending: dict[str, Any] | None = None  # the checker's "ended" that waits for an answer
    answer_by: float = 0.0
    kill_at: float = 0.0


class AssignmentFailedError(Exception):
    """The instructor's checks are why this ends; staff read the text."""


class SystemFailedError(Exception):
    """The platform is why this ends; staff read the text."""


@dataclass
class Run(abc.ABC):
    """The processes of one run, their clocks and what they print; what they are and what is told of them is a subclass's."""

    job: Job
    factory: sandbox.Factory
    tier: Tier
    on_progress: Callable[[Progress], None]
    cancelled: threading.Event
    device: Device | None = None
    students: dict[int, Student] = field(default_factory=dict)
    results: dict[str, CheckResult] = field(default_factory=dict)
    output: bytearray = field(default_factory=bytearray)
    curves: Curves = field(default_factory=Curves)

    def __enter__(self) -> Self:
        self._stack = contextlib.ExitStack()
        self._selector = self._stack.enter_context(selectors.DefaultSelector())
        self._started = time.monotonic()
        self._marks: dict[str, float] = {}
        self._stage: Stage = "starting"
        self._now = ""
        self._said = 0.0
        self._told = 0  # bytes of the output
        self._lines_told = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._looked = 0.0
        self._done = False
        self._specs = {spec.id: spec for spec in self.job.checks}
        self._files = Collector(self.job.outputs, self.job.outputs_mb * MEGABYTE, self.job.files)
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def execute(self) -> Outcome:
        try:
            self._start()
            self._loop()
        except AssignmentFailedError as failure:
            return self._outcome("assignment", messages.ASSIGNMENT, str(failure))
        except SystemFailedError as failure:
            return self._outcome("system", messages.SYSTEM, str(failure))
        return self._judged()

    @abc.abstractmethod
    def _start(self) -> None:
        """Start the first processes."""

    @abc.abstractmethod
    def _attend(self, *, looks: bool) -> None:
        """See whether it is over, or must be. `looks`: it is time to look at what a process uses."""

    @abc.abstractmethod
    def _judged(self) -> Outcome:
        """What came of it, when nothing of ours has failed."""

    # Starting

    def _prepare(self) -> None:
        self._progress()
        self._interpreter = inspect_interpreter(self.job.runtime.python)
        self._size = sum(map(len, self.job.files.values()))
        self._gpu = gpu_memory.Reader(self.device) if self.device and self.job.limits.gpu_memory_mb else None
        if self._gpu:
            self._stack.callback(self._gpu.stop)
            self._gpu.start()

    def _fork(self, module: str, argument: dict[str, object], first_fd: int, limits: Limits, *, hidden: bool) -> int:
        """A process for the student's code, with `first_fd` as 4 and, where files are asked for, their pipe as 5; its number."""
        with contextlib.ExitStack() as theirs_only:
            output = -1
            if hidden:
                stdout = os.open(os.devnull, os.O_WRONLY)
            else:
                output, stdout = os.pipe()
            theirs_only.callback(os.close, stdout)
            files, fds = -1, [first_fd]
            if self.job.outputs and not hidden:
                files, writing = pipe()
                theirs_only.callback(os.close, writing)
                fds.append(writing)
            try:
                process = self.factory.start(
                    module,
                    {**argument, "gpu_memory_mb": limits.gpu_memory_mb if self.device else 0},
                    interpreter=self._interpreter,
                    limits=limits,
                    memory_mb=limits.memory_mb,
                    stdout=stdout,
                    stderr=stdout,
                    fds=fds,
                    extra_scratch=self._size,
                    device=self.device,
                )
            except BaseException:
                for fd in (output, files):
                    if fd >= 0:
                        os.close(fd)
                raise
        student = Student(process, None, hidden, output, files=files, intake=Intake(self._files), lines=Lines(self.curves))
        number = len(self.students)
        self.students[number] = student
        self._stack.callback(self._let_go, student)
        self._selector.register(process, selectors.EVENT_READ, lambda: self._poll_student(number))
        if output >= 0:
            os.set_blocking(output, False)
            self._selector.register(output, selectors.EVENT_READ, lambda: self._read_output(student))
        if files >= 0:
            self._selector.register(files, selectors.EVENT_READ, lambda: self._read_files(student))
        return number

    def _let_go(self, student: Student) -> None:
        if student.channel:
            student.channel.close()
        student.sandbox.close()
        if student.output >= 0:
            os.close(student.output)
            student.output = -1
        if student.files >= 0:
            os.close(student.files)
            student.files = -1

    # The loop

    def _loop(self) -> None:
        while not self._done:
            for key, _ in self._selector.select(TICK_S):
                key.data()
            if self.cancelled.is_set():
                raise Cancelled
            now = time.monotonic()
            looks = now - self._looked >= TICK_S
            self._looked = now if looks else self._looked
            self._attend(looks=looks)
            if now - self._said >= STREAM_S and self._untold():
                self._progress()
            for student in self.students.values():
                self._watch(student, looks=looks)
            self._watch_gpu()

    def _watch(self, student: Student, *, looks: bool) -> None:
        process = student.sandbox
        if not process.ended:
            if student.kill_at and time.monotonic() > student.kill_at:
                student.kill_at = 0.0
                process.kill()
            # Looking takes seconds when a fork bomb has the processors: not before the end of it, and not of what is about to be gone.
            if looks and not process.killed and (fault := process.fault()):
                self._kill(student, fault)

    def _watch_gpu(self) -> None:
        """End what has more of the GPU's memory than it may, whatever its own limit has become."""
        reading = self._gpu.take() if self._gpu else None
        if reading is None:
            return
        living = [student for student in self.students.values() if not student.sandbox.ended and not student.sandbox.killed]
        at_work = [student for student in living if student.channel is None]
        over = gpu_memory.over(
            reading,
            at_work=[set(student.sandbox.pids()) for student in at_work],
            waiting=len(living) - len(at_work),
            limit_mb=self.job.limits.gpu_memory_mb,
        )
        for student, is_over in zip(at_work, over, strict=True):
            if is_over:
                self._kill(student, "gpu_limit")

    def _kill(self, student: Student, reason: str) -> None:
        student.killed_for = student.killed_for or reason
        student.sandbox.kill()

    def _poll_student(self, number: int) -> None:
        student = self.students[number]
        student.sandbox.poll()
        if student.sandbox.error:
            raise SystemFailedError(str(student.sandbox.error))
        if student.sandbox.ended:
            with contextlib.suppress(KeyError):
                self._selector.unregister(student.sandbox)

    def _details(self, student: Student, detail: str = "") -> dict[str, str]:
        limits = self.job.limits
        gpu_mb = limits.gpu_memory_mb or (self.device.memory_mb if self.device else 0)
        status = (student.sandbox.exit or Exit(0)).status
        shown = asked = ""
        if not student.hidden:  # a status can carry a hidden value, and so can a text of the student's process
            asked = gpu_memory.asked_for(detail)
            shown = f" (exit status {status})" if status >= 0 else f" ({signal.Signals(-status).name})"
        return {
            "status": shown,
            "memory": messages.megabytes(limits.memory_mb),
            "gpu": messages.gpu(asked, gpu_mb),
            "gpu_limit": messages.megabytes(limits.gpu_memory_mb),
            "call": messages.seconds(limits.call_s),
            "wall": messages.seconds(limits.wall_s),
            "cpu": messages.seconds(limits.cpu_s),
            "swarm": str(swarm(limits.processes)),
            "flood": messages.megabytes(FLOOD // 2**20),
        }

    # What comes out

    def _read_output(self, student: Student) -> None:
        with contextlib.suppress(BlockingIOError):
            piece = os.read(student.output, 1 << 16)
            if not piece:
                self._selector.unregister(student.output)
                student.lines.end()
                return
            student.printed += len(piece)
            student.lines.feed(piece)
            self._marks.setdefault("first_output", time.monotonic() - self._started)
            room = self.job.limits.output_kb * 1024 - len(self.output)
            self.output += piece[: max(room, 0)]
            if student.printed > FLOOD and not student.killed_for:
                self._kill(student, "output")

    def _read_files(self, student: Student) -> bool:
        """Take what waits in the pipe; False when nothing does."""
        piece = read_pipe(student.files)
        if piece:
            student.intake.feed(piece)
        if piece is None or not student.intake.open:
            self._selector.unregister(student.files)
            os.close(student.files)
            student.files = -1
            student.intake.end()
        return bool(piece) and student.files >= 0

    def _drain(self, student: Student) -> None:
        """What it printed last."""
        for _ in range(64):
            before = student.printed
            if student.output >= 0 and not student.killed_for:
                with contextlib.suppress(KeyError):
                    self._read_output(student)
            if student.printed == before:
                return

    def _drain_files(self, student: Student) -> None:
        for _ in range(PIPE_BYTES // READ_BYTES + 1):
            if student.files < 0 or not self._read_files(student):
                return

    def _untold(self) -> bool:
        return self._told < len(self.output) or self._lines_told < self.curves.lines

    def _progress(self, *, last: bool = False) -> None:
        self._said = time.monotonic()
        title = self._specs[self._now].title if self._stage == "visible" else ""
        printed = plain(self._decoder.decode(bytes(self.output[self._told :]), final=last))
        self._told, self._lines_told = len(self.output), self.curves.lines
        self.on_progress(Progress(self._stage, self._through(), len(self._specs), title, printed, self.curves.to_json()))

    def _through(self) -> int:
        """How many checks are through, as far as anybody is told: when a hidden one ends, the student's code could set by what it saw."""
        return len(self.results) if self._done else sum(result.visibility == "visible" for result in self.results.values())

    def _outcome(self, kind: Kind, message: str, staff_message: str) -> Outcome:
        results = tuple(self.results.get(spec.id) or _not_run(spec) for spec in self.job.checks)
        for student in self.students.values():
            student.lines.end()
        if self._untold() or self._decoder.getstate()[0]:
            self._progress(last=True)
        return Outcome(
            kind=kind,
            points=sum((result.points for result in results), Decimal(0)),
            max_points=sum((spec.points for spec in self.job.checks), Decimal(0)),
            seconds=round(time.monotonic() - self._started, 2),
            checks=results,
            output=self._text(bytes(self.output)),
            files=tuple(self._files.files.values()),
            files_dropped=tuple(self._files.dropped),
            message=message,
            staff_message=plain(staff_message),
            provenance={
                "runtime": self.job.runtime.name,
                "runtime_digest": self.job.runtime.digest,
                **({"bundle_digest": hashlib.sha256(self.job.bundle).hexdigest()} if self.job.bundle else {}),
                "seed": self.job.seed,
                "tier": self.tier.name,
                "memory_guard": self.factory.memory_guard,
                "host": socket.gethostname(),
                "kernel": os.uname().release,
                "device": self.device.kind if self.device else "cpu",
                "durations": {name: round(seconds, 3) for name, seconds in self._marks.items()},
            },
        )

    def _text(self, data: bytes) -> str:
        return plain(data.decode(errors="replace"))


def _not_run(spec: CheckSpec) -> CheckResult:
    return CheckResult(spec.id, spec.title, Decimal(0), spec.points, False, False, spec.visibility)
