"""The doctor must be able to say no: each criterion is missed once, from what was really measured, and once by the whole command."""

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from grading.runner.doctor import command, judging
from grading.runner.doctor.attack import HONEST, RIGHT, Attack
from grading.runner.doctor.attacks import BATTERY
from grading.runner.doctor.attacks.memory import ATTACKS as MEMORY
from grading.runner.doctor.examining import Examiner
from grading.runner.doctor.homework import SPECS
from grading.runner.doctor.judging import Record, faults
from grading.runner.doctor.observing import living
from grading.runner.host import Host
from grading.runner.runtimes import Runtime

pytestmark = pytest.mark.alone

REPOSITORY = Path(__file__).resolve().parents[2]
HARMLESS = Attack("harmless", "Did nothing of note", RIGHT + "made()\n", honest=HONEST)


# One pid namespace in another, as those of jobs are.
NESTED = ["unshare", "--user", "--map-root-user", "--pid", "--fork", "unshare", "--pid", "--fork", "sleep", "30"]


def attack(name: str) -> Attack:
    return next(attack for attacks in BATTERY.values() for attack in attacks if attack.name == name)


def missed(record: Record) -> list[str]:
    return [fault.criterion for fault in faults(record)]


@pytest.fixture(scope="module")
def examiner(host: Host, runtime: Runtime) -> Iterator[Examiner]:
    with Examiner(host, runtime) as examiner:
        yield examiner


@pytest.fixture(scope="module")
def record(examiner: Examiner) -> Record:
    """What was measured of a hand-in that is right and harms nobody; a busy machine does not count here."""
    return replace(examiner.attempt(HARMLESS), alone_s=60.0, memory_mb=0.0)


def test_the_battery_has_enough_attacks_and_no_name_twice() -> None:
    names = [attack.name for attacks in BATTERY.values() for attack in attacks]
    assert len(names) == len(set(names)) >= 60
    assert [attack.name for attacks in BATTERY.values() for attack in attacks if attack.tries.endswith(".")] == []


@pytest.mark.sandbox
def test_what_harms_nobody_is_held(record: Record) -> None:
    assert faults(record) == []
    assert (record.kind, record.points, record.made) == ("ok", Decimal(HONEST), True)


@pytest.mark.sandbox
def test_points_that_the_answers_are_not_worth_are_noticed(record: Record) -> None:
    assert missed(replace(record, honest=Decimal(0))) == ["score"]
    assert missed(replace(record, honest=Decimal(14))) == ["score"]


@pytest.mark.sandbox
@pytest.mark.parametrize("kind", ["system", "assignment"])
def test_a_run_that_ends_as_our_failure_is_noticed(record: Record, kind: str) -> None:
    assert missed(replace(record, kind=kind)) == ["score"]


@pytest.mark.sandbox
def test_hidden_inputs_that_are_shown_are_noticed(host: Host, runtime: Runtime) -> None:
    """In a homework whose hidden checks were declared visible, by mistake."""
    open_to_all = tuple(replace(spec, visibility="visible") for spec in SPECS)
    with Examiner(host, runtime, open_to_all) as examiner:
        record = examiner.attempt(attack("inputs-printed"))
        assert sorted(record.leaked) == ["expected", "input", "number"]
        assert "hidden" in missed(record)


@pytest.mark.sandbox
def test_a_leak_in_disguise_is_noticed(examiner: Examiner) -> None:
    secret = examiner.canaries.expected
    assert examiner.canaries.found(f"…{secret[::-1]}…") == ["expected"]
    assert examiner.canaries.found(secret.encode().hex().upper()) == ["expected"]
    assert examiner.canaries.found(f"seen: {examiner.canaries.number}.0") == ["number"]
    assert examiner.canaries.found("canary-expected-0000000000000000") == []


@pytest.mark.sandbox
def test_a_process_that_lives_on_is_noticed(examiner: Examiner) -> None:
    """One as deep below this process as those of jobs are."""
    leaving: list[subprocess.Popen[bytes]] = []

    def leave() -> None:
        leaving.append(subprocess.Popen(NESTED, process_group=0))

    later = threading.Timer(0.05, leave)
    later.start()
    record = examiner.attempt(HARMLESS)
    later.join()
    os.killpg(leaving[0].pid, 9)
    leaving[0].wait()
    assert len(record.survivors) == 1  # the other two are no deeper than a launcher and a warm process
    assert "survivors" in missed(record)


@pytest.mark.sandbox
def test_a_process_that_bears_the_attacks_name_is_noticed_wherever_it_is(examiner: Examiner) -> None:
    naming = "import ctypes, sys, time; ctypes.CDLL(None).prctl(15, sys.argv[1].encode(), 0, 0, 0); print(flush=True); time.sleep(30)"
    known = living("att-elsewhere", set())  # of other tests' hosts
    with subprocess.Popen([sys.executable, "-c", naming, "att-elsewhere"], stdout=subprocess.PIPE) as elsewhere:
        assert elsewhere.stdout is not None
        elsewhere.stdout.readline()
        assert [process.pid for process in examiner.survivors("att-elsewhere", known)] == [elsewhere.pid]
        elsewhere.kill()


@pytest.mark.sandbox
def test_a_neighbour_that_waits_is_noticed(record: Record) -> None:
    assert missed(replace(record, alone_s=record.slowest_s / 2.9)) == []
    assert missed(replace(record, alone_s=record.slowest_s / 3.1)) == ["neighbour"]


@pytest.mark.sandbox
def test_a_neighbour_that_loses_points_is_noticed(record: Record) -> None:
    assert missed(replace(record, neighbours=[*record.neighbours, replace(record.neighbours[0], right=False)])) == ["score"]


@pytest.mark.sandbox
def test_an_attack_that_failed_by_the_neighbours_time_alone_is_made_again(examiner: Examiner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "NEIGHBOUR_FACTOR", 0.01)
    finding = examiner.examine("none", HARMLESS)
    assert (finding.held, finding.again, [fault.criterion for fault in finding.faults]) == (False, True, ["neighbour"])
    assert "A healthy job beside it took" in finding.what


@pytest.mark.sandbox
def test_memory_past_the_limit_is_noticed(examiner: Examiner) -> None:
    """A real half gigabyte, against a limit that was a quarter of it."""
    measured = [examiner.attempt(one) for one in MEMORY if one.name in ("memory-shared", "memory-piece-by-piece")]
    assert max(record.memory_mb for record in measured) > 200
    assert all("memory" not in missed(record) for record in measured)
    weakened = [replace(record, memory_limit_mb=128.0) for record in measured]
    assert "memory" in [criterion for record in weakened for criterion in missed(record)]


@pytest.mark.sandbox
def test_what_an_attack_got_through_to_is_told(examiner: Examiner) -> None:
    through = replace(HARMLESS, code=RIGHT + "attempt('a file in /tmp', lambda: open('/tmp/mine', 'w'))\nmade()\n")
    record = examiner.attempt(through)
    assert list(record.reached) == ["a file in /tmp"]
    assert "reached" in missed(record)


@pytest.mark.sandbox
def test_an_attack_that_was_not_made_is_not_held(examiner: Examiner) -> None:
    assert "made" in missed(examiner.attempt(replace(HARMLESS, code=RIGHT)))
    assert "made" in missed(examiner.attempt(replace(HARMLESS, code="1 / 0\n")))


def run(runtime: Runtime, battery: command.Battery) -> tuple[int, str]:
    out = io.StringIO()
    status = command.run(
        runtime,
        names=[],
        classes=[],
        as_json=True,
        out=lambda text: print(text, file=out),
        log=lambda _: None,
        battery=battery,
    )
    return status, out.getvalue()


@pytest.mark.sandbox
def test_one_attack_that_got_through_ends_the_command_with_status_1(runtime: Runtime) -> None:
    """A hand-in that earns ten points where none were to be had, beside one that is held."""
    status, text = run(runtime, {"weak": (replace(HARMLESS, name="weak", honest=0), attack("infinity"))})
    report = json.loads(text)
    assert [(row["name"], row["held"]) for row in report["attacks"]] == [("weak", False), ("infinity", True)]
    assert report["attacks"][0]["what"] == "Did nothing of note. It got 10 points; its answers are worth 0."
    assert (status, report["held"]) == (1, 1)


@pytest.mark.sandbox
def test_the_report_keeps_its_contract(runtime: Runtime) -> None:
    status, text = run(runtime, {"answers": (attack("infinity"),)})
    report = json.loads(text)
    assert status == 0
    assert (report["tier"], report["trouble"]) == ("namespaces", "")
    assert [set(row) for row in report["tiers"]] == [{"name", "available", "why"}] * 3
    assert [(row["name"], row["available"]) for row in report["tiers"]] == [("namespaces", True), ("bubblewrap", False), ("refuse", True)]
    (row,) = report["attacks"]
    assert (row["name"], row["held"], row["class"]) == ("infinity", True, "answers")
    assert row["what"] == "Answered infinity, for a tolerance that becomes infinite. It was held."


@pytest.mark.sandbox
def test_people_read_a_table_and_its_last_line(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_PYTHON", str(runtime.python))
    out = io.StringIO()
    call_command("sandbox_doctor", "--only", "infinity", stdout=out)
    first, *_, last = out.getvalue().strip().splitlines()
    assert first == "tier: namespaces"
    assert last.startswith("All 1 attacks were held, in ")


def test_a_name_that_is_none_is_a_usage_error(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNTIME_PYTHON", str(runtime.python))
    for option, name in (("--only", "nobody"), ("--class", "nothing")):
        with pytest.raises(CommandError, match=f"There is no (attack|class) “{name}”") as refused:
            call_command("sandbox_doctor", option, name)
        assert refused.value.returncode == 2
    for arguments in (["--runtime", "/nowhere"], ["--runtime", sys.executable, "--only", "nobody"], []):
        answer = subprocess.run([sys.executable, "-m", "grading.runner.doctor", *arguments], capture_output=True, text=True, cwd=REPOSITORY)
        assert (answer.returncode, answer.stdout) == (2, "")


WITHOUT_NAMESPACES = """
import errno, runpy, sys
import pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.ERRNO(errno.EPERM), "unshare")
rules.load()
sys.argv = ["doctor", "--runtime", sys.executable, "--json"]
runpy.run_module("grading.runner.doctor", run_name="__main__")
"""


def test_where_no_tier_holds_it_says_why_and_what_helps() -> None:
    answer = subprocess.run([sys.executable, "-c", WITHOUT_NAMESPACES], capture_output=True, text=True, cwd=REPOSITORY)
    report = json.loads(answer.stdout)
    assert (answer.returncode, report["tier"], report["attacks"]) == (1, "", [])
    assert report["tiers"][0]["available"] is False
    assert report["tiers"][0]["why"] == report["trouble"]
    assert "unshare: Operation not permitted" in report["trouble"]
    assert "Not examined: A sandbox could not be built" in answer.stderr.strip().splitlines()[-1]
