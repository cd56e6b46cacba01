"""The product's main story, as its people live it: hand in, watch it run, read the score, keep the receipt."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Site, assert_accessible

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]

SAMPLES = ROOT / "examples" / "ds-ga-1008" / "demo" / "hw1-backprop"
RUN_MS = 300_000


def hand_in(page: Page, site: Site, files: list[dict[str, object]]) -> None:
    page.goto(f"{site.course}/homework/hw1-backprop/")
    box = page.locator("#upload-practice")
    box.locator("input[type=file]").set_input_files(files)  # type: ignore[arg-type]  # payloads
    box.locator("[name=own_work]").check()
    box.locator("[data-send]").click()


def as_mlp(name: str) -> dict[str, object]:
    return {"name": "mlp.py", "mimeType": "text/x-python", "buffer": (SAMPLES / name / "mlp.py").read_bytes()}


def test_sign_in_hand_in_watch_score_and_verified_receipt(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    assert_accessible(page)
    hand_in(page, site, [as_mlp("correct-einsum")])
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    assert_accessible(page)
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#live .big").first).to_have_text("50")
    expect(page.locator("table.score-lines tr.sum td")).to_have_text("50.00 of 50")
    page.get_by_text("How this was run").click()
    expect(page.locator("#live dl.facts")).to_contain_text("namespaces")
    assert_accessible(page)
    page.locator("#live .digest").first.click()
    assert re.fullmatch("[0-9a-f]{64}", page.evaluate("getSelection().toString()").strip())  # shown shortened, copied whole

    page.locator("a[href^='/receipts/']").first.click()
    receipt = page.locator("pre.receipt").inner_text()
    assert "mlp.py" in receipt
    assert_accessible(page)
    page.goto(f"{site.url}/receipts/")
    page.get_by_label("The receipt's text").fill(receipt)
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".note.good")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("The receipt's text").fill(receipt.replace("mlp.py", "mlq.py"))
    page.get_by_role("button", name="Check").click()
    expect(page.locator(".note.bad")).to_be_visible()


TRAINING = b"""
import json as _json, time as _time
for _step in range(40):
    print(_json.dumps({"step": _step, "loss": 2 / (1 + _step)}), flush=True)
    _time.sleep(0.1)
"""


def test_log_and_curve_grow_while_it_runs_and_the_curve_stays(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    hand_in(page, site, [{**as_mlp("correct-einsum"), "buffer": (SAMPLES / "correct-einsum" / "mlp.py").read_bytes() + TRAINING}])
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    curves = page.locator("#curves")
    expect(curves.locator(".uplot")).to_have_count(1, timeout=RUN_MS)
    expect(page.locator("#live pre[role=log]")).to_contain_text('{"step": 0, "loss": 2.0}')
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=RUN_MS)
    page.reload()
    expect(curves.locator(".uplot")).to_have_count(1)
    expect(curves.locator("figcaption")).to_contain_text("40 values: first 2 at step 0, last 0.05 at step 39")
    assert_accessible(page)


def test_a_late_hand_in_names_its_cost_and_asks_first(page: Page, site: Site) -> None:
    site.sign_in(page, "late")
    hand_in(page, site, [as_mlp("correct-einsum")])
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("5 points")
    dialog.get_by_role("button", name="Not now").click()
    assert "/homework/hw1-backprop/" in page.url
    page.locator("#upload-practice [data-send]").click()
    dialog.get_by_role("button", name="Hand in late").click()
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    expect(page.locator("table.score-lines tr.sum td")).to_have_text("45.00 of 50", timeout=RUN_MS)
    expect(page.locator("table.score-lines")).to_contain_text("10 % of the 50 possible × 1 day")


def test_what_is_wrong_is_said_before_anything_is_sent(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    hand_in(page, site, [{"name": "notes.docx", "mimeType": "application/octet-stream", "buffer": b"x"}])
    expect(page.locator("#upload-practice [data-problems]")).to_contain_text("mlp.py")
    assert page.url.endswith("/homework/hw1-backprop/")


def test_a_lost_connection_keeps_the_form_and_the_files(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    page.route("**/submit/", lambda route: route.abort())
    hand_in(page, site, [as_mlp("correct-einsum")])
    box = page.locator("#upload-practice")
    expect(box.locator("[data-problems]")).to_contain_text("still chosen")
    page.unroute("**/submit/")
    box.get_by_role("button", name="Retry").click()
    page.wait_for_url(re.compile(r"/submissions/\d+/"))


def test_a_syntax_error_on_a_phone(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    site.sign_in(page, "student")
    hand_in(page, site, [as_mlp("broken-syntax")])
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#live")).to_contain_text("syntax error on line")
    page.get_by_text("How this was run").click()
    assert_accessible(page)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide == 0


def test_hand_in_without_javascript(page: Page, site: Site) -> None:
    browser = page.context.browser
    assert browser is not None
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    site.sign_in(plain, "student")
    hand_in(plain, site, [as_mlp("correct-einsum")])
    plain.wait_for_url(re.compile(r"/submissions/\d+/"))
    expect(plain.get_by_role("heading", name=re.compile("Hand-in #"))).to_be_visible()
    context.close()


@pytest.mark.parametrize("account", ["ta", "instructor"])
def test_staff_see_who_handed_in_and_open_a_hand_in(page: Page, site: Site, account: str) -> None:
    site.sign_in(page, account)
    assert_accessible(page)
    page.goto(f"{site.course}/homework/hw1-backprop/staff/")
    expect(page.locator("svg.histogram").first).to_be_visible()
    assert_accessible(page)
    page.locator("tbody td a").first.click()
    expect(page.get_by_role("heading", name=re.compile("Hand-in #"))).to_be_visible()
    assert_accessible(page)
    page.locator("ul.files a").first.click()
    assert_accessible(page)
