"""The trial process: it ends with status 0 when every wall of the sandbox stands, and else says which one does not."""

import os
import socket
import sys

from grading.runner.confine import confine


def main(_argument: object) -> None:
    confine(3)
    faults = [name for name, holds in _walls().items() if not holds]
    print("; ".join(faults), end="", flush=True)
    os._exit(1 if faults else 0)


def _walls() -> dict[str, bool]:
    return {
        "the network can be reached": _refused(lambda: socket.socket(socket.AF_INET)) and not _interfaces_up(),
        "programs can be started": _refused(lambda: os.execv(sys.executable, [sys.executable, "-c", ""])),
        "the root can be written": _refused(lambda: os.mkdir("/probe")),
        "the interpreter can be written": _refused(lambda: os.open(sys.executable, os.O_WRONLY)),
        "other processes can be seen": [name for name in os.listdir("/proc") if name.isdigit()] == ["1"],
        "there is no scratch space": _works(lambda: os.mkdir("/tmp/probe")) and _works(lambda: os.mkdir("/dev/shm/probe")),  # noqa: S108
    }


def _interfaces_up() -> bool:
    with open("/proc/net/route") as file:
        return len(file.readlines()) > 1


def _refused(act: object) -> bool:
    return not _works(act)


def _works(act: object) -> bool:
    assert callable(act)
    try:
        act()
    except OSError:
        return False
    return True
