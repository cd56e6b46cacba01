"""`manage.py demo` as a person runs it: it answers, heals, refuses with a sentence, and leaves nothing behind."""

import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.patience import PATIENCE_S, eventually

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Running:
    port: int
    data_dir: Path
    process: subprocess.Popen[str]

    @property
    def printed(self) -> str:
        return (self.data_dir.parent / "printed").read_text()

    def get(self, path: str) -> tuple[int, str]:
        """Status and text of a page; status 0 when nobody answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=PATIENCE_S) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refused:
            return refused.code, ""
        except OSError:
            return 0, ""

    def pid_of(self, words: str) -> int:
        """The first of its own processes whose command line holds these words, 0 when there is none."""
        return next((pid for pid in children_of(self.process.pid) if words in command_line(pid)), 0)


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def demo(data_dir: Path) -> Iterator[Callable[[], Running]]:
    started: list[Running] = []

    def start() -> Running:
        port = free_port()
        with (data_dir.parent / "printed").open("w") as out:
            process = subprocess.Popen(demo_command(port), env=environ(data_dir), stdout=out, stderr=subprocess.STDOUT, text=True)
        started.append(Running(port, data_dir, process))
        eventually(lambda: "Sign in as" in started[-1].printed or process.poll() is not None, lambda: started[-1].printed)
        assert process.poll() is None, started[-1].printed
        return started[-1]

    yield start
    for running in started:
        running.process.kill()
        running.process.wait()
    eventually(lambda: not left_behind(data_dir))


def demo_command(port: int, *options: str) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), "demo", "--port", str(port), *options]


def environ(data_dir: Path) -> dict[str, str]:
    """A person's environment: nothing of the suite's own settings, and no runtime to install."""
    ours = {"DJANGO_SETTINGS_MODULE", "COURSEAPP_TESTS", "DATABASE_URL", "REDIS_URL", "SECRET_KEY", "POSTGRES_PROBLEM"}
    theirs = {name: value for name, value in os.environ.items() if name not in ours | {"GPU_SLOTS"}}
    return {"RUNTIME_PYTHON": sys.executable, **theirs, "DATA_DIR": str(data_dir)}


def refused(data_dir: Path, port: int, *options: str) -> str:
    """What a demo that must not start says."""
    answer = subprocess.run(
        demo_command(port, *options), env=environ(data_dir), capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert answer.returncode == 1, answer.stdout
    return answer.stderr.strip()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def children_of(parent: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


def command_line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def left_behind(data_dir: Path) -> list[str]:
    """Command lines of all processes that were started for this data folder, by anybody."""
    found = []
    for file in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"DATA_DIR={data_dir}\0".encode() in file.read_bytes():
                found.append(command_line(int(file.parent.name)))
        except OSError:
            continue
    return [line for line in found if line]


def test_it_answers_heals_and_ctrl_c_leaves_nothing(demo: Callable[[], Running], data_dir: Path) -> None:
    running = demo()
    assert f"http://127.0.0.1:{running.port}  (ready in " in running.printed
    assert re.findall(r"^  (\w+)@example\.edu", running.printed, re.MULTILINE) == ["student", "late", "phd", "grader", "ta", "instructor"]
    status, page = running.get("/accounts/login/")
    assert status == 200, running.printed
    stylesheet = re.search(r'href="(/static/[^"]+\.css)"', page)
    assert stylesheet is not None
    assert running.get(stylesheet[1])[0] == 200

    for words in ("gunicorn", "valkey-server", "--queues system"):
        before = running.pid_of(words)
        os.kill(before, signal.SIGKILL)
        eventually(lambda: running.pid_of(words) not in {0, before}, words)  # noqa: B023  # called before the loop goes on
    eventually(lambda: running.get("/healthz")[0] == 200, "it answers again")
    assert running.printed.count("was killed by SIGKILL; it starts again.") == 3

    if shutil.which("nvidia-smi") is None:
        eventually(lambda: "\n2 stand-ins take the place of GPUs" in running.printed, "stand-ins are named")
        eventually(
            lambda: "\n".join(map(command_line, children_of(running.process.pid))).count("--queues gpu,gpu.fake") == 2, "two workers"
        )

    assert refused(data_dir, free_port()) == (
        f"CommandError: A demo is already running on {data_dir} at http://127.0.0.1:{running.port}. "
        "Stop it with Ctrl-C, or give this one its own folder: DATA_DIR=…"
    )

    running.process.send_signal(signal.SIGINT)
    assert running.process.wait(timeout=PATIENCE_S) == 0
    assert left_behind(data_dir) == []
    assert running.get("/healthz")[0] == 0
    assert not (data_dir / "run" / "demo.json").exists()


def test_a_second_shell_finds_the_broker_and_a_killed_demo_leaves_nothing(demo: Callable[[], Running], data_dir: Path) -> None:
    running = demo()
    note = json.loads((data_dir / "run" / "demo.json").read_text())
    shell = "from django.conf import settings; print(settings.REDIS_URL)"
    answer = subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), "shell", "--no-imports", "-c", shell],
        env=environ(data_dir),
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert answer.stdout.strip() == note["REDIS_URL"], answer.stderr

    running.process.kill()
    running.process.wait()
    eventually(lambda: left_behind(data_dir) == [], lambda: str(left_behind(data_dir)))


def test_a_taken_port_says_so_and_nothing_is_started(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert (
            refused(data_dir, port)
            == f"CommandError: Port {port} is taken by another program. Choose another one: make demo PORT={port + 1}"
        )
    assert left_behind(data_dir) == []


def test_a_site_that_the_demo_did_not_make_is_left_alone(data_dir: Path) -> None:
    run = {"env": environ(data_dir), "cwd": ROOT, "check": True, "capture_output": True, "timeout": PATIENCE_S}
    subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], **run)  # type: ignore[call-overload]  # keywords in a dict
    create = "from django.contrib.auth import get_user_model as m; m().objects.create(username='dean', email='dean@example.edu')"
    subprocess.run([sys.executable, "manage.py", "shell", "--no-imports", "-c", create], **run)  # type: ignore[call-overload]
    assert "has people in it and was not made by the demo" in refused(data_dir, free_port())
    assert "was not made by the demo, so --fresh does not empty it" in refused(data_dir, free_port(), "--fresh")
    with sqlite3.connect(data_dir / "db.sqlite3") as database:
        assert database.execute("select email from courseapp_user").fetchall() == [("dean@example.edu",)]
