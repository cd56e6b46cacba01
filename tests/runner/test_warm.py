"""The warm process that every sandbox is forked from: it comes back when it is killed, and keeps nothing of a job."""

import os
import signal
import tempfile
import threading
import time
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner import sandbox
from grading.runner.host import Host
from grading.runner.interpreter import inspect_interpreter
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.runner.sandbox import Sandbox
from grading.runner.watch import Fault
from grading.runner.zygote import WarmUpError, Zygote
from tests.patience import PATIENCE_S
from tests.runner.conftest import warm_processes
from tests.runner.homework import ALL_VISIBLE, CHECKS, CORRECT, job

pytestmark = pytest.mark.sandbox


def judged(outcome: Outcome) -> tuple[str, Decimal]:
    return outcome.kind, outcome.points


def test_a_killed_one_fails_its_jobs_and_is_started_again(own_host: Host, runtime: Runtime) -> None:
    others = warm_processes()
    assert own_host.warm(runtime) == ""
    (launcher,) = warm_processes() - others
    outcomes: list[Outcome] = []
    slow = job("import time\ntime.sleep(60)\n" + CORRECT, runtime, specs=ALL_VISIBLE)
    thread = threading.Thread(target=lambda: outcomes.append(own_host.run(slow)))
    thread.start()
    time.sleep(1)
    os.kill(launcher, signal.SIGKILL)
    thread.join(timeout=PATIENCE_S)
    assert [(outcome.kind, outcome.staff_message) for outcome in outcomes] == [("system", "the warm process was ended: Broken pipe")]
    assert judged(own_host.run(job(CORRECT, runtime))) == ("ok", Decimal(10))
    assert launcher not in warm_processes()


def test_a_worn_out_one_serves_until_another_has_everything(own_host: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    others = warm_processes()
    monkeypatch.setattr(sandbox, "JOBS_PER_ZYGOTE", 6)
    assert own_host.warm(runtime, fully=True) == ""
    (first,) = warm_processes() - others
    deadline = time.monotonic() + PATIENCE_S
    while first in warm_processes():
        assert time.monotonic() < deadline
        outcome = own_host.run(job(LATER + CORRECT, runtime, specs=ALL_VISIBLE))
        assert (*judged(outcome), outcome.output) == ("ok", Decimal(10), "True True True\n")
    monkeypatch.undo()
    assert judged(own_host.run(job(CORRECT, runtime))) == ("ok", Decimal(10))
    assert len(warm_processes() - others) == 1


def test_closing_a_host_leaves_no_process(runtime: Runtime) -> None:
    others = warm_processes()
    with closing(Host()) as host:
        assert host.warm(runtime) == ""
        assert len(warm_processes() - others) == 1
    assert warm_processes() == others


LATER = """
import sys
print(*(name in sys.modules for name in ("torch", "torch._dynamo", "matplotlib.pyplot")))
"""


def test_it_serves_before_it_has_everything_and_keeps_nothing_of_that_time(own_host: Host, runtime: Runtime) -> None:
    others = warm_processes()
    assert own_host.warm(runtime) == ""
    early = own_host.run(job(LATER + CORRECT, runtime, specs=ALL_VISIBLE))
    assert (*judged(early), early.output) == ("ok", Decimal(10), "True False False\n")
    assert own_host.warm(runtime, fully=True) == ""
    for _ in range(2):
        late = own_host.run(job(LATER + CORRECT, runtime, specs=ALL_VISIBLE))
        assert (*judged(late), late.output) == ("ok", Decimal(10), "True True True\n")
    assert len(warm_processes() - others) == 1


def test_one_that_may_not_fork_any_more_leaves_it_to_the_one_before(
    own_host: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a module starts when it is imported, a thread, would not live on in a fork."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        Path(folder, "starts_a_thread.py").write_text("import threading, time\nthreading.Thread(target=time.sleep, args=(600,)).start()\n")
        found = inspect_interpreter(runtime.python)
        other = replace(found, site=(*found.site, Path(folder)))
        for module in ("host", "run"):
            monkeypatch.setattr(f"grading.runner.{module}.inspect_interpreter", lambda _python: other)
        monkeypatch.setattr(sandbox, "LATER_MODULES", ("torch._dynamo", "no_such_module", "starts_a_thread"))
        assert own_host.warm(runtime, fully=True) == ""
        for _ in range(2):
            outcome = own_host.run(job(LATER + CORRECT, runtime, specs=ALL_VISIBLE))
            assert (*judged(outcome), outcome.output) == ("ok", Decimal(10), "True False False\n")


TRACES = """
import fcntl, gc, os, socket
found = sorted(type(thing).__name__ for thing in gc.get_objects() if isinstance(thing, socket.socket) and thing.fileno() >= 0)
print(found, os.path.exists("/tmp/handin/mine.txt"), os.listdir("/dev/shm"), "left" in os.environ, hasattr(os, "left"))
for fd in range(2):  # 2 is 1
    print(fcntl.fcntl(fd, fcntl.F_GETSIG), fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK), end=" ")
    fcntl.fcntl(fd, fcntl.F_SETSIG, 42)
    fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND)
os.left = os.environ["left"] = "behind"
open("/tmp/handin/mine.txt", "w").close()
open("/dev/shm/mine.txt", "w").close()
"""


def test_nothing_of_a_job_is_seen_by_the_next(host: Host, runtime: Runtime) -> None:
    for _ in range(2):
        outcome = host.run(job(TRACES + CORRECT, runtime, specs=ALL_VISIBLE))
        assert (*judged(outcome), outcome.output) == ("ok", Decimal(10), "['socket'] False [] False False\n0 0 0 0 ")


def test_randomness_is_not_that_of_the_job_before(host: Host, runtime: Runtime) -> None:
    """The same hand-in draws the same numbers each time, another one others; what must not be foreseen differs always."""
    code = "import os, random, numpy, torch\nprint(random.random(), numpy.random.rand(), torch.rand(1).item(), os.urandom(4).hex())\n"
    drawn = [host.run(job(code + extra + CORRECT, runtime, specs=ALL_VISIBLE)).output.split() for extra in ("", "", "# another\n")]
    assert drawn[0][:3] == drawn[1][:3]
    assert not set(drawn[0][:3]) & set(drawn[2][:3])
    assert len({one[3] for one in drawn}) == 3


def test_what_checks_draw_before_they_are_seeded_is_no_secret_shared(host: Host, runtime: Runtime) -> None:
    """A student's process is forked from the same warm one as the checker's."""
    drawn = "import numpy, random\nfrom grading.runner.checks import Failed\nDRAWN = f'{numpy.random.rand()} {random.random()}'\n"
    checks = drawn + CHECKS.replace("    x = torch.randn(4, 3", "    raise Failed(DRAWN)\n    x = torch.randn(4, 3")
    first, second = (host.run(job(CORRECT, runtime, checks=checks)).checks[0].message.split() for _ in range(2))
    assert len({*first, *second}) == 4


def test_a_slow_import_holds_up_nobody_else(own_host: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    waited: list[bool] = []

    def warmed_up(_zygote: Zygote) -> WarmUpError:
        waited.append(go_on.wait(timeout=PATIENCE_S))
        return WarmUpError("slow")

    monkeypatch.setattr(Zygote, "_warmed_up", warmed_up)
    said: list[str] = []
    threads = [threading.Thread(target=lambda: said.append(own_host.warm(runtime))) for _ in range(3)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    own_host.close()
    assert said == []
    go_on.set()
    for thread in threads:
        thread.join(timeout=PATIENCE_S)
    assert (said, waited) == (["slow"] * 3, [True])


def test_what_is_killed_is_not_asked_for_its_memory(host: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """Adding up the processes of a fork bomb takes longer than anything else, and the bomb goes on for as long."""
    asked: set[bool] = set()

    def fault(process: Sandbox) -> Fault:
        if not process.ended:
            asked.add(process.killed)
        return ""

    monkeypatch.setattr(Sandbox, "fault", fault)
    assert judged(host.run(job("while True: pass\n", runtime, specs=ALL_VISIBLE, limits=Limits(wall_s=1)))) == ("student", Decimal(0))
    assert asked == {False}


def test_the_first_optimizer_imports_nothing(host: Host, runtime: Runtime) -> None:
    code = """
import sys, torch
before = set(sys.modules)
torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
print(len(set(sys.modules) - before))
"""
    assert host.warm(runtime, fully=True) == ""
    outcome = host.run(job(code + CORRECT, runtime, specs=ALL_VISIBLE, limits=Limits(wall_s=20)))
    assert (*judged(outcome), outcome.output) == ("ok", Decimal(10), "0\n")
