"""Write requirements.txt and requirements-dev.txt: the newest versions that pyproject.toml allows, as plain `name==version` pins."""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HEADER = "# Pins of everything that {what} needs; written by “make lock” from pyproject.toml.\n"


def main() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    site = project["project"]["dependencies"]
    tools = project["dependency-groups"]["dev"]
    pinned = resolve(site)
    # The tools are resolved beside the site's pins, so that installing them changes none of these.
    added = sorted(set(resolve([*pinned, *tools])) - set(pinned), key=str.lower)
    write("requirements.txt", "the site", pinned)
    write("requirements-dev.txt", "the tests and checks, beside requirements.txt,", added)


def resolve(wanted: list[str]) -> list[str]:
    """What pip installs for these in an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        python = f"{folder}/bin/python"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", python]
        subprocess.run([*pip, "install", "--quiet", "--no-compile", *wanted], check=True)
        frozen = subprocess.run([*pip, "list", "--format", "freeze"], check=True, capture_output=True, text=True)
    return sorted(frozen.stdout.split(), key=str.lower)


def write(name: str, what: str, pins: list[str]) -> None:
    (ROOT / name).write_text(HEADER.format(what=what) + "\n".join(pins) + "\n")


if __name__ == "__main__":
    main()
