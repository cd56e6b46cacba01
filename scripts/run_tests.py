"""Run the suite on SQLite, then what touches the database again on PostgreSQL. Arguments are passed on to pytest.

Two tests run at a time. Those that measure the machine itself, marked “alone”, come after the others and one by one.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOGETHER = ("-n", "2", "--dist", "loadgroup", "--alone", "without")
ALONE = ("--alone", "only")
RUNS = {
    "SQLite": ("sqlite", TOGETHER),
    "SQLite, one by one": ("sqlite", ALONE),
    "PostgreSQL": ("postgres", TOGETHER),
    "PostgreSQL, one by one": ("postgres", ALONE),
}
NO_TESTS = 5
CLOSING = re.compile(r"=* ?((?:\d+ \w+,? ?)+in [\d.]+s.*?) ?=*$|=* ?(no tests ran in [\d.]+s) ?=*$")


def main() -> int:
    given = sys.argv[1:]
    ended = {name: run(name, database, [*options, *given]) for name, (database, options) in RUNS.items()}
    print("\nSummary")
    for name, (status, closing) in ended.items():
        print(f"  {name:<{max(map(len, RUNS))}}  {closing or f'ended with status {status}'}")
    # With arguments, a run may have nothing to do: “-k policy” touches no database.
    accepted = (0, NO_TESTS) if given else (0,)
    return 0 if all(status in accepted for status, _ in ended.values()) and any(status == 0 for status, _ in ended.values()) else 1


def run(name: str, database: str, options: list[str]) -> tuple[int, str]:
    """pytest's exit status and closing line; its output is passed through."""
    print(f"\nTests on {name}", flush=True)
    closing = ""
    command = [str(ROOT / ".venv" / "bin" / "python"), "-m", "pytest", "-q", *options]
    environ = {**os.environ, "TEST_DATABASE": database}
    with subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True, errors="replace") as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            if match := CLOSING.search(line.strip()):
                closing = match[1] or match[2]
    return process.returncode, closing


if __name__ == "__main__":
    sys.exit(main())
