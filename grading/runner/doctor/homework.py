"""The homework that is attacked. Whatever of it must stay secret carries a canary, drawn anew for each examination."""

import io
import secrets
import zipfile
from dataclasses import dataclass, field
from decimal import Decimal

from grading.runner.manifest import CheckSpec

SPECS = (
    CheckSpec("twice", "Twice", Decimal(2), "visible"),
    CheckSpec("twice-hidden", "Twice, other sizes", Decimal(3), "hidden"),
    CheckSpec("scale-hidden", "Scale", Decimal(5), "after_due"),
    CheckSpec("answer-hidden", "What nobody can know", Decimal(4), "hidden"),
)

_CHECKS = """
from pathlib import Path

import torch

from grading.runner.checks import Student, Trial, check
from reference import EXPECTED, double

SECRET = "@CHECKS@"
DATA = Path("data/labels.txt").read_text()


@check("twice")
def twice(student: Student, trial: Trial) -> None:
    x = torch.randn(4, 3, generator=trial.generator)
    trial.close("y", student.call("mlp.twice", x), double(x))


@check("twice-hidden")
def other_sizes(student: Student, trial: Trial) -> None:
    for size in (1, 5):
        x = torch.randn(size, 3, generator=trial.generator, dtype=torch.float64)
        x[0] = @NUMBER@
        trial.close("y", student.call("mlp.twice", x), double(x))
        trial.equal("x afterwards", student.argument(0), x)


@check("scale-hidden")
def scaled(student: Student, trial: Trial) -> None:
    scale = student.new("mlp.Scale", 3)
    w = torch.randn(3, generator=trial.generator)
    student.set(scale, "parameters", {"w": w})
    x = torch.randn(7, 3, generator=trial.generator)
    trial.close("y", student.call(scale, "forward", x), x * w)
    trial.close("parameters", student.get(scale, "parameters"), {"w": w})


@check("answer-hidden")
def answer(student: Student, trial: Trial) -> None:
    trial.equal("answer", student.call("mlp.answer", "@INPUT@"), EXPECTED)
"""

_REFERENCE = """
EXPECTED = "@EXPECTED@"


def double(x):
    return 2 * x
"""


def _token(kind: str) -> str:
    return f"canary-{kind}-{secrets.token_hex(8)}"


@dataclass(frozen=True)
class Canaries:
    """Texts that nothing a student is shown may hold. `number` is in hidden inputs, `neighbour` in the hand-in beside the attack's."""

    input: str = field(default_factory=lambda: _token("input"))
    number: str = field(default_factory=lambda: str(10_000_000 + secrets.randbelow(89_000_000)))
    expected: str = field(default_factory=lambda: _token("expected"))
    checks: str = field(default_factory=lambda: _token("checks"))
    data: str = field(default_factory=lambda: _token("data"))
    neighbour: str = field(default_factory=lambda: _token("neighbour"))
    host: str = field(default_factory=lambda: _token("host"))

    def found(self, text: str) -> list[str]:
        """The kinds of those that `text` holds, as they are, turned round or in hexadecimal."""
        kept = text.lower()
        return [kind for kind, value in vars(self).items() if any(form in kept for form in (value, value[::-1], value.encode().hex()))]


def bundle(canaries: Canaries) -> bytes:
    texts = {"checks.py": _CHECKS, "reference.py": _REFERENCE, "data/labels.txt": "@DATA@"}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in texts.items():
            for kind, value in vars(canaries).items():
                text = text.replace(f"@{kind.upper()}@", value)
            archive.writestr(name, text)
    return buffer.getvalue()
