"""A student without a GPU tries something out: a script of their own, watched while it runs, and what it wrote taken home."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, assert_accessible
from tests.browser.test_hand_in import RUN_MS

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]

TRAIN = b"""
import json, sys, time
import torch

steps, rate = int(sys.argv[1]), float(sys.argv[3])
weight = torch.zeros(1, requires_grad=True)
optimizer = torch.optim.SGD([weight], lr=rate)
for step in range(steps):
    loss = (weight - 3).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(json.dumps({"step": step, "loss": loss.item()}), flush=True)
    time.sleep(0.1)
torch.save({"weight": weight.detach()}, "weight.pt")
with open("notes.txt", "w") as notes:
    notes.write(f"{steps} steps")
"""


def start(page: Page, site: Site, script: bytes, arguments: str) -> None:
    page.goto(f"{site.course}/lab/")
    page.get_by_label(re.compile("^Files optional")).set_input_files({"name": "train.py", "mimeType": "text/x-python", "buffer": script})
    page.get_by_label(re.compile("^Arguments")).fill(arguments)
    page.get_by_role("button", name="Run it").click()


def test_a_script_with_arguments_its_log_its_curve_and_its_files(page: Page, site: Site, tmp_path: Path) -> None:
    site.sign_in(page, "student")
    page.get_by_role("navigation", name="Course").get_by_role("link", name="Lab").click()
    expect(page.get_by_role("heading", name="Start a lab run")).to_be_visible()
    assert_accessible(page)
    start(page, site, TRAIN, "40 --lr 0.1 'open quote")
    expect(page.get_by_text("Close every quote.")).to_be_visible()
    assert_accessible(page)
    start(page, site, TRAIN, "40 --lr 0.1")
    page.wait_for_url(re.compile(r"/lab/\d+/"))
    expect(page.locator("#curves .uplot")).to_have_count(1, timeout=RUN_MS)
    expect(page.locator("#live pre[role=log]")).to_contain_text('{"step": 0, "loss": 9.0}')
    assert_accessible(page)
    expect(page.get_by_role("heading", name="How it ended")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#live .chip")).to_have_text("finished")
    expect(page.locator("#curves figcaption")).to_contain_text("40 values: first 9 at step 0")
    assert_accessible(page)
    with page.expect_download() as download:
        page.locator("#live li", has_text="notes.txt").get_by_role("link", name="Download").click()
    download.value.save_as(tmp_path / "notes.txt")
    assert (tmp_path / "notes.txt").read_text() == "40 steps"
    expect(page.locator("#live li", has_text="weight.pt")).to_be_visible()
    page.goto(f"{site.course}/homework/hw1-backprop/")
    expect(page.locator("main")).not_to_contain_text("train.py")  # it is no hand-in


def test_one_that_is_stopped_and_one_that_fails(page: Page, site: Site) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    site.sign_in(page, "student")
    start(page, site, TRAIN, "10000 --lr 0.1")
    expect(page.locator("#live pre[role=log]")).to_contain_text('"step": 3', timeout=RUN_MS)
    page.get_by_role("button", name="Stop this run").click()
    expect(page.locator("#live .chip")).to_have_text("cancelled")
    expect(page.locator("#live pre.output")).to_contain_text('"step": 3')
    start(page, site, TRAIN, "many")
    expect(page.locator("#live")).to_contain_text("train.py ended with an exception: ValueError", timeout=RUN_MS)
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    page.get_by_role("button", name="Run again").click()
    expect(page.get_by_role("heading", name=re.compile("Lab run #"))).to_be_visible()
