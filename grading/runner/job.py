"""What a host is asked to judge."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.protocol import plain
from grading.runner.runtimes import Runtime


class Cancelled(Exception):  # noqa: N818 - an event
    """The run was cancelled from outside; it has no outcome."""


@dataclass(frozen=True)
class Script:
    """A file to run as a program, and its arguments."""

    path: str
    arguments: tuple[str, ...] = ()


@dataclass(frozen=True)
class Job:
    """One hand-in to judge, or a script to run, which has neither bundle nor checks. `files`: relative path → content; `entry`: the files
    that are imported before the first check; `outputs`: patterns of the files that are kept of what the visible checks, or the script,
    leave behind; `device`: the UUID of the GPU that its students get; `smoke`: checks are told to look only whether it would run at all."""

    bundle: bytes
    files: Mapping[str, bytes]
    checks: tuple[CheckSpec, ...]
    limits: Limits
    runtime: Runtime
    seed: int
    entry: tuple[str, ...]
    outputs: tuple[str, ...] = ()
    outputs_mb: int = 10
    device: str = ""
    smoke: bool = False
    script: Script | None = None

    def __post_init__(self) -> None:
        if self.script is not None and (self.script.path not in self.files or self.bundle or self.checks):
            raise ValueError(f"a script {self.script.path!r} that is not among its files, or that comes with checks")
        for name in self.files:
            path = PurePosixPath(name)
            if path.is_absolute() or ".." in path.parts or name != plain(name) or not path.parts:
                raise ValueError(f"a file name that leaves the hand-in: {name!r}")
