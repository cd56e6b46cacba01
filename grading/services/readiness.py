"""Whether the site can do its work: can it be sent requests, and does everything behind it answer.

down: pages or uploads fail, so a load balancer should send nobody here. degraded: pages and uploads work; runs start late or wait, or
the disk will be full soon. A dead broker or a missing sandbox is no reason to turn anybody away: hand-ins are kept all the same, and
every web process would be turned off at once for something that none of them can help.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Literal

import redis
from django.conf import settings
from django.core.files.storage import FileSystemStorage, default_storage
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from courseapp.clock import database_now
from courseapp.formats import filesize
from courseapp.probes import Finding, Probe, ask
from grading.models import SILENT_AFTER, RunnerHost

SECONDS = 2.0
LOW = 1024**3
"""Bytes free below which somebody should make room."""

Word = Literal["ready", "degraded", "unready"]


def look() -> dict[str, Finding]:
    return ask(PROBES, SECONDS)


def verdict(found: Mapping[str, Finding]) -> Word:
    states = {finding.state for finding in found.values()}
    return "unready" if "down" in states else "degraded" if "degraded" in states else "ready"


def database() -> Finding:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return Finding("ok", connection.vendor)


def migrations() -> Finding:
    executor = MigrationExecutor(connection)
    missing = executor.migration_plan(executor.loader.graph.leaf_nodes())
    if missing:
        first = f"{missing[0][0].app_label}.{missing[0][0].name}"
        return Finding("down", f"{len(missing)} not applied, the first is {first}. Run: manage.py migrate")
    return Finding("ok", "all applied")


def broker() -> Finding:
    with redis.Redis.from_url(settings.REDIS_URL, socket_connect_timeout=1, socket_timeout=1) as client:
        client.ping()
    return Finding("ok")


def storage() -> Finding:
    """A file is written, synced and read where hand-ins go."""
    if not isinstance(default_storage, FileSystemStorage):
        return Finding("ok", "not a folder of this machine")
    root = Path(default_storage.location)
    content = os.urandom(32)
    descriptor, name = tempfile.mkstemp(prefix="part-", dir=root)
    try:
        with os.fdopen(descriptor, "w+b") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if Path(name).read_bytes() != content:
            return Finding("down", "What was written is not what was read.")
    finally:
        Path(name).unlink()
    free = shutil.disk_usage(root).free
    largest = settings.MAX_BODY_MB * 1024**2
    if free < largest:
        return Finding("down", f"{filesize(free)} free; one hand-in may have {filesize(largest)}.")
    return Finding("degraded" if free < LOW else "ok", f"{filesize(free)} free")


def sandbox() -> Finding:
    """What the runner hosts have reported of themselves."""
    now = database_now()
    hosts = list(RunnerHost.objects.order_by("name"))
    seen = [host for host in hosts if host.seen_at > now - SILENT_AFTER]
    if seen:
        refusing = any(host.refusal for host in seen)
        return Finding("degraded" if refusing else "ok", "; ".join(map(_said_by, seen)))
    last = max((host.seen_at for host in hosts), default=None)
    silent = f"none seen for {(now - last) // timedelta(seconds=1)} s" if last else "none was ever seen"
    return Finding("degraded", f"No runner host answers: {silent}.")


def _said_by(host: RunnerHost) -> str:
    if host.refusal:
        return f"{host.name} runs nothing: {host.refusal}"
    return f"{host.name}: {host.tier}" + (f", memory by {host.memory_guard}" if host.memory_guard else "")


PROBES = (
    Probe("database", database, worst="down"),
    Probe("migrations", migrations, worst="down"),
    Probe("broker", broker, worst="degraded"),
    Probe("storage", storage, worst="down"),
    Probe("sandbox", sandbox, worst="degraded"),
)
