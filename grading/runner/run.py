"""One run: a hand-in, from bytes to an Outcome.

Theory of operation. A run is one checker process and, one per stage, student processes, each in a sandbox of its own. The checker and the
first student processes start together, so that neither waits for the other. The host gives the checker one end of a
socket pair for every student process and stays out of their talk; it keeps the clocks, the memory watch and the output, and ends what
has to be ended. Everything below happens in the calling thread, in one loop around `selectors`.

The checker tells the host what it does in frames (`checker_main.py`): student (give me a process), begin and result of a check, ended (stop
that process and tell me why it ended), loaded, assignment, done. A student process has no line to the host but its standard output, and a
hidden stage's not even that.
"""

import codecs
import contextlib
import hashlib
import json
import os
import selectors
import signal
import socket
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, Self

from grading.runner import gpu_memory, messages, sandbox, seccomp
from grading.runner.curves import Curves, Lines
from grading.runner.devices import Device
from grading.runner.interpreter import inspect_interpreter
from grading.runner.job import Cancelled, Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import CheckResult, Kind, Outcome, Progress, Stage
from grading.runner.outputs import MEGABYTE, PIPE_BYTES, READ_BYTES, Collector, Intake, pipe, read_pipe
from grading.runner.protocol import Frame, FrameBuffer, pack_frame, plain, send_frame
from grading.runner.sandbox import Exit, Sandbox
from grading.runner.tiers import Tier
from grading.runner.watch import swarm

TICK_S = 0.025  # of the watch
STREAM_S = 0.5  # between two reports of what was printed
BOOT_S = 90.0  # for a process to start and import torch on a busy machine
OWN_S = 60.0  # that the checks themselves may take, besides the student's wall limit
FLOOD = 64 * 2**20  # bytes of output after which a process is stopped
CHECKER_MEMORY_MB = 4096
CHECKER_CPU_S = 600.0
CHECKER_PROCESSES = 64
STAFF_OUTPUT = 8000  # bytes of the checker's own output that staff see


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


class _AssignmentFailure(Exception):  # noqa: N818
    pass


class _SystemFailure(Exception):  # noqa: N818
    pass


@dataclass
class Run:
    job: Job
    factory: sandbox.Factory
    tier: Tier
    on_progress: Callable[[Progress], None]
    cancelled: threading.Event
    device: Device | None = None
    students: dict[int, Student] = field(default_factory=dict)
    spare: dict[bool, deque[int]] = field(default_factory=lambda: {False: deque(), True: deque()})
    results: dict[str, CheckResult] = field(default_factory=dict)
    assignment: list[str] = field(default_factory=list)
    output: bytearray = field(default_factory=bytearray)
    curves: Curves = field(default_factory=Curves)
    stopped: list[str] = field(default_factory=list)  # for staff: why student processes had to be ended

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
        except _AssignmentFailure as failure:
            return self._outcome("assignment", messages.ASSIGNMENT, str(failure))
        except _SystemFailure as failure:
            return self._outcome("system", messages.SYSTEM, str(failure))
        return self._judged()

    # Starting

    def _prepare(self) -> None:
        self._progress()
        self._interpreter = inspect_interpreter(self.job.runtime.python)
        self._size = sum(map(len, self.job.files.values()))
        self._gpu = gpu_memory.Reader(self.device) if self.device and self.job.limits.gpu_memory_mb else None
        if self._gpu:
            self._stack.callback(self._gpu.stop)
            self._gpu.start()

    def _start(self) -> None:
        self._prepare()
        self._seed = int.from_bytes(_digest(self.job.files)[:7])
        self._errors = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        control, theirs = self._pair()
        self._arrivals, arrivals = self._pair(socket.SOCK_SEQPACKET)
        control.setblocking(False)
        self._control = control
        self._frames = FrameBuffer()
        job_fd = seccomp.sealed(self._packed(), "job")
        self._stack.callback(os.close, job_fd)
        self._checker = self.factory.start(
            "checker_main",
            {},
            interpreter=self._interpreter,
            limits=Limits(cpu_s=CHECKER_CPU_S, tmp_mb=512, file_mb=512, processes=CHECKER_PROCESSES),
            memory_mb=CHECKER_MEMORY_MB,
            stdout=self._errors.fileno(),
            stderr=self._errors.fileno(),
            fds=[theirs.fileno(), arrivals.fileno(), job_fd],
        )
        self._stack.callback(self._checker.close)
        theirs.close()
        arrivals.close()
        self._selector.register(control, selectors.EVENT_READ, self._read_control)
        self._selector.register(self._checker, selectors.EVENT_READ, self._checker.poll)
        for hidden in (False, True):
            if any((spec.visibility != "visible") == hidden for spec in self.job.checks):
                self.spare[hidden].append(self._start_student(hidden=hidden))

    def _pair(self, kind: int = socket.SOCK_STREAM) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
        self._stack.callback(ours.close)
        self._stack.callback(theirs.close)
        return ours, theirs

    def _packed(self) -> bytes:
        header = {
            "checks": [
                {"id": spec.id, "visibility": spec.visibility, "fresh": spec.fresh, "seeds": 1 if self.job.smoke else spec.seeds}
                for spec in self.job.checks
            ],
            "limits": asdict(self.job.limits),
            "seed": self.job.seed,
            "smoke": self.job.smoke,
            "entry": list(self.job.entry),
            "files": [(name, len(content)) for name, content in self.job.files.items()],
            "bundle_size": len(self.job.bundle),
            "outputs": {"patterns": self.job.outputs, "limit": self.job.outputs_mb * MEGABYTE} if self.job.outputs else {},
        }
        text = json.dumps(header).encode()
        return b"".join([len(text).to_bytes(4), text, self.job.bundle, *self.job.files.values()])

    def _start_student(self, *, hidden: bool) -> int:
        """A student process; its number."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        with contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            with theirs:
                theirs.bind("")  # a random name; without one the student could take any name in the host's network namespace
                number = self._fork("student_main", {"seed": self._seed}, theirs.fileno(), self.job.limits, hidden=hidden)
            undo.pop_all()
        self.students[number].channel = ours
        return number

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

    def _attend(self, *, looks: bool) -> None:
        """See whether it is over, or must be. `looks`: it is time to look at what a process uses."""
        self._check_checker(looks=looks)
        self._check_clocks()

    def _check_checker(self, *, looks: bool) -> None:
        if self._done:
            return
        if looks and (fault := self._checker.fault()):
            most = {
                "memory": f"{messages.megabytes(CHECKER_MEMORY_MB)} of memory",
                "cpu": f"{CHECKER_CPU_S:g} s of processor time",
                "processes": f"{swarm(CHECKER_PROCESSES)} threads at once",
                "forks": "one process to start others from",
            }[fault]
            raise _AssignmentFailure(f"the checks used more than {most} in “{self._now}”")
        if not self._checker.ended:
            return
        self._read_control()
        if self._done:
            return
        if self._checker.error:
            raise _SystemFailure(str(self._checker.error))
        status = self._checker.exit.status if self._checker.exit else 0
        if "started" in self._marks:
            where = f"in “{self._now}”" if self._now else "while checks.py was loaded"
            raise _AssignmentFailure(f"the checker's process ended (status {status}) {where}\n{self._checker_output()}")
        raise _SystemFailure(f"the checker's process did not start (status {status})\n{self._checker_output()}")

    def _check_clocks(self) -> None:
        elapsed = time.monotonic() - self._started
        if "loaded" not in self._marks and elapsed > BOOT_S + OWN_S:
            raise _AssignmentFailure(f"checks.py was not loaded within {BOOT_S + OWN_S:g} s\n{self._checker_output()}")
        # The checker stops the student's code at the wall limit. Past this, it is the checks that do not end.
        if elapsed > self.job.limits.wall_s + OWN_S + BOOT_S:
            raise _AssignmentFailure(f"the checks did not end; the last was “{self._now}”\n{self._checker_output()}")

    def _watch(self, student: Student, *, looks: bool) -> None:
        process = student.sandbox
        if not process.ended:
            if student.kill_at and time.monotonic() > student.kill_at:
                student.kill_at = 0.0
                process.kill()
            # Looking takes seconds when a fork bomb has the processors: not before the end of it, and not of what is about to be gone.
            if looks and not process.killed and (fault := process.fault()):
                self._kill(student, fault)
        if student.ending is not None and (process.ended or time.monotonic() > student.answer_by):
            self._answer_ended(student)

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
            raise _SystemFailure(str(student.sandbox.error))
        if student.sandbox.ended:
            with contextlib.suppress(KeyError):
                self._selector.unregister(student.sandbox)

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

    def _drain_files(self, student: Student) -> None:
        for _ in range(PIPE_BYTES // READ_BYTES + 1):
            if student.files < 0 or not self._read_files(student):
                return

    # What the checker says

    def _read_control(self) -> None:
        while not self._done:
            try:
                piece = self._control.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                piece = b""
            if not piece:
                with contextlib.suppress(KeyError):
                    self._selector.unregister(self._control)
                return
            self._frames.feed(piece)
            for frame in self._frames:
                self._heard(frame)

    def _heard(self, frame: Frame) -> None:
        header = frame.header
        event = header.get("event")
        self._marks.setdefault(str(event), time.monotonic() - self._started)
        if event == "student":
            self._hand_over(hidden=bool(header["hidden"]))
        elif event == "begin":
            self._stage = "hidden" if header["hidden"] else "visible"
            self._marks.setdefault(self._stage, time.monotonic() - self._started)
            self._now = header["check"]
            self._progress()
        elif event == "result":
            self._take_result(header)
        elif event == "ended":
            self._end_student(header)
        elif event == "lost":
            self._files.drop(messages.OUTPUT_LOST.format(why=plain(str(header["message"]))))
        elif event == "assignment":
            raise _AssignmentFailure(header["message"])
        elif event == "done":
            self._stage = "finishing"
            self._done = True

    def _hand_over(self, *, hidden: bool) -> None:
        number = self.spare[hidden].popleft() if self.spare[hidden] else self._start_student(hidden=hidden)
        student = self.students[number]
        assert student.channel is not None
        self._reply({"student": number})
        socket.send_fds(self._arrivals, [b"s"], [student.channel.fileno()])
        student.channel.close()
        student.channel = None

    def _reply(self, header: dict[str, Any]) -> None:
        send_frame(self._control, pack_frame(header), time.monotonic() + 10)

    def _end_student(self, header: dict[str, Any]) -> None:
        student = self.students[header["student"]]
        student.ending = header
        now = time.monotonic()
        # It closed its socket: if that was the end of the process, its status arrives at once and says more.
        student.kill_at = now + 2 if header["why"] == "closed" else now
        student.answer_by = now + 8

    def _answer_ended(self, student: Student) -> None:
        header = student.ending
        assert header is not None
        student.ending = None
        if header["why"] == "done":
            self._drain_files(student)
            self._reply({"message": ""})
            return
        self._drain(student)
        if header.get("phase") == "boot" or header["why"] == "boot":
            raise _SystemFailure(f"a student process did not start: {student.sandbox.exit}\n{self._text(bytes(self.output))[-2000:]}")
        reason = self._reason(student, header)
        self.stopped.append(f"{reason}: {header['detail']}" if header.get("detail") else reason)
        self._reply({"message": messages.ended(reason, self._details(student, str(header.get("detail", ""))))})

    def _reason(self, student: Student, header: Mapping[str, Any]) -> str:
        ended = student.sandbox.exit or Exit(-9)
        if fault := student.killed_for or student.sandbox.fault():
            return fault
        if header["why"] != "closed":
            return str(header["why"])
        if student.kill_at == 0.0 and ended.status == -signal.SIGKILL:
            return "protocol"  # it closed its socket and lived on
        if ended.status < 0:
            return "cpu" if ended.cpu_s >= self.job.limits.cpu_s - 1 else "signal"
        return "exit"

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

    def _drain(self, student: Student) -> None:
        """What it printed last."""
        for _ in range(64):
            before = student.printed
            if student.output >= 0 and not student.killed_for:
                with contextlib.suppress(KeyError):
                    self._read_output(student)
            if student.printed == before:
                return

    # What comes out

    def _take_result(self, header: Mapping[str, Any]) -> None:
        spec = self._specs[header["check"]]
        passed = bool(header["passed"] and header["judged"])
        self.results[spec.id] = CheckResult(
            id=spec.id,
            title=spec.title,
            points=_share(spec, header) if header["judged"] else Decimal(0),
            max_points=spec.points,
            passed=passed,
            judged=bool(header["judged"]),
            visibility=spec.visibility,
            message=plain(str(header["message"])),
            staff_message=plain(str(header["staff"])),
        )
        if header["assignment"]:
            self.assignment.append(f"{spec.id}: {header['staff']}")
        self._progress()

    def _untold(self) -> bool:
        return self._told < len(self.output) or self._lines_told < self.curves.lines

    def _progress(self, *, last: bool = False) -> None:
        self._said = time.monotonic()
        title = self._specs[self._now].title if self._stage == "visible" else ""
        printed = plain(self._decoder.decode(bytes(self.output[self._told :]), final=last))
        self._told, self._lines_told = len(self.output), self.curves.lines
        self.on_progress(Progress(self._stage, len(self.results), len(self._specs), title, printed, self.curves.to_json()))

    def _judged(self) -> Outcome:
        for student in self.students.values():
            self._drain(student)
        if self.assignment:
            return self._outcome("assignment", messages.ASSIGNMENT_CHECK, "\n".join(self.assignment))
        unjudged = [spec for spec in self.job.checks if not self.results[spec.id].judged]
        if unjudged:
            first = min(unjudged, key=lambda spec: spec.visibility != "visible")
            return self._outcome("student", self.results[first.id].message, "; ".join(self.stopped))
        return self._outcome("ok", "", "")

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
            output=self._shown(),
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

    def _shown(self) -> str:
        return self._text(bytes(self.output))

    def _text(self, data: bytes) -> str:
        return plain(data.decode(errors="replace"))

    def _checker_output(self) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        return self._text(os.pread(self._errors.fileno(), STAFF_OUTPUT, max(size - STAFF_OUTPUT, 0)))


def _share(spec: CheckSpec, header: Mapping[str, Any]) -> Decimal:
    """All points, none, or the share of the seeds that passed, in hundredths."""
    seeds, passes = int(header["seeds"]), int(header["passes"])
    if passes in {0, seeds}:
        return spec.points if passes else Decimal(0)
    return (spec.points * passes / seeds).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _not_run(spec: CheckSpec) -> CheckResult:
    return CheckResult(spec.id, spec.title, Decimal(0), spec.points, False, False, spec.visibility)


def _digest(files: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    return digest.digest()
