"""A lab run in the sandbox: a student's own script, its end in a sentence, and what of its files comes out."""

import json
import threading
import time
from dataclasses import replace
from decimal import Decimal

import pytest

from grading.runner import messages
from grading.runner.host import Host
from grading.runner.job import Cancelled, Job, Script
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome, Progress
from grading.runner.outputs import ALL, MAX_FILES, MEGABYTE, Intake, ScriptCollector
from grading.runner.protocol import pack_frame
from grading.runner.runtimes import Runtime
from tests.runner.conftest import Judge

LIMITS = Limits(wall_s=30, cpu_s=30, memory_mb=1024)


def job(files: dict[str, str], runtime: Runtime, *arguments: str, script: str = "main.py", outputs_mb: int = 1, **limits: float) -> Job:
    return Job(
        bundle=b"",
        files={name: text.encode() for name, text in files.items()},
        checks=(),
        limits=replace(LIMITS, **limits),  # type: ignore[arg-type]  # numbers of either kind
        runtime=runtime,
        seed=7,
        entry=(),
        outputs=ALL,
        outputs_mb=outputs_mb,
        script=Script(script, arguments),
    )


def kept(outcome: Outcome) -> dict[str, bytes]:
    return {file.name: file.content for file in outcome.files}


ORDINARY = """
import atexit, os, sys, threading, time
import torch
from torch.utils.data import DataLoader
import helper

class Net(torch.nn.Linear):
    pass

def late():
    time.sleep(0.2)
    open("late.txt", "w").write("written by a thread after the last line")

os.makedirs("checkpoints/old")
open("checkpoints/old/1.pt", "w").close()
os.mkdir("empty")
print(__name__, sys.argv, os.getcwd(), helper.VALUE, sorted(os.listdir(".")))
threading.Thread(target=late).start()
atexit.register(print, "at exit")
for batch in DataLoader(list(range(8)), batch_size=4, num_workers=1):
    print(batch.tolist())
torch.save(Net(1, 1), "net.pt")
assert type(torch.load("net.pt", weights_only=False)) is Net
print('{"step": 1, "loss": 0.5}')
print('{"step": 2, "loss": 0.25}', file=sys.stderr)
open("data.txt", "a").write("changed")
"""


@pytest.mark.sandbox
def test_a_script_is_run_as_python_runs_it_and_its_files_come_out(judge: Judge, runtime: Runtime) -> None:
    files = {"src/main.py": ORDINARY, "src/helper.py": "VALUE = 41\n", "data.txt": "given ", "same.txt": "as it was"}
    outcome = judge(job(files, runtime, "--lr", "0.1 x", script="src/main.py"))
    assert (outcome.kind, outcome.message, outcome.points + outcome.max_points, len(outcome.checks)) == ("ok", "", Decimal(0), 0)
    first, *rest = outcome.output.splitlines()
    assert first == "__main__ ['src/main.py', '--lr', '0.1 x'] /tmp/handin 41 ['checkpoints', 'data.txt', 'empty', 'same.txt', 'src']"
    assert rest == ["[0, 1, 2, 3]", "[4, 5, 6, 7]", '{"step": 1, "loss": 0.5}', '{"step": 2, "loss": 0.25}', "at exit"]
    assert outcome.files_dropped == ("What was written into the folder “checkpoints” was not kept: only files beside it are.",)
    assert kept(outcome).keys() == {"data.txt", "late.txt", "net.pt"}  # and not what it was given
    assert kept(outcome)["data.txt"] == b"given changed"
    assert {"bundle_digest", "checks"} & outcome.provenance.keys() == set()


NOTEBOOK = json.dumps(
    {
        "nbformat": 4,
        "metadata": {},
        "cells": [
            {"cell_type": "code", "source": "import sys\n%matplotlib inline\nx = 1"},
            {"cell_type": "code", "source": "display(x + 1, sys.argv)\nraise ValueError('no more')"},
        ],
    }
)


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("text", "message", "printed"),
    [
        ("raise ValueError('bad')", "main.py ended with an exception: ValueError: bad (in main.py line 1)", "ValueError: bad"),
        ("x = (", "main.py has a syntax error on line 1: '(' was never closed", "SyntaxError"),
        ("import nothing_here", "main.py imports the module `nothing_here`, which is not in this runtime.", "nothing_here"),
        ("import sys; open('a.txt', 'w'); sys.exit(3)", "main.py ended with exit status 3.", ""),
        ("import sys; sys.exit('given up')", "main.py ended with exit status 1.", "given up"),
        ("import os; open('a.txt', 'w'); os._exit(0)", "", ""),
        ("import os, signal; open('a.txt', 'w'); os.kill(os.getpid(), signal.SIGSEGV)", "main.py crashed (SIGSEGV).", ""),
        ("import torch; torch.empty(2**40)", "main.py asked for more memory than there was. Look for a tensor or a list that grows.", ""),
    ],
)
def test_how_a_script_ended_is_said(text: str, message: str, printed: str, judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job({"main.py": text}, runtime))
    assert (outcome.kind, outcome.message) == ("student" if message else "ok", message)
    assert printed in outcome.output
    assert "grading/runner" not in outcome.output  # the trace begins in the student's own file
    assert set(kept(outcome)) == ({"a.txt"} if "a.txt" in text else set())


@pytest.mark.sandbox
def test_a_notebook_is_run_cell_by_cell(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job({"lab.ipynb": NOTEBOOK}, runtime, "a", script="lab.ipynb"))
    assert outcome.message == "lab.ipynb ended with an exception: ValueError: no more (in lab.ipynb, cell 2, line 2)"
    assert outcome.output.startswith("2\n['lab.ipynb', 'a']\n")
    assert "cell 1, line 2: %matplotlib inline" in outcome.output
    broken = judge_here(job({"lab.ipynb": "{"}, runtime, script="lab.ipynb"))
    assert broken.message.startswith("lab.ipynb is not valid JSON")


WRITES_AND_STAYS = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
    signal.signal(number, signal.SIG_IGN)
open("checkpoint.pt", "w").write("step 10")
if os.fork() == 0:
    time.sleep(60)
"""


@pytest.mark.sandbox
def test_what_was_written_before_a_limit_is_kept(judge: Judge, runtime: Runtime) -> None:
    late = judge(job({"main.py": WRITES_AND_STAYS + "time.sleep(60)"}, runtime, wall_s=1))
    assert (late.kind, late.message) == ("student", "Stopped after 1 s of wall time.")
    assert kept(late) == {"checkpoint.pt": b"step 10"}
    busy = judge(job({"main.py": WRITES_AND_STAYS + "while True: pass"}, runtime, cpu_s=0))
    assert (busy.kind, busy.message) == ("student", "Stopped after 0 s of CPU time.")
    assert kept(busy) == {"checkpoint.pt": b"step 10"}
    assert max(late.seconds, busy.seconds) < 40  # and not a minute; the first job may wait for its warm process


@pytest.mark.sandbox
def test_at_the_memory_limit_files_come_out_where_the_kernel_keeps_it(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(
        job({"main.py": "open('a.txt', 'w')\nkeep = []\nwhile True: keep.append(bytes([1]) * (1 << 24))"}, runtime, memory_mb=256)
    )
    said = messages.ended("memory", {"memory": "256 MB"})
    if str(outcome.provenance["memory_guard"]).startswith("cgroup"):
        assert (outcome.kind, outcome.message, set(kept(outcome))) == ("student", said, {"a.txt"})
    else:
        assert (outcome.kind, outcome.message, kept(outcome)) == ("student", f"{said} {messages.SCRIPT_LOST}", {})


@pytest.mark.sandbox
def test_a_flood_of_output_ends_it(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job({"main.py": "import os\nopen('a.txt', 'w')\nwhile True: os.write(1, b'x' * 65536)"}, runtime))
    assert outcome.message == f"{messages.ended('output', {'flood': '64 MB'})} {messages.SCRIPT_LOST}"
    assert (len(outcome.output), kept(outcome)) == (LIMITS.output_kb * 1024, {})


ODD_FILES = """
import os
os.symlink("/proc/self/environ", "link.txt")
os.symlink("/etc/passwd", "passwd")
os.link("given.txt", "same-content.txt")
os.mkfifo("pipe")
os.mkdir("folder")
open("folder/inside.txt", "w").write("in a folder")
open(b"odd\\xff.txt", "w").write("x")
open("line\\nbreak.txt", "w").write("x")
open("a\\u202eb.txt", "w").write("x")
open(".hidden", "w").write("x")
open("<script>.html", "w").write("x")
os.truncate(os.open("sparse.bin", os.O_CREAT | os.O_RDWR), 50 << 20)
open("unreadable.txt", "w").write("mine")
os.chmod("unreadable.txt", 0)
for n in range(60):
    open(f"z{n:02}.txt", "w").write(str(n))
"""


@pytest.mark.sandbox
def test_only_plain_files_come_out_and_only_so_many(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(job({"main.py": ODD_FILES, "given.txt": "given"}, runtime))
    assert (outcome.kind, outcome.message) == ("ok", "")
    files = kept(outcome)
    assert len(files) == MAX_FILES
    assert (files["same-content.txt"], files["unreadable.txt"]) == (b"given", b"mine")
    assert sorted(files.keys() - {f"z{n:02}.txt" for n in range(60)}) == ["same-content.txt", "unreadable.txt"]
    refused = ["“.hidden”", "“<script>.html”", "“a\ufffdb.txt”", "“line\ufffdbreak.txt”", "“odd?.txt”"]
    assert [any(line.startswith(f"{name} was not kept") for line in outcome.files_dropped) for name in refused] == [True] * 5
    assert "sparse.bin was not kept: with it the files would take more than 1 MB." in outcome.files_dropped
    assert not any("root:" in content.decode(errors="replace") for content in files.values())


FORGES = """
import os
for fd in range(3, 64):
    try:
        os.write(fd, b"\\x10\\x00\\x00\\x00\\x00\\x00\\x00\\x00" + b'{"ended": 12345}')
    except OSError:
        pass
for path in ("/proc/1/fd/4", "/proc/1/fd/5", "/proc/1/mem"):
    try:
        print(path, open(path, "r+b", buffering=0).write(b"x"))
    except OSError as error:
        print(type(error).__name__)
for pid in (1, -1):
    try:
        os.kill(pid, 9)
    except OSError:
        pass
print(sorted(os.environ))
print(os.path.exists("/tmp/handin/main.py"), os.getuid() != 0)
"""


@pytest.mark.sandbox
def test_a_script_that_tampers_harms_nobody_but_itself(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(job({"main.py": FORGES}, runtime))
    assert outcome.kind in {"ok", "student"}
    assert (outcome.points + outcome.max_points, len(outcome.checks)) == (Decimal(0), 0)
    assert outcome.output.endswith("True True\n")
    again = judge(job({"main.py": "import os; print(os.listdir('.'))"}, runtime))
    assert (again.kind, again.output) == ("ok", "['main.py']\n")


@pytest.mark.sandbox
def test_log_and_curves_come_while_it_runs_and_cancelling_ends_it(host: Host, runtime: Runtime) -> None:
    seen: list[Progress] = []
    cancelled = threading.Event()

    def note(progress: Progress) -> None:
        seen.append(progress)
        if "late" in progress.output:
            cancelled.set()

    text = "import time\nprint('{\"step\": 1, \"loss\": 2}', flush=True)\ntime.sleep(1)\nprint('late', flush=True)\ntime.sleep(60)"
    began = time.monotonic()
    with pytest.raises(Cancelled):
        host.run(job({"main.py": text}, runtime), on_progress=note, cancelled=cancelled)
    assert time.monotonic() - began < 45
    assert {progress.stage for progress in seen} == {"starting", "script"}
    assert next(progress for progress in seen if progress.curves["lines"]).output == '{"step": 1, "loss": 2}\n'


def frames(*parts: bytes) -> ScriptCollector:
    collector = ScriptCollector(ALL, MEGABYTE, {})
    intake = Intake(collector)
    intake.feed(b"".join(parts))
    intake.end()
    return collector


def test_only_the_first_word_about_the_end_is_taken() -> None:
    found = frames(pack_frame({"ended": -9}, b"gone \0"), pack_frame({"name": "a", "size": 1}, b"x"), pack_frame({"ended": 0}))
    assert (found.told, found.exit_code, found.why, list(found.files)) == (True, -9, "gone \ufffd", ["a"])
    assert found.dropped == [messages.OUTPUT_BROKEN]


@pytest.mark.parametrize("ended", [True, 256, -300, "0", 1.0, [], {}])
def test_an_end_of_another_form_ends_the_taking(ended: object) -> None:
    found = frames(pack_frame({"ended": ended}), pack_frame({"name": "a", "size": 1}, b"x"))
    assert (found.told, list(found.files), found.dropped) == (False, [], [messages.OUTPUT_BROKEN])


def test_a_script_is_one_of_its_files_and_comes_without_checks(runtime: Runtime) -> None:
    fine = job({"main.py": ""}, runtime)
    with pytest.raises(ValueError, match="not among its files"):
        replace(fine, script=Script("other.py"))
    with pytest.raises(ValueError, match="comes with checks"):
        replace(fine, bundle=b"bundle")
