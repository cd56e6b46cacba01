"""The warm process: it has imported a runtime's packages once and forks what runs, in milliseconds instead of seconds.

Theory of operation. It serves as soon as it has imported what every job needs. What only some need takes as long again: a fork of it, the
stand-in, serves meanwhile, and is relieved when the warm process has that too and says that it has `settled`.

Two generations of forks lie between the warm process and anybody's code. The host asks the warm process for a **slot**: a fork that takes
on what can be had in advance and used again, a uid, memory groups and a network namespace of its own, and then waits. A slot has one job
at a time: it forks the process, which builds the rest of its cage (`cage`) and becomes one of our modules. Neither the warm process nor a
slot holds anything worth having: no check, no hand-in, no seed of a check. Requests carry limits, a module's name and descriptors, which
are passed on unread; whatever a student or an instructor wrote arrives by those, after the fork and behind the filter.

Descriptors: 0 /dev/null, 1 and 2 the host's log, 3 the system call filter, 4 the host's requests (SEQPACKET). To the warm process each
request is for a slot and comes with that one's own request socket and its groups' files. To a slot, each is a job and comes with its
control socket, its standard output and error, and what its module expects as 4, 5, …
On the control socket the slot answers `inherited` with descriptors of the job's tmpfs and of the job itself, then `exited`; or `error`.
The job is killed, with all of its pid namespace, when the host shuts its end.
"""

import contextlib
import ctypes
import fcntl
import gc
import importlib
import json
import os
import select
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from typing import Any, NoReturn

from grading.runner import launcher, watch
from grading.runner.confine import ENVIRONMENT
from grading.runner.launcher import StepError

FILTER, REQUESTS = 3, 4
THREADS_S = 5.0  # for a thread that is about to end, on a busy machine
LARGEST_REQUEST = 1 << 16
FIRST_FREE = 64  # descriptors that wait for their place are above
SYS_CLOSE_RANGE = 436
_MADV_COLLAPSE = 25
_HUGE = 2 << 20
_THREAD_SETTINGS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def main(argument: str) -> NoReturn:
    settings = json.loads(argument)
    requests = socket.socket(fileno=REQUESTS)
    try:
        warm_up(settings)
    except BaseException:  # noqa: BLE001 - the host is told whatever it was
        answer(requests, failed=traceback.format_exc()[-2000:])
        os._exit(1)
    answer(requests, ready=True)
    relief = stand_in(requests)
    settled = import_more(settings["later"])
    answer(requests, settled=settled)
    if settled:
        os.close(relief)
        serve(requests)
    while True:  # as pid 1, and no more: the stand-in goes on
        os.wait()


def warm_up(settings: dict[str, Any]) -> None:
    """Import, on one thread: what a library starts at import would not live on in a fork."""
    os.environ.update(ENVIRONMENT | dict.fromkeys(_THREAD_SETTINGS, "1") | settings["environment"])
    sys.path += settings["site"]
    sys.argv = [""]
    sys.dont_write_bytecode = True  # a job's modules are imported once
    gc.disable()  # for a quarter of the time that the imports take
    for name in settings["modules"]:
        importlib.import_module(name)
    if not is_alone():
        raise RuntimeError("the runtime's packages start threads when they are imported")


def import_more(modules: list[str]) -> bool:
    """Import what the runtime has of these; whether this process may fork afterwards, which one with threads may not."""
    for name in modules:
        with contextlib.suppress(Exception):  # where a job imports it, the job is told what is wrong with it
            importlib.import_module(name)
    try:
        if modules:
            importlib.import_module("grading.runner.rehearsal").rehearse()
    except BaseException:  # noqa: BLE001 - slower jobs of the stand-in are better than none
        return False
    if not is_alone():
        return False
    gc.freeze()
    use_huge_pages()
    return True


def is_alone() -> bool:
    """Whether this process has one thread; those that are about to end are waited for."""
    deadline = time.monotonic() + THREADS_S
    while len(os.listdir("/proc/self/task")) != 1:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def stand_in(requests: socket.socket) -> int:
    """Fork a process that serves until the returned descriptor is closed, and ends with the last of its slots."""
    relieved, relief = os.pipe()
    if os.fork() == 0:
        os.close(relief)
        gc.freeze()
        serve(requests, relieved)
    os.close(relieved)
    return relief


def use_huge_pages() -> None:
    """Gather this process's own memory in huge pages. A fork copies one entry for each of them instead of 512, and an exit frees one.

    Where the kernel does not (before Linux 6.1, or when there are none), a fork is slower and nothing else.
    """
    with open("/proc/self/maps") as file:
        maps = [line.split() for line in file]
    for area in maps:
        if area[1] == "rw-p" and (len(area) < 6 or area[5] == "[heap]"):
            start, end = (int(bound, 16) for bound in area[0].split("-"))
            start, end = -(-start // _HUGE) * _HUGE, end // _HUGE * _HUGE
            if start < end:
                launcher.libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), _MADV_COLLAPSE)


def answer(to: socket.socket, **message: Any) -> None:
    to.send(json.dumps(message).encode(), socket.MSG_NOSIGNAL)


def serve(requests: socket.socket, relieved: int = -1) -> NoReturn:
    """Fork a slot for each request, until the host has gone; with pid 1 everything ends. As a stand-in, until `relieved` is closed."""
    selector = selectors.DefaultSelector()
    selector.register(requests, selectors.EVENT_READ)
    if relieved >= 0:
        selector.register(relieved, selectors.EVENT_READ)
    while selector.get_map():
        for key, _ in selector.select():
            if key.fileobj is requests:
                if pid := take_slot(requests):
                    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
            elif key.data is None:
                selector.unregister(requests)
                selector.unregister(relieved)
            else:
                selector.unregister(key.fd)
                os.close(key.fd)
                os.waitpid(key.data, 0)
    os._exit(0)


def take_slot(requests: socket.socket) -> int:
    """Its process, or 0 when there was no request, or none could be forked."""
    try:
        message, fds, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 16, socket.MSG_DONTWAIT)
    except BlockingIOError:  # the stand-in, or the one that it stood in for, was faster
        return 0
    if not message:
        os._exit(0)
    try:
        pid = os.fork()
    except OSError as error:  # such as a limit on processes: this slot is not to be had, and all others live on
        with socket.socket(fileno=fds[0]) as asking:
            answer(asking, error="fork a slot", errno=error.errno)
        for fd in fds[1:]:
            os.close(fd)
        return 0
    if pid == 0:
        requests.detach()
        for fd in map(int, os.listdir("/proc/self/fd")):
            if fd > FILTER and fd not in fds:
                with contextlib.suppress(OSError):  # the one that the listing used
                    os.close(fd)
        become_slot(socket.socket(fileno=fds[0]), json.loads(message), fds[1:])
    for fd in fds:
        os.close(fd)
    return pid


def become_slot(requests: socket.socket, settings: dict[str, Any], groups: list[int]) -> NoReturn:
    """In the fork: take on what this slot's jobs have in common but share with no other slot, and serve them."""
    try:
        launcher.call("prctl", launcher.libc.prctl, launcher.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        for group in groups:  # of the host's, which let the files be opened; 0 is the writer
            os.write(group, b"0")
            os.close(group)
        launcher.call("unshare net", launcher.libc.unshare, launcher.CLONE_NEWNET | launcher.CLONE_NEWUTS)
        launcher.call("sethostname", launcher.libc.sethostname, b"sandbox", 7)
        if has_uids():
            launcher.become_user(launcher.FIRST_SLOT_ID + settings["number"])
        launcher.keep_capabilities(launcher.CAP_SYS_ADMIN)
    except (StepError, OSError) as error:
        step, number = (error.step, error.number) if isinstance(error, StepError) else (f"slot: {error.strerror}", error.errno or 0)
        answer(requests, error=step, errno=number)
        os._exit(1)
    answer(requests, ready=True)
    own_pids = os.open("/proc/self/ns/pid", os.O_RDONLY | os.O_CLOEXEC)
    while True:
        run_one(requests, own_pids)


def has_uids() -> bool:
    """Whether the launcher could give each slot a uid."""
    with open("/proc/self/uid_map") as file:
        return any(int(line.split()[0]) == launcher.FIRST_SLOT_ID for line in file)


def run_one(requests: socket.socket, own_pids: int) -> None:
    """As a slot: one job from its request to its end."""
    message, fds, _, _ = socket.recv_fds(requests, LARGEST_REQUEST, 16)
    if not message:
        os._exit(0)
    with socket.socket(fileno=fds[0]) as control:
        pid = -1
        try:
            pid = fork_apart(own_pids)
        except StepError as error:
            launcher.report(control, error.step, error.number)
        if pid == 0:
            requests.detach()
            become(message, control, fds[1:])
        for fd in fds[1:]:
            os.close(fd)
        if pid > 0:
            see_through(pid, control)


def see_through(pid: int, control: socket.socket) -> None:
    """Wait for the end of a job, bring it about when the host wants it, and report it. Its namespace is empty by then."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    while not any(fd == pidfd for fd, _ in poll.poll()):
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll.unregister(control)
    _, status, usage = os.wait4(pid, 0)
    os.close(pidfd)
    with contextlib.suppress(OSError):
        answer(control, exited=os.waitstatus_to_exitcode(status), cpu_s=usage.ru_utime + usage.ru_stime)


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


def become(message: bytes, control: socket.socket, fds: list[int]) -> NoReturn:
    """In the fork: build the cage, and turn into what was asked for. Nothing of it may go on as a slot."""
    try:
        request = json.loads(message)
        try:
            cage(request, control)
        except StepError as error:
            launcher.report(control, error.step, error.number)
        except OSError as error:
            launcher.report(control, f"{error.strerror}: {error.filename}", error.errno or 0)
        else:
            control.detach()
            arrange(fds)
            gc.enable()
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
    launcher.call("unshare", launcher.libc.unshare, launcher.CLONE_NEWNS | launcher.CLONE_NEWIPC)
    launcher.fresh_scratch(request)
    os.chdir(launcher.SCRATCH[0])
    scratch = [os.open(path, os.O_PATH | os.O_DIRECTORY) for path in launcher.SCRATCH]
    inherited = 0 if request["counted"] else watch.proportional("self")
    socket.send_fds(control, [json.dumps({"inherited": inherited}).encode()], [*scratch, os.pidfd_open(os.getpid())])
    launcher.write("/proc/self/oom_score_adj", "1000")  # where its group is out of memory, it is this process and not its slot that ends
    launcher.lock_mounts()
    launcher.lock_proc()
    # After the last change of credentials, which would undo it; the filter keeps it.
    launcher.call("prctl", launcher.libc.prctl, launcher.PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    launcher.confine_self(request["rlimits"])


def arrange(fds: list[int]) -> None:
    """Standard output and error to 1 and 2, the rest to 4, 5, …; every other descriptor of the slot is closed.

    What is opened once is shared by all forks, with its flags and its owner: 0 is opened anew, and nobody's code gets the filter's.
    """
    waiting = [fcntl.fcntl(fd, fcntl.F_DUPFD, FIRST_FREE) for fd in fds]
    for place, fd in zip((1, 2, *range(4, 2 + len(waiting))), waiting, strict=True):
        os.dup2(fd, place)
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.close(null)
    launcher.call("close_range", launcher.libc.syscall, SYS_CLOSE_RANGE, 2 + len(waiting), ctypes.c_uint(-1), 0)
