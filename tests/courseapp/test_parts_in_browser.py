"""Our scripts and styles in a real browser, under the site's own content security policy."""

import re
from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, FilePayload, Locator, Page, expect
from pytest_django.live_server_helper import LiveServer

from courseapp.assets import NpmFinder
from tests.conftest import missing

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser"), pytest.mark.urls("tests.courseapp.parts")]
Open = Callable[..., Page]


@pytest.fixture
def visit(browser: Browser, live_server: LiveServer) -> Iterator[Open]:
    """Opens a page; at the end nothing may have been refused by the content security policy or thrown."""
    if not NpmFinder().files:
        missing("the browser packages are not installed (npm ci)")
    complaints: list[str] = []
    contexts: list[BrowserContext] = []

    def open_page(path: str, *, width: int = 1280, **options: object) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)  # type: ignore[arg-type]  # passed through
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda message: complaints.append(message.text) if "Content Security Policy" in message.text else None)
        page.goto(live_server.url + path)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert complaints == []


def file(name: str, content: bytes = b"x = 1\n") -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": content}


def choose(page: Page, box: str, *files: FilePayload) -> Locator:
    form = page.locator(f"#upload-{box}")
    form.get_by_label("Choose the files").set_input_files(list(files))
    return form


def problems(form: Locator) -> list[str]:
    return form.locator("[data-problems]").inner_text().split("\n")


def test_what_is_wrong_is_named_before_anything_is_sent(visit: Open) -> None:
    page = visit("/upload/")
    form = choose(page, "practice", file("data.csv"), file("empty.py", b""), file("big.py", b"x" * (1024**2 + 1)))
    form.get_by_role("button", name="Hand in again").click()
    assert problems(form) == [
        "data.csv is not part of this hand-in; accepted: mlp.py, *.py, *.zip.",
        "empty.py is empty.",
        "big.py is 1 MB; at most 1 MB a file is accepted.",
        "Missing: mlp.py.",
        "Tick the statement that the work is your own.",
        "Nothing was sent.",
    ]
    expect(form.locator("[data-problems]")).to_be_focused()


def test_a_downloads_name_is_mended_with_one_click(visit: Open) -> None:
    form = choose(visit("/upload/"), "practice", file("MLP (1).py"))
    form.get_by_role("button", name="Rename to mlp.py").click()
    assert form.locator("[data-picked] b").all_inner_texts() == ["mlp.py"]


def test_a_zip_is_taken_as_it_is_but_not_beside_files(visit: Open) -> None:
    form = choose(visit("/upload/"), "practice", file("work.zip"), file("mlp.py"))
    form.get_by_label("This is my own work.").check()
    form.get_by_role("button", name="Hand in again").click()
    assert problems(form)[0] == "Choose either one zip or single files, not both."


def test_a_late_hand_in_asks_first_and_again_when_the_cost_has_risen(visit: Open) -> None:
    page = visit("/upload/")
    form = choose(page, "practice", file("mlp.py"))
    form.get_by_label("This is my own work.").check()
    send, dialog = form.get_by_role("button", name="Hand in again"), form.get_by_role("dialog")
    send.click()
    expect(dialog).to_contain_text("1 day late and loses 5 of 50 points")
    expect(dialog.get_by_role("button", name="Not now")).to_be_focused()
    page.keyboard.press("Escape")
    expect(form.locator("[data-status]")).to_have_text("Nothing was sent. Your files are still chosen.")
    send.click()
    dialog.get_by_role("button", name="Hand in late").click()
    expect(dialog).to_contain_text("2 days late now and loses 10 of 50 points")
    dialog.get_by_role("button", name="Hand in late").click()
    page.wait_for_url("**/reading/?mlp.py")


def test_a_broken_connection_keeps_the_files_and_retries(visit: Open) -> None:
    page = visit("/upload/")
    form = choose(page, "theory", file("theory.pdf"))
    form.get_by_label("This is my own work.").check()
    page.context.set_offline(True)
    form.get_by_role("button", name="Hand in").click()
    retry = form.get_by_role("button", name="Retry")
    expect(retry).to_be_focused()
    assert problems(form)[0] == "The connection broke. You are offline. Your files are still chosen."
    page.context.set_offline(False)
    expect(form.locator("[data-status]")).to_have_text("You are online again: press Retry.")
    retry.click()
    expect(form.locator("[data-problems]")).to_contain_text("theory.pdf is not a PDF.")


def test_a_refusal_of_the_server_is_said_in_place(visit: Open) -> None:
    form = choose(visit("/upload/"), "theory", file("theory.pdf"))
    form.get_by_label("This is my own work.").check()
    form.get_by_role("button", name="Hand in").click()
    expect(form.locator("[data-problems]")).to_be_focused()
    assert problems(form) == ["theory.pdf is not a PDF.", "It begins with x.", "Hand-in #1 stays active."]
    assert form.locator("[data-picked] b").all_inner_texts() == ["theory.pdf"]


PASTE = """([selector, name, text]) => {
  const data = new DataTransfer();
  if (name) data.items.add(new File([text], name)); else data.setData("text/plain", text);
  document.querySelector(selector).dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }));
}"""


def test_pasted_files_go_to_the_box_that_takes_them_and_text_becomes_the_file(visit: Open) -> None:
    page = visit("/upload/")
    page.evaluate(PASTE, ["body", "theory.pdf", "%PDF"])
    assert page.locator("#upload-theory [data-picked] b").all_inner_texts() == ["theory.pdf"]
    page.evaluate(PASTE, ["#upload-practice [data-send]", "", "import torch"])
    assert page.locator("#upload-practice [data-picked] b").all_inner_texts() == ["mlp.py"]


def test_handing_in_works_without_scripts(visit: Open) -> None:
    page = visit("/upload/", java_script_enabled=False)
    form = choose(page, "practice", file("mlp.py"))
    form.get_by_label("Hand it in late: 1 day, 10 %").check()
    form.get_by_label("This is my own work.").check()
    form.get_by_role("button", name="Hand in again").click()
    expect(page.locator("body")).to_contain_text("It is later than you saw.")


def test_math_is_set_and_readable_without_scripts(visit: Open) -> None:
    page = visit("/reading/")
    expect(page.locator(".math.done .katex")).to_have_count(2)
    plain = visit("/reading/", java_script_enabled=False)
    assert [text.strip() for text in plain.locator(".math").all_inner_texts()] == ["x_1 < y", "\\frac{1}{2}"]


def test_times_say_how_far_away_and_the_readers_own_clock(visit: Open) -> None:
    here = visit("/reading/", timezone_id="America/New_York")
    expect(here.locator("time .more")).to_have_text(re.compile(r"^\s·\sin\s2\sh\s2\d\smin$"))
    away = visit("/reading/", timezone_id="Asia/Kolkata")
    expect(away.locator("time .more")).to_contain_text(re.compile(r"GMT\+5:30\sfor\syou"))


def test_pdf_pages_are_drawn_with_their_text(visit: Open) -> None:
    page = visit("/pdf/")
    expect(page.locator("[data-count]")).to_have_text("2 pages")
    first = page.get_by_role("group", name="Page 1")
    expect(first.locator("canvas")).to_have_count(1)
    expect(first.locator(".textLayer")).to_have_text("Softmax")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/upload/", "/reading/", "/pdf/", "/accounts/login/", "/accounts/password/reset/"])
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_parts_are_accessible_and_fit(visit: Open, path: str, width: int, scheme: str) -> None:
    page = visit(path, width=width, color_scheme=scheme)
    page.wait_for_load_state("networkidle")
    found = Axe().run(page).response["violations"]
    assert [(item["id"], [node["target"] for node in item["nodes"]]) for item in found] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
