"""The first thing that a sandboxed process does: install the system call filter, and make sure that nothing of the cage is missing."""

import ctypes
import os

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
_WANTED = {"CapEff": 0, "CapPrm": 0, "CapBnd": 0, "CapInh": 0, "CapAmb": 0, "NoNewPrivs": 1, "Seccomp": 2}


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_void_p)]


def confine(filter_fd: int) -> None:
    """Install the filter read from `filter_fd`, and end the process if it or any earlier step does not hold."""
    rules = os.pread(filter_fd, 1 << 18, 0)
    os.close(filter_fd)
    buffer = ctypes.create_string_buffer(rules, len(rules))
    program = _Program(len(rules) // 8, ctypes.addressof(buffer))
    libc = ctypes.CDLL(None, use_errno=True)
    installed = libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, ctypes.byref(program), 0, 0)
    if installed != 0 or not _holds():
        os.write(2, b"the sandbox is incomplete\n")
        os._exit(99)


def _holds() -> bool:
    with open("/proc/self/status") as file:
        status = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
    return os.getpid() == 1 and os.getuid() != 0 and all(int(status[name], 16) == value for name, value in _WANTED.items())
