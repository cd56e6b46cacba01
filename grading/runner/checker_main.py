"""The trusted checker process: it holds checks, labels and reference, asks the student's process one call at a time, and judges.

It is caged like a student's process, because an instructor's mistake should not reach the machine either. It speaks with the host over
descriptor 4 (frames), gets the students' sockets over 5 (SCM_RIGHTS) and the whole job by descriptor 6.
"""

import importlib.util
import io
import json
import os
import random
import secrets
import sys
import traceback
import zipfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

from grading.runner import messages
from grading.runner.confine import confine
from grading.runner.entry import NOTEBOOK, NotebookSpec, notebook_spec
from grading.runner.student_line import MOST_TEXT, Clock, Control, EndedError, NotLoadedError, StudentLine

JOB = 6
BUNDLE = Path("/tmp/bundle")  # noqa: S108 - inside the sandbox
RESTARTS = 2  # of a stage's student process, after it had to be ended


class AssignmentError(Exception):
    """The bundle is at fault; the text is for staff."""


class Stage:
    """The visible or the hidden checks, and the student process at work: the one they share, a group's, or a single check's."""

    def __init__(self, checker: "Checker", control: Control, outputs: dict[str, Any], *, hidden: bool) -> None:
        self._checker = checker
        self._control = control
        self._outputs = outputs
        self._hidden = hidden
        self._line: StudentLine | None = None
        self._whose = ""
        self._ends = 0

    def line(self, whose: str) -> StudentLine:
        """The process of this name, as the check before it left it, or a new one."""
        if self._ends > RESTARTS:
            raise EndedError(messages.TOO_MANY_ENDS.format(count=self._ends))
        if whose != self._whose:
            self.close()
        self._whose = whose
        if self._line is not None:
            try:
                self._line.forget()
            except EndedError:
                self._line = None
        if self._line is None:
            self._line = self._checker.start(hidden=self._hidden)
        return self._line

    def ended(self) -> None:
        self._ends += 1
        self._line = None

    def close(self) -> None:
        line, self._line = self._line, None
        if line is None:
            return
        if self._outputs:
            try:
                line.hand_over(**self._outputs)
            except EndedError as error:
                self._control.tell("lost", message=str(error))
                return
        line.close()


class Checker:
    def __init__(self, control: Control, job: dict[str, Any], files: bytes, prelude: bytes, registered: dict[str, Any]) -> None:
        self._control = control
        self._job = job
        self._files = files
        self._prelude = prelude
        self._registered = registered
        self._clock = Clock(float(job["limits"]["wall_s"]))
        self._given_up = ""
        self._hidden_started = 0

    def start(self, *, hidden: bool) -> StudentLine:
        """A student process with the hand-in loaded. If it does not live through that, no other would: the rest is not run."""
        self._hidden_started += hidden
        try:
            return StudentLine(self._control, self._clock, self._job, self._files, self._prelude, hidden=hidden)
        except EndedError as error:
            self._given_up = str(error)
            raise

    def run(self) -> None:
        visible = [spec for spec in self._job["checks"] if spec["visibility"] == "visible"]
        hidden = [spec for spec in self._job["checks"] if spec["visibility"] != "visible"]
        random.SystemRandom().shuffle(hidden)
        for specs, is_hidden in ((visible, False), (hidden, True)):
            stage = Stage(self, self._control, {} if is_hidden else self._job["outputs"], hidden=is_hidden)
            for spec in _by_process(specs):
                self._control.tell("begin", check=spec["id"], hidden=is_hidden)
                self._control.tell_later("result", check=spec["id"], **self._check(stage, spec, hidden=is_hidden))
            stage.close()
        self._control.tell("done", waited=self._clock.waited)

    def _check(self, stage: Stage, spec: dict[str, Any], *, hidden: bool) -> dict[str, Any]:
        """Over all its seeds. One that cannot be judged ends the check: how often the others pass would be luck."""
        seeds: int = spec["seeds"]
        failed: dict[str, Any] | None = None
        passes = 0
        for draw in range(seeds):
            result = self._judge(stage, spec, draw, hidden=hidden)
            if not result["judged"]:
                return result | {"seeds": seeds, "passes": 0}
            passes += result["passed"]
            failed = failed or (None if result["passed"] else result)
        result = failed or result
        if seeds > 1 and failed:
            told = messages.SEEDS.format(passes=passes, seeds=seeds)
            result = _result(message=f"{told} {result['message']}", staff=f"{told} {result['staff']}")
        return result | {"seeds": seeds, "passes": passes}

    def _judge(self, stage: Stage, spec: dict[str, Any], draw: int, *, hidden: bool) -> dict[str, Any]:
        import numpy
        import torch

        from grading.runner.checks import Failed, Raised, Student, Trial

        if self._given_up:
            return _result(judged=False, message=self._given_up)
        if self._clock.left <= 0:
            return _result(judged=False, message=messages.ended("wall", {"wall": messages.seconds(self._job["limits"]["wall_s"])}))
        trial = Trial(seed=self._job["seed"], check_id=spec["id"], smoke=self._job["smoke"], draw=draw)
        torch.default_generator.manual_seed(trial.seed)
        random.seed(trial.seed)
        numpy.random.seed(trial.seed % 2**32)
        try:
            self._registered[spec["id"]](Student(stage.line(_process(spec))), trial)
            if not trial.comparisons:
                raise AssignmentError(messages.VACUOUS.format(id=spec["id"]))
            return _result(passed=True)
        except EndedError as error:
            stage.ended()
            return _result(judged=False, message=messages.HIDDEN_UNJUDGED.format(why=error) if hidden else str(error))
        except NotLoadedError as error:
            if hidden and self._hidden_started > 1:
                # An earlier hidden process saw inputs, and may have found a way to tell this one, whose text is its own.
                return _result(judged=False, message=f"{error.builtin or 'Exception'}, {messages.HIDDEN}", staff=str(error))
            return _result(judged=False, message=str(error), builtin=error.builtin)
        except Raised as error:
            message = f"{error.kind}, {messages.HIDDEN}" if hidden else str(error)
            return _result(message=message, staff=str(error))
        except Failed as error:
            return _result(message=messages.HIDDEN_FAILED if hidden else str(error), staff=str(error))
        except Exception as error:  # noqa: BLE001 - whatever an instructor's check raises is the assignment's
            return _result(judged=False, assignment=True, message=messages.ASSIGNMENT_CHECK, staff=_trace(error))


def _process(spec: dict[str, Any]) -> str:
    """Which student process of its stage a check is for."""
    fresh = spec["fresh"]
    return f"group {fresh}" if isinstance(fresh, str) else f"check {spec['id']}" if fresh else "shared"


def _by_process(specs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same order, but those of one process in a row, so that no two processes of a stage are there at once."""
    first: dict[str, int] = {}
    for at, spec in enumerate(specs):
        first.setdefault(_process(spec), at)
    return sorted(specs, key=lambda spec: first[_process(spec)])


def _result(
    *, passed: bool = False, judged: bool = True, assignment: bool = False, message: str = "", staff: str = "", builtin: str = ""
) -> dict[str, Any]:
    return {
        "passed": passed,
        "judged": judged,
        "assignment": assignment,
        "message": message[:MOST_TEXT],
        "staff": staff[:MOST_TEXT] or builtin,
    }


def _trace(error: Exception) -> str:
    if isinstance(error, AssignmentError):
        return str(error)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(BUNDLE))]
    lines = [f"{Path(frame.filename).name} line {frame.lineno}: {frame.line}" for frame in frames]
    return "\n".join([f"{type(error).__name__}: {error}", *lines])


def _load_bundle(data: bytes, ids: set[str]) -> dict[str, Any]:
    """Import checks.py of the bundle; {check id: function}. AssignmentError when it does not fit homework.toml."""
    from grading.runner import checks

    BUNDLE.mkdir()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            archive.extractall(BUNDLE)
    except (zipfile.BadZipFile, OSError) as error:
        raise AssignmentError(f"the homework's bundle cannot be read: {error}") from None
    os.chdir(BUNDLE)
    sys.path.insert(0, str(BUNDLE))
    spec = importlib.util.spec_from_file_location("checks", BUNDLE / "checks.py")
    assert spec is not None
    assert spec.loader is not None
    try:
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
    except Exception as error:  # noqa: BLE001 - instructor's code
        raise AssignmentError(f"checks.py does not load: {_trace(error)}") from None
    bound = set(checks.registered)
    if bound != ids:
        missing, extra = ", ".join(sorted(ids - bound)), ", ".join(sorted(bound - ids))
        parts = [f"no function for {missing}"] * bool(missing) + [f"no row in homework.toml for {extra}"] * bool(extra)
        raise AssignmentError(f"checks.py and homework.toml do not fit: {'; '.join(parts)}")
    return dict(checks.registered)


def _tried_prelude(name: str) -> bytes:
    """The source of the notebooks' prelude, which the student's process is going to run. AssignmentError when it fails by itself."""
    if not name:
        return b""
    source = (BUNDLE / name).read_bytes()
    try:
        exec(compile(source, str(BUNDLE / name), "exec"), {"__name__": "prelude"})  # noqa: S102 - the instructor's, like checks.py
    except Exception as error:  # noqa: BLE001 - instructor's code
        raise AssignmentError(f"{name} fails: {_trace(error)}") from None
    return source


def _read_job() -> tuple[dict[str, Any], bytes, bytes]:
    """(header, bundle, files one after the other)"""
    with open(JOB, "rb") as file:
        data = file.read()
    length = int.from_bytes(data[:4])
    job: dict[str, Any] = json.loads(data[4 : 4 + length])
    middle = 4 + length + job["bundle_size"]
    return job, data[4 + length : middle], data[middle:]


def main(_argument: object) -> None:
    confine(3)
    import numpy
    import torch

    torch.set_num_threads(1)
    # What the warm process drew is known to students' processes too; random does this itself in a fork.
    numpy.random.seed(secrets.randbits(32))
    control = Control()
    try:
        job, bundle, files = _read_job()
        control.tell("started")
        registered = _load_bundle(bundle, {spec["id"] for spec in job["checks"]})
        notebooks = notebook_spec(BUNDLE) if any(name.endswith(NOTEBOOK) for name in job["entry"]) else NotebookSpec()
        prelude = _tried_prelude(notebooks.prelude)
        control.tell("loaded")
        Checker(control, job | asdict(notebooks), files, prelude, registered).run()
    except AssignmentError as error:
        control.tell("assignment", message=str(error))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
