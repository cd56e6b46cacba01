"""What one run of a hand-in ended in. Frozen, and the same as JSON: it crosses from the runner host to whoever asked."""

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal, cast

from grading.runner.outputs import OutputFile

Kind = Literal["ok", "student", "assignment", "system"]
Stage = Literal["starting", "visible", "hidden", "script", "finishing"]


@dataclass(frozen=True)
class CheckResult:
    """One check. `judged`: the student's answer was compared; `passed` implies it. `message` is for the student and, for a check that is
    not visible, tells nothing of the check's inputs; `staff_message` may."""

    id: str
    title: str
    points: Decimal
    max_points: Decimal
    passed: bool
    judged: bool
    visibility: str
    message: str = ""
    staff_message: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"points": str(self.points), "max_points": str(self.max_points)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "CheckResult":
        return cls(**{**data, "points": Decimal(data["points"]), "max_points": Decimal(data["max_points"])})


@dataclass(frozen=True)
class Outcome:
    """`kind` says whose turn it is.

    ok: every check was judged, whatever the points. student: the student's code kept a check from being judged. assignment: the
    instructor's checks failed. system: ours; never graded, never costs an attempt.
    `output` is what the visible checks' student process printed, capped, decoded with replacement: escape it on display. `files` are what
    it left behind, and `files_dropped` says what was not kept. As JSON the outcome names the files; their content is `payload`, beside it.
    `started` is False for one of ours that had no process yet: its GPU was not given to it.
    """

    kind: Kind
    points: Decimal
    max_points: Decimal
    seconds: float
    checks: tuple[CheckResult, ...] = ()
    output: str = ""
    message: str = ""
    staff_message: str = ""
    provenance: Mapping[str, object] = field(default_factory=dict)
    files: tuple[OutputFile, ...] = ()
    files_dropped: tuple[str, ...] = ()
    started: bool = True

    def passes_any(self, ids: Collection[str]) -> bool:
        """Whether one of these checks has passed."""
        return any(check.passed and check.id in ids for check in self.checks)

    @property
    def payload(self) -> bytes:
        return b"".join(file.content for file in self.files)

    def to_json(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "points": str(self.points),
            "max_points": str(self.max_points),
            "seconds": self.seconds,
            "checks": [check.to_json() for check in self.checks],
            "output": self.output,
            "message": self.message,
            "staff_message": self.staff_message,
            "provenance": dict(self.provenance),
            **({} if self.started else {"started": False}),
        } | self._files_json()

    def _files_json(self) -> dict[str, Any]:
        if not self.files and not self.files_dropped:
            return {}
        named = [{"name": file.name, "sha256": file.sha256, "size": file.size} for file in self.files]
        return {"files": named, "files_dropped": list(self.files_dropped)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any], payload: bytes | memoryview = b"") -> "Outcome":
        """ValueError when the files are not in `payload`, one after the other."""
        files, at = [], 0
        for file in data.get("files", ()):
            content = bytes(payload[at : at + file["size"]])
            files.append(OutputFile(**file, content=content))
            at += len(content)
        if at != len(payload) or any(len(file.content) != file.size for file in files):
            raise ValueError("an outcome whose files are not in its payload")
        return cls(
            kind=cast("Kind", data["kind"]),
            points=Decimal(data["points"]),
            max_points=Decimal(data["max_points"]),
            seconds=float(data["seconds"]),
            checks=tuple(CheckResult.from_json(check) for check in data["checks"]),
            output=data["output"],
            message=data["message"],
            staff_message=data["staff_message"],
            provenance=data["provenance"],
            files=tuple(files),
            files_dropped=tuple(data.get("files_dropped", ())),
            started=data.get("started", True),
        )


@dataclass(frozen=True)
class Progress:
    """Where a run is: `done` of `total` checks are through, `check` is the title of the one at work (empty for a hidden one).

    Hidden ones are not counted before all are through.

    `output` is what the visible checks' student processes printed since the last progress; all of a run's, put together, are the
    outcome's. `curves` are `Curves.to_json()` of all that was printed up to here.
    """

    stage: Stage
    done: int
    total: int
    check: str = ""
    output: str = ""
    curves: Mapping[str, Any] = field(default_factory=dict)

    @property
    def place(self) -> dict[str, Any]:
        """All but the stream."""
        return {"stage": self.stage, "done": self.done, "total": self.total, "check": self.check}

    def after(self, earlier: "Progress") -> "Progress":
        """This progress, for whoever has not had the earlier one."""
        return replace(self, output=earlier.output + self.output)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Progress":
        return cls(**data)
