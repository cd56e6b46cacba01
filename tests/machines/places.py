"""The machines that judge: namespaces with a cable to the town's bridge."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from grading.runner.parent import die_with_parent

NETWORK = "10.77.0.0/24"  # of a bridge that nobody else is on
ADDRESS = "10.77.0.1"  # of database and broker
REPOSITORY = Path(__file__).resolve().parents[2]
# What a machine has to do before its first process starts: its end of the cable, its name, and the storage.
_BOOT = """
set -e
until ip link show eth0 >/dev/null 2>&1; do sleep 0.02; done
ip link set lo up
ip address add "$1/24" dev eth0
ip link set eth0 up
echo "$2" > /proc/sys/kernel/hostname
mount --bind "$3" "$4/uploads"
shift 4
exec "$@"
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)


def lay_bridge() -> None:
    ip("link", "set", "lo", "up")
    ip("link", "add", "town", "type", "bridge")
    ip("address", "add", f"{ADDRESS}/24", "dev", "town")
    ip("link", "set", "town", "up")


class Machine:
    """One that judges on one processor and on one GPU slot, which is no hardware."""

    def __init__(self, number: int, folder: Path, storage: Path, shared: Mapping[str, str]) -> None:
        """`shared`: what it is told of the others, and all that it is told."""
        self.name = f"worker-{number}"
        self.data = folder / self.name
        self._cable = f"cable{number}"
        self._log = folder / f"{self.name}.log"
        (self.data / "uploads").mkdir(parents=True)
        own = {"PATH": os.environ["PATH"], "DATA_DIR": str(self.data), "GPU_SLOTS": "fake:1"}
        command = ["sh", "-c", _BOOT, "sh", f"10.77.0.{number + 1}", self.name, str(storage), str(self.data)]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["unshare", "--net", "--uts", "--mount", *command, sys.executable, "manage.py", "workers", "--cpu", "1"],
                cwd=REPOSITORY,
                env={**own, **shared},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent(),
            )
        ip("link", "add", self._cable, "type", "veth", "peer", "name", f"end{number}")
        self._wait_for_namespace()
        ip("link", "set", f"end{number}", "netns", str(self._process.pid), "name", "eth0")
        ip("link", "set", self._cable, "master", "town")
        ip("link", "set", self._cable, "up")

    def cut(self) -> None:
        """End it as a power cut does: the cable says nothing any more, not even that a connection is closed, and every process is gone."""
        if self._process.poll() is not None:
            return
        ip("link", "set", self._cable, "down")
        there = self._processes()
        for pid in there:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        while any(Path(f"/proc/{pid}").exists() and _state(pid) != "Z" for pid in there):
            time.sleep(0.01)

    def said(self) -> str:
        texts = [self._log, *sorted((self.data / "log").glob("*.log"))]
        return "\n".join(f"--- {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in texts if path.exists())

    def _namespace(self) -> str:
        return str(Path(f"/proc/{self._process.pid}/ns/net").readlink())

    def _wait_for_namespace(self) -> None:
        own, deadline = str(Path("/proc/self/ns/net").readlink()), time.monotonic() + 60
        while self._namespace() == own:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self.name} has no network namespace of its own.")
            time.sleep(0.01)

    def _processes(self) -> list[int]:
        """Of its namespace; those of its sandboxes have one of their own, and end with the processes that made them."""
        wanted, found = self._namespace(), []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if str((path / "ns" / "net").readlink()) == wanted:
                    found.append(int(path.name))
        return found


def _state(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return "Z"
