"""Whatever a student's process writes, the checker ends in time and gives nobody a point. docs/sandbox.md says how to run it longer."""

import json
import os
import random
import struct
import subprocess
import sysconfig
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.protocol import pack_frame
from grading.runner.runtimes import Runtime
from tests.runner.conftest import Judge
from tests.runner.homework import ALL_VISIBLE, QUICK, job

pytestmark = pytest.mark.sandbox

RUNS = 100
FROM_THE_APPLICATION = ("hypothesis", "_hypothesis_globals.py", "_hypothesis_ftz_detector.py", "sortedcontainers")  # plain Python


def test_the_checker_holds_against_hostile_replies(runtime: Runtime, tmp_path: Path) -> None:
    for name in FROM_THE_APPLICATION:
        (tmp_path / name).symlink_to(Path(sysconfig.get_path("purelib")) / name)
    done = subprocess.run(
        [str(runtime.python), "-m", "tests.runner.fuzzing", str(RUNS)],
        cwd=Path(__file__).resolve().parents[2],
        env=os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["runs"] == RUNS
    assert {"done", "protocol", "call", "load", "closed"} <= seen["ended"].keys()  # the plans reach every way to end


# Takes the connection over: answers with bytes of its own choice.
TAKES_OVER = """
import os

REPLIES = {replies!r}

def twice(x):
    for reply in REPLIES:
        os.write(4, reply)
    while True:
        pass
"""


ONE = """
import torch

from grading.runner.checks import check


@check("twice")
def twice(student, trial):
    trial.close("y", student.call("mlp.twice", torch.ones(3)), torch.full((3,), 2.0))
"""


def hostile(draw: random.Random) -> list[bytes]:
    """What one process writes, one after the other."""
    return [
        draw.choice(
            [
                draw.randbytes(draw.randrange(1, 200)),
                pack_frame({"id": draw.randrange(2**62), "value": draw.choice([None, True, 1e308, "x"])}),
                pack_frame({"id": [0] * 20, "problem": "raised"}, draw.randbytes(9)),
                struct.pack("<II", draw.randrange(2**32), draw.randrange(2**32)),
                struct.pack("<II", 30000, 0) + b"[" * 30000,
                b"",
            ]
        )
        for _ in range(draw.randrange(1, 4))
    ]


@pytest.mark.parametrize("number", range(4))
def test_a_process_that_takes_the_connection_over_earns_nothing(judge_here: Judge, runtime: Runtime, number: int) -> None:
    code = TAKES_OVER.format(replies=hostile(random.Random(number)))
    outcome = judge_here(job(code, runtime, specs=ALL_VISIBLE[:1], checks=ONE, limits=replace(QUICK, call_s=1)))
    assert (outcome.kind, outcome.points) == ("student", Decimal(0))
    assert outcome.message.startswith("Stopped")
