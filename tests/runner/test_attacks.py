"""Hand-ins that attack: the score, the checker, the other hand-ins, the machine. Every one runs for real, from root and from a user.

The attacks are the doctor's (`grading/runner/doctor/attacks`). Beside them stands what has no verdict but an exact text.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from grading.runner.doctor.attacks import BATTERY
from grading.runner.doctor.judging import SHARED_WITH_THE_MACHINE
from grading.runner.doctor.observing import processes
from grading.runner.host import Host
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from tests.conftest import missing
from tests.runner.conftest import Judge, OrdinaryUser
from tests.runner.homework import ALL_VISIBLE, CORRECT, SCALE, job

pytestmark = pytest.mark.sandbox

REPOSITORY = Path(__file__).resolve().parents[2]


def points(outcome: Outcome) -> tuple[str, Decimal]:
    return outcome.kind, outcome.points


def examined(answer: "subprocess.CompletedProcess[str]") -> tuple[int, dict[str, Any]]:
    """Exit status and report of a doctor that may have found no sandbox at all."""
    assert answer.stdout, answer.stderr
    report: dict[str, Any] = json.loads(answer.stdout)
    if not report["tier"]:
        missing(report["trouble"])
    return answer.returncode, report


def not_held(report: dict[str, Any]) -> list[str]:
    return [f"{attack['name']}: {attack['what']}" for attack in report["attacks"] if not attack["held"]]


def missed(report: dict[str, Any]) -> dict[str, list[str]]:
    """What was not held, but for what other workers' tests disturb: that is for a doctor who is alone on a machine.

    They take time and memory from a neighbour, and an attack may have to be stopped before it gets to what it is about.
    """
    disturbed = SHARED_WITH_THE_MACHINE | {"made"}
    criteria = {attack["name"]: [one for one in attack["missed"] if one not in disturbed] for attack in report["attacks"]}
    return {name: those for name, those in criteria.items() if those}


def assert_held(doctor: Callable[..., "subprocess.CompletedProcess[str]"]) -> dict[str, Any]:
    """The report on the whole battery. What was not held, where a busy machine can be why an honest answer came late, is made again."""
    status, report = examined(doctor())
    assert status == int(bool(not_held(report)))
    assert [attack["name"] for attack in report["attacks"]] == [attack.name for attacks in BATTERY.values() for attack in attacks]
    if names := list(missed(report)):
        _, again = examined(doctor("--only", *names))
        assert missed(again) == {}, not_held(report) + not_held(again)
    return report


@pytest.mark.xdist_group("attacks")  # two doctors at once would measure each other
def test_every_attack_on_this_users_sandbox(runtime: Runtime) -> None:
    nowhere = os.environ | {"RUNTIME_PYTHON": str(runtime.python), "DATABASE_URL": "postgres://nobody@127.0.0.1:1/none"}

    def doctor(*options: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "manage.py", "sandbox_doctor", "--json", *options]
        return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=nowhere)

    assert_held(doctor)


@pytest.mark.xdist_group("attacks")
def test_every_attack_on_an_ordinary_users_sandbox(ordinary_user: OrdinaryUser) -> None:
    def doctor(*options: str) -> "subprocess.CompletedProcess[str]":
        return ordinary_user.run("-m", "grading.runner.doctor", "--runtime", str(ordinary_user.runtime.python), "--json", *options)

    assert assert_held(doctor)["user"] == ordinary_user.uid


def test_scratch_space_has_caps(judge_here: Judge, runtime: Runtime) -> None:
    code = (
        CORRECT
        + """
import errno, os, resource
def fill(path, size):
    try:
        with open(path, "wb") as file:
            for _ in range(size):
                file.write(b"1" * 2**20)
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.remove(path)
print(fill("/tmp/a", 12), fill("/tmp/a", 6), fill("/dev/shm/a", 12))
try:
    for number in range(300):
        open(f"/tmp/{number}", "w").close()
except OSError as error:
    print(errno.errorcode[error.errno], number > 100)
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    )
    outcome = judge_here(job(code, runtime, limits=Limits(tmp_mb=8, files=200, file_mb=4)))
    assert outcome.output.splitlines() == ["EFBIG EFBIG EFBIG", "ENOSPC True", "(0, 0)"]
    outcome = judge_here(job(code, runtime, limits=Limits(tmp_mb=8, files=200)))
    assert outcome.output.splitlines()[0] == "ENOSPC None ENOSPC"


LOOK = """
import json, os
def descriptor(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""
print(json.dumps({
    "ids": [os.getuid(), os.geteuid(), os.getpid(), os.getpgrp()],
    "names": sorted(os.environ),
    "root": sorted(os.listdir("/")),
    "etc": sorted(os.listdir("/etc")),
    "dev": sorted(os.listdir("/dev")),
    "descriptors": sorted(kind.split(":")[0] for kind in map(descriptor, range(256)) if kind),
    "hostname": os.uname().nodename,
}))
"""


def test_a_sandbox_shows_what_it_must_and_nothing_else(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(job(LOOK + CORRECT, runtime))
    assert points(outcome) == ("ok", Decimal(10)), outcome.message or outcome.staff_message
    seen = json.loads(outcome.output)
    assert seen["ids"] == [1000, 1000, 1, 1]  # a process group that reached out of here could be sent signals from here
    assert not {name for name in seen["names"] if "KEY" in name or "URL" in name or "DJANGO" in name}
    assert set(seen["root"]) <= {"dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "tmp", "usr", *runtime_roots(runtime)}
    assert seen["etc"] == ["group", "hosts", "ld.so.cache", "passwd"]
    assert seen["dev"] == ["fd", "null", "random", "shm", "urandom", "zero"]
    assert seen["hostname"] == "sandbox"
    assert seen["descriptors"] == ["/dev/null", "pipe", "pipe", "socket"]


def runtime_roots(runtime: Runtime) -> set[str]:
    """The first folders of where the interpreter and the runtime really are."""
    return {path.parts[1] for path in (runtime.python, Path(os.path.realpath(runtime.python)))}


HALVES = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(*args):
    ctypes.set_errno(0)
    libc.syscall(*(ctypes.c_long(arg) for arg in args))
    return errno.errorcode.get(ctypes.get_errno(), "done")
one, other = socket.socketpair()
one.send(b"in band")
def urgent():
    try:
        one.send(b"!", socket.MSG_OOB)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
print(refused(157, 1, 0), refused(157, 1 + (1 << 32), 0), refused(157, 15, id(b"name") + 32), urgent(), other.recv(9))
"""


def test_the_filter_reads_as_much_of_an_argument_as_the_kernel(judge_here: Judge, runtime: Runtime) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("157 is prctl on x86-64")
    outcome = judge_here(job(HALVES + CORRECT, runtime, specs=ALL_VISIBLE))
    assert (*points(outcome), outcome.output) == ("ok", Decimal(10), "EPERM EPERM done EPERM b'in band'\n"), outcome.message


def alive(mark: str) -> int:
    """How many processes named themselves `mark`."""
    return sum(process.name == mark for process in processes().values())


IN_OUR_NAME = """
import ctypes, json, os, struct, sys, time
ctypes.CDLL(None).prctl(15, b"MARK", 0, 0, 0)
frame = sys._getframe()
while "number" not in frame.f_locals:
    frame = frame.f_back
text = json.dumps({"id": frame.f_locals["number"], **REPLY}).encode()
os.write(4, struct.pack("<II", len(text), 0) + text)
time.sleep(60)
"""
REPLIES = {
    "a value that is none": {"value": 5},
    "a module without a reason": {"value": {"dict": [["mlp", 5]]}},
    "an exception": {"problem": "raised", "message": "mine", "builtin": "ValueError"},
    "a module that does not load": {"problem": "load", "message": "mine", "builtin": "ValueError"},
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_false_answer_to_loading_leaves_no_process(host: Host, runtime: Runtime, reply: object) -> None:
    mark = f"s-{os.urandom(4).hex()}"
    most: list[int] = []
    code = IN_OUR_NAME.replace("REPLY", repr(reply)).replace("MARK", mark)
    outcome = host.run(job(code, runtime, specs=ALL_VISIBLE), on_progress=lambda _: most.append(alive(mark)))
    assert points(outcome) == ("student", Decimal(0)), outcome.staff_message
    assert "something other than an answer" in outcome.message
    assert max(most) <= 1
    assert alive(mark) == 0


def test_an_exit_status_carries_nothing_out_of_a_hidden_check(judge_here: Judge, runtime: Runtime) -> None:
    code = SCALE + "import os\ndef twice(x):\n    if len(x) != 4:\n        os._exit(len(x) + 40)\n    return 2 * x\n"
    outcome = judge_here(job(code, runtime))
    assert outcome.checks[1].message == (
        "Not judged, in a hidden check: The process ended by itself before it answered. Take out os._exit, exit and the like."
    )


def test_data_loaders_and_optimizers_work(judge: Judge, runtime: Runtime) -> None:
    """What homework needs is not among the walls."""
    code = (
        CORRECT
        + """
import tempfile, torch
from pathlib import Path
data = torch.utils.data.TensorDataset(torch.randn(64, 3))
loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, shuffle=True)
layer = torch.nn.Linear(3, 1)
optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
for (x,) in loader:
    optimizer.zero_grad()
    layer(x).pow(2).mean().backward()
    optimizer.step()
with tempfile.TemporaryDirectory() as folder:
    torch.save(layer.state_dict(), Path(folder) / "layer.pt")
    torch.load(Path(folder) / "layer.pt", weights_only=True)
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.savefig("/tmp/plot.png")
import pandas, numpy
print(len(pandas.DataFrame({"a": numpy.arange(3)})), torch.get_num_threads())
"""
    )
    outcome = judge(job(code, runtime, limits=Limits(wall_s=120, cpu_s=120)))
    assert (*points(outcome), outcome.output) == ("ok", Decimal(10), "3 1\n"), outcome.message
