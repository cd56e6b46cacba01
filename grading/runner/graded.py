"""One graded run: a hand-in, from bytes to an Outcome with points.

Theory of operation. It is one checker process and, one per stage, student processes, each in a sandbox of its own. The checker and the
first student processes start together, so that neither waits for the other. The host gives the checker one end of a
socket pair for every student process and stays out of their talk; it keeps the clocks, the memory watch and the output, and ends what
has to be ended.

The checker tells the host what it does in frames (`checker_main.py`): student (give me a process), begin and result of a check, ended (stop
that process and tell me why it ended), loaded, assignment, done. A student process has no line to the host but its standard output, and a
hidden stage's not even that.
"""

import contextlib
import hashlib
import json
import os
import selectors
import signal
import socket
import tempfile
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any

from grading.runner import messages, seccomp
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import CheckResult, Outcome
from grading.runner.outputs import MEGABYTE
from grading.runner.protocol import Frame, FrameBuffer, pack_frame, plain, send_frame
from grading.runner.run import AssignmentFailedError, Run, Student, SystemFailedError
from grading.runner.sandbox import Exit
from grading.runner.watch import swarm

BOOT_S = 90.0  # for a process to start and import torch on a busy machine
OWN_S = 60.0  # that the checks themselves may take, besides the student's wall limit
CHECKER_MEMORY_MB = 4096
CHECKER_CPU_S = 600.0
CHECKER_PROCESSES = 64
STAFF_OUTPUT = 8000  # bytes of the checker's own output that staff see


@dataclass
class GradedRun(Run):
    spare: dict[bool, deque[int]] = field(default_factory=lambda: {False: deque(), True: deque()})  # by whether it is for hidden checks
    assignment: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)  # for staff: why student processes had to be ended

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

    # The loop

    def _attend(self, *, looks: bool) -> None:
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
            raise AssignmentFailedError(f"the checks used more than {most} in “{self._now}”")
        if not self._checker.ended:
            return
        self._read_control()
        if self._done:
            return
        if self._checker.error:
            raise SystemFailedError(str(self._checker.error))
        status = self._checker.exit.status if self._checker.exit else 0
        if "started" in self._marks:
            where = f"in “{self._now}”" if self._now else "while checks.py was loaded"
            raise AssignmentFailedError(f"the checker's process ended (status {status}) {where}\n{self._checker_output()}")
        raise SystemFailedError(f"the checker's process did not start (status {status})\n{self._checker_output()}")

    def _check_clocks(self) -> None:
        elapsed = time.monotonic() - self._started
        if "loaded" not in self._marks and elapsed > BOOT_S + OWN_S:
            raise AssignmentFailedError(f"checks.py was not loaded within {BOOT_S + OWN_S:g} s\n{self._checker_output()}")
        # The checker stops the student's code at the wall limit. Past this, it is the checks that do not end.
        if elapsed > self.job.limits.wall_s + OWN_S + BOOT_S:
            raise AssignmentFailedError(f"the checks did not end; the last was “{self._now}”\n{self._checker_output()}")

    def _watch(self, student: Student, *, looks: bool) -> None:
        super()._watch(student, looks=looks)
        if student.ending is not None and (student.sandbox.ended or time.monotonic() > student.answer_by):
            self._answer_ended(student)

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
            before, self._stage = self._stage, "hidden" if header["hidden"] else "visible"
            self._marks.setdefault(self._stage, time.monotonic() - self._started)
            self._now = header["check"]
            if self._stage != "hidden" or before != "hidden":
                self._progress()
        elif event == "result":
            self._take_result(header)
        elif event == "ended":
            self._end_student(header)
        elif event == "lost":
            self._files.drop(messages.OUTPUT_LOST.format(why=plain(str(header["message"]))))
        elif event == "assignment":
            raise AssignmentFailedError(header["message"])
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
            raise SystemFailedError(f"a student process did not start: {student.sandbox.exit}\n{self._text(bytes(self.output))[-2000:]}")
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
        if spec.visibility == "visible":
            self._progress()

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

    def _checker_output(self) -> str:
        size = os.fstat(self._errors.fileno()).st_size
        return self._text(os.pread(self._errors.fileno(), STAFF_OUTPUT, max(size - STAFF_OUTPUT, 0)))


def _share(spec: CheckSpec, header: Mapping[str, Any]) -> Decimal:
    """All points, none, or the share of the seeds that passed, in hundredths."""
    seeds, passes = int(header["seeds"]), int(header["passes"])
    if passes in {0, seeds}:
        return spec.points if passes else Decimal(0)
    return (spec.points * passes / seeds).quantize(Decimal("0.01"), ROUND_HALF_EVEN)


def _digest(files: Mapping[str, bytes]) -> bytes:
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(files[name]).digest())
    return digest.digest()
