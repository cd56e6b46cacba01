"""The students' program where the network is bad: it says what is known, and nothing is handed in twice."""

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from courseapp import command_line
from courseapp.services import tokens
from grading.models import Submission
from tests import factories
from tests.test_demo import free_port

pytestmark = pytest.mark.django_db(transaction=True)


class Line:
    """A connection to the site that breaks where it hurts most: the request has arrived, the answer has not."""

    def __init__(self, port: int, *, answers_lost: int) -> None:
        self._to, self._left = port, answers_lost
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            with client, socket.create_connection(("127.0.0.1", self._to)) as site:
                request = self._request(client)
                site.sendall(request.replace(b"Connection: keep-alive", b"Connection: close", 1))
                answer = b"".join(iter(lambda: site.recv(65536), b""))  # called at once
                if request.startswith(b"POST") and self._left:
                    self._left -= 1
                else:
                    client.sendall(answer)

    def _request(self, client: socket.socket) -> bytes:
        """Head and body; urllib says how long the body is."""
        data = b""
        while b"\r\n\r\n" not in data:
            data += client.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0:
            more = client.recv(65536)
            data, missing = data + more, missing - len(more)
        return data

    def close(self) -> None:
        self._listening.close()


@pytest.fixture
def line(live_server: LiveServer) -> Iterator[Line]:
    port = live_server.thread.port
    assert isinstance(port, int)
    opened = Line(port, answers_lost=1)
    yield opened
    opened.close()


def handin(folder: Path, site: str, key: str, to: tuple[str, ...], pauses: str = "(1, 0)") -> "subprocess.CompletedProcess[str]":
    source = command_line.PROGRAM.read_text().replace(command_line.EXAMPLE, f'SITE = "{site}"')
    (folder / "handin.py").write_text(re.sub(r"^PAUSES = .*$", f"PAUSES = {pauses}", source, flags=re.MULTILINE))
    (folder / "mlp.py").write_text("x = 1\n")
    command = [sys.executable, "-I", "handin.py", *to, "mlp.py", "--own-work", "--agree", "--wait=0"]
    environment = {"HANDIN_TOKEN": key, "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def ready() -> tuple[str, tuple[str, ...]]:
    """A token, and where to hand in."""
    homework = factories.HomeworkFactory.create(slug="hw1", release_wall="2023-10-09 09:00")
    homework.components.update(due_wall="2099-10-22 23:59")
    student = factories.EnrollmentFactory.create(course=homework.course)
    assert student.user is not None
    return tokens.make(user=student.user, name="test", scopes=["read", "submit"])[1], (homework.course.slug, "hw1", "practice")


def test_an_answer_that_is_lost_hands_in_once(line: Line, ready: tuple[str, tuple[str, ...]], tmp_path: Path) -> None:
    done = handin(tmp_path, line.url, *ready)
    made = Submission.objects.get()
    assert (done.returncode, f"Receipt {made.receipt_code}" in done.stdout) == (5, True), done.stderr
    assert "Trying again in 1 s." in done.stderr


def test_what_may_have_arrived_is_said_with_the_key_to_go_on(
    live_server: LiveServer, line: Line, ready: tuple[str, tuple[str, ...]], tmp_path: Path
) -> None:
    lost = handin(tmp_path, line.url, *ready, pauses="(0,)")
    key = re.search(r"It may have arrived\. Try again, without handing in twice, by: --key (\w+)$", lost.stderr, re.MULTILINE)
    assert (lost.returncode, key is not None) == (3, True), lost.stderr
    assert key is not None
    token, to = ready
    again = handin(tmp_path, live_server.url, token, (*to, "--key", key[1]))
    assert (again.returncode, Submission.objects.count()) == (5, 1), again.stderr


def test_a_site_that_is_not_there_is_said(ready: tuple[str, tuple[str, ...]], tmp_path: Path) -> None:
    done = handin(tmp_path, f"http://127.0.0.1:{free_port()}", *ready)
    assert (done.returncode, done.stderr.count("No connection to"), Submission.objects.count()) == (3, 2, 0)
    assert "may have arrived" not in done.stderr
