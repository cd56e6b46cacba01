"""Real processes of the site on the test's database: workers, a runner host, or a few lines of Python."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from django.conf import settings
from django.db import connection

from grading.runner.parent import die_with_parent
from tests.patience import PATIENCE_S, eventually
from tests.valkey import Valkey

REPOSITORY = Path(__file__).resolve().parents[2]
LEASE_S = 3  # as short as a busy machine's pauses allow: who misses it loses its run


def environment(**values: str) -> dict[str, str]:
    """What a process needs to open the database and the store of the running test."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "courseapp.settings",
        "DATABASE_URL": url,
        "DATA_DIR": str(settings.DATA_DIR),
        "PYTHONPATH": str(REPOSITORY),
        **values,
    }


def python(code: str, **values: str) -> "subprocess.Popen[str]":
    """Start `code` in a process with Django set up; it dies with the test."""
    command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment(**values), stdin=pipe, stdout=pipe, text=True, preexec_fn=die_with_parent())


def stand_still(process: "subprocess.Popen[bytes]") -> None:
    """Stop it where it holds no lock on the database; on SQLite, whose only writer it might be, everybody would wait for it."""
    process.send_signal(signal.SIGSTOP)
    while connection.vendor == "sqlite" and not _writable():
        process.send_signal(signal.SIGCONT)
        time.sleep(0.05)
        process.send_signal(signal.SIGSTOP)


def _writable() -> bool:
    with closing(sqlite3.connect(connection.settings_dict["NAME"], timeout=2, isolation_level=None)) as database:
        try:
            database.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:
            return False
        database.execute("ROLLBACK")
        return True


def children(pid: int) -> list[int]:
    """The processes that this one started and that still run."""
    tasks = [path.read_text().split() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return sorted(int(child) for found in tasks for child in found)


class Site:
    """The processes of one test; what each of them says is in `folder`."""

    def __init__(self, folder: Path, valkey: Valkey, runtime: Path) -> None:
        self.folder = folder
        self.valkey = valkey
        self.values = {
            "REDIS_URL": valkey.url,
            "RUN_LEASE_SECONDS": str(LEASE_S),
            "RUN_POLL_SECONDS": "1",
            "RUNNER_SOCKET": str(folder / "run" / "runner.sock"),
            "RUNTIME_PYTHON": str(runtime),
        }
        self._started: list[subprocess.Popen[bytes]] = []

    def host(self, *options: str) -> "subprocess.Popen[bytes]":
        """A runner host that answers."""
        process = self._start("host", str(REPOSITORY / "manage.py"), "runner_host", *options)
        self._says("host", "sandbox tier", process)
        return process

    def refusing_host(self) -> "subprocess.Popen[bytes]":
        """A runner host that may make no namespaces, so that no sandbox holds."""
        inside = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
        command = ("unshare", "--user", "--map-root-user", "sh", "-c", inside, "sh", sys.executable, str(REPOSITORY / "manage.py"))
        process = self._start("host", *command, "runner_host", python=False)
        self._says("host", "Runner host for", process)
        return process

    def worker(self, name: str = "worker", pool: str = "threads") -> "subprocess.Popen[bytes]":
        """A Celery worker of the queues cpu and system that is ready."""
        options = ("--queues", "cpu,system", "--pool", pool, "--concurrency", "1", "--without-mingle", "--without-gossip")
        process = self._start(name, "-m", "celery", "-A", "courseapp", "worker", "--loglevel", "INFO", "--hostname", f"{name}@%h", *options)
        self._says(name, " ready.", process)
        return process

    def gpu_worker(self, name: str, slot: str) -> "subprocess.Popen[bytes]":
        """A Celery worker of one GPU slot that is ready."""
        options = ("--queues", "gpu,gpu.fake", "--pool", "threads", "--concurrency", "1", "--without-mingle", "--without-gossip")
        command = ("-m", "celery", "-A", "courseapp", "worker", "--loglevel", "INFO", "--hostname", f"{name}@%h", *options)
        process = self._start(name, *command, GPU_SLOT=slot)
        self._says(name, " ready.", process)
        return process

    def machine(self, *options: str) -> "subprocess.Popen[bytes]":
        """`manage.py workers`: whatever this machine can serve."""
        process = self._start("workers", str(REPOSITORY / "manage.py"), "workers", *options)
        self._says("workers", "At work: ", process)
        return process

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def stop(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.terminate()
        for process in self._started:
            try:
                process.wait(timeout=PATIENCE_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _start(self, name: str, *arguments: str, python: bool = True, **values: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, *arguments] if python else list(arguments)
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                command, cwd=REPOSITORY, env=environment(**self.values, **values), stdout=log, stderr=log, preexec_fn=die_with_parent()
            )
        self._started.append(process)
        return process

    def _says(self, name: str, words: str, process: "subprocess.Popen[bytes]") -> None:
        eventually(lambda: words in self.said(name) or process.poll() is not None, lambda: f"{name} said {words!r}:\n{self.said(name)}")
        assert process.poll() is None, self.said(name)
