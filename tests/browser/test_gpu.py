"""A hand-in that trains on a GPU, which in a demo without any is a stand-in: smoke check, run with its curve, minutes of the week."""

import re
import shutil

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ROOT, Site, assert_accessible
from tests.browser.test_hand_in import RUN_MS

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]

VIT = ROOT / "examples" / "ds-ga-1008" / "demo" / "hw3-transformer" / "correct-plain" / "vit.py"


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has GPUs, so the demo has no stand-ins")
def test_smoke_check_then_a_run_with_its_curve_and_what_it_cost(page: Page, site: Site) -> None:
    site.sign_in(page, "phd")
    page.goto(f"{site.course}/homework/hw3-transformer/")
    box = page.locator("#upload-practice")
    box.locator("input[type=file]").set_input_files(VIT)
    box.locator("[name=own_work]").check()
    box.locator("[data-send]").click()
    page.wait_for_url(re.compile(r"/submissions/\d+/"))
    submission = page.url
    expect(page.get_by_role("heading", name="Running on a stand-in for a GPU")).to_be_visible(timeout=RUN_MS)
    expect(page.get_by_text("Nothing of it counts: the result comes from the run on the GPU.")).to_be_visible()
    assert_accessible(page)
    expect(page.get_by_role("heading", name="Result")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#live .big").first).to_have_text("50")
    expect(page.locator("#curves figcaption")).to_contain_text("24 values: first")
    page.goto(f"{site.course}/queue/")
    expect(page.get_by_text("“fake” is no GPU: it stands in for one")).to_be_visible()
    charged = page.locator("table.score-lines tr", has=page.locator(f"a[href='{submission.removeprefix(site.url)}']"))
    expect(charged.locator("td")).to_have_text(re.compile(r"^−\d+(\.\d)? min$"))
    assert_accessible(page)
