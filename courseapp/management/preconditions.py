"""What `manage.py demo` needs of the machine. Every failure is one sentence: the thing, its value, what to do."""

import errno
import fcntl
import json
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from courseapp.assets import PACKAGES, node_modules, served
from grading.runner import tiers

LEAST_BYTES = 500 * 2**20


class UnmetError(Exception):
    """Why the demo cannot start here, as one sentence."""


@contextmanager
def only_demo(data_dir: Path) -> Iterator[None]:
    """Hold the data folder; the kernel lets go of it when this process dies."""
    with (data_dir / "run" / "demo.lock").open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            where = f"{data_dir}{_where(data_dir)}"
            raise UnmetError(
                f"A demo is already running on {where}. Stop it with Ctrl-C, or give this one its own folder: DATA_DIR=…"
            ) from None
        yield


def _where(data_dir: Path) -> str:
    try:
        return f" at {json.loads((data_dir / 'run' / 'demo.json').read_text())['url']}"
    except (OSError, ValueError, KeyError):
        return ""


def check_port(port: int) -> None:
    if not 1 <= port <= 65535:
        raise UnmetError(f"Port {port} is not a port; accepted are 1 to 65535.")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise UnmetError(f"Port {port} is taken by another program. Choose another one: make demo PORT={port + 1}") from error
            raise UnmetError(f"Port {port} cannot be used: {error.strerror}. Choose one above 1023: make demo PORT=8000") from error


def check_assets(folder: Path | None = None) -> None:
    present = {package.prefix for package, _ in served(folder or node_modules()).values()}
    if lacking := sorted({package.prefix for package in PACKAGES} - present):
        raise UnmetError(f"The browser packages {', '.join(lacking)} are missing from node_modules. Run: python3 scripts/bootstrap.py")


def check_space(data_dir: Path) -> None:
    free = shutil.disk_usage(data_dir).free
    if free < LEAST_BYTES:
        raise UnmetError(
            f"Only {free // 2**20} MB are free in {data_dir}; the demo needs {LEAST_BYTES // 2**20} MB. Make room and start it again."
        )


def sandbox_problem() -> str:
    """Why homework cannot run here although the site can; empty when it can. A sandbox is really built for this."""
    tier, _ = tiers.probe()
    if isinstance(tier, tiers.Refused):
        return f"Homework is accepted but not run on this machine: {tier.reason} {tier.fix}"
    return ""
