"""The API on a running site: the students' program hands in and reads a real run's score, and no request makes the server fail."""

import json
import os
import re
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Site, assert_accessible
from tests.browser.test_hand_in import SAMPLES

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]

TO = ("ds-ga-1008-fl23", "hw1-backprop", "practice")

# Which files a component takes is its own rule and no schema's; and a leap second is a time, but none that a database keeps.
BEYOND_THE_SCHEMA = """
[[operations]]
include-operation-id = ["hand_in", "list_submissions"]
checks.positive_data_acceptance.expected-statuses = ["2xx", 400, 403, 404, 409, 429]
"""


def token(site: Site, account: str, *scopes: str) -> str:
    inherited = {key: value for key, value in os.environ.items() if key not in {"DJANGO_SETTINGS_MODULE", "REDIS_URL", "DATABASE_URL"}}
    command = [sys.executable, "manage.py", "api_token", f"{account}@example.edu", *(f"--scope={scope}" for scope in scopes)]
    made = subprocess.run(command, cwd=ROOT, env=inherited | {"DATA_DIR": str(site.data_dir)}, capture_output=True, text=True, check=True)
    return made.stdout.strip()


def handin(site: Site, folder: Path, key: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """The program as the site serves it, in an environment with nothing of ours."""
    with urllib.request.urlopen(f"{site.url}/handin.py") as answer:  # loopback
        (folder / "handin.py").write_bytes(answer.read())
    command = [sys.executable, "-I", "handin.py", *arguments]
    environment = {"HANDIN_TOKEN": key, "PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=150, check=False
    )


def test_the_program_hands_in_and_prints_the_score_of_the_run(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mlp.py").write_bytes((SAMPLES / "correct-plain" / "mlp.py").read_bytes())
    done = handin(site, tmp_path, token(site, "student", "read", "submit"), *TO, "mlp.py", "--own-work")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Score: 50 of 50"), done.stderr
    assert re.search(r"Hand-in #\d+, .*, on time\. Receipt [0-9A-Z]{4}-[0-9A-Z]{4}$", done.stdout, re.MULTILINE)
    assert "  passed           1 / 1  Forward: f = relu, g = relu" in done.stdout.splitlines()
    assert "  hidden         25 / 25  14 hidden checks" in done.stdout.splitlines()


def test_a_late_hand_in_is_agreed_to_or_not_made(site: Site, tmp_path: Path) -> None:
    (tmp_path / "mlp.py").write_bytes((SAMPLES / "partial-mse-sum" / "mlp.py").read_bytes())
    key = token(site, "late", "read", "submit")
    kept = handin(site, tmp_path, key, *TO, "mlp.py", "--own-work")
    assert (kept.returncode, "Nothing was handed in." in kept.stderr, "Hand-in" in kept.stdout) == (1, True, False)
    done = handin(site, tmp_path, key, *TO, "mlp.py", "--own-work", "--agree", "--wait=0")
    assert (done.returncode, "it is 1 day late: it costs 5 points" in done.stdout, ", 1 day late. Receipt " in done.stdout) == (
        5,
        True,
        True,
    )


def test_what_is_refused_is_said_as_on_the_page(site: Site, tmp_path: Path) -> None:
    (tmp_path / "MLP.py").write_text("x = 1\n")
    refused = handin(site, tmp_path, token(site, "phd", "read", "submit"), *TO, "MLP.py", "--own-work")
    assert (refused.returncode, refused.stderr.splitlines()) == (
        1,
        [
            "These files cannot be handed in:",
            "mlp.py is missing; “MLP.py” was sent: rename it to mlp.py.",
            "Nothing was handed in. What you handed in before stays as it is.",
        ],
    )
    wrong = handin(site, tmp_path, "cat_nothing", *TO, "MLP.py", "--own-work")
    assert (wrong.returncode, wrong.stderr.strip()) == (
        1,
        "This token does not work: it is unknown, expired or revoked, or its account is switched off.",
    )


def test_a_token_is_made_on_the_page_and_used(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    page.get_by_role("button", name="Your account").click()
    page.get_by_role("link", name="Your account").click()
    page.get_by_role("link", name="API tokens").click()
    assert_accessible(page)
    page.get_by_role("link", name="Make a token").click()
    page.get_by_label("Password").fill("demo")
    page.get_by_role("button", name="Go on").click()
    page.get_by_label("What it is for").fill("laptop")
    assert_accessible(page)
    page.get_by_role("button", name="Make the token").click()
    key = page.locator("#key").input_value()
    assert_accessible(page)
    request = urllib.request.Request(f"{site.url}/api/v1/courses/", headers={"Authorization": f"Token {key}"})
    with urllib.request.urlopen(request) as answer:  # loopback
        assert [course["course"] for course in json.load(answer)] == ["ds-ga-1008-fl23"]
    page.get_by_role("link", name="I have copied it").click()
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_text("is revoked; it works nowhere any more")).to_be_visible()
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(request)


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_docs_page_fits_and_is_accessible(page: Page, site: Site, width: int, scheme: str) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # one of the two words
    page.goto(f"{site.url}/api/docs/")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert_accessible(page)


@pytest.mark.parametrize(("account", "scopes"), [("student", ("read", "submit")), ("ta", ("read", "submit", "staff"))])
def test_no_request_makes_the_server_fail_or_break_its_schema(site: Site, tmp_path: Path, account: str, scopes: tuple[str, ...]) -> None:
    """Every check of schemathesis, on addresses that exist: with made-up ones nearly all answers would be 404."""
    real = {"path.course": TO[0], "path.homework": TO[1], "path.id": 1 if account == "ta" else own_submission(site)}
    settings = tmp_path / "schemathesis.toml"
    settings.write_text("[parameters]\n" + "".join(f'"{name}" = {json.dumps(value)}\n' for name, value in real.items()) + BEYOND_THE_SCHEMA)
    program = Path(sys.executable).with_name("schemathesis")
    command = [str(program), "--no-color", "--config-file", str(settings), "run", f"{site.url}/api/schema/", "--url", site.url]
    command += ["-H", f"Authorization: Token {token(site, account, *scopes)}", "--checks=all", "--max-examples=10", "--max-time=20"]
    for _ in range(3):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
        if "Request Line is too large" not in done.stdout:  # an address over 4 kB was drawn: the web server's refusal, not the site's
            break
    assert done.returncode == 0, done.stdout[-6000:]


def own_submission(site: Site) -> int:
    """A hand-in of the demo's student."""
    address = f"{site.url}/api/v1/courses/{TO[0]}/homeworks/{TO[1]}/theory/submissions/"
    request = urllib.request.Request(address, headers={"Authorization": f"Token {token(site, 'student', 'read')}"})
    with urllib.request.urlopen(request) as answer:  # loopback
        return int(json.load(answer)[0]["id"])
