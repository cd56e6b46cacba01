"""A program that answers as the driver's `nvidia-smi` does, from files that a test writes."""

import os
import stat
from pathlib import Path


def driver(folder: Path, listing: str, table: str, status: int = 0, *, processes: str = "") -> dict[str, str]:
    """An environment in whose PATH it is. What it says of GPUs (`table`) and of their processes can be changed in `folder`."""
    for name, text in (("listing", listing), ("table", table), ("processes", processes)):
        (folder / name).write_text(text)
    program = folder / "nvidia-smi"
    cases = f"-L) cat {folder}/listing ;; --query-compute-apps=*) cat {folder}/processes ;; *) cat {folder}/table ;;"
    program.write_text(f'#!/bin/sh\ncase "$1" in {cases} esac\nexit {status}\n')
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}
