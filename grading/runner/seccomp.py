"""The system call filter: a deny list, because torch and its libraries need a wide and changing set.

It is the last of several walls (no capabilities, no network, a root of its own), and takes away what those leave to an ordinary process:
new programs, new namespaces, and the parts of the kernel with the longest list of past holes.
"""

import errno
import fcntl
import os
import socket
import tempfile

import pyseccomp

_NAMESPACE_FLAGS = (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000)
_PR_SET_PDEATHSIG = 1
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_SOCKET_IOCTLS = 0x8900  # and the 255 after it
_MAP_HUGETLB = 0x40000

# EPERM: code that meets it says what it was not allowed to do.
_DENIED = [
    "execve",
    "execveat",
    "ptrace",
    "process_vm_readv",
    "process_vm_writev",
    "process_madvise",
    "pidfd_getfd",
    "kcmp",
    "mount",
    "umount2",
    "umount",
    "pivot_root",
    "chroot",
    "open_tree",
    "move_mount",
    "fsopen",
    "fsconfig",
    "fsmount",
    "fspick",
    "mount_setattr",
    "unshare",
    "setns",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "add_key",
    "request_key",
    "keyctl",
    "lookup_dcookie",
    "kexec_load",
    "kexec_file_load",
    "init_module",
    "finit_module",
    "delete_module",
    "create_module",
    "reboot",
    "swapon",
    "swapoff",
    "syslog",
    "acct",
    "quotactl",
    "quotactl_fd",
    "nfsservctl",
    "vhangup",
    "iopl",
    "ioperm",
    "modify_ldt",
    "personality",
    "name_to_handle_at",
    "open_by_handle_at",
    "fanotify_init",
    "settimeofday",
    "clock_settime",
    "clock_adjtime",
    "adjtimex",
    "stime",
    "sethostname",
    "setdomainname",
    "shmget",
    "shmat",
    "shmctl",
    "semget",
    "semop",
    "semctl",
    "semtimedop",
    "msgget",
    "msgsnd",
    "msgrcv",
    "msgctl",
    "mq_open",
    "mq_unlink",
    "move_pages",
    "migrate_pages",
    "mbind",
    "memfd_secret",
    # What reaches beyond the sandbox without a capability: the disks of the machine, opened files that others share, counters that all
    # sandboxes have in common, and a session of one's own, which has a share of the processors of its own.
    "sync",
    "syncfs",
    "inotify_init",
    "inotify_init1",
    "inotify_add_watch",
    "setsid",
]

# ENOSYS: libraries have a way without them. glibc falls back from clone3, whose flags a filter cannot read.
_ABSENT = ["clone3", "io_uring_setup", "io_uring_enter", "io_uring_register", "io_setup", "memfd_create"]


def build() -> bytes:
    """The filter as the kernel's `struct sock_filter` array for this machine's architecture; any other architecture's calls kill."""
    rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
    for names, code in ((_DENIED, errno.EPERM), (_ABSENT, errno.ENOSYS)):
        for name in names:
            if _known(name):
                rules.add_rule(pyseccomp.ERRNO(code), name)
    deny = pyseccomp.ERRNO(errno.EPERM)
    for name in ("socket", "socketpair"):
        rules.add_rule(deny, name, pyseccomp.Arg(0, pyseccomp.NE, socket.AF_UNIX))
    for flag in _NAMESPACE_FLAGS:
        rules.add_rule(deny, "clone", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, flag, flag))
    # Of an int argument the kernel looks at the low half only, so the filter does too.
    rules.add_rule(deny, "prctl", pyseccomp.Arg(0, pyseccomp.MASKED_EQ, 0xFFFFFFFF, _PR_SET_PDEATHSIG))
    for name, flags in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):  # out-of-band data: of no use here, and full of past holes
        rules.add_rule(deny, name, pyseccomp.Arg(flags, pyseccomp.MASKED_EQ, socket.MSG_OOB, socket.MSG_OOB))
    # The socket to the checker was made by the host, so these would ask about the host's network.
    rules.add_rule(deny, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFF00, _SOCKET_IOCTLS))
    rules.add_rule(deny, "mmap", pyseccomp.Arg(3, pyseccomp.MASKED_EQ, _MAP_HUGETLB, _MAP_HUGETLB))  # the machine's, and nobody counts them
    for request in (_TIOCSTI, _TIOCLINUX):
        rules.add_rule(deny, "ioctl", pyseccomp.Arg(1, pyseccomp.MASKED_EQ, 0xFFFFFFFF, request))
    with tempfile.TemporaryFile() as file:
        rules.export_bpf(file)
        file.seek(0)
        return file.read()


def _known(name: str) -> bool:
    try:
        number = pyseccomp.resolve_syscall(pyseccomp.Arch.NATIVE, name)
    except (ValueError, OSError):
        return False
    return bool(number >= 0)


def sealed(data: bytes, name: str) -> int:
    """A descriptor to read `data` from, which nobody who holds it can change."""
    fd = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.truncate(fd, len(data))
    view, at = memoryview(data), 0
    while at < len(data):
        at += os.pwrite(fd, view[at:], at)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE)
    return fd
