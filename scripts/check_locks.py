"""Lock files are plain pins: nothing in them says where a package is fetched from, and every package of pyproject.toml has one."""

import json
import re
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)==[A-Za-z0-9.!+_-]+")


def main() -> int:
    problems = [*pin_problems(), *missing_pins(), *npm_problems()]
    print("\n".join(problems), file=sys.stderr) if problems else print("The lock files are plain pins.")
    return 1 if problems else 0


def pin_files() -> list[Path]:
    return [ROOT / "requirements.txt", ROOT / "requirements-dev.txt", *sorted(ROOT.glob("runtimes/*/requirements.txt"))]


def pins(path: Path) -> list[str]:
    return [line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")]


def pin_problems() -> list[str]:
    return [
        f"{path.relative_to(ROOT)}: {line!r} is not a plain pin; accepted is name==version."
        for path in pin_files()
        for line in pins(path)
        if not PIN.fullmatch(line)
    ]


def missing_pins() -> list[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = {
        "requirements.txt": project["project"]["dependencies"],
        "requirements-dev.txt": project["dependency-groups"]["dev"],
    }
    pinned = {plain(line) for name in wanted for line in pins(ROOT / name)}
    return [
        f"pyproject.toml asks for {wish!r}, but {name} has no pin of it; run “make lock”."
        for name, wishes in wanted.items()
        for wish in wishes
        if plain(wish) not in pinned
    ]


def plain(requirement: str) -> str:
    """The package's name in its one normal form."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def npm_problems() -> list[str]:
    lock = json.loads((ROOT / "package-lock.json").read_text())
    return [f"package-lock.json: {name} has an address; write the lock with omit-lockfile-registry-resolved." for name in addressed(lock)]


def addressed(lock: dict[str, dict[str, dict[str, object]]]) -> list[str]:
    return [name for name, package in lock["packages"].items() if "resolved" in package]


if __name__ == "__main__":
    sys.exit(main())
