"""The process of a lab run: it writes the files into the scratch space, and runs one of them as a program of its own.

As the first process it stays apart from what it starts, and so outlives it: however the script ends, by itself, in a crash or at a limit,
what it has written is handed over. Everything in here is the student's to change all the same. So what it says is content for its author.
"""

import atexit
import contextlib
import json
import os
import resource
import signal
import sys
import threading
import time
import traceback
import types
from pathlib import Path
from typing import Any, NoReturn

from grading.runner import gpu_memory, messages, notebook
from grading.runner.confine import confine
from grading.runner.entry import NOTEBOOK
from grading.runner.loading import HAND_IN, described_failure, is_memory
from grading.runner.outputs import ALL, hand_over, say_ended, say_folders

JOB, FILES = 4, 5
_TEXT = 2000  # bytes of why a script stopped
_STATUS = 0xFF  # what the kernel keeps of an exit status


def main(argument: dict[str, Any]) -> None:
    confine(3)
    job = _unpacked()
    os.chdir(HAND_IN)
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        for fd in (JOB, FILES, heard):
            os.close(fd)
        _be_the_script(job, argument, said)
    os.close(said)
    exit_code = _wait(pid, time.monotonic() + job["wall_s"])
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGKILL)
    _wait(-1, time.monotonic() + job["wall_s"])
    said_why = os.read(heard, _TEXT)
    with contextlib.suppress(OSError):  # the host takes no more
        say_ended(FILES, exit_code, said_why)
        hand_over(HAND_IN, FILES, ALL, job["outputs"])
        say_folders(HAND_IN, FILES, [name for name, _ in job["files"]])
    os._exit(0)


def _unpacked() -> dict[str, Any]:
    """The job's header, once its files are where the script looks for them. Nothing keeps them in memory beside that."""
    with open(JOB, "rb", closefd=False) as file:
        job: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(4))))
        HAND_IN.mkdir()
        for name, size in job["files"]:
            path = HAND_IN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(file.read(size))
    return job


def _wait(pid: int, deadline: float) -> int | None:
    """Its exit status, or minus a signal's number; None when it still runs at `deadline`. −1: until nobody is left."""
    while True:
        try:
            ended, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return None
        if ended == pid:
            return os.waitstatus_to_exitcode(status)
        left = deadline - time.monotonic()
        if ended == 0 and (left <= 0 or signal.sigtimedwait([signal.SIGCHLD], left) is None):
            return None


def _be_the_script(job: dict[str, Any], argument: dict[str, Any], said: int) -> NoReturn:
    """In the fork: what Python does with a script, from its arguments to the end of its threads."""
    from grading.runner.answering import begin  # imports torch, so it is not for processes without a runtime

    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (min(int(job["cpu_s"]) + 1, hard), hard))
    begin(argument["seed"], argument["threads"], argument["gpu_memory_mb"])
    status = 1
    try:
        status = _run(job["script"], job["arguments"])
        for thread in threading.enumerate():
            if thread is not threading.current_thread() and not thread.daemon:
                thread.join()
        atexit._run_exitfuncs()
    except SystemExit as end:
        status = _status(end.code)
    except BaseException as error:  # noqa: BLE001 - whatever a script raises is how it ended
        with contextlib.suppress(BaseException):
            _tell(job["script"], error, said, argument["gpu_memory_mb"])
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(status)


def _run(script: str, arguments: list[str]) -> int:
    path = HAND_IN / script
    module = types.ModuleType("__main__")
    module.__file__ = str(path)
    sys.modules["__main__"] = module
    sys.argv = [script, *arguments]
    sys.path.insert(0, str(path.parent))
    try:
        if script.endswith(NOTEBOOK):
            _run_notebook(module, path)
        else:
            exec(compile(path.read_bytes(), str(path), "exec", dont_inherit=True), vars(module))  # noqa: S102 - the sandbox is around us
    except SystemExit as end:
        return _status(end.code)
    return 0


def _run_notebook(module: types.ModuleType, path: Path) -> None:
    cells = notebook.read(path)
    notebook.stand_in(module)
    execution = notebook.Execution(module, "run-all")
    try:
        execution.run(cells)
    finally:
        if report := notebook.report(path.name, "run-all", execution.left):
            print(report)


def _status(code: object) -> int:
    """What Python makes of `sys.exit(code)`."""
    if code is None:
        return 0
    if isinstance(code, int):
        return code & _STATUS
    print(code, file=sys.stderr)
    return 1


def _tell(script: str, error: BaseException, said: int, gpu_memory_mb: int) -> None:
    """Why it stopped: as Python would print it, and in one sentence for the page."""
    if isinstance(error, notebook.UnreadableError):
        sentence = str(error)
    else:
        trace = error.__traceback__
        while trace and not trace.tb_frame.f_code.co_filename.startswith(f"{HAND_IN}/"):
            trace = trace.tb_next
        traceback.print_exception(error.with_traceback(trace))
        if gpu_memory.ran_out(error):
            told = messages.gpu(gpu_memory.asked_for(str(error)), gpu_memory_mb)
            sentence = messages.SCRIPT_GPU_MEMORY.format(file=script, gpu=told)
        elif is_memory(error):
            sentence = messages.SCRIPT_MEMORY.format(file=script)
        else:
            sentence = described_failure(script, error, messages.SCRIPT_RAISED)
    os.write(said, sentence.encode("utf-8", "replace")[:_TEXT])
