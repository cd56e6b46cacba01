"""Reruns with real runs, and two people who decide at once."""

import json
from contextlib import closing
from decimal import Decimal as D
from pathlib import Path

import pytest
from django.conf import LazySettings

from courseapp import blobs
from courseapp.models import OutboxMail, Role
from grading import claims, execution, jobs
from grading.models import Bundle, Component, Rerun, Run
from grading.queries import reruns as queries
from grading.runner.bundle import autograder_digest, pack
from grading.runner.host import Host
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused
from grading.services import reruns, runs
from tests.conftest import missing
from tests.grading import making
from tests.grading.site import python

HARD_CODED = "def answer(x):\n    return {1: 2, 2: 3, 40: 41}.get(x, 0)\n"
STRICTER = making.CHECKS.replace(
    'check("plus-one-hidden")(ask)',
    """
@check("plus-one-hidden")
def hidden(student, trial):
    x = 1000 + trial.draw
    trial.equal("answer", student.call("answer.answer", x), x + 1)
""",
)


def judge(host: Host) -> None:
    """Everything that waits, for real."""
    while claimed := claims.claim("cpu", "w"):
        assert execution.finish(claimed.run, claimed.token, host.run(jobs.job_of(claimed.run)))


def load(component: Component, folder: Path, checks: str) -> None:
    (folder / "checks.py").write_text(checks)
    packed = pack(folder)
    blobs.put_bytes(packed.data)
    homework = component.homework
    homework.bundle = Bundle.objects.create(digest=packed.digest, autograder_digest=autograder_digest(packed.data), size=len(packed.data))
    homework.save()


@pytest.mark.sandbox
@pytest.mark.django_db
def test_stricter_checks_and_a_repair_in_the_sandbox(tmp_path: Path, settings: LazySettings, torch_runtime: Runtime) -> None:
    settings.RUNTIME_PYTHON = str(torch_runtime.python)
    component = making.homework(tmp_path / "plus-one", score_release="at_once", due_wall="2099-10-01 23:59")
    ta = making.person(component.homework.course, "tom", Role.TA)
    right, fixed = making.submission(component, "ada"), making.submission(component, "bob", HARD_CODED)
    with closing(Host()) as host:
        if isinstance(host.tier, Refused):
            missing(f"{host.tier.reason} {host.tier.fix}")
        for one in (right, fixed):
            runs.enqueue(submission=one)
        judge(host)
        assert (making.score(right), making.score(fixed)) == (10, 10)
        load(component, tmp_path / "plus-one", STRICTER)
        component.check_rows.filter(check_id="plus-one-hidden").update(seeds=3, tolerance=2)
        stricter = reruns.start(component=component, submissions=[right, fixed], by=ta, reason="Larger numbers as well.")
        judge(host)
        table = queries.table(stricter)
        assert [(row.submission, row.old, row.new, row.comparison.reason) for row in table.rows] == [
            (fixed, D(10), D(4), "checks"),
            (right, D(10), D(10), "same"),
        ]
        changes = [(change.words, change.message) for change in table.rows[0].comparison.changes]
        message = "It passes with 0 of 3 seeds. answer: expected 1001, got 0"
        assert changes == [("6 → 0 of 6, its check changed", message)]
        assert table.changed.checks == {"plus-one-hidden"}
        reruns.accept(rerun=stricter, by=ta, items={table.rows[0].item.pk}, seen=table.version, same=True)
        assert (making.score(right), making.score(fixed)) == (10, 4)

        almost = "def answer(x):\n    return x + 1 if x != 1001 else 0\n"
        repair = reruns.start(component=component, submissions=[fixed], by=ta, reason="Repaired.", files={"answer.py": almost.encode()})
        judge(host)
        again = queries.table(repair).rows[0]
        assert (again.new, again.comparison.reason, again.comparison.advised) == (D(8), "patched", True)
        noisy = reruns.start(component=component, submissions=[right], by=ta, reason="Noise.", files={"answer.py": almost.encode()})
        judge(host)
        found = queries.table(noisy).rows[0]
        assert (found.old, found.new, found.comparison.reason, found.comparison.advised) == (D(10), D(8), "noise", False)


DECIDE = """
import json, sys
from courseapp.models import Enrollment
from grading.models import Rerun
from grading.queries import reruns as queries
from grading.services import reruns
rerun, by = Rerun.objects.select_related("component__homework__course").get(), Enrollment.objects.get(role="ta")
table = queries.table(rerun)
act = sys.stdin.readline().strip()
try:
    if act == "discard":
        reruns.discard(rerun=rerun, by=by)
    else:
        reruns.accept(rerun=rerun, by=by, items={row.item.pk for row in table.rows}, seen=table.version)
    print(json.dumps(act))
except reruns.RerunError as problem:
    print(json.dumps(str(problem)))
"""


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("second", ["accept", "discard"])
def test_of_two_who_decide_at_once_one_does(tmp_path: Path, second: str) -> None:
    component = making.homework(tmp_path / "plus-one", score_release="at_once", due_wall="2099-10-01 23:59")
    ta = making.person(component.homework.course, "tom", Role.TA)
    made = [making.submission(component, name) for name in ("ada", "bob")]
    for one in made:
        execution.record(making.run(one, state=Run.State.DONE), making.outcome(10))
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=made, by=ta, reason="Again.")
    for run in rerun.runs.all():
        execution.record(run, making.outcome(4))
    rerun.runs.update(state=Run.State.DONE)
    racers = [python(DECIDE) for _ in range(2)]
    for racer, act in zip(racers, ("accept", second), strict=True):
        assert racer.stdin is not None
        racer.stdin.write(f"{act}\n")
        racer.stdin.flush()
    said = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    done = [one for one in said if one in {"accept", "discard"}]
    state = {"accept": "accepted", "discard": "discarded"}[done[0]]
    assert sorted(said) == sorted([done[0], f"Rerun {rerun.pk} was {state} by Tom already. Nothing was changed."])
    accepted = done == ["accept"]
    assert [making.score(one) for one in made] == ([4, 4] if accepted else [10, 10])
    assert OutboxMail.objects.count() == (2 if accepted else 0)
    assert (Rerun.objects.get().state, Run.objects.filter(proposed=True).count()) == (state, 0 if accepted else 2)
