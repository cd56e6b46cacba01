"""One lab run: a script of a student's own, from bytes to an Outcome. It is run, and nothing is judged.

It has the sandbox, the limits, the clocks, the log, the curves and the way out for files of a hand-in's visible stage (`run.py`). There is
no checker: the files go in as one sealed descriptor, and nothing of anybody else is in the process or can be asked for.
"""

import json
import os
import signal
import time
from dataclasses import replace
from typing import Self

from grading.runner import messages, seccomp
from grading.runner.job import Script
from grading.runner.outcome import Kind, Outcome
from grading.runner.outputs import MEGABYTE, ScriptCollector
from grading.runner.run import Run, Student

HANDS_OVER_S = 2.0  # at the memory limit
GRACE_S = 15.0  # past a limit that the process keeps itself, for it to hand over what the script has written


class ScriptRun(Run):
    def __enter__(self) -> Self:
        super().__enter__()
        assert self.job.script is not None
        self._script: Script = self.job.script
        self._files: ScriptCollector = ScriptCollector(self.job.outputs, self.job.outputs_mb * MEGABYTE, self.job.files)
        return self

    def _start(self) -> None:
        self._prepare()
        job = seccomp.sealed(self._packed(), "job")
        self._stack.callback(os.close, job)
        limits = replace(self.job.limits, cpu_s=self.job.limits.cpu_s + GRACE_S)
        self._fork("script_main", {"seed": self.job.seed}, job, limits, hidden=False)
        self._began = time.monotonic()
        self._marks["started"] = self._began - self._started
        self._stage = "script"
        self._progress()

    def _packed(self) -> bytes:
        header = {
            "script": self._script.path,
            "arguments": self._script.arguments,
            "wall_s": self.job.limits.wall_s,
            "cpu_s": self.job.limits.cpu_s,
            "outputs": self.job.outputs_mb * MEGABYTE,
            "files": [(name, len(content)) for name, content in self.job.files.items()],
        }
        text = json.dumps(header).encode()
        return b"".join([len(text).to_bytes(4), text, *self.job.files.values()])

    def _attend(self, *, looks: bool) -> None:  # noqa: ARG002 - what it uses is looked at with all students' processes
        (student,) = self.students.values()
        if student.sandbox.ended:
            self._done = True
        elif time.monotonic() - self._began > self.job.limits.wall_s + GRACE_S:
            self._kill(student, "wall")

    def _kill(self, student: Student, reason: str) -> None:
        """Where a control group bounds the memory, the kernel has ended what took it: the first process may still hand over."""
        if reason != "memory" or not self.factory.memory_guard.startswith("cgroup"):
            super()._kill(student, reason)
        elif not student.killed_for:
            student.killed_for, student.kill_at = reason, time.monotonic() + HANDS_OVER_S

    def _judged(self) -> Outcome:
        (student,) = self.students.values()
        self._drain(student)
        self._drain_files(student)
        student.intake.end()
        kind, message = self._ended(student)
        return self._outcome(kind, message, student.killed_for)

    def _ended(self, student: Student) -> tuple[Kind, str]:
        files, script = self._files, self._script.path
        if fault := student.killed_for or student.sandbox.fault():
            lost = "" if files.told else f" {messages.SCRIPT_LOST}"
            return "student", f"{messages.ended(fault, self._details(student))}{lost}"
        if not files.told:
            return "student", messages.SCRIPT_GONE.format(file=script)
        if files.exit_code is None or files.exit_code == -signal.SIGXCPU:
            reason = "wall" if files.exit_code is None else "cpu"
            return "student", messages.ended(reason, self._details(student))
        if files.why:
            return "student", files.why
        if files.exit_code < 0:
            return "student", messages.SCRIPT_SIGNAL.format(file=script, signal=_signal_name(-files.exit_code))
        return ("student", messages.SCRIPT_EXIT.format(file=script, status=files.exit_code)) if files.exit_code else ("ok", "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
