"""Which checks are other ones in a newer bundle."""

from pathlib import Path

import pytest

from grading.runner.bundle import pack
from grading.runner.changed import Changed, changed

TOML = """\
number = 1

[practice]
points = 3
required = ["mlp.py"]

[[check]]
id = "forward"
title = "Forward"
points = 1
visibility = "visible"

[[check]]
id = "backward"
title = "Backward"
points = 2
visibility = "hidden"
"""
CHECKS = """\
from grading.runner.checks import check

BOUND = 3


@check("forward")
def forward(student, trial):
    trial.equal("y", student.call("mlp.f", 1), 1)


@check("backward")
def backward(student, trial):
    trial.equal("dy", student.call("mlp.g", 1), BOUND)
"""


def bundle(folder: Path, *, toml: str = TOML, checks: str = CHECKS, reference: str = "answer = 42\n") -> bytes:
    folder.mkdir(exist_ok=True)
    for name, text in (("homework.toml", toml), ("statement.md", "# One\n"), ("checks.py", checks), ("reference.py", reference)):
        (folder / name).write_text(text)
    return pack(folder).data


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, Changed()),
        ({"checks": CHECKS.replace("def forward", "# a comment\ndef forward")}, Changed()),
        ({"toml": TOML.replace('"Forward"', '"The forward pass"').replace('"hidden"', '"after_due"')}, Changed()),
        ({"checks": CHECKS.replace('"mlp.g", 1', '"mlp.g", 2')}, Changed(frozenset({"backward"}))),
        ({"toml": TOML.replace('"visible"', '"hidden"')}, Changed(frozenset({"forward"}))),
        ({"toml": TOML.replace("points = 1", "points = 0.5")}, Changed(frozenset({"forward"}))),
        ({"checks": CHECKS.replace('"backward")', '"gradients")')}, Changed(frozenset({"backward", "gradients"}))),
        ({"checks": CHECKS.replace("BOUND = 3", "BOUND = 4")}, Changed(shared=("checks.py beside the checks themselves",))),
        ({"reference": "answer = 43\n"}, Changed(shared=("reference.py",))),
        ({"toml": TOML + "\n[practice.limits]\nwall_s = 9\n"}, Changed(shared=("[practice] limits",))),
    ],
)
def test_what_changed_is_named_and_nothing_else(tmp_path: Path, changes: dict[str, str], expected: Changed) -> None:
    assert changed(bundle(tmp_path / "old"), bundle(tmp_path / "new", **changes)) == expected


def test_what_is_no_bundle_is_said(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not a homework's bundle"):
        changed(bundle(tmp_path), b"PK")
