"""What the tests of runs share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from courseapp import bell
from courseapp.celery import app
from grading.runner.runtimes import Runtime
from tests.grading.site import Site
from tests.valkey import Valkey


@pytest.fixture
def broker_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Points this process's bell at a broker."""

    def point(url: str) -> None:
        monkeypatch.setattr(app.conf, "broker_url", url)
        monkeypatch.setattr(app.conf, "broker_write_url", url)
        monkeypatch.setattr(bell, "_bell", bell.Bell(app))

    return point


@pytest.fixture
def site(
    transactional_db: None, tmp_path: Path, valkey: Valkey, broker_at: Callable[[str], None], torch_runtime: Runtime
) -> Iterator[Site]:
    """A broker, and processes to start: with short leases, so that what dies is missed soon."""
    broker_at(valkey.url)
    started = Site(tmp_path, valkey, torch_runtime.python)
    yield started
    started.stop()
