"""A TA reruns a subset, sees what would change, and accepts the differences that are right."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import ROOT, Site, assert_accessible

pytestmark = [pytest.mark.browser, pytest.mark.sandbox, pytest.mark.xdist_group("browser")]

CORRECT = ROOT / "examples" / "ds-ga-1008" / "demo" / "hw1-backprop" / "correct-einsum" / "mlp.py"
RUN_MS = 300_000
CHOSEN = 7


def tick(page: Page) -> list[str]:
    """Hand-ins that lost points, and one that did not; as they are called in the table."""
    rows = page.locator("tbody tr").filter(has=page.get_by_text("counts", exact=True))
    cells = rows.locator("td.num").all_inner_texts()
    lost = [at for at, points in enumerate(cells) if points not in ("50", "–")][: CHOSEN - 1]
    names = []
    for at in (*lost, cells.index("50")):
        box = rows.nth(at).get_by_role("checkbox")
        box.focus()
        page.keyboard.press("Space")
        expect(box).to_be_checked()
        names.append(rows.nth(at).locator("label").inner_text().strip())
    return names


def row(page: Page, name: str) -> Locator:
    return page.locator("table.reruns tbody tr").filter(has=page.get_by_role("link", name=name, exact=True))


def test_a_ta_reruns_a_subset_and_accepts_the_differences(page: Page, site: Site, tmp_path: Path) -> None:
    site.sign_in(page, "ta")
    page.goto(f"{site.course}/homework/hw1-backprop/staff/")
    page.get_by_role("link", name="Rerun…").click()
    expect(page.get_by_role("heading", name="Rerun, practice")).to_be_visible()
    assert_accessible(page)
    names = tick(page)
    page.get_by_label("Reason").fill("The file was saved with the wrong indentation; we repaired it.")
    page.get_by_role("button", name="Run a sample").click()
    expect(page.get_by_text(f"{CHOSEN} hand-ins are ticked, but “")).to_be_visible()
    assert_accessible(page)
    page.get_by_text("Repaired code").click()
    page.get_by_label("Taken off for the repair").fill("2")
    page.get_by_label("Files to use instead").set_input_files(
        {"name": "mlp.py", "mimeType": "text/x-python", "buffer": CORRECT.read_bytes()}
    )
    page.get_by_role("button", name="Run those ticked").click()

    expect(page.get_by_role("heading", name="A sample of 5 is judged")).to_be_visible(timeout=RUN_MS)
    assert_accessible(page)
    page.get_by_role("button", name=f"Go on with the other {CHOSEN - 5}").click()
    expect(page.get_by_role("heading", name=f"All {CHOSEN} are judged")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#rerun [role=status]")).to_contain_text(f"{CHOSEN - 1} up, 1 down, 0 the same; mean difference +")
    assert page.locator("table.reruns tbody tr").count() == CHOSEN
    expect(row(page, names[0])).to_contain_text("Code patched")
    expect(page.get_by_label(f"Accept {names[-1]}")).not_to_be_checked()  # the repair would cost more than it gives
    page.get_by_label(f"Accept {names[0]}").uncheck()
    assert_accessible(page)
    page.get_by_role("button", name="Accept what is ticked").click()
    expect(page.get_by_text(f"{CHOSEN - 2} new results count now")).to_be_visible()
    expect(row(page, names[0])).to_contain_text("not taken over")
    expect(row(page, names[1])).to_contain_text("counts")
    assert_accessible(page)
    with page.expect_download() as table:
        page.get_by_role("link", name="Download as CSV").click()
    table.value.save_as(tmp_path / "table.csv")
    assert len((tmp_path / "table.csv").read_text().splitlines()) == CHOSEN + 1
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") == 0
    page.set_viewport_size({"width": 1280, "height": 900})

    row(page, names[1]).get_by_role("link").click()
    expect(page.locator("#live .big").first).to_have_text("50")
    expect(page.locator("#live")).to_contain_text(
        "The staff had this hand-in judged again, with mlp.py from the staff in the place of the student’s: The file was saved"
    )
    expect(page.locator("#live")).to_contain_text(" → 49, after 1 taken off for the repair.")
    expect(page.locator("table.score-lines")).to_contain_text("2 % of the 50 possible")
    page.get_by_text("Earlier results, which count no more").click()
    expect(page.locator("#former")).to_contain_text(re.compile(r"Run \d+, .*of 50 from the checks"))
    assert_accessible(page)
    page.goto(f"{site.course}/homework/hw1-backprop/practice/reruns/")
    expect(page.get_by_role("row").filter(has_text="Rerun 1")).to_contain_text("accepted")
    assert_accessible(page)
