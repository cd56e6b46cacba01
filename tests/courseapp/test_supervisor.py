"""The supervisor with real processes: restarts, jobs, and that nothing is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from courseapp.management.supervisor import Child, Supervisor
from tests.patience import PATIENCE_S, eventually

FOREVER = "import time; time.sleep(600)"
WITH_GRANDCHILD = """
import pathlib, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import signal, time; signal.signal(15, signal.SIG_IGN); time.sleep(600)"])
pathlib.Path(sys.argv[1]).write_text(str(child.pid))
time.sleep(600)
"""


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def supervisor(tmp_path: Path, said: list[str]) -> Iterator[Supervisor]:
    made = Supervisor(tmp_path / "log", os.environ, said.append)
    yield made
    made.stop(grace=0.5)


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def pid_in(file: Path) -> int:
    eventually(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


def test_a_killed_child_starts_again_and_that_is_said(supervisor: Supervisor, said: list[str]) -> None:
    child = supervisor.add(Child("web", python(FOREVER)))
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    assert supervisor.watch(lambda: child.process is not None and child.process.pid != first, PATIENCE_S)
    assert said == ["web was killed by SIGKILL; it starts again."]


def test_a_child_that_keeps_dying_is_tried_less_and_less_often_with_its_last_words(supervisor: Supervisor, said: list[str]) -> None:
    child = supervisor.add(Child("beat", python("print('no schedule'); raise SystemExit(3)")))
    assert supervisor.watch(lambda: child.failures == 3, PATIENCE_S)
    assert said[:4] == [
        "beat ended with status 3; it starts again.",
        "  its last line: no schedule",
        "beat ended with status 3; it starts again in 1 s.",
        "  its last line: no schedule",
    ]
    assert child.again_at - child.started > 2


def test_a_job_that_ends_well_is_not_started_again(supervisor: Supervisor, said: list[str]) -> None:
    child = supervisor.add(Child("install", python(""), kind="job", on_done=lambda: said.append("ready")))
    assert supervisor.watch(lambda: child.done, PATIENCE_S)
    supervisor.tick()
    assert (said, child.process) == (["ready"], None)


def test_a_step_tells_its_status_while_the_others_are_kept_alive(supervisor: Supervisor) -> None:
    child = supervisor.add(Child("web", python(FOREVER)))
    assert child.process is not None
    first = child.process.pid
    os.kill(first, signal.SIGKILL)
    assert supervisor.finish(supervisor.add(Child("step", python("import time; time.sleep(1.5); raise SystemExit(4)"), kind="step"))) == 4
    assert child.process is not None
    assert child.process.pid != first


def test_a_child_can_be_made_to_let_others_go_first(supervisor: Supervisor, tmp_path: Path) -> None:
    code = "import os, pathlib, sys, time; pathlib.Path(sys.argv[1]).write_text(str(os.nice(0))); time.sleep(600)"
    child = supervisor.add(Child("runs", python(code, str(tmp_path / "nice")), niceness=7))
    assert pid_in(tmp_path / "nice") == os.nice(0) + 7
    assert child.process is not None
    by_session = Path(f"/proc/{child.process.pid}/autogroup")
    if by_session.exists() and Path("/proc/sys/kernel/sched_autogroup_enabled").read_text().strip() == "1":
        assert by_session.read_text().split()[1:] == ["nice", "7"]


def test_stopping_ends_a_child_that_ignores_it_and_what_that_child_started(supervisor: Supervisor, tmp_path: Path) -> None:
    supervisor.add(Child("stubborn", python("import signal; signal.signal(15, signal.SIG_IGN)\n" + WITH_GRANDCHILD, str(tmp_path / "pid"))))
    pids = [pid_in(tmp_path / "pid"), supervisor.children[0].process.pid if supervisor.children[0].process else 0]
    supervisor.stop(grace=0.5)
    eventually(lambda: not any(map(is_alive, pids)))
    assert supervisor.children == []


def test_a_dead_childs_leftovers_are_gone_before_it_starts_again(supervisor: Supervisor, tmp_path: Path) -> None:
    child = supervisor.add(Child("web", python(WITH_GRANDCHILD, str(tmp_path / "pid"))))
    orphan = pid_in(tmp_path / "pid")
    assert child.process is not None
    os.kill(child.process.pid, signal.SIGKILL)
    assert supervisor.watch(lambda: child.failures == 1, PATIENCE_S)
    eventually(lambda: not is_alive(orphan))


def test_children_die_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path; from courseapp.management.supervisor import Child, Supervisor\n"
        "supervisor = Supervisor(Path(sys.argv[1]) / 'log', os.environ, print)\n"
        "child = supervisor.add(Child('web', [sys.executable, '-c', 'import time; time.sleep(600)']))\n"
        "(Path(sys.argv[1]) / 'pid').write_text(str(child.process.pid))\n"
        "supervisor.watch(lambda: False)\n"
    )
    with subprocess.Popen(python(script, str(tmp_path))) as process:
        child = pid_in(tmp_path / "pid")
        process.kill()
    assert process.returncode == -signal.SIGKILL
    eventually(lambda: not is_alive(child))
