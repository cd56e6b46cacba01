"""Runtimes: the Python environments that homework runs in.

Theory of operation. A runtime is a list of pins, `runtimes/<name>/requirements.txt`, installed into a virtual environment of its
own under DATA_DIR, never into the application's: the application does not import torch, and student code never sees Django.

    DATA_DIR/runtimes/torch/
        lock                 held (flock) by the one installer; the kernel drops it when that process dies
        status.json          what pages show while it is not there: state, since when, the installer's last line, a sentence
        <key>/               the environment; it appears by one rename, so whatever is there is whole
        <key>/runtime.json   its digest and packages, for provenance
        partial/             what an installer is building; thrown away by the next one if it was killed

`key` names what is wanted (Python version and pins), so changed pins give a new folder and old results keep theirs. `digest` names
what was really installed (Python version and every distribution), because the same pin may resolve to a CPU or a CUDA build.
"""

import errno
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from grading.runner.parent import die_with_parent

PINS = Path(__file__).resolve().parents[2] / "runtimes"
NEEDED_BYTES = 3 * 2**30

State = Literal["missing", "installing", "ready", "failed"]


@dataclass(frozen=True)
class Runtime:
    name: str
    python: Path
    digest: str


@dataclass(frozen=True)
class Status:
    """`started` is in seconds since the epoch, 0 when nothing was started; `line` is the installer's last line of output."""

    state: State
    message: str
    started: float = 0.0
    line: str = ""


@dataclass(frozen=True)
class Ready:
    runtime: Runtime


@dataclass(frozen=True)
class Preparing:
    status: Status


@dataclass(frozen=True)
class Failed:
    status: Status


class InstallError(Exception):
    """The runtime could not be installed; the text is a sentence for whoever runs the site."""


class AlreadyInstallingError(Exception):
    """Another process holds the installer's lock."""


def find(data_dir: Path, name: str, environ: Mapping[str, str] = os.environ) -> Ready | Preparing | Failed:
    """The runtime if it can be used now, else what keeps it. `RUNTIME_PYTHON` names an interpreter to use instead of an own one."""
    if override := environ.get("RUNTIME_PYTHON"):
        return _overridden(name, override)
    pins = _pins(name)
    if pins is None:
        return Failed(Status("failed", f"There is no runtime “{name}”. Known: {', '.join(known()) or 'none'}."))
    key = _key(pins)
    home = data_dir / "runtimes" / name
    if (home / key / "runtime.json").is_file():
        described = json.loads((home / key / "runtime.json").read_text())
        return Ready(Runtime(name, home / key / "bin" / "python", described["digest"]))
    status = _read_status(home, key)
    if status.state == "installing" and not _locked(home):
        status = Status(
            "missing", f"The installation of the {title(name)} runtime was interrupted; it starts again with the next installer."
        )
    return Failed(status) if status.state == "failed" else Preparing(status)


def known() -> list[str]:
    return sorted(path.parent.name for path in PINS.glob("*/requirements.txt"))


def title(name: str) -> str:
    return {"torch": "PyTorch"}.get(name, name)


def install(data_dir: Path, name: str, *, wait: bool = False, say: Callable[[str], None] = lambda _line: None) -> Runtime:
    """Install the runtime unless it is there. With `wait`, wait for another installer instead of raising AlreadyInstallingError."""
    found = find(data_dir, name, environ={})
    if isinstance(found, Ready):
        return found.runtime
    pins = _pins(name)
    if pins is None:
        raise InstallError(found.status.message)
    home = data_dir / "runtimes" / name
    home.mkdir(parents=True, exist_ok=True)
    with _lock(home, wait=wait):
        found = find(data_dir, name, environ={})
        if isinstance(found, Ready):
            return found.runtime
        return _install_locked(home, name, pins, say)


def _install_locked(home: Path, name: str, pins: Path, say: Callable[[str], None]) -> Runtime:
    key = _key(pins)
    began = time.time()
    message = f"Preparing the {title(name)} runtime."

    def progress(line: str) -> None:
        say(line)
        _write_status(home, key, Status("installing", message, began, line))

    progress("creating the environment")
    partial = home / "partial"
    try:
        _check_space(home)
        shutil.rmtree(partial, ignore_errors=True)
        _run([sys.executable, "-m", "venv", "--without-pip", str(partial)], progress)
        _run([*_pip(), "--python", str(partial / "bin" / "python"), "install", *_PIP_OPTIONS, "--requirement", str(pins)], progress)
        digest, packages = describe(partial / "bin" / "python")
        (partial / "runtime.json").write_text(json.dumps({"digest": digest, "packages": packages}, indent=1))
        partial.rename(home / key)
    except (InstallError, OSError) as error:
        sentence = _sentence(name, error)
        shutil.rmtree(partial, ignore_errors=True)
        _write_status(home, key, Status("failed", sentence, began))
        raise InstallError(sentence) from error
    _write_status(home, key, Status("ready", f"The {title(name)} runtime is ready.", began))
    return Runtime(name, home / key / "bin" / "python", digest)


_PIP_OPTIONS = ("--no-input", "--disable-pip-version-check", "--progress-bar", "off")
_SHOWN = ("Collecting", "Downloading", "Using cached", "Processing", "Building", "Installing", "Successfully", "ERROR")
_DESCRIBE = """
import importlib.metadata, json, platform
names = {d.name.lower().replace("_", "-"): d.version for d in importlib.metadata.distributions()}
print(json.dumps([platform.python_version(), sorted(f"{n}=={v}" for n, v in names.items())]))
"""


def describe(python: Path) -> tuple[str, list[str]]:
    """Digest and sorted `name==version` of everything installed for this interpreter."""
    answer = subprocess.run([str(python), "-I", "-c", _DESCRIBE], capture_output=True, text=True, check=False, timeout=60)
    if answer.returncode:
        raise InstallError(f"{python} does not run: {answer.stderr.strip()[-300:]}")
    version, packages = json.loads(answer.stdout)
    return hashlib.sha256("\n".join([version, *packages]).encode()).hexdigest(), packages


def _overridden(name: str, override: str) -> Ready | Failed:
    python = Path(override)
    if not os.access(python, os.X_OK):
        return Failed(Status("failed", f"RUNTIME_PYTHON is {override!r}; it must be the path of a Python interpreter."))
    try:
        return Ready(Runtime(name, python, _digest_of(python)))
    except (InstallError, OSError, subprocess.TimeoutExpired) as error:
        return Failed(Status("failed", f"RUNTIME_PYTHON is {override!r}; it could not be asked for its packages: {error}"))


@lru_cache(maxsize=8)
def _digest_of(python: Path) -> str:
    return describe(python)[0]


def _pins(name: str) -> Path | None:
    return PINS / name / "requirements.txt" if name in known() else None


def _key(pins: Path) -> str:
    return hashlib.sha256(f"{platform.python_version()}\n{pins.read_text()}".encode()).hexdigest()[:16]


def _pip() -> list[str]:
    if importlib.util.find_spec("pip") is None:
        raise InstallError(f"pip is missing from {sys.executable}; install the application with “make install”.")
    return [sys.executable, "-m", "pip"]


def _run(command: list[str], progress: Callable[[str], None]) -> None:
    """Run to the end, passing on what it prints; it dies with this process. Raises InstallError with its last words."""
    tail: list[str] = []
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        preexec_fn=die_with_parent(),
    )
    assert process.stdout is not None
    with process:
        for raw in process.stdout:
            if line := raw.strip():
                tail = [*tail[-19:], line]
            if line.startswith(_SHOWN):
                progress(_short(line))
    if process.returncode:
        errors = [line for line in tail if line.startswith("ERROR:")] or tail[-1:]
        raise InstallError(" ".join(errors) or f"{command[0]} ended with status {process.returncode}.")


def _short(line: str) -> str:
    """pip's line for a page: without who asked for the package, and without folders of this machine."""
    verb, _, what = line.partition(" (from ")[0].partition(" ")
    return f"{verb} {what.rpartition('/')[2]}" if verb == "Processing" else f"{verb} {what}"


def _check_space(home: Path) -> None:
    free = shutil.disk_usage(home).free
    if free < NEEDED_BYTES:
        raise OSError(errno.ENOSPC, f"{free / 2**30:.1f} GB are free in {home}")


def _sentence(name: str, error: Exception) -> str:
    full = getattr(error, "errno", None) == errno.ENOSPC or "No space left" in str(error)
    why = f"the disk is too full: it needs about {NEEDED_BYTES / 2**30:.0f} GB. {error}" if full else str(error)
    return f"The {title(name)} runtime could not be installed: {why}"


def _read_status(home: Path, key: str) -> Status:
    try:
        saved = json.loads((home / "status.json").read_text())
    except (OSError, ValueError):
        saved = {}
    if saved.pop("key", None) != key:
        return Status("missing", f"The {title(home.name)} runtime is not installed yet.")
    return Status(**saved)


def _write_status(home: Path, key: str, status: Status) -> None:
    fresh = home / f"status.json.{os.getpid()}"
    try:
        fresh.write_text(json.dumps({"key": key, **asdict(status)}))
        fresh.replace(home / "status.json")
    except OSError:  # a full disk must not hide the sentence that says so
        fresh.unlink(missing_ok=True)


@contextmanager
def _lock(home: Path, *, wait: bool) -> Iterator[None]:
    with (home / "lock").open("a") as handle:
        for left in range(10, -1, -1):
            try:
                fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not left:
                    raise AlreadyInstallingError(f"Another process is already installing the {title(home.name)} runtime.") from None
                time.sleep(0.02)  # a reader asking whether there is an installer holds the lock for an instant
        yield


def _locked(home: Path) -> bool:
    try:
        with (home / "lock").open("a") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
