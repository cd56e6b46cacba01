"""Which files of a hand-in are modules, and how its notebooks become some."""

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

NotebookMode = Literal["definitions", "run-all"]

MODES: tuple[NotebookMode, ...] = ("definitions", "run-all")
NOTEBOOK = ".ipynb"


@dataclass(frozen=True)
class NotebookSpec:
    """`[practice.notebook]`. `prelude`: a file of the homework's folder that runs before the first cell, or empty."""

    mode: NotebookMode = "definitions"
    prelude: str = ""


def entry_files(required: Iterable[str]) -> tuple[str, ...]:
    """The required files that the student's process loads before the first check."""
    return tuple(name for name in required if name.endswith((".py", NOTEBOOK)))


def module_name(file: str) -> str:
    """By what name the checks call a file: "hw2_rnn" for hw2_rnn.ipynb."""
    return file.removesuffix(".py").removesuffix(NOTEBOOK).replace("/", ".")


def notebook_spec(bundle: Path) -> NotebookSpec:
    """What homework.toml of an unpacked bundle says; it was looked at when the homework was loaded."""
    file = bundle / "homework.toml"
    if not file.is_file():
        return NotebookSpec()
    with file.open("rb") as opened:
        return NotebookSpec(**tomllib.load(opened).get("practice", {}).get("notebook", {}))
