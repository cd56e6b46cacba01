"""The processes of one seed, how each is struck, and how it comes back."""

import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis
from django.db import DatabaseError, InterfaceError, connection

from courseapp.management.local_postgres import Cluster
from courseapp.management.supervisor import Child, Supervisor
from grading.models import Run
from tests.chaos.control import QUEUE, Control
from tests.chaos.plan import Kind, Strike
from tests.grading.site import REPOSITORY, children
from tests.valkey import Valkey

LEASE_S = 2
POLL_S = 1
PAUSE_S = 2.5 * LEASE_S  # and for longer while nobody has taken the run over
LONGEST_PAUSE_S = 20.0
AWAKE_S = 1.5  # so long a worker that was woken is let alone, to find out
PATIENCE_S = 4.0  # so long a strike waits for work to strike at
BACKLOG = 20  # messages of the control that a broker without a file must hold when it dies
AT_WORK = re.compile(r"Run (\d+) (?:begins: queue \S+, claim (\d+)\.|is left after )")
LATE_RESULT = "its result came late, and was not recorded; it is somebody else's."
FENCED = re.compile(r"and was not recorded; it is somebody else's\.")


class Site:
    """Two workers, a runner host and a broker, with two workers of the control beside them. All of it in one thread."""

    def __init__(self, folder: Path, cluster: Cluster, control: Control, *, port: int, keeps: bool) -> None:
        self.struck: Counter[str] = Counter()
        self.lost_backlogs: list[int] = []
        self._folder, self._cluster, self._control = folder, cluster, control
        self._broker = Valkey(folder, port=port, keeps=keeps)
        self._supervisor = Supervisor(folder / "log", os.environ | {"LOG_LEVEL": "INFO"}, lambda _line: None)
        self._pending: list[tuple[Callable[[], bool], Callable[[], None]]] = []
        self._down: set[Kind] = set()
        self._paused: set[str] = set()
        self._woken = 0
        self._lives: dict[str, tuple[int, int]] = {}  # of each child: its process, and where its log stood when it began

    def start(self, seconds: float = 60) -> None:
        """Everybody is ready when this returns."""
        self._broker.start()
        manage = [sys.executable, str(REPOSITORY / "manage.py")]
        celery = [sys.executable, "-m", "celery"]
        worker = ["worker", "--pool", "threads", "--concurrency", "1", "--without-mingle", "--without-gossip"]
        site, control = [*celery, "-A", "courseapp", *worker, "--queues", "cpu"], [*celery, "-A", "tests.chaos.control", *worker]
        self._host = self._add("host", [*manage, "runner_host"])
        self._workers = [self._add(f"worker{number}", [*site, "--hostname", f"worker{number}@%h"]) for number in range(2)]
        self._controls = [
            self._add(f"control{number}", [*control, "--queues", QUEUE, "--hostname", f"control{number}@%h", "--loglevel", "INFO"])
            for number in range(2)
        ]
        ready = {"host": "sandbox tier"} | dict.fromkeys(("worker0", "worker1", "control0", "control1"), " ready.")
        if not self._supervisor.watch(lambda: all(words in self.said(name) for name, words in ready.items()), seconds):
            silent = [name for name, words in ready.items() if words not in self.said(name)]
            raise RuntimeError(f"After {seconds:.0f} s not ready: {', '.join(silent)}.\n{self._supervisor.tail(silent[0], 20)}")

    def tick(self) -> None:
        """Start again what died, and whatever is due."""
        self._supervisor.tick()
        for child in self._supervisor.children:
            if child.process is not None and self._lives.get(child.name, (0, 0))[0] != child.process.pid:
                self._lives[child.name] = (child.process.pid, self._log(child.name).stat().st_size)
        waiting, self._pending = self._pending, []
        for due, act in waiting:
            if due():
                act()  # which may leave something pending itself
            else:
                self._pending.append((due, act))

    @property
    def whole(self) -> bool:
        """Nothing is down or held any more."""
        return not self._pending and all(child.process is not None for child in self._supervisor.children)

    def strike(self, strike: Strike, overdue_s: float) -> bool:
        """Do it, if there is work to strike at or it is overdue; whether it was done."""
        patient = overdue_s < PATIENCE_S
        done = {
            Kind.WORKER: self._kill_worker,
            Kind.HOST: self._kill_host,
            Kind.WARM: self._kill_warm,
            Kind.BROKER: self._kill_broker,
            Kind.DATABASE: self._crash_database,
            Kind.PAUSE: self._pause,
        }[strike.kind](strike, patient)
        self.struck[strike.kind] += done
        return done

    def said(self, name: str) -> str:
        with suppress(FileNotFoundError):
            return self._log(name).read_text(errors="replace")
        return ""

    def fenced(self) -> tuple[int, int]:
        """How many executions were turned away at their end because the run was somebody else's, and how many of them with a result."""
        said = [self.said(child.name) for child in (self._host, *self._workers)]
        return sum(len(FENCED.findall(text)) for text in said), sum(text.count(LATE_RESULT) for text in said)

    def stop(self) -> None:
        while self._pending:
            self._pending.pop()[1]()
        self._supervisor.stop()
        self._broker.kill()

    def _add(self, name: str, command: list[str]) -> Child:
        return self._supervisor.add(Child(name, command, slowest_retry=0.5))

    def _log(self, name: str) -> Path:
        return self._folder / "log" / f"{name}.log"

    def _at_work(self, child: Child) -> tuple[int, int] | None:
        """The run that this process holds, and its token; by what it last said since it was started."""
        _, began = self._lives.get(child.name, (0, 0))
        found = AT_WORK.findall(self.said(child.name)[began:])
        return (int(found[-1][0]), int(found[-1][1])) if found and found[-1][1] else None

    @property
    def _first_sleep(self) -> bool:
        """The first worker to be held is held; its job is let alone, so that a result waits for it when it wakes."""
        return bool(self._paused) and not self._woken

    def _nobody_at_work(self) -> bool:
        return not any(self._at_work(child) for child in (self._host, *self._workers))

    def _kill(self, child: Child) -> None:
        if child.process is not None and child.name not in self._paused:
            child.process.kill()

    def _kill_worker(self, strike: Strike, patient: bool) -> bool:
        worker = self._workers[strike.worker]
        if worker.name in self._paused or (patient and not self._at_work(worker)):
            if patient:
                return False
            worker = self._workers[1 - strike.worker]
        self._kill(worker)
        self._kill(self._controls[self._workers.index(worker)])
        return True

    def _kill_host(self, strike: Strike, patient: bool) -> bool:
        if self._first_sleep or (patient and self._nobody_at_work()):
            return False
        self._kill(self._host)
        return True

    def _kill_warm(self, strike: Strike, patient: bool) -> bool:
        """The process that has the runtime imported and is forked for each job."""
        process, warm = self._host.process, list[int]()
        with suppress(OSError):  # it dies while we look
            warm = [pid for launcher in children(process.pid) for pid in children(launcher)] if process is not None else []
        if not warm or self._first_sleep or (patient and self._nobody_at_work()):
            return False
        for pid in warm:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return True

    def _kill_broker(self, strike: Strike, patient: bool) -> bool:
        if Kind.BROKER in self._down:
            return False
        try:
            held = self._control.unacknowledged()
        except redis.RedisError:
            return False
        if patient and not self._broker.keeps and held < BACKLOG:
            return False
        self._broker.kill()
        if not self._broker.keeps:
            self.lost_backlogs.append(held)
        self._down_for(strike, self._broker.start)
        return True

    def _crash_database(self, strike: Strike, patient: bool) -> bool:
        if Kind.DATABASE in self._down or (patient and self._nobody_at_work()):
            return False
        self._cluster.crash()
        self._down_for(strike, self._cluster.serve_again)
        return True

    def _down_for(self, strike: Strike, start: Callable[[], None]) -> None:
        def again() -> None:
            start()
            self._down.remove(strike.kind)

        self._down.add(strike.kind)
        self._pending.append((self._after(strike.down_s), again))

    def _pause(self, strike: Strike, patient: bool) -> bool:
        """Hold a worker in the middle of a run, until the run is no longer its own."""
        worker, control = self._workers[strike.worker], self._controls[strike.worker]
        held = self._at_work(worker)
        if worker.process is None or worker.name in self._paused or (patient and held is None):
            return False
        worker.process.send_signal(signal.SIGSTOP)
        if patient and self._at_work(worker) != held:  # it ended just now
            worker.process.send_signal(signal.SIGCONT)
            return False
        stopped = [child.process for child in (worker, control) if child.process is not None]
        for process in stopped:
            process.send_signal(signal.SIGSTOP)
        names = {worker.name, control.name}
        self._paused.update(names)
        over, at_last = self._after(PAUSE_S), self._after(LONGEST_PAUSE_S)

        def due() -> bool:
            return over() and (at_last() or held is None or _taken_away(*held))

        def wake() -> None:
            for process in stopped:
                process.send_signal(signal.SIGCONT)
            self._pending.append((self._after(AWAKE_S), release))

        def release() -> None:
            self._paused.difference_update(names)
            self._woken += 1

        self._pending.append((due, wake))
        return True

    @staticmethod
    def _after(seconds: float) -> Callable[[], bool]:
        end = time.monotonic() + seconds
        return lambda: time.monotonic() >= end


def _taken_away(run: int, token: int) -> bool:
    """The run is no longer held under this token. False also while the database does not answer."""
    try:
        return not Run.objects.filter(pk=run, token=token, state=Run.State.RUNNING).exists()
    except (DatabaseError, InterfaceError):
        connection.close()
        return False
