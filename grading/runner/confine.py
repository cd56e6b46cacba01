"""The first thing that a sandboxed process does: install the system call filter, and make sure that nothing of the cage is missing."""

import ctypes
import os

from grading.runner.launcher import CAPABILITY_VERSION_3, libc

PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
ENVIRONMENT = {
    "HOME": "/tmp",  # noqa: S108 - inside the sandbox
    "LANG": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "MPLCONFIGDIR": "/tmp",  # noqa: S108
    "PATH": "/usr/bin",
    "TMPDIR": "/tmp",  # noqa: S108
    "TORCHINDUCTOR_CACHE_DIR": "/tmp",  # noqa: S108
    "USER": "student",
}
PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_NO_NEW_PRIVS = 21, 23, 39
LAST_CAPABILITY = 63


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def confine(filter_fd: int) -> None:
    """Install the filter read from `filter_fd`, and end the process if it or any earlier step does not hold."""
    rules = os.pread(filter_fd, os.fstat(filter_fd).st_size, 0)
    os.close(filter_fd)
    buffer = ctypes.create_string_buffer(rules, len(rules))
    program = _Program(len(rules) // 8, ctypes.addressof(buffer))
    installed = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    if installed != 0 or not _holds():
        os.write(2, b"the sandbox is incomplete\n")
        os._exit(99)


def _holds() -> bool:
    if os.getpid() != 1 or 0 in os.getresuid() or 0 in os.getresgid():
        return False
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    capabilities = (ctypes.c_uint32 * 6)()
    if libc.capget(header, capabilities) != 0 or any(capabilities):  # the ambient ones are among these
        return False
    if any(libc.prctl(PR_CAPBSET_READ, number, 0, 0, 0) == 1 for number in range(LAST_CAPABILITY + 1)):
        return False
    return bool(libc.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 and libc.prctl(PR_GET_SECCOMP, 0, 0, 0, 0) == SECCOMP_MODE_FILTER)
