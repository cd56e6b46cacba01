"""Builds the cage of one warm process and starts Python in it. Run as a script by `sandbox`, with the standard library only.

Theory of operation. The host starts this script with one descriptor, a SEQPACKET socket, and sends it a plan (JSON) with the
descriptors that the new process gets as 0, 1, 2, 3, … It never sees a byte of a student's. It

1. (only when root) takes detached, read-only clones of the trees the cage may see. After that nothing of the host's file system has
   to be reachable any more, so an interpreter below a 0700 home works; and then drops to an unprivileged uid for good. A child that
   is root for a moment longer (`Mapper`) gives the new user namespace a range of uids, one for each slot;
2. enters new user, mount, pid, ipc, net and uts namespaces (an ordinary user takes the clones here) and forks;
3. the child, pid 1 in there, builds a root of its own (a small read-only tmpfs, the clones, /proc, four devices, capped tmpfs for /tmp
   and /dev/shm), pivots into it, and execs the runtime's Python with the two capabilities that it needs to cage its own children
   (`zygote_main.py`), which hold inside these namespaces only.

The parent stays outside as a waiter: it reports how pid 1 ended, and kills it (and with it all of its pid namespace) when the socket
closes, so that nothing survives the host. The functions below `build_root` are used by the warm process, once per job.
"""

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import sys
from typing import Any, NoReturn

libc = ctypes.CDLL(None, use_errno=True)

SYS_OPEN_TREE, SYS_MOVE_MOUNT, SYS_MOUNT_SETATTR = 428, 429, 442  # the same on every architecture
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
OPEN_TREE_CLONE, OPEN_TREE_CLOEXEC, MOVE_MOUNT_F_EMPTY_PATH = 1, os.O_CLOEXEC, 4
ATTR_RDONLY, ATTR_NOSUID, ATTR_NODEV, ATTR_NOEXEC = 1, 2, 4, 8
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 0x4000, 1 << 18
CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x20000,
    0x4000000,
    0x8000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_CAP_AMBIENT = 1, 4, 24, 38, 47
PR_CAP_AMBIENT_RAISE, PR_CAP_AMBIENT_CLEAR_ALL = 2, 4
CAP_SETUID, CAP_SYS_ADMIN = 7, 21
PR_SET_SECUREBITS, SECUREBITS_LOCKED = 28, 0xEF  # noroot, no-setuid-fixup, no-ambient-raise, keep-caps off, all locked
CAPABILITY_VERSION_3 = 0x20080522
INSIDE_ID = 1000
FIRST_SLOT_ID = 2000  # inside; outside it is the plan's first_slot_uid
SCRATCH = ("/tmp", "/dev/shm")  # noqa: S108 - paths inside the sandbox


class MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


class StepError(Exception):
    """A step that the kernel refused; (step, errno) go to the host, which knows what to do about it."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


def call(step: str, function: Any, *args: Any) -> int:
    """A C call that answers −1 with errno, as an exception."""
    result = int(function(*args))
    if result < 0:
        raise StepError(step, ctypes.get_errno())
    return result


def clone_tree(source: str, flags: int = 0) -> int:
    """A detached, private copy of the mounts below `source` with `flags` (ATTR_…) added; a descriptor."""
    fd = call(
        f"open_tree {source}",
        libc.syscall,
        SYS_OPEN_TREE,
        AT_FDCWD,
        source.encode(),
        OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE,
    )
    set_attributes(fd, flags, AT_RECURSIVE)
    return fd


def set_attributes(fd: int, flags: int, recursive: int = 0) -> None:
    attr = MountAttr(flags, 0, MS_PRIVATE, 0)
    call(
        "mount_setattr",
        libc.syscall,
        SYS_MOUNT_SETATTR,
        fd,
        b"",
        AT_EMPTY_PATH | recursive,
        ctypes.byref(attr),
        ctypes.sizeof(attr),
    )


def clone_all(plan: dict[str, Any]) -> list[tuple[int, str, bool]]:
    """(descriptor, path inside, is a directory) for each tree and device of the plan."""
    common = ATTR_NOSUID | ATTR_RDONLY
    clones = [(clone_tree(source, common | ATTR_NODEV), target, os.path.isdir(source)) for source, target in plan["trees"]]
    clones += [(clone_tree(source, common | ATTR_NOEXEC), source, False) for source in plan["devices"]]
    return clones


def drop(uid: int) -> None:
    """Become `uid` with no group but its own, for good."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    become_user(uid)


def become_user(uid: int) -> None:
    os.setresuid(uid, uid, uid)
    if os.getresuid() != (uid, uid, uid):
        raise StepError("setresuid", errno.EPERM)
    # Changing the user made /proc/self the property of root; the id maps are written there.
    call("prctl", libc.prctl, PR_SET_DUMPABLE, 1, 0, 0, 0)


def enter(flags: int, *, outside_uid: int, outside_gid: int, mapper: "Mapper | None" = None) -> None:
    """New namespaces, of which the user namespace maps only this user, or what `mapper` can map."""
    call("unshare", libc.unshare, flags | CLONE_NEWUSER)
    try:
        write("/proc/self/setgroups", "deny")
        if mapper is None or not mapper.map():
            write("/proc/self/uid_map", f"{INSIDE_ID} {outside_uid} 1")
        write("/proc/self/gid_map", f"{INSIDE_ID} {outside_gid} 1")
    except OSError as error:
        raise StepError("uid_map", error.errno or errno.EPERM) from error


class Mapper:
    """A child that is still root, and gives its parent's user namespace a uid for each slot: only root may map others than itself."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._ours, theirs = socket.socketpair()
        self._pid = os.fork()
        if self._pid:
            theirs.close()
            return
        try:
            self._ours.close()
            if theirs.recv(1):
                lines = f"{INSIDE_ID} {plan['uid']} 1\n{FIRST_SLOT_ID} {plan['first_slot_uid']} {plan['slots']}\n"
                write(f"/proc/{os.getppid()}/uid_map", lines)
                theirs.send(b"y")
        finally:
            os._exit(0)

    def map(self) -> bool:
        """False where root does not own those uids itself, as in a container with few of them."""
        self._ours.send(b"m")
        mapped = self._ours.recv(1) == b"y"
        self.close()
        return mapped

    def close(self) -> None:
        self._ours.close()
        if self._pid:
            os.waitpid(self._pid, 0)
            self._pid = 0


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


def mount(kind: str, target: str, flags: int, options: str = "") -> None:
    call(f"mount {kind} {target}", libc.mount, kind.encode(), target.encode(), kind.encode(), flags, options.encode())


def attach(fd: int, place: str, *, is_directory: bool) -> None:
    """Mount a detached clone at `place`, which is made."""
    os.makedirs(place if is_directory else os.path.dirname(place), exist_ok=True)
    if not is_directory:
        write(place, "")
    call(f"move_mount {place}", libc.syscall, SYS_MOVE_MOUNT, fd, b"", AT_FDCWD, place.encode(), MOVE_MOUNT_F_EMPTY_PATH)
    os.close(fd)


def mount_scratch(place: str, plan: dict[str, Any]) -> None:
    """An empty tmpfs with the plan's caps on size (bytes) and inodes."""
    size = f"size={plan['scratch_bytes']},nr_inodes={plan['scratch_files']},mode=1777"
    mount("tmpfs", place, MS_NOSUID | MS_NODEV | MS_NOEXEC, size)


def build_root(plan: dict[str, Any], clones: list[tuple[int, str, bool]]) -> None:
    """Make a new root of the clones and pivot into it. Needs a mount namespace of one's own and its capabilities."""
    call("make mounts private", libc.mount, b"none", b"/", None, MS_REC | MS_PRIVATE, None)
    base = next(path for path in ("/tmp", "/mnt", "/var") if os.path.isdir(path))  # noqa: S108 - only a place to mount on
    mount("tmpfs", base, MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=1m,nr_inodes=4096,mode=0755")
    os.umask(0o022)
    for path in ("/proc", *SCRATCH):
        os.makedirs(base + path, exist_ok=True)
    # The kernel gives a fresh /proc only where it still sees one that nothing is mounted over: before the pivot.
    mount("proc", base + "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in SCRATCH:  # before the clones: an interpreter may live below /tmp
        mount_scratch(base + path, plan)
    for fd, target, is_directory in clones:
        attach(fd, base + target, is_directory=is_directory)
    for target, path in plan["links"]:
        os.makedirs(os.path.dirname(base + path), exist_ok=True)
        os.symlink(target, base + path)
    for path, text in plan["texts"].items():
        os.makedirs(os.path.dirname(base + path), exist_ok=True)
        write(base + path, text)
    os.symlink("/proc/self/fd", base + "/dev/fd")
    os.chdir(base)
    call("pivot_root", libc.pivot_root, b".", b".")
    call("detach the host's root", libc.umount2, b".", MNT_DETACH)
    os.chdir("/")
    root = os.open("/", os.O_PATH)
    set_attributes(root, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV)
    os.close(root)


def fresh_scratch(plan: dict[str, Any]) -> None:
    """In a mount namespace of a job's own: empty scratch space and a /proc of its pid namespace over the warm process's."""
    nested = [(clone_tree(target), target, os.path.isdir(target)) for target in plan["nested"]]
    mount("proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for path in SCRATCH:
        mount_scratch(path, plan)
    for fd, target, is_directory in nested:  # an interpreter that lives below /tmp
        attach(fd, target, is_directory=is_directory)


def lock_mounts() -> None:
    """A second user and mount namespace: mounts that come from a more privileged one keep their flags whatever one may become in here."""
    enter(CLONE_NEWNS, outside_uid=os.geteuid(), outside_gid=os.getegid())
    with contextlib.suppress(OSError):
        write("/proc/sys/user/max_user_namespaces", "0")  # none inside this one; the filter denies making them anyway


def lock_proc() -> None:
    """Nothing in /proc can be written: one process's files there can be about others, such as the scheduling of the host's session."""
    proc = os.open("/proc", os.O_PATH)
    set_attributes(proc, ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC)
    os.close(proc)


def keep_capabilities(*numbers: int) -> None:
    """Have these capabilities and no others, also after an exec."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    low = sum(1 << number for number in numbers)
    call("capset", libc.capset, header, (ctypes.c_uint32 * 6)(low, low, low, 0, 0, 0))
    for number in numbers:
        call("ambient capability", libc.prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0)


def confine_self(limits: dict[str, int]) -> None:
    """Resource limits, no capability now or ever, no new privileges."""
    for name, value in limits.items():
        resource.setrlimit(getattr(resource, name), (value, value))
    for capability in range(64):
        if libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    call("securebits", libc.prctl, PR_SET_SECUREBITS, SECUREBITS_LOCKED, 0, 0, 0)
    libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", libc.capset, header, (ctypes.c_uint32 * 6)())
    call("no_new_privs", libc.prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def child(plan: dict[str, Any], fds: list[int], clones: list[tuple[int, str, bool]], control: socket.socket, lifeline: int) -> NoReturn:
    """Pid 1 of the new pid namespace, up to exec. Errors go to the host."""
    try:
        os.setpgid(0, 0)  # signals to one's own group pass the borders of a pid namespace, so the launcher must not be in it
        build_root(plan, clones)
        call("prctl", libc.prctl, PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if select.select([lifeline], [], [], 0)[0]:  # the waiter died before the line above
            os._exit(1)
        keep_capabilities(CAP_SETUID, CAP_SYS_ADMIN)
        os.chdir("/tmp")  # noqa: S108
        for place, fd in enumerate(fds):
            os.dup2(fd, place)
        os.closerange(len(fds), 1 << 20)
        os.execve(plan["argv"][0], plan["argv"], {})
    except StepError as error:
        report(control, error.step, error.number)
    except OSError as error:
        report(control, f"{error.strerror}: {error.filename}", error.errno or 0)
    os._exit(1)


def report(control: socket.socket, step: str, number: int) -> None:
    control.send(json.dumps({"error": step, "errno": number}).encode(), socket.MSG_NOSIGNAL)


def wait(pid: int, control: socket.socket) -> None:
    """Until pid 1 has ended; kill it when the host shuts or loses its end of the socket."""
    pidfd = os.pidfd_open(pid)
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(control, select.POLLIN)
    while not any(fd == pidfd for fd, _ in poll.poll()):
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        poll.unregister(control)
    os.waitpid(pid, 0)


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    message, fds, _, _ = socket.recv_fds(control, 1 << 17, 16)
    if not message:
        return
    plan = json.loads(message)
    os.nice(5)  # a page and a receipt come before anybody's code
    try:
        # They are put at 0, 1, 2, … at the end, so the originals must be out of the way.
        fds = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in fds]
        clones = []
        mapper = None
        if os.geteuid() == 0:
            mapper = Mapper(plan)
            try:
                clones = clone_all(plan)
            except StepError as error:
                if error.number != errno.EPERM:
                    raise
                # The root of a container may not; what the sandbox's user can reach is cloned below.
            drop(plan["uid"])
        elif os.getuid() != os.geteuid():
            raise StepError("real and effective user differ", errno.EPERM)
        enter(
            CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWNET | CLONE_NEWUTS,
            outside_uid=os.geteuid(),
            outside_gid=os.getegid(),
            mapper=mapper,
        )
        clones = clones or clone_all(plan)
    except StepError as error:
        report(control, error.step, error.number)
        return
    except OSError as error:
        report(control, f"{error.strerror}: {error.filename}", error.errno or 0)
        return
    lifeline, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        child(plan, fds, clones, control, lifeline)
    for fd in (lifeline, *fds, *(fd for fd, _, _ in clones)):
        os.close(fd)
    wait(pid, control)


if __name__ == "__main__":
    main()
