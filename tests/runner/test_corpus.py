"""Homework 1 under attack, by the instructor's own tool: hand-ins that cheat earn nothing and read why; an honest one that looks around
finds nothing and loses nothing. test_attacks.py tries each wall by itself."""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command

from grading.runner.runtimes import Runtime

HERE = Path(__file__).resolve().parent
HW1 = HERE.parents[1] / "examples" / "ds-ga-1008" / "hw1-backprop"
ATTACKS = sorted(folder.name for folder in (HERE / "corpus").iterdir() if not folder.name.startswith("correct-"))
STOPPED = ("Stopped", "The process ended by itself", "The process crashed")
JUDGED = {"lying-objects", "nan", "odd-output", "patched-checks", "printed-score"}
EITHER = {"deep-answer", "patched-allclose", "shadowed-modules"}  # as far as they get in the time there is


pytestmark = [pytest.mark.sandbox, pytest.mark.xdist_group("corpus")]


def judged(homework: Path, *hand_ins: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    paths = [str(HERE / "corpus" / name) for name in hand_ins]
    call_command("autograde", str(homework), *paths, "--json", "--jobs", "2", stdout=out, stderr=io.StringIO())
    elements = json.loads(out.getvalue())
    assert isinstance(elements, list)
    return elements


@pytest.fixture(scope="module")
def attacks(torch_runtime: Runtime, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What each attack got on homework 1 with less patience, because many take all the time there is."""
    folder = shutil.copytree(HW1, tmp_path_factory.mktemp("course") / "hw1-backprop")
    text = (folder / "homework.toml").read_text()
    (folder / "homework.toml").write_text(text.replace("wall_s = 60", "wall_s = 20\ncall_s = 2"))
    return dict(zip(ATTACKS, judged(folder, *ATTACKS), strict=True))


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_earns_a_tenth_at_most_and_reads_why(attacks: dict[str, dict[str, Any]], attack: str) -> None:
    element = attacks[attack]
    assert element["points"] <= 5
    message = element["message"] or next(check["message"] for check in element["checks"] if not check["passed"])
    assert message
    if attack not in EITHER:
        assert (element["outcome"], message.startswith(STOPPED)) == (("ok", False) if attack in JUDGED else ("student", True))


def test_a_correct_hand_in_that_looks_around_finds_nothing_and_gets_full_points(torch_runtime: Runtime) -> None:
    (element,) = judged(HW1, "correct-scanner")
    assert (element["outcome"], element["points"]) == ("ok", 50)
    assert [line for line in element["output"].splitlines() if "LEAK" in line] == []
    seen = {tuple(line.split()[1:3]) for line in element["output"].splitlines() if line.startswith("SEEN")}
    assert seen == {("relu", "relu"), ("relu", "identity"), ("sigmoid", "sigmoid"), ("sigmoid", "identity"), ("relu", "sigmoid")}
