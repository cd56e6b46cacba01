"""What becomes of a hand-in, in a real sandbox with the torch runtime."""

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.host import Host
from grading.runner.job import Cancelled, Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import Outcome, Progress
from grading.runner.runtimes import Runtime
from tests.runner import homework
from tests.runner.conftest import Judge
from tests.runner.homework import ALL_VISIBLE, CORRECT, SCALE, SPECS, job

pytestmark = pytest.mark.sandbox


def results(outcome: Outcome) -> dict[str, tuple[bool, bool, str]]:
    return {check.id: (check.passed, check.judged, check.message) for check in outcome.checks}


def test_a_correct_hand_in_gets_all_points(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(job(CORRECT + "\nprint('hello\\0 from the hand-in')\n", runtime))
    assert results(outcome) == {"twice": (True, True, ""), "twice-hidden": (True, True, ""), "scale-hidden": (True, True, "")}
    assert (outcome.kind, outcome.points, outcome.max_points, outcome.message) == ("ok", Decimal(10), Decimal(10), "")
    assert outcome.output == "hello\ufffd from the hand-in\n"  # once: a hidden stage's output is dropped
    assert outcome.provenance["tier"] == "namespaces"
    assert outcome.provenance["runtime_digest"] == runtime.digest
    assert outcome.provenance["seed"] == 1008
    assert Outcome.from_json(outcome.to_json()) == outcome


def test_progress_tells_of_visible_checks_only(host: Host, runtime: Runtime) -> None:
    seen: list[Progress] = []
    host.run(job(CORRECT, runtime), on_progress=seen.append)
    assert [(progress.stage, progress.done, progress.check) for progress in seen] == [
        ("starting", 0, ""),
        ("visible", 0, "Twice"),
        ("visible", 1, "Twice"),
        ("hidden", 1, ""),  # and no more: code in a hidden check could say what it saw by when it ends
    ]


TRAINS = """
import time

calls = 0

def twice(x):
    global calls
    calls += 1
    hidden = tuple(x.shape) != (4, 3)
    for step in range(3):
        print('{"step": %d, "%s": 0.5}' % (step, "hidden" if hidden else "loss"), flush=True)
        time.sleep(0.0 if hidden else 0.6)
    print("secret shape" if hidden else "f\\u00fcr alle \\U0001f600" * 300, end="", flush=True)
    return x + x
"""


def test_the_stream_is_what_the_visible_checks_print_as_it_comes(host: Host, runtime: Runtime) -> None:
    seen: list[Progress] = []
    code = SCALE + TRAINS
    outcome = host.run(job(code, runtime, limits=Limits(output_kb=1, wall_s=60, cpu_s=60)), on_progress=seen.append)
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10)), outcome.message
    assert "".join(progress.output for progress in seen) == outcome.output
    assert len(outcome.output.encode()) - 1024 in {0, 1, 2}  # a letter that is cut through is replaced
    printed = [progress.output for progress in seen if progress.output]
    assert len(printed) >= 3  # each half a second, though nothing else happens
    shown = "".join(str(progress.to_json()) for progress in seen) + str(outcome.to_json())
    assert ("secret" in shown, '"hidden":' in shown) == (False, False)
    assert seen[-1].curves == {"lines": 3, "left_out": {}, "curves": seen[-1].curves["curves"]}
    assert {name: (curve["steps"], curve["means"]) for name, curve in seen[-1].curves["curves"].items()} == {
        "loss": ([0, 1, 2], [0.5, 0.5, 0.5])
    }
    assert Progress.from_json(seen[-1].to_json()) == seen[-1]


UNJUDGED = {
    "a syntax error": ("def twice(x:\n", "mlp.py has a syntax error on line 1: '(' was never closed"),
    "a module that is not there": ("import foo.bar\n", "mlp.py imports the module `foo`, which is not in this runtime."),
    "an error at import": (
        "\nraise ValueError('no data')\n",
        "mlp.py could not be imported: ValueError: no data (in mlp.py line 2)",
    ),
    "an exit at import": ("import sys; sys.exit(3)\n", "mlp.py could not be imported: SystemExit: 3 (in mlp.py line 1)"),
    "the end of the process at import": (
        "import os; os._exit(0)\n",
        "The process ended by itself (exit status 0) before it answered. Take out os._exit, exit and the like.",
    ),
    "a crash at import": (
        "import ctypes; ctypes.string_at(0)\n",
        "The process crashed (SIGSEGV) before it answered.",
    ),
}


@pytest.mark.parametrize(("code", "message"), UNJUDGED.values(), ids=UNJUDGED)
def test_code_that_does_not_load_is_the_students_turn(judge_here: Judge, runtime: Runtime, code: str, message: str) -> None:
    outcome = judge_here(job(code, runtime))
    assert (outcome.kind, outcome.points, outcome.message) == ("student", Decimal(0), message)
    assert results(outcome) == dict.fromkeys(("twice", "twice-hidden", "scale-hidden"), (False, False, message))


def test_a_missing_file_is_named(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job({"other.py": b""}, runtime))
    assert (outcome.kind, outcome.message) == ("student", "mlp.py was not handed in.")


def test_wrong_answers_are_judged_and_explained(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job(SCALE.replace("forward", "backward") + "\ndef twice(x):\n    return x[0]\n", runtime))
    assert outcome.kind == "ok"
    assert results(outcome) == {
        "twice": (False, True, "y: expected shape (4, 3), got (3,)"),
        "twice-hidden": (False, True, "This hidden check did not pass."),
        "scale-hidden": (False, True, "This hidden check did not pass."),
    }
    assert outcome.checks[2].staff_message == "Scale objects have no method forward."


def test_keys_that_nobody_expects_fail_and_are_told_of_visible_checks_only(judge_here: Judge, runtime: Runtime) -> None:
    code = CORRECT.replace('{"w": torch.zeros(size)}', '{"w": torch.zeros(size), "junk": 0}')
    said = "parameters has keys that are not expected: 'junk'"
    for specs, message in ((SPECS, "This hidden check did not pass."), (ALL_VISIBLE, said)):
        scale = judge_here(job(code, runtime, specs=specs)).checks[2]
        assert (scale.passed, scale.judged, scale.message, scale.staff_message) == (False, True, message, said)


def test_a_missing_name_and_an_exception_are_judged(judge_here: Judge, runtime: Runtime) -> None:
    code = "def twice(x):\n    return helper(x)\n\ndef helper(x):\n    raise type('Odd', (KeyError,), {})(f'secret {x.sum()}')\n"
    outcome = judge_here(job(code, runtime))
    assert outcome.kind == "ok"
    assert outcome.checks[0].message.startswith("Odd: 'secret ")
    assert outcome.checks[0].message.endswith("(in mlp.py line 5)")
    assert outcome.checks[1].message == "KeyError, in a hidden check"
    assert outcome.checks[2].message == "This hidden check did not pass."
    assert outcome.checks[2].staff_message == "mlp.py has no class Scale."


def test_points_for_what_works_when_a_call_does_not_end(judge: Judge, runtime: Runtime) -> None:
    code = SCALE + "def twice(x):\n    while True:\n        pass\n"
    outcome = judge(job(code, runtime, limits=Limits(call_s=2)))
    message = "Stopped: no answer after 2 s. Look for an endless or a very slow loop."
    assert results(outcome) == {
        "twice": (False, False, message),
        "twice-hidden": (False, False, f"Not judged, in a hidden check: {message}"),
        "scale-hidden": (True, True, ""),
    }
    assert (outcome.kind, outcome.points, outcome.message) == ("student", Decimal(5), message)


def test_a_stage_is_given_up_after_two_restarts(judge_here: Judge, runtime: Runtime) -> None:
    specs = tuple(CheckSpec(name, name.upper(), Decimal(1), "visible") for name in ("a", "b", "c", "d"))
    outcome = judge_here(job("import os\ndef count():\n    os._exit(1)\n", runtime, checks=STATE, specs=specs))
    ended = "The process ended by itself (exit status 1) before it answered. Take out os._exit, exit and the like."
    assert [check.message for check in outcome.checks] == [ended] * 3 + ["Not tried: the code had to be stopped 3 times before."]


def test_several_jobs_at_once_leave_nothing_behind(runtime: Runtime) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    with closing(Host()) as host, ThreadPoolExecutor(3) as pool:
        outcomes = list(pool.map(lambda code: host.run(job(code, runtime)), [CORRECT, "import os; os._exit(0)\n", CORRECT]))
    assert [(outcome.kind, outcome.points) for outcome in outcomes] == [("ok", Decimal(10)), ("student", Decimal(0)), ("ok", Decimal(10))]
    assert descriptors() == before


def test_an_endless_import_meets_the_wall_limit(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(
        job("import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nwhile True:\n    pass\n", runtime, limits=Limits(wall_s=3))
    )
    message = "Stopped after 3 s of wall time, while the hand-in was loaded. Do less outside of functions."
    assert (outcome.kind, outcome.message) == ("student", message)


def test_the_wall_limit_counts_all_calls_together(judge_here: Judge, runtime: Runtime) -> None:
    code = "import time\ndef twice(x):\n    time.sleep(1.5)\n    return x + x\n"
    outcome = judge_here(job(code, runtime, limits=Limits(wall_s=2)))
    assert outcome.checks[0].passed
    assert results(outcome)["twice-hidden"] in (
        (False, False, "Not judged, in a hidden check: Stopped after 2 s of wall time."),
        (False, False, "Stopped after 2 s of wall time."),
    )


def test_processor_time_has_a_limit_of_its_own(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job("while True:\n    pass\n", runtime, limits=Limits(wall_s=120, cpu_s=5)))
    assert (outcome.kind, outcome.message) == ("student", "Stopped after 5 s of CPU time.")


def test_output_is_shown_to_its_cap(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(
        job(CORRECT + "\nimport os\nos.write(1, b'\\xff\\x1b[31m')\nprint('a' * 100_000)\n", runtime, limits=Limits(output_kb=1))
    )
    assert outcome.points == Decimal(10)
    assert outcome.output == "\ufffd\x1b[31m" + "a" * 1018


def test_a_flood_of_output_is_stopped(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job("while True:\n    print('a' * 100_000)\n", runtime))
    assert (outcome.kind, outcome.message) == ("student", "Stopped after printing more than 64 MB.")
    assert len(outcome.output) == 64 * 1024


def test_a_cancelled_job_is_killed(host: Host, runtime: Runtime) -> None:
    cancelled = threading.Event()
    threading.Timer(1.5, cancelled.set).start()
    start = time.monotonic()
    with pytest.raises(Cancelled):
        host.run(job("while True:\n    pass\n", runtime), cancelled=cancelled)
    assert time.monotonic() - start < 25  # and not at its limit of 30
    assert host.running == 0


def test_a_hand_in_of_several_files(judge_here: Judge, runtime: Runtime) -> None:
    code = CORRECT.replace("x + x", "double(x) if open('data/note.txt').read() == 'two' else x")
    files = {
        "mlp.py": f"{code}\nfrom tools.more import double\n".encode(),
        "tools/more.py": b"import json\ndouble = lambda x: 2 * x\n",
        "data/note.txt": b"two",
        "json.py": b"raise SystemError('not the standard one')",
        "broken.py": b"def",
    }
    outcome = judge_here(job(files, runtime, entry=("mlp.py", "broken.py")))
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10))


def test_a_file_name_that_leaves_the_hand_in_is_refused(runtime: Runtime) -> None:
    for name in ("../mlp.py", "/etc/passwd", "a\0b"):
        with pytest.raises(ValueError, match="leaves the hand-in"):
            job({name: b""}, runtime)


PREFIX = "from grading.runner.checks import check\n"
ONE = (CheckSpec("one", "One", Decimal(1), "visible"),)

ASSIGNMENT = {
    "nothing compared": ("@check('one')\ndef one(student, trial):\n    pass\n", "ended without comparing anything"),
    "an exception": (
        "@check('one')\ndef one(student, trial):\n    trial.true(True, '')\n    1 / 0\n",
        "ZeroDivisionError: division by zero\nchecks.py line 5: 1 / 0",
    ),
    "no function": ("", "no function for one"),
    "an unknown function": ("@check('one')\n@check('two')\ndef one(student, trial):\n    pass\n", "no row in homework.toml for two"),
    "two functions": ("@check('one')\n@check('one')\ndef one(student, trial):\n    pass\n", "two functions are bound to the check “one”"),
    "a syntax error": ("def", "checks.py does not load: SyntaxError"),
    "an exit": ("import os; os._exit(0)\n", "the checker's process"),
}


@pytest.mark.parametrize(("checks", "reason"), ASSIGNMENT.values(), ids=ASSIGNMENT)
def test_a_fault_of_the_checks_is_the_assignments(judge_here: Judge, runtime: Runtime, checks: str, reason: str) -> None:
    outcome = judge_here(job(CORRECT, runtime, checks=PREFIX + checks, specs=ONE))
    assert (outcome.kind, outcome.points) == ("assignment", Decimal(0))
    assert reason in outcome.staff_message
    assert "not your code's doing" in outcome.message
    assert reason not in outcome.message


def test_a_bundle_that_is_no_archive_is_the_assignments(judge_here: Judge, runtime: Runtime) -> None:
    sound = job(CORRECT, runtime)
    outcome = judge_here(Job(**{**vars(sound), "bundle": b"not a zip"}))
    assert (outcome.kind, "cannot be read" in outcome.staff_message) == ("assignment", True)


def test_a_runtime_without_torch_is_ours(judge_here: Judge) -> None:
    outcome = judge_here(job(CORRECT, Runtime("torch", Path(sys.executable), "none")))
    assert outcome.kind == "system"
    assert "No module named" in outcome.staff_message
    assert outcome.message == "The run failed on our side; it does not count as an attempt and will be tried again."


STATE = """
from grading.runner.checks import check

def count(student, trial):
    trial.equal("calls", student.call("mlp.count"), 1)

for name in ("a", "b", "c", "d"):
    check(name)(count)
"""


def test_a_fresh_check_has_a_process_of_its_own(judge_here: Judge, runtime: Runtime) -> None:
    code = "calls = 0\ndef count():\n    global calls\n    calls += 1\n    return calls\n"
    specs = (
        CheckSpec("a", "A", Decimal(1), "visible"),
        CheckSpec("b", "B", Decimal(1), "visible", fresh=True),
        CheckSpec("c", "C", Decimal(1), "hidden"),
        CheckSpec("d", "D", Decimal(1), "hidden", fresh=True),
    )
    assert judge_here(job(code, runtime, checks=STATE, specs=specs)).points == Decimal(4)
    together = tuple(CheckSpec(spec.id, spec.title, spec.points, "visible") for spec in specs)
    assert judge_here(job(code, runtime, checks=STATE, specs=together)).points == Decimal(1)


SEEDS = """
import torch
from grading.runner.checks import check

drawn = set()

@check("steady")
def steady(student, trial):
    drawn.add(trial.seed)
    trial.equal("draws so far", len(drawn), trial.draw + 1)

@check("lucky")
@check("lucky-hidden")
def lucky(student, trial):
    trial.true(student.call("mlp.count") != 2, f"draw {trial.draw} was unlucky")

@check("never")
def never(student, trial):
    trial.true(student.call("mlp.count") < 0, "never")

@check("ends")
def ends(student, trial):
    trial.true(student.call("mlp.count", ends=trial.draw == 1) > 0, "never said")
"""


def test_a_check_gives_the_share_of_its_seeds_that_pass(judge: Judge, runtime: Runtime) -> None:
    code = "import os\ncalls = 0\ndef count(ends=False):\n    global calls\n    calls += 1\n    return os._exit(3) if ends else calls\n"
    visible = {"steady": 4, "lucky": 3, "never": 2, "ends": 3}
    specs = [CheckSpec(name, name, Decimal(2), "visible", fresh=True, seeds=seeds) for name, seeds in visible.items()]
    specs.append(CheckSpec("lucky-hidden", "lucky-hidden", Decimal(2), "hidden", seeds=20))
    outcome = judge(job(code, runtime, checks=SEEDS, specs=tuple(specs)))
    assert [(check.id, check.points, check.passed, check.judged) for check in outcome.checks] == [
        ("steady", Decimal(2), True, True),
        ("lucky", Decimal("1.33"), False, True),
        ("never", Decimal(0), False, True),
        ("ends", Decimal(0), False, False),
        ("lucky-hidden", Decimal("1.90"), False, True),
    ]
    assert (outcome.kind, outcome.points) == ("student", Decimal("5.23"))
    assert [outcome.checks[at].message for at in (0, 1, 2, 4)] == [
        "",
        "It passes with 2 of 3 seeds. draw 1 was unlucky",
        "It passes with 0 of 2 seeds. never",
        "It passes with 19 of 20 seeds. This hidden check did not pass.",
    ]
    assert outcome.checks[4].staff_message == "It passes with 19 of 20 seeds. draw 1 was unlucky"


GROUPS = """
from grading.runner.checks import check

def count(expected):
    return lambda student, trial: trial.equal("calls", student.call("mlp.count"), expected)

for name, expected in {"shared": 1, "first": 1, "shared-too": 2, "second": 2, "own": 1, "other": 1, "hidden": 1}.items():
    check(name)(count(expected))
"""


def test_checks_of_a_group_share_a_fresh_process(judge_here: Judge, runtime: Runtime) -> None:
    code = "calls = 0\ndef count():\n    global calls\n    calls += 1\n    return calls\n"
    groups: dict[str, bool | str] = {
        "shared": False,
        "first": "training",
        "shared-too": False,
        "second": "training",
        "own": True,
        "other": "another",
    }
    specs = [CheckSpec(name, name, Decimal(1), "visible", fresh=group) for name, group in groups.items()]
    specs.append(CheckSpec("hidden", "hidden", Decimal(1), "hidden", fresh="training"))  # never the visible checks' process
    outcome = judge_here(job(code, runtime, checks=GROUPS, specs=tuple(specs)))
    assert [check.id for check in outcome.checks if not check.passed] == []


ECHO = """
import torch
from grading.runner.checks import check
from grading.runner.protocol import Foreign

@check("one")
def one(student, trial):
    values = [None, True, 3, -2.5, "text", (1, [2, {"three": 3}]), {"w": torch.arange(6).reshape(2, 3), 4: "four"}]
    for value in values:
        back = student.call("mlp.echo", value)
        trial.true(type(back) is type(value), f"type of {value}")
    trial.equal("dict", student.call("mlp.echo", {"w": torch.arange(6)}), {"w": torch.arange(6)})
    for dtype in (torch.bool, torch.uint8, torch.int64, torch.float16, torch.bfloat16, torch.float64, torch.complex64):
        for shape in ((), (0, 3), (2, 1, 3)):
            tensor = torch.ones(shape).to(dtype)
            trial.equal(f"{dtype} {shape}", student.call("mlp.echo", tensor), tensor)
    trial.equal("strided", student.call("mlp.turn", torch.arange(6).reshape(2, 3)), torch.arange(6).reshape(2, 3).T.contiguous())
    trial.true(isinstance(student.call("mlp.array"), Foreign), "an array does not cross")
    box = student.new("mlp.Box", 1, two=2)
    trial.equal("kwargs", student.get(box, "value"), [1, 2])
    student.set(box, "value", 5)
    trial.equal("set", student.get(box, "value"), 5)
    trial.equal("itself", student.call("mlp.unbox", box), 5)
    trial.equal("argument", student.argument(0).__class__.__name__, "Foreign")
    trial.true(student.call(box, "same_storage"), "a parameter is set in place")
    student.set(box, "parameters", {"w": torch.ones(2)})
    trial.true(student.call(box, "same_storage"), "a parameter is set in place")
"""

ECHOED = """
import numpy, torch
def echo(value):
    return value
def turn(x):
    return x.T
def array():
    return numpy.ones(3)
def unbox(box):
    return box.value
class Box:
    def __init__(self, one, two):
        self.value = [one, two]
        self.kept = torch.zeros(2, requires_grad=True)
        self.parameters = {"w": self.kept}
    def same_storage(self):
        return self.parameters["w"] is self.kept
"""


def test_values_cross_both_ways(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job(ECHOED, runtime, checks=ECHO, specs=ONE))
    assert (outcome.kind, outcome.checks[0].message, outcome.staff_message) == ("ok", "", "")
    assert outcome.checks[0].passed


HANDED_BACK = """
from grading.runner.checks import check


@check("twice")
def twice(student, trial):
    answer = student.call("mlp.first")
    trial.equal("second", student.call("mlp.second", answer), len(answer))
"""
DENSE = """
import json
from grading.runner import answering, protocol


def pack(header, payload=b""):
    text = json.dumps(header, ensure_ascii=False).encode()
    return protocol._PREFIX.pack(len(text), len(payload)) + text + payload


answering.pack_frame = pack


def first():
    return "é" * 32_000


def second(text):
    return len(text)
"""


def test_an_answer_that_is_handed_back_may_take_more_bytes(judge_here: Judge, runtime: Runtime) -> None:
    """What a process of the student's own sends takes less room than what we make of it; that is no fault of the checks."""
    outcome = judge_here(job(DENSE, runtime, checks=HANDED_BACK, specs=ALL_VISIBLE[:1]))
    assert (outcome.kind, outcome.points, outcome.staff_message) == ("ok", Decimal(2), "")


SHORT = """
from grading.runner.checks import check


@check("twice")
def twice(student, trial):
    trial.equal("steps", student.call("mlp.train", 2 if trial.smoke else 50), "trained")
"""


def test_checks_are_told_that_they_are_a_smoke_check(judge_here: Judge, runtime: Runtime) -> None:
    code = "def train(steps):\n    print(steps)\n    return 'trained'\n"
    asked = job(code, runtime, checks=SHORT, specs=ALL_VISIBLE[:1])
    outcomes = [judge_here(replace(asked, smoke=smoke)) for smoke in (True, False)]
    assert [(outcome.kind, outcome.points, outcome.output) for outcome in outcomes] == [
        ("ok", Decimal(2), "2\n"),
        ("ok", Decimal(2), "50\n"),
    ]


def test_the_same_run_draws_the_same_inputs_and_another_run_others(judge_here: Judge, runtime: Runtime) -> None:
    code = "def twice(x):\n    print(x.sum().item())\n    return x\n"
    first, second = judge_here(job(code, runtime)), judge_here(job(code, runtime))
    assert first.output == second.output
    other = judge_here(Job(**{**vars(job(code, runtime)), "seed": 1009}))
    assert other.output != first.output


def test_a_homework_without_visible_checks(judge_here: Judge, runtime: Runtime) -> None:
    specs = tuple(spec for spec in homework.SPECS if spec.visibility != "visible")
    checks = homework.CHECKS.replace('@check("twice")\n', "")
    outcome = judge_here(job("import foo\nprint('seen')\n", runtime, checks=checks, specs=specs))
    assert outcome.message == "mlp.py imports the module `foo`, which is not in this runtime."
    assert outcome.output == ""


def test_nothing_runs_while_private_files_lie_where_a_sandbox_looks(runtime: Runtime, tmp_path: Path) -> None:
    inside = runtime.python.resolve().parents[1] / "lib" / "course" / "var"
    with closing(Host(private=(tmp_path, inside))) as host:
        outcome = host.run(job(CORRECT, runtime))
    assert (outcome.kind, outcome.points, outcome.checks) == ("system", Decimal(0), ())
    assert f"{inside} lies below" in outcome.staff_message
    with closing(Host(private=(tmp_path,))) as host:
        assert host.run(job(CORRECT, runtime, specs=homework.ALL_VISIBLE)).kind == "ok"


TELLING = "raise ValueError('a text of its own')\n"


def test_a_later_hidden_process_says_no_text_of_its_own(judge_here: Judge, runtime: Runtime) -> None:
    """It may know what an earlier one saw, however it was told. The first one, which saw nothing yet, says why it does not load."""
    specs = tuple(CheckSpec(f"c{number}", "", Decimal(1), "hidden", fresh=True) for number in range(2))
    checks = "from grading.runner.checks import check\n\n" + "".join(
        f"@check('c{number}')\ndef c{number}(student, trial):\n    trial.equal('y', student.call('mlp.twice', 1), 2)\n\n"
        for number in range(2)
    )
    outcome = judge_here(job(TELLING, runtime, checks=checks, specs=specs))
    shown = sorted(check.message for check in outcome.checks)
    assert shown == [
        "ValueError, in a hidden check",
        "mlp.py could not be imported: ValueError: a text of its own (in mlp.py line 1)",
    ]


@pytest.mark.alone
def test_scratch_space_is_given_back_when_its_process_ends(judge_here: Judge, runtime: Runtime) -> None:
    """Else a hand-in could hold as much of it at once as it has processes."""

    def shared_mb() -> float:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("Shmem:"))

    specs = tuple(CheckSpec(f"c{number}", "", Decimal(1), "visible", fresh=True) for number in range(8))
    checks = "from grading.runner.checks import check\n\n" + "".join(
        f"@check('c{number}')\ndef c{number}(student, trial):\n    trial.equal('y', student.call('mlp.twice', 1), 2)\n\n"
        for number in range(8)
    )
    code = "for place in ('/tmp/big', '/dev/shm/big'):\n    open(place, 'wb').write(bytes(60 << 20))\ndef twice(x):\n    return 2 * x\n"
    before, most, over = shared_mb(), [0.0], threading.Event()

    def watch() -> None:
        while not over.wait(0.02):
            most[0] = max(most[0], shared_mb() - before)

    watching = threading.Thread(target=watch)
    watching.start()
    outcome = judge_here(job(code, runtime, checks=checks, specs=specs))
    over.set()
    watching.join()
    assert (outcome.kind, outcome.points) == ("ok", Decimal(8))
    assert most[0] < 750  # eight times 120 otherwise; what other processes of the machine share is in it
