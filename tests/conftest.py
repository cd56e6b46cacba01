"""What several tests need from the machine: a database of the other kind, a broker, a browser, the runtime of homework."""

import os
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from django.conf import settings
from playwright.sync_api import Browser, expect, sync_playwright

from grading.runner import runtimes
from tests.oidc import Provider
from tests.valkey import Valkey

DATABASE_FIXTURES = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}
CHROMIUM_FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
expect.set_options(timeout=60_000)  # a busy machine draws late
IN_CI = os.environ.get("CI", "").lower() == "true"


def missing(reason: str) -> NoReturn:
    """What the machine lacks skips a test, with its reason; on CI it fails, so that nothing is silently left untested."""
    if IN_CI:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def on_postgres() -> bool:
    return os.environ.get("TEST_DATABASE") == "postgres"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--alone", choices=("without", "only"), help="leave out the tests marked “alone”, or run only them; otherwise all run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """On PostgreSQL only what touches the database runs again; the stories in the browser and the sandbox have run on SQLite."""
    if on_postgres():
        kept = [
            item for item in items if touches_database(item) and not {"browser", "sandbox"} & {mark.name for mark in item.iter_markers()}
        ]
    else:
        kept = [item for item in items if item.get_closest_marker("postgres") is None]
    if wanted := config.getoption("alone"):
        kept = [item for item in kept if (item.get_closest_marker("alone") is not None) == (wanted == "only")]
    config.hook.pytest_deselected(items=[item for item in items if item not in set(kept)])
    items[:] = kept


def touches_database(item: pytest.Item) -> bool:
    return item.get_closest_marker("django_db") is not None or bool(DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())))


@pytest.fixture(autouse=True, scope="session")
def _wanted_database() -> None:
    if problem := os.environ.get("POSTGRES_PROBLEM"):
        missing(problem)


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    """A real broker; point CELERY_BROKER_URL at `valkey.url`."""
    folder = tmp_path / "valkey"
    folder.mkdir()
    broker = Valkey(folder)
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def oidc() -> Iterator[Provider]:
    """An identity provider that runs; the site finds it when the test also takes `trusted`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    provider = Provider(port)
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def chromium() -> str:
    """Path of the installed browser, for Playwright's executable_path."""
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        if found := shutil.which(name):
            return found
    missing("Chromium is not installed; on Debian: apt-get install chromium")


@pytest.fixture(scope="session")
def browser(chromium: str) -> Iterator[Browser]:
    """One browser for all tests of a worker; each opens its own contexts."""
    # Playwright keeps an event loop in this thread until the end; the database is used by this thread alone all the same.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=chromium, args=CHROMIUM_FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="session")
def torch_runtime() -> runtimes.Runtime:
    """The environment that homework runs in."""
    found = runtimes.find(settings.DATA_DIR, "torch")
    if isinstance(found, runtimes.Ready):
        return found.runtime
    missing(f"{found.status.message} Install it with “make install”.")
