"""Real sandboxes: as this process's user, and as an ordinary user whom the machine's root has to make room for."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pyseccomp
import pytest

import grading.runner
from grading.runner import client
from grading.runner.host import Host
from grading.runner.job import Job
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused
from tests.conftest import missing
from tests.patience import eventually

ORDINARY_UID = 65534

Judge = Callable[[Job], Outcome]


@pytest.fixture(scope="session")
def runtime(torch_runtime: Runtime) -> Runtime:
    return torch_runtime


@pytest.fixture(scope="session")
def host() -> Iterator[Host]:
    with closing(Host()) as host:
        if isinstance(host.tier, Refused):
            missing(f"{host.tier.reason} {host.tier.fix}")
        yield host


@pytest.fixture
def own_host() -> Iterator[Host]:
    """One that may be harmed."""
    with closing(Host()) as host:
        if isinstance(host.tier, Refused):
            missing(f"{host.tier.reason} {host.tier.fix}")
        yield host


def warm_processes() -> set[int]:
    """What children of ours are named as, and lead to, warm processes: the launchers."""
    found = set()
    for path in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        found |= {int(pid) for pid in path.read_text().split() if "launcher.py" in Path(f"/proc/{pid}/cmdline").read_text()}
    return found


class OrdinaryUser:
    """A runner host of another user, who owns nothing but a 0700 home: the code, a virtual environment, and the runtime are below it."""

    uid = ORDINARY_UID

    def __init__(self, home: Path, runtime: Runtime) -> None:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        base = shutil.which(version, path="/usr/local/bin:/usr/bin")
        if base is None:
            missing(f"There is no {version} in /usr/bin that an ordinary user could run.")
        self.home = home
        self._base = base
        self._environment = {"PYTHONPATH": str(home / "code"), "PATH": "/usr/bin:/bin", "PYTHONDONTWRITEBYTECODE": "1"}
        self.socket = home / "run" / "runner.sock"
        packages = self._site_packages(runtime.python)
        self.runtime = Runtime(runtime.name, home / "runtime" / "bin" / "python", runtime.digest)
        (home / "runtime" / "bin").mkdir(parents=True)
        (home / "runtime" / "pyvenv.cfg").write_text(f"home = {Path(base).parent}\ninclude-system-site-packages = false\n")
        self.runtime.python.symlink_to(base)
        link_tree(packages, home / "runtime" / "lib" / version / "site-packages")
        shutil.copytree(Path(grading.runner.__file__).parent, home / "code" / "grading" / "runner")
        shutil.copy(pyseccomp.__file__, home / "code")
        for path in (home, *(home / "code").rglob("*"), home / "code"):
            os.chown(path, ORDINARY_UID, ORDINARY_UID)
        home.chmod(0o700)
        program = (
            "import sys, threading; from pathlib import Path; from grading.runner import host, server; "
            "server.serve(host.Host(), Path(sys.argv[1]), stop=threading.Event())"
        )
        self.process = subprocess.Popen(
            [base, "-c", program, self.socket],
            user=ORDINARY_UID,
            group=ORDINARY_UID,
            extra_groups=[],
            cwd=home / "code",
            env=self._environment,
        )

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """Have this user's Python do something, with the code and nothing else."""
        return subprocess.run(
            [self._base, *command],
            user=ORDINARY_UID,
            group=ORDINARY_UID,
            extra_groups=[],
            cwd=self.home / "code",
            env=self._environment,
            capture_output=True,
            text=True,
        )

    def _site_packages(self, python: Path) -> Path:
        program = "import sysconfig; print(sysconfig.get_path('platlib'))"
        return Path(subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout.strip())

    def wait(self) -> None:
        answer: dict[str, Any] = {}

        def answers() -> bool:
            assert self.process.poll() is None, f"the ordinary user's runner host ended with status {self.process.returncode}"
            with suppress(client.HostUnavailable):
                answer.update(client.ping(self.socket))
            return bool(answer)

        eventually(answers, "the ordinary user's runner host answers")
        if not answer["tier"]:
            missing(f"{answer['reason']} {answer['fix']}")

    def stop(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


def link_tree(source: Path, target: Path) -> None:
    """A copy that shares the files' content where the file system allows it."""

    def link(one: str, other: str) -> None:
        try:
            os.link(one, other, follow_symlinks=False)
        except OSError:
            shutil.copy2(one, other)

    shutil.copytree(source, target, copy_function=link, ignore=shutil.ignore_patterns("test", "tests", "*.a", "*.h", "*.hpp"))


@pytest.fixture(scope="session")
def ordinary_user(runtime: Runtime) -> Iterator[OrdinaryUser]:
    if os.geteuid() != 0:
        missing("Only root can start a host as another user; as this one, the other half of these tests has run.")
    home = Path(tempfile.mkdtemp(prefix="ordinary-"))
    user = OrdinaryUser(home, runtime)
    try:
        user.wait()
        yield user
    finally:
        user.stop()
        shutil.rmtree(home)


@pytest.fixture(params=["this user", "an ordinary user"])
def judge(request: pytest.FixtureRequest) -> Judge:
    """Run a job in a real sandbox, started by root (if that is who runs the tests) and by an ordinary user."""
    if request.param == "this user":
        here: Host = request.getfixturevalue("host")
        return lambda job: here.run(job)
    user: OrdinaryUser = request.getfixturevalue("ordinary_user")

    def judge(job: Job) -> Outcome:
        return client.run_job(user.socket, Job(**{**vars(job), "runtime": user.runtime}))

    return judge


@pytest.fixture
def judge_here(host: Host) -> Judge:
    return lambda job: host.run(job)
