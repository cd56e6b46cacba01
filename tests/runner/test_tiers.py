"""Where the sandbox holds, and what is said where it does not."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pyseccomp
import pytest

import grading.runner
from grading.runner import seccomp, tiers
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Tier, explain
from grading.runner.zygote import LaunchError
from tests.conftest import missing
from tests.runner.conftest import warm_processes

REPOSITORY = Path(__file__).resolve().parents[2]

# A process that may not make user namespaces, and everything it starts; then what the host says.
WITHOUT_NAMESPACES = """
import errno, json, sys
from pathlib import Path
import pyseccomp
rules = pyseccomp.SyscallFilter(pyseccomp.ALLOW)
rules.add_rule(pyseccomp.ERRNO(errno.CODE), "CALL")
rules.load()
from grading.runner.host import Host
from grading.runner.tiers import Refused
from grading.runner.runtimes import Runtime
from tests.runner.homework import CORRECT, job
host = Host()
outcome = host.run(job(CORRECT, Runtime("torch", Path(sys.executable), "")))
print(json.dumps([isinstance(host.tier, Refused), host.tier.reason, host.tier.fix, outcome.kind, outcome.staff_message]))
"""


PROBE = "from grading.runner import tiers; print(tiers.probe()[0])"


@pytest.mark.parametrize(
    ("call", "code", "reason"),
    [
        ("unshare", "EPERM", "unshare: Operation not permitted"),
        ("mount_setattr", "ENOSYS", "mount_setattr: Function not implemented"),
        ("pivot_root", "EPERM", "pivot_root: Operation not permitted"),
    ],
)
def test_without_a_wall_nothing_runs(call: str, code: str, reason: str) -> None:
    program = WITHOUT_NAMESPACES.replace("CALL", call).replace("CODE", code)
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=REPOSITORY)
    refused, why, fix, kind, staff = json.loads(answer.stdout)
    assert (refused, kind) == (True, "system")
    assert why == f"A sandbox could not be built ({reason})."
    assert fix
    assert staff == f"{why} {fix}"


def test_a_process_that_lost_a_wall_ends_itself(tmp_path: Path) -> None:
    """Without namespaces around it, `confine` must not let a process go on."""
    rules = tmp_path / "rules"
    rules.write_bytes(seccomp.build())
    program = "import os, sys; from grading.runner.confine import confine; confine(os.open(sys.argv[1], os.O_RDONLY)); print('on')"
    answer = subprocess.run(
        ["/usr/bin/setpriv", "--no-new-privs", sys.executable, "-c", program, rules], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert (answer.returncode, answer.stdout, answer.stderr) == (99, "", "the sandbox is incomplete\n")


def test_a_refusal_names_the_command_that_helps() -> None:
    assert explain(LaunchError("mount_setattr", 38)).fix.startswith("Use Linux 5.14")
    assert explain(LaunchError("mount proc /proc", 1)).fix


def test_a_trial_that_was_killed_is_made_again() -> None:
    others, killed = warm_processes(), list[int]()

    def kill_the_first() -> None:
        while not killed:
            with contextlib.suppress(OSError):
                for launcher in warm_processes() - others:
                    os.kill(launcher, signal.SIGKILL)
                    killed.append(launcher)

    hunter = threading.Thread(target=kill_the_first, daemon=True)
    hunter.start()
    tier, factory = tiers.probe()
    hunter.join()
    assert factory is not None
    factory.close()
    assert (tier, len(killed)) == (Tier("namespaces"), 1)


@pytest.mark.sandbox
def test_code_in_a_folder_that_nobody_else_may_enter(tmp_path: Path, runtime: Runtime) -> None:
    private = tmp_path / "private"
    shutil.copytree(Path(grading.runner.__file__).parent, private / "code" / "grading" / "runner")
    shutil.copytree(REPOSITORY / "tests" / "runner", private / "code" / "tests" / "runner")
    shutil.copy(pyseccomp.__file__, private / "code")
    private.chmod(0o700)
    program = f"""
import json
from pathlib import Path
from grading.runner.host import Host
from grading.runner.runtimes import Runtime
from tests.runner.homework import CORRECT, job
host = Host()
outcome = host.run(job(CORRECT, Runtime("torch", Path({str(runtime.python)!r}), "")))
print(json.dumps([host.tier.name, outcome.kind, str(outcome.points), outcome.staff_message]))
"""
    command = [sys.executable, "-c", program]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=private / "code")
    assert json.loads(answer.stdout) == ["namespaces", "ok", "10", ""]


@pytest.mark.sandbox
def test_the_best_tier_needs_no_excuse() -> None:
    tier, factory = tiers.probe()
    assert tier == Tier("namespaces")
    assert factory is not None
    assert factory.memory_guard in ("cgroup v1", "cgroup v2", "process sums")


def test_root_without_the_right_to_mount_is_caged_all_the_same() -> None:
    """As in a container. What the interpreter needs must then be readable for everybody."""
    if os.geteuid() != 0:
        missing("Only root can give up a right of root's.")
    base = shutil.which(f"python{sys.version_info.major}.{sys.version_info.minor}", path="/usr/local/bin:/usr/bin")
    if base is None:
        missing("There is no Python of this version that everybody can read.")
    with tempfile.TemporaryDirectory() as folder:
        code = Path(folder)
        shutil.copytree(Path(grading.runner.__file__).parent, code / "grading" / "runner")
        shutil.copy(pyseccomp.__file__, code)
        code.chmod(0o755)
        answer = subprocess.run(
            ["setpriv", "--bounding-set=-sys_admin", "--inh-caps=-sys_admin", base, "-c", PROBE],
            capture_output=True,
            text=True,
            check=True,
            cwd=code,
        )
    assert answer.stdout == "Tier(name='namespaces', why_not_better='')\n"
