"""All static checks; each one runs, whatever the others say. The exit status is 1 when one does not hold."""

import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BIN = ROOT / ".venv" / "bin"
CHECKS: dict[str, list[str]] = {
    "ruff lint": ["ruff", "check", "."],
    "ruff format": ["ruff", "format", "--check", "."],
    "mypy": ["mypy", "."],
    "import-linter": ["lint-imports"],
    # Not its formatter: it breaks inline elements apart, and a line break between them is a space on the page.
    "djlint": ["djlint", "templates", "--lint", "--quiet"],
    "lock files": ["python", "scripts/check_locks.py"],
    "licences": ["python", "scripts/licences.py", "--check"],
    "Django checks": ["python", "manage.py", "check", "--fail-level", "WARNING"],
    "migrations": ["python", "manage.py", "makemigrations", "--check", "--dry-run"],
}


def main() -> int:
    failed = [name for name, command in CHECKS.items() if not holds(name, command)]
    print(f"{len(CHECKS) - len(failed)} of {len(CHECKS)} checks hold." + (f" These do not: {', '.join(failed)}." if failed else ""))
    return 1 if failed else 0


def holds(name: str, command: list[str]) -> bool:
    began = time.monotonic()
    ended = subprocess.run(
        [str(BIN / command[0]), *command[1:]],
        cwd=ROOT,
        env=os.environ,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    print(f"{'ok  ' if ended.returncode == 0 else 'FAIL'} {name} ({time.monotonic() - began:.1f} s)", flush=True)
    if ended.returncode:
        print(ended.stdout, flush=True)
    return ended.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
