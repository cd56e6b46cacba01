"""Keep a set of processes running in the foreground, and leave none behind.

Theory of operation. Every child is the leader of a session of its own, so that Ctrl-C in the terminal reaches only us and we end
things in order; and the kernel kills it when we die, even by SIGKILL. What a child starts stays in its session (or has a parent
guard of its own, as the sandbox does), so a dead child's leftovers are found by session and killed before it is started again.
Everything happens in one thread: a child's guard is tied to the thread that started it.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from grading.runner.parent import die_with_parent

TICK = 0.05
STEADY = 30.0  # a child that ran this long is healthy: its next end is met with a quick restart again
LOG_LIMIT = 10 * 2**20
AUTOGROUP_PATIENCE = 0.5


@dataclass
class Child:
    """One process. A service is kept alive; a job ends with status 0, and is tried again otherwise; a step runs once, to whatever end."""

    name: str
    command: Sequence[str]
    kind: Literal["service", "job", "step"] = "service"
    on_done: Callable[[], None] | None = None
    slowest_retry: float = 30.0
    stop_last: bool = False  # others need it while they stop
    niceness: int = 0
    environ: Mapping[str, str] = field(default_factory=dict)  # beyond everybody's

    process: subprocess.Popen[bytes] | None = field(default=None, init=False)
    started: float = field(default=0.0, init=False)
    failures: int = field(default=0, init=False)
    again_at: float = field(default=0.0, init=False)
    done: bool = field(default=False, init=False)


class Supervisor:
    def __init__(self, logs: Path, environ: Mapping[str, str], say: Callable[[str], None]) -> None:
        self.logs, self.environ, self.say = logs, dict(environ), say
        self.children: list[Child] = []
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)

    def add(self, child: Child) -> Child:
        self.children.append(child)
        self._start(child)
        return child

    def finish(self, step: Child) -> int:
        """Wait for a step that was added, while the others are kept alive; its exit status."""
        process = step.process
        assert process is not None
        self.watch(lambda: process.poll() is not None)
        self.children.remove(step)
        return process.returncode

    def end(self, child: Child) -> None:
        """End one child for good."""
        self.children.remove(child)
        self._end([child], 2.0)

    def tick(self) -> None:
        """Look after everybody once: start again what has died, after a pause that grows while it keeps dying."""
        for child in self.children:
            if child.done or child.kind == "step":
                continue
            if child.process is None:
                if time.monotonic() >= child.again_at:
                    self._start(child)
            elif child.process.poll() is not None:
                self._ended(child, child.process.returncode)

    def watch(self, until: Callable[[], bool], seconds: float = float("inf")) -> bool:
        """Tick until the condition holds; False when that takes longer than `seconds`."""
        deadline = time.monotonic() + seconds
        while not until():
            if time.monotonic() >= deadline:
                return False
            self.tick()
            time.sleep(TICK)
        return True

    def tail(self, name: str, lines: int = 3) -> str:
        """The last lines that a child printed."""
        try:
            text = (self.logs / f"{name}.log").read_text(errors="replace")
        except OSError:
            return ""
        return "\n".join([line for line in text.splitlines() if line.strip()][-lines:])

    def stop(self, grace: float = 5.0) -> None:
        """End everything: first politely, after `grace` seconds by force, and last what the others needed to end well."""
        self._end([child for child in self.children if not child.stop_last], grace)
        self._end([child for child in self.children if child.stop_last], 2.0)
        self.children.clear()

    def _start(self, child: Child) -> None:
        log = self.logs / f"{child.name}.log"
        if log.exists() and log.stat().st_size > LOG_LIMIT:
            log.replace(log.with_suffix(".log.1"))
        guard = die_with_parent()

        def prepare() -> None:
            guard()
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            if child.niceness:
                lower_priority(child.niceness)

        with log.open("ab") as out:
            child.process = subprocess.Popen(
                child.command,
                env=self.environ | dict(child.environ),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=prepare,
            )
        child.started = time.monotonic()

    def _ended(self, child: Child, status: int) -> None:
        assert child.process is not None
        kill_session(child.process.pid)
        child.process = None
        if child.kind == "job" and status == 0:
            child.done = True
            if child.on_done:
                child.on_done()
            return
        child.failures = 0 if time.monotonic() - child.started > STEADY else child.failures + 1
        pause = min(child.slowest_retry, 0.25 * 2 ** min(child.failures, 12))
        child.again_at = time.monotonic() + pause
        self.say(f"{child.name} {how_it_ended(status)}; it starts again{f' in {pause:.0f} s' if pause >= 1 else ''}.")
        if status > 0 and (last := self.tail(child.name, 1)):
            self.say(f"  its last line: {last}")

    def _end(self, children: Sequence[Child], grace: float) -> None:
        running = [child.process for child in children if child.process is not None]
        for process in running:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + grace
        while time.monotonic() < deadline and any(process.poll() is None for process in running):
            time.sleep(TICK)
        for process in running:
            kill_session(process.pid)
            process.wait()


def lower_priority(niceness: int) -> None:
    """Let others go first: this process, and its whole session where the kernel shares the processors out by session (autogroup)."""
    os.nice(niceness)
    deadline = time.monotonic() + AUTOGROUP_PATIENCE
    while time.monotonic() < deadline:
        try:
            Path("/proc/self/autogroup").write_text(str(niceness))
        except BlockingIOError:  # an ordinary user may set one in a tenth of a second
            time.sleep(0.02)
        except OSError:  # this kernel shares out by process or by cgroup
            return
        else:
            return


def how_it_ended(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        return f"was killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"was killed by signal {-status}"


def kill_session(leader: int) -> None:
    """SIGKILL to every process of the leader's session, also those that the leader's death has orphaned."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            # pid (comm) state ppid pgrp session; comm may hold spaces and parentheses
            session = int(stat.read_text().rpartition(")")[2].split()[3])
            if session == leader:
                os.kill(int(stat.parent.name), signal.SIGKILL)
