"""How long a job takes in the sandbox, against the same interpreter without one.

A *job* is: request on the host's socket, checker and student forked, one hidden answer judged, both reaped. Baselines and jobs take turns
in one run. Times of several processes are compared by the machine's monotonic clock, which they share. No child is forked in advance of
its job; idle slots (uid, control group, network namespace) are kept, as they are on a site.
"""

import io
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from grading.runner import client, runtimes
from grading.runner.job import Job
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import Outcome
from grading.runner.watch import descendants, is_sandboxed

_TICK_MS = 1000 / os.sysconf("SC_CLK_TCK")
_SERVER = """
import sys, threading, time
from pathlib import Path
from grading.runner import host, runtimes, server
owner = host.Host()
began = time.monotonic()
problem = owner.warm(runtimes.Runtime("torch", Path(sys.argv[2]), ""))
ready = time.monotonic() - began
owner.warm(runtimes.Runtime("torch", Path(sys.argv[2]), ""), fully=True)
print(problem or ready, flush=True)
server.serve(owner, Path(sys.argv[1]), stop=threading.Event())
"""
_CHECKS = """
import time
import torch
from grading.runner.checks import Failed, Student, Trial, check

@check("one")
def one(student: Student, trial: Trial) -> None:
    x = torch.randn(4, 3, generator=trial.generator)
    trial.close("y", student.call("answer.twice", x), 2 * x)
    raise Failed(str(time.monotonic()))  # when the answer had been judged
"""
_SGD = """
layer = torch.nn.Linear(3, 1)
optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
layer(torch.ones(2, 3)).pow(2).mean().backward()
optimizer.step()
"""
_TWICE = "\ndef twice(x):\n    return 2 * x\n"
_STAMP = "import time; print(time.monotonic(), flush=True)\n"


@dataclass(frozen=True)
class Sandbox:
    """Medians over `runs`; `raw` holds every sample in milliseconds. CPU is of both processes, their forks and ends included."""

    machine: str
    runs: int
    raw: dict[str, list[float]]
    bare_python_ms: float
    bare_torch_ms: float
    bare_sgd_ms: float
    student_first_line_ms: float
    first_answer_ms: float
    whole_job_ms: float
    sgd_step_ms: float
    jobs_per_s: float
    cpu_ms_per_job: float
    host_cpu_ms_per_job: float
    private_mb_per_job: float
    zygote_boot_s: float
    ratio_torch: float
    memory_guard: str

    @property
    def bars(self) -> list[tuple[str, float, float, bool]]:
        """(what, measured, bar, whether it holds)"""
        at_most = [
            ("first answer, ms", self.first_answer_ms, 30.0),
            ("CPU per job, ms", self.cpu_ms_per_job, 30.0),
            ("private memory of an idle job, MB", self.private_mb_per_job, 10.0),
            ("zygote boot, s", self.zygote_boot_s, 3.0),
        ]
        at_least = [("import torch ÷ first student line", self.ratio_torch, 60.0), ("jobs/s, 2 in parallel", self.jobs_per_s, 40.0)]
        return [(what, got, bar, got <= bar) for what, got, bar in at_most] + [(what, got, bar, got >= bar) for what, got, bar in at_least]

    @property
    def holds(self) -> bool:
        return all(held for *_, held in self.bars)

    def __str__(self) -> str:
        rows = [
            f"{self.machine}, medians of {self.runs}",
            f"bare python {self.bare_python_ms:.1f} ms, import torch {self.bare_torch_ms:.0f} ms, with an SGD step {self.bare_sgd_ms:.0f}",
            f"student's first line {self.student_first_line_ms:.1f} ms, first answer {self.first_answer_ms:.1f} ms, "
            f"SGD step {self.sgd_step_ms:.1f} ms, whole job {self.whole_job_ms:.1f} ms",
            f"host's own CPU per job {self.host_cpu_ms_per_job:.1f} ms, memory watched by {self.memory_guard}",
        ]
        return "\n".join(
            rows + [f"  {what:38} {got:8.1f}  bar {bar:g}: {'held' if held else 'MISSED'}" for what, got, bar, held in self.bars]
        )


def run(*, runs: int, jobs: int, say: Callable[[str], None]) -> Sandbox:
    """Measure with a runner host of the benchmark's own."""
    found = runtimes.find(settings.DATA_DIR, "torch", {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})
    if not isinstance(found, runtimes.Ready):
        raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime torch")
    with _served(found.runtime) as (server, socket_path, boot_s):
        bench = _Bench(found.runtime, socket_path, server.pid)
        say(f"{runs} rounds of baselines and jobs in turn, then {jobs} jobs, 2 at a time.")
        return bench.measure(runs, jobs, boot_s)


@contextmanager
def _served(runtime: runtimes.Runtime) -> Iterator[tuple["subprocess.Popen[str]", Path, float]]:
    """A runner host without a database: (process, socket, seconds that the warm process took)."""
    with tempfile.TemporaryDirectory() as folder:
        socket_path = Path(folder) / "run" / "runner.sock"
        command = [sys.executable, "-c", _SERVER, str(socket_path), str(runtime.python)]
        server = subprocess.Popen(command, cwd=settings.BASE_DIR, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            said = server.stdout.readline().strip()
            try:
                boot_s = float(said)
            except ValueError:
                raise CommandError(f"The runtime cannot be imported in the sandbox: {said or 'no sandbox'}") from None
            while not _answers(socket_path):
                time.sleep(0.02)
            yield server, socket_path, boot_s
        finally:
            server.terminate()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


def _answers(socket_path: Path) -> bool:
    try:
        client.ping(socket_path)
    except client.HostUnavailable:
        return False
    return True


class _Bench:
    def __init__(self, runtime: runtimes.Runtime, socket_path: Path, server: int) -> None:
        self._runtime = runtime
        self._socket = socket_path
        self._server = server
        self._serial = 0
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("checks.py", _CHECKS)
        self._bundle = buffer.getvalue()

    def measure(self, runs: int, jobs: int, boot_s: float) -> Sandbox:
        raw: dict[str, list[float]] = {}
        self._job(_TWICE)
        self._bare("import torch\n")  # both caches are warm
        for _ in range(runs):
            for name, sample in self._round().items():
                raw.setdefault(name, []).append(round(sample, 3))
        before = (self._sandboxes_ms(), self._host_ms())
        began = time.monotonic()
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: self._job(_TWICE), range(jobs)))
        took = time.monotonic() - began
        after = (self._sandboxes_ms(), self._host_ms())
        median = {name: statistics.median(samples) for name, samples in raw.items()}
        return Sandbox(
            machine=_machine(),
            runs=runs,
            raw=raw,
            **median,
            jobs_per_s=round(jobs / took, 1),
            cpu_ms_per_job=round((after[0] - before[0]) / jobs, 1),
            host_cpu_ms_per_job=round((after[1] - before[1]) / jobs, 1),
            private_mb_per_job=round(self._private_mb(), 1),
            zygote_boot_s=round(boot_s, 2),
            ratio_torch=round(median["bare_torch_ms"] / median["student_first_line_ms"], 1),
            memory_guard=str(self._job(_TWICE).provenance["memory_guard"]),
        )

    def _round(self) -> dict[str, float]:
        found = {"bare_python_ms": self._bare("")}
        began = time.monotonic()
        line = self._job(_STAMP + _TWICE, visible=True)
        found["student_first_line_ms"] = (float(line.output) - began) * 1000
        found["bare_torch_ms"] = self._bare("import torch\n")
        began = time.monotonic()
        answer = self._job(_TWICE)
        found["whole_job_ms"] = (time.monotonic() - began) * 1000
        found["first_answer_ms"] = (float(answer.checks[0].staff_message) - began) * 1000
        found["bare_sgd_ms"] = self._bare("import torch\n" + _SGD)
        began = time.monotonic()
        step = self._job("import torch\n" + _SGD + _STAMP + _TWICE, visible=True)
        found["sgd_step_ms"] = (float(step.output) - began) * 1000
        return found

    def _bare(self, code: str) -> float:
        """Milliseconds from the start of the runtime's interpreter to the line after `code`."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        began = time.monotonic()
        said = subprocess.run(
            [self._runtime.python, "-c", code + _STAMP], capture_output=True, text=True, check=True, env=environment, cwd="/"
        )
        return (float(said.stdout) - began) * 1000

    def _job(self, code: str, *, visible: bool = False) -> Outcome:
        self._serial += 1
        spec = CheckSpec("one", "One", Decimal(1), "visible" if visible else "hidden")
        files = {"answer.py": f"{code}# {self._serial}\n".encode()}
        job = Job(self._bundle, files, (spec,), Limits(wall_s=30), self._runtime, seed=self._serial, entry=("answer.py",))
        outcome = client.run_job(self._socket, job)
        if outcome.kind != "ok":
            raise CommandError(f"A job of the benchmark failed: {outcome.kind}, {outcome.message} {outcome.staff_message}")
        return outcome

    def _sandboxes_ms(self) -> float:
        """Processor time of all below the host so far, what has ended and was waited for included."""
        return sum(sum(_times(pid)) for pid in descendants(self._server))

    def _host_ms(self) -> float:
        return sum(_times(self._server)[:2])

    def _private_mb(self) -> float:
        """What a checker and a student that wait have for themselves alone."""
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(self._job, "import time\ntime.sleep(1.5)\n" + _TWICE)
            time.sleep(1)
            private = sum(_private_kb(pid) for pid in descendants(self._server) if is_sandboxed(pid))
            waiting.result()
        return private / 1024


def _times(pid: int) -> list[float]:
    """Milliseconds: user, system, and the same of the children it waited for; zeros when it has ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return [0.0] * 4
    return [int(field) * _TICK_MS for field in fields[11:15]]


def _private_kb(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Clean:", "Private_Dirty:")))


def _machine() -> str:
    return f"{os.cpu_count()} cores, {platform.machine()}, Linux {os.uname().release}, Python {platform.python_version()}"
