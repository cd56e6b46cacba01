"""Requests in numbers, for Prometheus: counted by each web process in files of its own, added up by whichever is asked."""

import logging
import os
import threading
from contextlib import suppress
from pathlib import Path

from django.conf import settings
from django.http import HttpRequest
from prometheus_client import Counter, Histogram

log = logging.getLogger(__name__)

METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
FILE_BYTES = 2**20
"""What prometheus_client begins a file with."""

requests = Counter("courseapp_requests", "Requests answered.", ("method", "route", "status"), registry=None)
latency = Histogram("courseapp_request_seconds", "From a request's headers to its answer's.", ("route",), buckets=BUCKETS, registry=None)

_room: dict[int, bool] = {}
_room_lock = threading.Lock()


def folder() -> Path:
    return Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])


def route_of(request: HttpRequest) -> str:
    """The address's pattern, never what stands in it: there are few of them, and they tell of nobody."""
    if request.resolver_match is not None:
        return request.resolver_match.route
    return "static" if request.path.startswith(settings.STATIC_URL) else "none"


def observe(method: str | None, route: str, status: int, seconds: float) -> None:
    if not _has_room():
        return
    requests.labels(method if method in METHODS else "other", route, str(status)).inc()
    latency.labels(route).observe(seconds)


def forget() -> None:
    """Begin anew: to be called before the first web process counts."""
    for file in folder().glob("*.db"):
        with suppress(FileNotFoundError):
            file.unlink()


def _has_room() -> bool:
    """Whether this process has its files. They are memory-mapped: on a disk that is full, counting into a hole would kill the process."""
    pid = os.getpid()
    if pid not in _room:
        with _room_lock:
            if pid not in _room:
                _room[pid] = _reserve(pid)
    return _room[pid]


def _reserve(pid: int) -> bool:
    try:
        for kind in ("counter", "histogram"):
            descriptor = os.open(folder() / f"{kind}_{pid}.db", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, FILE_BYTES)
            finally:
                os.close(descriptor)
    except OSError as error:
        log.warning("Requests are not counted: %s: %s.", folder(), error.strerror)
        return False
    return True
