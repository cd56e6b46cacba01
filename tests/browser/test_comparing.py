"""A student looks at what they changed since their last hand-in."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Site, assert_accessible
from tests.browser.test_hand_in import SAMPLES, as_mlp, hand_in

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]


def test_what_changed_since_the_last_hand_in(page: Page, site: Site) -> None:
    site.sign_in(page, "student")
    before, after = sorted(path.name for path in SAMPLES.iterdir() if (path / "mlp.py").exists())[:2]
    for name in (before, after):
        hand_in(page, site, [as_mlp(name)])
        page.wait_for_url(re.compile(r"/submissions/\d+/"))
    page.get_by_role("link", name=re.compile(r"What changed since #\d+")).click()
    expect(page.get_by_role("heading", name=re.compile(r"What changed from hand-in #\d+ to #\d+"))).to_be_visible()
    file = page.locator("details.diff")
    expect(file).to_have_count(1)
    expect(file.locator("del").first).to_be_visible()
    file.locator("> summary").focus()
    page.keyboard.press("Enter")
    expect(file.locator("del").first).to_be_hidden()
    page.keyboard.press("Enter")
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") == width
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            assert_accessible(page)
    page.get_by_label("Compare with").select_option("starter")
    page.get_by_role("button", name="Compare").click()
    expect(page.get_by_role("heading", name=re.compile(r"from the starter files to"))).to_be_visible()
    assert_accessible(page)
