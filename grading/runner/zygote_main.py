"""The warm process: it has imported a runtime's packages once and forks one caged process per request, in milliseconds instead of seconds.

It holds nothing worth having: no check, no hand-in, no seed of a check. Requests carry limits, the name of one of our modules and
descriptors, which it passes on unread; whatever a student or an instructor wrote arrives by those, after the fork and behind the filter.

Descriptors: 0 /dev/null, 1 and 2 the host's log, 3 the system call filter, 4 the host's requests (SEQPACKET). A request comes with the
job's control socket, its memory group's file (if any), its standard output and error, and what its module expects as 4, 5, …
On the control socket it answers `inherited` with descriptors of the job's tmpfs and of the job itself, then `exited`; or `error`.
The job is killed, with all of its pid namespace, when the host shuts its end.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import selectors
import signal
import socket
import sys
import tempfile
import traceback
from typing import Any, NoReturn

from grading.runner import launcher, memory
from grading.runner.confine import ENVIRONMENT
from grading.runner.launcher import StepError

REQUESTS = 4
LARGEST_REQUEST = 1 << 16
FIRST_FREE = 64  # descriptors that wait for their place are above
SYS_CLOSE_RANGE = 436
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


class Forked:
    """A process that was forked and has not been reported yet."""

    def __init__(self, pid: int, pidfd: int, control: socket.socket) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self.control = control


def main(argument: str) -> NoReturn:
    settings = json.loads(argument)
    requests = socket.socket(fileno=REQUESTS)
    try:
        warm_up(settings)
    except BaseException:  # noqa: BLE001 - the host is told whatever it was
        answer(requests, failed=traceback.format_exc()[-2000:])
        os._exit(1)
    answer(requests, ready=True)
    serve(requests)


def warm_up(settings: dict[str, Any]) -> None:
    """Import, on one thread: what a library starts at import would not live on in a fork."""
    os.environ.update(ENVIRONMENT | dict.fromkeys(_THREAD_SETTINGS, "1"))
    sys.path += settings["site"]
    sys.argv = [""]
    for name in settings["modules"]:
        importlib.import_module(name)
    if len(os.listdir("/proc/self/task")) != 1:
        raise RuntimeError("the runtime's packages start threads when they are imported")
    gc.collect()
    gc.freeze()


def answer(to: socket.socket, **message: Any) -> None:
    to.send(json.dumps(message).encode(), socket.MSG_NOSIGNAL)


def serve(requests: socket.socket) -> NoReturn:
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            job = key.data
            if job is None:
                take(requests, selector, own_pids)
            elif key.fileobj == job.pidfd:
                bury(job, selector)
            elif job.control.fileno() >= 0:  # the host wants it to end, or has gone; it was not buried a moment ago
                selector.unregister(job.control)
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(job.pidfd, signal.SIGKILL)


def take(requests: socket.socket, selector: selectors.BaseSelector, own_pids: int) -> None:
    message, fds, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 16)
    if not message:
        os._exit(0)  # the host has gone; with pid 1 every job ends
    control = socket.socket(fileno=fds[0])
    try:
        pid = fork_apart(own_pids)
    except StepError as error:
        launcher.report(control, error.step, error.number)
        control.close()
    else:
        if pid == 0:
            forget(requests, selector)
            become(message, control, fds[1:])
        job = Forked(pid, os.pidfd_open(pid), control)
        selector.register(job.control, selectors.EVENT_READ, job)
        selector.register(job.pidfd, selectors.EVENT_READ, job)
    for fd in fds[1:]:
        os.close(fd)


def forget(requests: socket.socket, selector: selectors.BaseSelector) -> None:
    """In the fork, the warm process's descriptors are about to be closed: no object may hold their numbers."""
    requests.detach()
    for job in {key.data for key in selector.get_map().values() if key.data}:
        job.control.detach()


def fork_apart(own_pids: int) -> int:
    """Fork a process that is pid 1 of a new pid namespace."""
    launcher.call("unshare pid", launcher.libc.unshare, launcher.CLONE_NEWPID)
    try:
        pid = os.fork()
    except OSError as error:
        launcher.call("setns pid", launcher.libc.setns, own_pids, launcher.CLONE_NEWPID)
        raise StepError("fork", error.errno or 0) from error
    if pid:
        launcher.call("setns pid", launcher.libc.setns, own_pids, launcher.CLONE_NEWPID)
    return pid


def bury(job: Forked, selector: selectors.BaseSelector) -> None:
    """Report how a job ended; its namespace is empty by then."""
    _, status, usage = os.wait4(job.pid, 0)
    selector.unregister(job.pidfd)
    os.close(job.pidfd)
    with contextlib.suppress(KeyError):  # it had been told to end
        selector.unregister(job.control)
    with contextlib.suppress(OSError):
        answer(job.control, exited=os.waitstatus_to_exitcode(status), cpu_s=usage.ru_utime + usage.ru_stime)
    job.control.close()


def become(message: bytes, control: socket.socket, fds: list[int]) -> NoReturn:
    """In the fork: build the cage, and turn into what was asked for. Nothing of it may go on as the warm process."""
    try:
        request = json.loads(message)
        try:
            if request["grouped"]:  # a group of the host's, which let its file be opened; 0 is the writer
                os.write(fds.pop(0), b"0")
            cage(request, control)
        except StepError as error:
            launcher.report(control, error.step, error.number)
        except OSError as error:
            launcher.report(control, f"{error.strerror}: {error.filename}", error.errno or 0)
        else:
            control.detach()
            arrange(fds)
            renew_streams()
            tempfile.tempdir = None
            importlib.import_module(f"grading.runner.{request['module']}").main(request["argument"])
    except BaseException:  # noqa: BLE001 - it ends here, whatever it is
        traceback.print_exc()
    finally:
        os._exit(1)


def renew_streams() -> None:
    """Python's own streams remember what the descriptors were. Text by lines; what cannot be written is replaced."""
    for fd, name in ((1, "stdout"), (2, "stderr")):
        text = open(fd, "w", buffering=1, encoding="utf-8", errors="replace", closefd=False)  # noqa: SIM115 - for the life of the process
        setattr(sys, name, text)
        setattr(sys, f"__{name}__", text)


def cage(request: dict[str, Any], control: socket.socket) -> None:
    os.setpgid(0, 0)  # signals to one's own group pass the borders of a pid namespace
    flags = launcher.CLONE_NEWNS | launcher.CLONE_NEWIPC | launcher.CLONE_NEWNET | launcher.CLONE_NEWUTS
    launcher.call("unshare", launcher.libc.unshare, flags)
    launcher.fresh_scratch(request)
    os.chdir(launcher.SCRATCH[0])
    scratch = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in launcher.SCRATCH]
    inherited = 0 if request["grouped"] else memory.proportional("self")
    socket.send_fds(control, [json.dumps({"inherited": inherited}).encode()], [*scratch, os.pidfd_open(os.getpid())])
    launcher.call("sethostname", launcher.libc.sethostname, b"sandbox", 7)
    launcher.lock_mounts()
    launcher.lock_proc()
    launcher.confine_self(request["rlimits"])


def arrange(fds: list[int]) -> None:
    """Standard output and error to 1 and 2, the rest to 4, 5, …; every other descriptor of the warm process is closed.

    What is opened once is shared by all forks, with its flags and its owner: 0 is opened anew, and nobody's code gets the filter's.
    """
    waiting = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_FREE) for fd in fds]
    for place, fd in zip((1, 2, *range(4, 2 + len(waiting))), waiting, strict=True):
        os.dup2(fd, place)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    launcher.call("close_range", launcher.libc.syscall, SYS_CLOSE_RANGE, 2 + len(waiting), ctypes.c_uint(-1), 0)
