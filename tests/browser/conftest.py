"""A whole site of the tests' own, started as a person starts it, and Chromium to use it with."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, expect

from grading.runner.runtimes import Runtime
from tests.patience import PATIENCE_S, eventually

ROOT = Path(__file__).resolve().parent.parent.parent
SERIOUS = {"serious", "critical"}


class Site:
    """A running `manage.py demo`."""

    def __init__(self, url: str, data_dir: Path) -> None:
        self.url = url
        self.data_dir = data_dir
        self.course = f"{url}/c/ds-ga-1008-fl23"

    def sign_in(self, page: Page, account: str) -> None:
        page.goto(f"{self.url}/accounts/login/")
        page.get_by_label("Email").fill(f"{account}@example.edu")
        page.get_by_label("Password", exact=True).fill("demo")
        page.get_by_role("button", name="Sign in").click()
        expect(page.get_by_role("navigation", name="Course")).to_be_visible()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, torch_runtime: Runtime) -> Iterator[Site]:
    data_dir = tmp_path_factory.mktemp("demo", numbered=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {key: value for key, value in os.environ.items() if key not in {"DJANGO_SETTINGS_MODULE", "REDIS_URL", "DATABASE_URL"}}
    # Programs that try the API out ask more often than people may.
    often = dict.fromkeys(("API_READS_PER_MINUTE", "API_HAND_INS_PER_MINUTE", "API_STAFF_READS_PER_MINUTE"), "1000000")
    environment = inherited | often | {"DATA_DIR": str(data_dir), "RUNTIME_PYTHON": str(torch_runtime.python)}
    with (data_dir / "demo.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "demo", "--port", str(port)],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
        )
        try:
            url = f"http://127.0.0.1:{port}"
            wait_for(url, process, data_dir / "demo.log")
            yield Site(url, data_dir)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(timeout=PATIENCE_S)


def wait_for(url: str, process: "subprocess.Popen[bytes]", log: Path) -> None:
    def answers() -> bool:
        assert process.poll() is None, f"demo ended with {process.returncode}:\n{log.read_text()}"
        with suppress(OSError), urllib.request.urlopen(f"{url}/healthz", timeout=PATIENCE_S):  # loopback
            return True
        return False

    eventually(answers, lambda: f"demo answers:\n{log.read_text()}")


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    opened = browser.new_context(viewport={"width": 1280, "height": 900}, locale="en-US", timezone_id="America/New_York")
    opened.set_default_timeout(60_000)
    yield opened
    opened.close()


@pytest.fixture
def page(context: BrowserContext, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page that remembers script errors; a failing test leaves a screenshot in test-results/."""
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda said: errors.append(said.text) if said.type == "error" and "Content Security Policy" in said.text else None)
    failed_before = request.session.testsfailed
    yield opened
    if request.session.testsfailed > failed_before:
        folder = ROOT / "test-results"
        folder.mkdir(exist_ok=True)
        opened.screenshot(path=folder / f"{request.node.name}.png", full_page=True)
    assert errors == []


SETTLED = """async () => {
  const ending = document.getAnimations().filter(one => one.effect.getComputedTiming().endTime !== Infinity);
  await Promise.all(ending.map(one => one.finished.catch(() => {})));
}"""


def assert_accessible(page: Page) -> None:
    """axe finds nothing serious on the page as it stands, once no colour is on its way any more."""
    page.evaluate(SETTLED)
    found = Axe().run(page).response["violations"]
    serious = [f"{row['id']}: {[node['target'] for node in row['nodes']]}" for row in found if row["impact"] in SERIOUS]
    assert serious == [], page.url
