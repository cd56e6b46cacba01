import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner import client, server
from grading.runner.client import HostUnavailable
from grading.runner.host import Host
from grading.runner.job import Cancelled, Job
from grading.runner.outcome import CheckResult, Outcome, Progress
from grading.runner.protocol import Frame, pack_frame, receive_frame, send_frame
from grading.runner.runtimes import Runtime
from grading.runner.wire import MAX_HEADER, MAX_PAYLOAD, address, pack_job
from tests.patience import PATIENCE_S, eventually
from tests.runner.homework import ALL_VISIBLE, CORRECT, QUICK, job
from tests.runner.test_attacks import alive

pytestmark = pytest.mark.sandbox

ENDLESS = "import ctypes\nctypes.CDLL(None).prctl(15, b'MARK', 0, 0, 0)\nwhile True:\n    pass\n"


@pytest.fixture
def served(host: Host, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / ("deep" * 30) / "runner.sock"  # longer than the kernel takes
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(target=server.serve, args=(host, path), kwargs={"stop": stop, "ready": ready})
    thread.start()
    assert ready.wait(PATIENCE_S)
    yield path
    stop.set()
    thread.join()


def wait_for(mark: str, *, there: bool) -> None:
    eventually(lambda: bool(alive(mark)) == there, f"the marked process is {'' if there else 'not '}there")


def test_a_job_runs_over_the_socket(served: Path, runtime: Runtime) -> None:
    seen: list[Progress] = []
    outcome = client.run_job(served, job(CORRECT, runtime), seen.append)
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10))
    assert (seen[0].stage, seen[-1].stage, seen[-1].done) == ("starting", "hidden", 1)


def test_no_text_of_a_hand_in_is_too_long_for_an_answer() -> None:
    text = "\N{GRINNING FACE}" * 2000
    checks = tuple(CheckResult(f"{n}", text[:120], Decimal(0), Decimal(1), False, True, "visible", text, text) for n in range(200))
    outcome = Outcome("ok", Decimal(0), Decimal(200), 1.0, checks, "\1" * 2**20, text, text)
    assert len(pack_frame({"outcome": outcome.to_json()}, max_header=MAX_HEADER)) > 2**20


def test_ping_tells_tier_and_load(served: Path) -> None:
    answer = client.ping(served)
    assert (answer["tier"], answer["why_not_better"], answer["running"]) == ("namespaces", "", 0)
    assert answer["load"] >= 0


def test_only_this_user_reaches_the_socket(served: Path) -> None:
    assert served.parent.stat().st_mode & 0o777 == 0o700


def test_a_folder_that_others_can_enter_is_refused_and_left_as_it_is(host: Host, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    with pytest.raises(PermissionError, match="others can enter the folder"):
        server.serve(host, tmp_path / "runner.sock", stop=threading.Event())
    assert tmp_path.stat().st_mode & 0o777 == 0o755


def test_a_second_host_is_refused(served: Path, host: Host) -> None:
    with pytest.raises(server.AlreadyServedError, match="another runner host"):
        server.serve(host, served, stop=threading.Event())
    assert client.ping(served)["tier"] == "namespaces"


def test_a_job_whose_client_went_away_is_killed(served: Path, runtime: Runtime) -> None:
    mark = f"c-{secrets.token_hex(4)}"
    cancelled = threading.Event()

    def cancel_once_it_runs() -> None:
        wait_for(mark, there=True)
        cancelled.set()

    threading.Thread(target=cancel_once_it_runs).start()
    with pytest.raises(Cancelled):
        client.run_job(served, job(ENDLESS.replace("MARK", mark), runtime), cancelled=cancelled)
    wait_for(mark, there=False)
    assert client.run_job(served, job(CORRECT, runtime)).kind == "ok"


PRINTED = "".join(f"line {n}\n" for n in range(100_000))  # more than a socket keeps for a client that does not read
PRINTS = """
import ctypes, time

print("".join(f"line {n}\\n" for n in range(100_000)), end="", flush=True)
ctypes.CDLL(None).prctl(15, b"MARK", 0, 0, 0)
time.sleep(1.5)  # the host has taken all of it, and tells of it
"""
FOR_EVER = "while True:\n    time.sleep(0.1)\n"
GROWS = "kept = []\nwhile True:\n    kept.append(bytearray(b'x' * 2**20))\n"


@contextlib.contextmanager
def sent(path: Path, asked: Job) -> Iterator[socket.socket]:
    """The connection of a client that has sent a job and does not read."""
    with socket.socket(socket.AF_UNIX) as connection:
        with address(path) as name:
            connection.connect(name)
        connection.setblocking(False)
        send_frame(connection, pack_job(asked), time.monotonic() + PATIENCE_S)
        yield connection


def received(connection: socket.socket) -> Frame:
    return receive_frame(connection, time.monotonic() + PATIENCE_S, max_header=MAX_HEADER, max_payload=MAX_PAYLOAD)


@pytest.mark.parametrize(
    ("code", "why"),
    [
        (FOR_EVER, "Stopped after 4 s of wall time, while the hand-in was loaded. Do less outside of functions."),
        (GROWS, "Stopped at the memory limit of 512 MB. Look for a tensor or a list that grows."),
    ],
    ids=["wall time", "memory"],
)
def test_a_client_that_does_not_read_keeps_no_job_from_its_limits(
    served: Path, runtime: Runtime, code: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "ANSWER_S", 2 * PATIENCE_S)  # whoever waits for the client waits too long
    mark = f"r-{secrets.token_hex(4)}"
    limits = replace(QUICK, wall_s=4, memory_mb=512, output_kb=4096)
    asked = job(PRINTS.replace("MARK", mark) + code, runtime, specs=ALL_VISIBLE, limits=limits)
    with sent(served, asked) as connection:
        wait_for(mark, there=True)
        wait_for(mark, there=False)
        answers = [received(connection).header]
        while "outcome" not in answers[-1]:
            answers.append(received(connection).header)
    outcome = Outcome.from_json(answers.pop()["outcome"])
    assert (outcome.kind, outcome.message) == ("student", why)
    assert outcome.output == PRINTED
    assert "".join(Progress.from_json(answer["progress"]).output for answer in answers) == PRINTED


def test_a_client_that_reads_again_has_all_that_was_printed_while_the_job_is_silent(served: Path, runtime: Runtime) -> None:
    mark = f"s-{secrets.token_hex(4)}"
    limits = replace(QUICK, wall_s=2 * PATIENCE_S, output_kb=4096)
    asked = job(PRINTS.replace("MARK", mark) + FOR_EVER, runtime, specs=ALL_VISIBLE, limits=limits)
    with sent(served, asked) as connection:
        wait_for(mark, there=True)
        time.sleep(1)
        seen = ""
        while len(seen) < len(PRINTED):
            seen += Progress.from_json(received(connection).header["progress"]).output
        assert seen == PRINTED
        assert alive(mark)
    wait_for(mark, there=False)


@pytest.mark.parametrize("data", [b"", b"\xff" * 64, pack_frame({"op": "run"}), pack_frame({"op": "run", "bundle": 1, "files": []})])
def test_rubbish_does_not_disturb_the_host(served: Path, data: bytes) -> None:
    folder = os.open(served.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(f"/proc/self/fd/{folder}/{served.name}")
        connection.sendall(data)
    os.close(folder)
    assert client.ping(served)["tier"] == "namespaces"


def test_without_a_host_the_client_says_so(tmp_path: Path, runtime: Runtime) -> None:
    with pytest.raises(HostUnavailable, match="no runner host answers"):
        client.ping(tmp_path / "runner.sock")
    with pytest.raises(HostUnavailable, match="no runner host answers"):
        client.run_job(tmp_path / "runner.sock", job(CORRECT, runtime))


def test_nothing_survives_a_killed_host(tmp_path: Path, runtime: Runtime) -> None:
    path = tmp_path / "runner.sock"
    mark = f"k-{secrets.token_hex(4)}"
    program = (
        "import sys, threading; from pathlib import Path; from grading.runner import host, server; "
        "server.serve(host.Host(), Path(sys.argv[1]), stop=threading.Event())"
    )
    process = subprocess.Popen([sys.executable, "-c", program, path], cwd=Path(__file__).resolve().parents[2])
    eventually(path.exists, "it serves")

    def kill_once_it_runs() -> None:
        wait_for(mark, there=True)
        process.send_signal(signal.SIGKILL)

    threading.Thread(target=kill_once_it_runs).start()
    with pytest.raises(HostUnavailable, match="went away"):
        client.run_job(path, job(ENDLESS.replace("MARK", mark), runtime))
    process.wait()
    wait_for(mark, there=False)
