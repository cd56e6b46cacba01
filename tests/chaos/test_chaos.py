"""Three seeds of chaos; and that its verdict finds what it is there to find."""

import json
import os
import subprocess
import sys
from collections import Counter
from decimal import Decimal
from pathlib import Path

import pytest

from courseapp.management import local_postgres
from grading import claims, execution
from grading.models import Component, Run, RunResult, Submission
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.services import runs as services
from tests.chaos import plan, verdict
from tests.chaos.plan import HAND_INS, TIMES
from tests.conftest import missing
from tests.grading import making
from tests.grading.site import REPOSITORY

SEEDS = 3


def test_a_plan_strikes_everything_and_is_the_same_each_time() -> None:
    made = [plan.make(seed) for seed in range(1, 21)]
    assert made == [plan.make(seed) for seed in range(1, 21)]
    assert {tuple(sorted(Counter(strike.kind for strike in one.strikes).items())) for one in made} == {tuple(sorted(TIMES.items()))}
    assert {len({strike.kind for strike in one.strikes}) for one in made} == {6}
    assert [one.keeps for one in made[:3]] == [False, True, False]
    assert {Counter(hand_in.student for hand_in in one.hand_ins).total() for one in made} == {HAND_INS}
    assert {tuple(Counter(hand_in.student for hand_in in one.hand_ins).values()) for one in made} == {(4,) * 50}


@pytest.fixture
def judged(db: None, tmp_path: Path) -> tuple[Component, dict[int, Decimal]]:
    """Two students' hand-ins, one right and one wrong, judged; and what each must score."""
    component = making.homework(tmp_path / "plus-one", hidden=False, due_wall="2099-10-01 23:59")
    handed_in = {}
    for name, points in (("ada", 4), ("bob", 0)):
        submission = making.submission(component, name)
        services.enqueue(submission=submission)
        claimed = claims.claim("cpu", "a worker")
        assert claimed is not None
        assert execution.finish(claimed.run, claimed.token, Outcome("ok", Decimal(points), Decimal(4), 0.1))
        handed_in[submission.pk] = Decimal(points)
    return component, handed_in


def found(component: Component, handed_in: dict[int, Decimal]) -> list[str]:
    students = list(component.homework.course.enrollments.order_by("pk"))
    return verdict.problems(component, students, handed_in)


def test_nothing_is_found_where_everything_is_right(judged: tuple[Component, dict[int, Decimal]]) -> None:
    assert found(*judged) == []


def test_a_lost_and_an_unknown_hand_in_are_found(judged: tuple[Component, dict[int, Decimal]]) -> None:
    component, handed_in = judged
    first, second = handed_in
    handed_in[0] = handed_in.pop(second)
    problems = found(component, handed_in)
    assert problems[:2] == ["Hand-in 0 was acknowledged and is not there.", f"Hand-in {second} is there and was never acknowledged."]
    assert "Hand-in 0 has 0 counting results." in problems
    assert not any(f"Hand-in {first} " in problem for problem in problems)


def test_a_run_that_waits_or_failed_is_found(judged: tuple[Component, dict[int, Decimal]]) -> None:
    component, handed_in = judged
    submission = making.submission(component, "ada")
    handed_in[submission.pk] = Decimal(4)
    run = services.enqueue(submission=submission)
    assert found(component, handed_in) == [
        f"Run {run.pk} has not ended: queued, no note",
        f"Hand-in {submission.pk} has 0 counting results.",
    ]
    Run.objects.filter(pk=run.pk).update(state="failed", note="Failed 3 times")
    assert f"Run {run.pk} is failed and has 0 results." in found(component, handed_in)


def test_a_second_counting_result_and_a_strangers_score_are_found(judged: tuple[Component, dict[int, Decimal]]) -> None:
    component, handed_in = judged
    first, second = handed_in
    services.enqueue(submission=Submission.objects.get(pk=first))
    claimed = claims.claim("cpu", "a worker")
    assert claimed is not None
    assert execution.finish(claimed.run, claimed.token, Outcome("ok", Decimal(4), Decimal(4), 0.1))
    RunResult.objects.filter(run__submission=second).update(points=4)
    assert found(component, handed_in) == [
        f"Hand-in {first} has 2 counting results.",
        f"Hand-in {second} has 4.00 points; right are 0.",
        "A student's best hand-in has 0 points, and 4.00 count.",
    ]


@pytest.mark.sandbox
def test_three_seeds_lose_and_double_nothing_where_plain_celery_does_both(torch_runtime: Runtime) -> None:
    try:
        local_postgres.find_binaries()
    except local_postgres.MissingError as problem:
        missing(str(problem))
    environ = os.environ | {"RUNTIME_PYTHON": str(torch_runtime.python)}
    command = [sys.executable, "-m", "tests.chaos", "--seeds", str(SEEDS), "--json"]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-6000:]
    seeds = json.loads(ended.stdout)
    assert [(seed["hand_ins"], seed["runs"], seed["results"], seed["problems"]) for seed in seeds] == [(HAND_INS,) * 3 + ([],)] * SEEDS
    assert sum(seed["late_results"] for seed in seeds) > 0
    assert sum(seed["control_lost"] for seed in seeds) > 0
    assert sum(seed["control_doubled"] for seed in seeds) > 0
