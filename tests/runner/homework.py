"""A small homework of the tests' own: twice a tensor, by a function and by an object, once for all to see and once hidden."""

import io
import zipfile
from collections.abc import Mapping
from decimal import Decimal

from grading.runner.job import Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.runtimes import Runtime

CHECKS = """
import torch

import reference
from grading.runner.checks import Failed, Student, Trial, check

SECRET = "the-expected-values-of-checks"


@check("twice")
def twice(student: Student, trial: Trial) -> None:
    x = torch.randn(4, 3, generator=trial.generator)
    trial.close("y", student.call("mlp.twice", x), reference.twice(x))


@check("twice-hidden")
def twice_hidden(student: Student, trial: Trial) -> None:
    for size in (1, 5, 20):
        x = torch.randn(size, 3, generator=trial.generator)
        trial.close("y", student.call("mlp.twice", x), reference.twice(x))
        trial.equal("x afterwards", student.argument(0), x)


@check("scale-hidden")
def scale_hidden(student: Student, trial: Trial) -> None:
    scale = student.new("mlp.Scale", 3)
    w = torch.randn(3, generator=trial.generator)
    student.set(scale, "parameters", {"w": w})
    x = torch.randn(7, 3, generator=trial.generator)
    trial.close("y", student.call(scale, "forward", x), x * w)
    trial.close("parameters", student.get(scale, "parameters"), {"w": w})
"""

REFERENCE = """
def twice(x):
    return 2 * x
"""

SCALE = """
import torch


class Scale:
    def __init__(self, size):
        self.parameters = {"w": torch.zeros(size)}

    def forward(self, x):
        return x * self.parameters["w"]
"""

CORRECT = (
    SCALE
    + """
def twice(x):
    return x + x
"""
)

SPECS = (
    CheckSpec("twice", "Twice", Decimal(2), "visible"),
    CheckSpec("twice-hidden", "Twice, other sizes", Decimal(3), "hidden"),
    CheckSpec("scale-hidden", "Scale", Decimal(5), "after_due"),
)

# The same without a hidden stage, which is a process more to start.
ALL_VISIBLE = tuple(CheckSpec(spec.id, spec.title, spec.points, "visible") for spec in SPECS)

QUICK = Limits(wall_s=30, cpu_s=30, call_s=4, memory_mb=1024)


def bundle(checks: str = CHECKS, reference: str = REFERENCE, more: Mapping[str, str] | None = None) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in {"checks.py": checks, "reference.py": reference, **(more or {})}.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def job(
    code: str | dict[str, bytes],
    runtime: Runtime,
    *,
    checks: str = CHECKS,
    specs: tuple[CheckSpec, ...] = SPECS,
    limits: Limits = QUICK,
    entry: tuple[str, ...] = ("mlp.py",),
    more: Mapping[str, str] | None = None,
    outputs: tuple[str, ...] = (),
    outputs_mb: int = 10,
) -> Job:
    """`more`: further files of the homework's folder."""
    files = {"mlp.py": code.encode()} if isinstance(code, str) else code
    return Job(bundle(checks, more=more), files, specs, limits, runtime, seed=1008, entry=entry, outputs=outputs, outputs_mb=outputs_mb)
