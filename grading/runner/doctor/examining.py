"""Make attacks, one at a time beside a healthy job, and measure what comes of them."""

import contextlib
import os
import secrets
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

from grading.runner.doctor import homework
from grading.runner.doctor.attack import HONEST, PRELUDE, QUICK, REACHED, RIGHT, Attack
from grading.runner.doctor.judging import SHARED_WITH_THE_MACHINE, Fault, Neighbour, Record, faults
from grading.runner.doctor.observing import MemoryTaken, Process, available_mb, jobs, living, processes
from grading.runner.host import Host
from grading.runner.job import Job
from grading.runner.manifest import CheckSpec
from grading.runner.outcome import Outcome, Progress
from grading.runner.runtimes import Runtime

END_S = 1.0  # after which nothing of a job may be alive
ALONE = 5  # samples of the healthy job without anything beside it: so many before the first attack, and the last so many count
ALONE_EVERY = 6  # attacks
MUCH_MB, SETTLED_MB, SETTLE_S = 100, 32, 4.0  # memory is given back late, that of a tmpfs seconds after its job
_POLL_S = 0.02
_VARIABLE = "DOCTOR_CANARY"

# Work that is worth measuring, and something that nobody else may see.
_HEALTHY = f"""
import torch
SECRET = "@NEIGHBOUR@"
work = torch.ones(200, 200)
for _ in range(20):
    work = (work @ work).clamp(0, 1)
{RIGHT}
"""


@dataclass(frozen=True)
class Finding:
    """One attack's verdict. `again`: it was made twice, since the rest of the machine may have been the reason the first time."""

    attack: Attack
    group: str
    record: Record
    faults: tuple[Fault, ...]
    seconds: float
    again: bool

    @property
    def held(self) -> bool:
        return not self.faults

    @property
    def what(self) -> str:
        said = f"{self.attack.tries}."
        return " ".join([said, *(fault.sentence for fault in self.faults)]) if self.faults else f"{said} It was held."


class Examiner:
    """Attacks the sandbox of `host` with hand-ins to a homework of its own. Use as a context manager: it plants canaries."""

    def __init__(self, host: Host, runtime: Runtime, specs: tuple[CheckSpec, ...] = homework.SPECS) -> None:
        self._host = host
        self._runtime = runtime
        self._specs = specs
        self.canaries = homework.Canaries()
        self._bundle = homework.bundle(self.canaries)
        self._examined = 0
        self.provenance: Mapping[str, object] = {}  # of the healthy jobs
        self._alone: list[float] = []
        self._alone_mb: list[float] = []

    def __enter__(self) -> "Examiner":
        self._folder = Path(tempfile.mkdtemp(prefix="doctor-"))
        (self._folder / "secret.txt").write_text(self.canaries.host)
        self._folder.chmod(0o755)
        os.environ[_VARIABLE] = self.canaries.host
        for _ in range(ALONE + 1):
            self.measure_alone()
        del self._alone[0], self._alone_mb[0]  # the first job of a warm process is slower
        return self

    def __exit__(self, *exc: object) -> None:
        os.environ.pop(_VARIABLE, None)
        shutil.rmtree(self._folder)

    @property
    def alone_s(self) -> float:
        """What the healthy job takes with nothing beside it."""
        return statistics.median(self._alone[-ALONE:])

    def measure_alone(self) -> float:
        with MemoryTaken() as memory:
            neighbour = self._healthy()
        if not neighbour.right:
            raise UnwellError("A correct hand-in does not get its points.")
        self._alone.append(neighbour.seconds)
        self._alone_mb.append(memory.most_mb)
        return neighbour.seconds

    def examine(self, group: str, attack: Attack) -> Finding:
        """Make the attack; once more if it failed by nothing but what the rest of the machine has a part in."""
        began = time.monotonic()
        self._examined += 1
        if self._examined % ALONE_EVERY == 0:
            self.measure_alone()
        record = self.attempt(attack)
        found = faults(record)
        again = bool(found) and {fault.criterion for fault in found} <= SHARED_WITH_THE_MACHINE
        if again:
            alone = max(self.measure_alone() for _ in range(2))
            record = self.attempt(attack)
            record = replace(record, alone_s=max(self.alone_s, alone, self.measure_alone()))
            found = faults(record)
        return Finding(attack, group, record, tuple(found), time.monotonic() - began, again)

    def attempt(self, attack: Attack) -> Record:
        mark = f"att-{secrets.token_hex(4)}"
        known = jobs(processes())
        shown: list[str] = []
        with MemoryTaken() as memory, self._beside() as neighbours:
            if attack.before:
                self._run(attack, attack.before, mark, shown)
            outcome = self._run(attack, attack.code, mark, shown)
        survivors = self.survivors(mark, known)
        if memory.most_mb > MUCH_MB:
            _settle(memory.before_mb)
        text = "\n".join(shown)
        return Record(
            made=attack.proof in text,
            kind=outcome.kind,
            points=outcome.points,
            honest=Decimal(attack.honest),
            reached=sorted({line.removeprefix(REACHED) for line in text.splitlines() if line.startswith(REACHED)}),
            leaked=self.canaries.found(text),
            survivors=[f"{process.name} ({process.pid})" for process in survivors],
            neighbours=neighbours,
            alone_s=self.alone_s,
            memory_mb=max(memory.most_mb - statistics.median(self._alone_mb), 0.0),
            memory_limit_mb=attack.limits.memory_mb,
            detail=(outcome.staff_message or outcome.message)[:300],
        )

    @staticmethod
    def survivors(mark: str, known: set[Process]) -> list[Process]:
        """What is alive of a job, beyond `known`; it has a second to end."""
        deadline = time.monotonic() + END_S
        while found := living(mark, known):
            if time.monotonic() > deadline:
                break
            time.sleep(_POLL_S)
        return sorted(found, key=lambda process: process.pid)

    def _run(self, attack: Attack, code: str, mark: str, shown: list[str]) -> Outcome:
        """Judge a hand-in; whatever its author is shown of it is added to `shown`."""

        def see(progress: Progress) -> None:
            shown.append(f"{progress.check}\n{progress.output}\n{progress.curves}")

        program = (PRELUDE + code).replace("@MARK@", mark).replace("@HOST_FILE@", str(self._folder / "secret.txt"))
        outcome = self._host.run(self._job({"mlp.py": program.encode(), **attack.files}, attack), on_progress=see)
        shown += [outcome.output, outcome.message, *(check.message for check in outcome.checks)]
        return outcome

    def _job(self, files: dict[str, bytes], attack: Attack | None = None) -> Job:
        limits = attack.limits if attack else replace(QUICK, wall_s=60, cpu_s=60, call_s=60)
        return Job(self._bundle, files, self._specs, limits, self._runtime, seed=secrets.randbits(32), entry=("mlp.py",))

    def _healthy(self) -> Neighbour:
        code = _HEALTHY.replace("@NEIGHBOUR@", self.canaries.neighbour)
        began = time.monotonic()
        outcome = self._host.run(self._job({"mlp.py": code.encode()}))
        self.provenance = outcome.provenance
        return Neighbour(time.monotonic() - began, outcome.kind == "ok" and outcome.points == HONEST)

    @contextlib.contextmanager
    def _beside(self) -> Iterator[list[Neighbour]]:
        """Healthy jobs, one after the other, for as long as the block lasts: one at least."""
        seen: list[Neighbour] = []
        over = threading.Event()

        def go_on() -> None:
            while not seen or not over.is_set():
                seen.append(self._healthy())

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield seen
        finally:
            over.set()
            thread.join()


class UnwellError(Exception):
    """The sandbox does not do its work even without an attack; the text is a sentence."""


def _settle(before_mb: float) -> None:
    """The kernel gives back a job's memory a little after its end; what is missing still must not be the next one's beginning."""
    deadline = time.monotonic() + SETTLE_S
    while available_mb() < before_mb - SETTLED_MB and time.monotonic() < deadline:
        time.sleep(_POLL_S)
