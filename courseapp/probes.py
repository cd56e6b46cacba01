"""Look at what the site depends on, without being held up by it.

Each look runs in a thread of its own and is given so many seconds. One that hangs is left to itself: it is asked for again, not
started again, until it has ended, so that a dead dependency costs one thread and no more.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from django.db import connection

State = Literal["ok", "degraded", "down"]


@dataclass(frozen=True)
class Finding:
    """`down`: pages or uploads fail; `degraded`: they work, and something else does not. `detail` is for those who run the site.

    `value` is what was read, where the look was for that.
    """

    state: State
    detail: str = ""
    seconds: float = 0.0
    value: Any = None


class Probe:
    def __init__(self, name: str, look: Callable[[], Finding], *, worst: State) -> None:
        """`worst` is what it comes to when the look fails or does not end."""
        self.name, self._look, self._worst = name, look, worst
        self._lock = threading.Lock()
        self._pending: _Look | None = None

    def start(self) -> "_Look":
        with self._lock:
            if self._pending is None or self._pending.ended.is_set():
                self._pending = _Look(self.name, self._look, self._worst)
                self._pending.start()
            return self._pending


class _Look(threading.Thread):
    def __init__(self, name: str, look: Callable[[], Finding], worst: State) -> None:
        super().__init__(name=f"probe {name}", daemon=True)
        self._look, self._worst = look, worst
        self.ended = threading.Event()
        self.finding: Finding | None = None
        self.began = time.monotonic()

    def run(self) -> None:
        try:
            try:
                found = self._look()
            except Exception as error:  # noqa: BLE001  # whatever goes wrong with a dependency is what was to be found out
                found = Finding(self._worst, f"{type(error).__name__}: {error}".strip())
            self.finding = replace(found, seconds=round(time.monotonic() - self.began, 3))
        finally:
            connection.close()
            self.ended.set()

    def result(self, until: float) -> Finding:
        """What it found by then (monotonic seconds)."""
        self.ended.wait(max(0.0, until - time.monotonic()))
        return self.finding or Finding(self._worst, "No answer in time.", round(time.monotonic() - self.began, 3))


def ask(probes: Sequence[Probe], seconds: float) -> dict[str, Finding]:
    """All of them at once, by name; back after `seconds` at the latest."""
    until = time.monotonic() + seconds
    started = [(probe.name, probe.start()) for probe in probes]
    return {name: look.result(until) for name, look in started}
