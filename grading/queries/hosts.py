"""The runner hosts as they last reported: what staff see of the machines that judge."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from courseapp.clock import database_now
from grading.models import SILENT_AFTER, RunnerHost

GONE_AFTER = timedelta(days=7)
"""A host that has been silent for longer is a machine that was taken away."""

HostState = Literal["serving", "refusing", "silent"]


@dataclass(frozen=True)
class HostLine:
    """One runner host. `refusal`: why it runs nothing, and the command that would help."""

    name: str
    state: HostState
    queues: tuple[str, ...]
    tier: str
    memory_guard: str
    runtimes: tuple[str, ...]
    refusal: str
    seen_at: datetime


@dataclass(frozen=True)
class Hosts:
    """`unserved` are the queues, of those asked for, that no host serves now; `refusing` the hosts that would if their sandbox held."""

    lines: tuple[HostLine, ...]
    unserved: tuple[str, ...]

    @property
    def refusing(self) -> tuple[HostLine, ...]:
        return tuple(line for line in self.lines if line.state == "refusing")


def hosts(queues: Collection[str]) -> Hosts:
    """One statement, and the database's clock."""
    now = database_now()
    lines = tuple(_line(host, now) for host in RunnerHost.objects.filter(seen_at__gt=now - GONE_AFTER).order_by("name"))
    served = {queue for line in lines if line.state == "serving" for queue in line.queues}
    return Hosts(lines, tuple(sorted(set(queues) - served)))


def _line(host: RunnerHost, now: datetime) -> HostLine:
    state: HostState = "silent" if host.seen_at <= now - SILENT_AFTER else "refusing" if host.refusal else "serving"
    return HostLine(host.name, state, tuple(host.queues), host.tier, host.memory_guard, tuple(host.runtimes), host.refusal, host.seen_at)
