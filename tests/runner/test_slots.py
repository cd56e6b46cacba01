"""What a slot gives a process that no other has, and what is counted for all processes of a sandbox together."""

import os
import threading
import time
from contextlib import closing
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner import cgroups
from grading.runner.host import Host
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.runner.watch import descendants, is_sandboxed
from grading.runner.zygote import FIRST_SLOT_UID, SLOTS
from tests.conftest import missing
from tests.patience import eventually
from tests.runner.conftest import Judge, warm_processes
from tests.runner.homework import ALL_VISIBLE, CORRECT, job

pytestmark = pytest.mark.sandbox


def jobs_below(launcher: int) -> dict[int, int]:
    """uid by process of the checkers and the students."""
    return {pid: Path(f"/proc/{pid}").stat().st_uid for pid in descendants(launcher) if is_sandboxed(pid)}


def test_no_two_processes_have_a_uid_in_common(own_host: Host, runtime: Runtime) -> None:
    if os.geteuid() != 0:
        missing("Only root can give out uids.")
    others = warm_processes()
    assert own_host.warm(runtime) == ""
    (launcher,) = warm_processes() - others
    code = "import time\ntime.sleep(4)\n" + CORRECT
    threads = [threading.Thread(target=own_host.run, args=(job(code, runtime, limits=Limits(wall_s=20)),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(jobs_below(launcher)) >= 6, lambda: f"a checker and two students, twice, are there: {jobs_below(launcher)}")
    uids = list(jobs_below(launcher).values())
    for thread in threads:
        thread.join()
    assert len(uids) == len(set(uids)) == 6
    assert all(FIRST_SLOT_UID <= uid < FIRST_SLOT_UID + SLOTS for uid in uids)


def test_a_closed_host_leaves_no_group(runtime: Runtime) -> None:
    found = cgroups.find()
    if found is None:
        missing("This user may make no control groups here.")
    parents = {folder.parent for folder in found.folders.values()}
    found.close()

    def groups() -> set[Path]:
        return {path for parent in parents for path in parent.glob(f"sandboxes-{os.getpid()}-*")}

    before = groups()
    with closing(Host()) as host:
        assert host.run(job(CORRECT, runtime)).kind == "ok"
        assert len(groups() - before) == len(parents)
    assert groups() == before


WORKERS = """
import os
def work(seconds):
    import time
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
def crowd(count, seconds):
    children = []
    for _ in range(count):
        pid = os.fork()
        if pid == 0:
            work(seconds)
            os._exit(0)
        children.append(pid)
    for pid in children:
        os.waitpid(pid, 0)
"""


def ended(outcome: Outcome) -> tuple[str, str]:
    return outcome.kind, outcome.message


def test_the_time_of_all_processes_counts(judge: Judge, runtime: Runtime) -> None:
    """Each of them is within the limit; together they are not."""
    crowded = job(WORKERS + "crowd(6, 0.9)\n" + CORRECT, runtime, specs=ALL_VISIBLE, limits=Limits(wall_s=30, cpu_s=2))
    assert ended(judge(crowded)) == ("student", "Stopped after 2 s of CPU time.")
    alone = job(WORKERS + "crowd(2, 0.3)\n" + CORRECT, runtime, specs=ALL_VISIBLE, limits=Limits(wall_s=30, cpu_s=2))
    outcome = judge(alone)
    assert (*ended(outcome), outcome.points) == ("ok", "", Decimal(10))


@pytest.mark.alone
def test_a_crowd_leaves_its_neighbour_a_share(judge: Judge, runtime: Runtime) -> None:
    """As many busy processes as it may have, beside one hand-in that needs a second of processor time."""
    alone = judge(job(WORKERS + "work(1)\n" + CORRECT, runtime, specs=ALL_VISIBLE)).seconds
    bomb = job(WORKERS + "crowd(50, 60)\n" + CORRECT, runtime, specs=ALL_VISIBLE, limits=Limits(wall_s=10, cpu_s=60))
    thread = threading.Thread(target=judge, args=(bomb,))
    thread.start()
    time.sleep(1)
    beside = judge(job(WORKERS + "work(1)\n" + CORRECT, runtime, specs=ALL_VISIBLE))
    thread.join()
    assert (*ended(beside), beside.points) == ("ok", "", Decimal(10))
    assert beside.seconds < 3 * alone + 0.5


FORKS = """
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
"""


def test_forks_of_forks_are_ended_and_workers_of_one_process_are_not(judge: Judge, runtime: Runtime) -> None:
    limits = Limits(wall_s=20, cpu_s=60)
    bomb = judge(job(FORKS + CORRECT, runtime, specs=ALL_VISIBLE, limits=limits))
    assert ended(bomb) == (
        "student",
        "Stopped: processes that it started kept starting others. Start workers from one process only.",
    )
    workers = judge(job(WORKERS + "crowd(12, 0.2)\n" + CORRECT, runtime, specs=ALL_VISIBLE, limits=limits))
    assert (*ended(workers), workers.points) == ("ok", "", Decimal(10))
