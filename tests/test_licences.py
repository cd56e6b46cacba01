"""The list of licences is that of the pins, and nothing copyleft slips in unread."""

import pytest

from scripts import licences
from scripts.licences import Package


def test_the_page_is_what_the_pins_say() -> None:
    python, browser = list(licences.from_pins()), list(licences.from_package_lock())
    assert licences.PAGE.read_text() == licences.page(python, browser)
    assert licences.problems([*python, *browser]) == []
    assert {"Django", "psycopg"} <= {one.name for one in python}
    assert {"htmx.org", "katex", "pdfjs-dist"} <= {one.name for one in browser}


@pytest.mark.parametrize(
    ("licence", "accepted"),
    [
        ("MIT", True),
        ("Apache-2.0 AND BSD-2-Clause", True),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only", False),
        ("MIT AND AGPL-3.0-or-later", False),
        ("none stated", False),
    ],
)
def test_what_is_not_permissive_needs_a_reason(licence: str, accepted: bool) -> None:
    found = licences.problems([Package("thing", "1.0", licence)])
    assert (found == []) is accepted


def test_what_was_accepted_for_a_reason_is_accepted_under_that_licence_only() -> None:
    assert licences.problems([Package("psycopg", "3", "LGPL-3.0-only")]) == []
    assert licences.problems([Package("psycopg", "4", "AGPL-3.0-only")]) == [
        "psycopg 4 is under AGPL-3.0-only, which is not permissive; "
        "accepted is another package, or a line with its reason in scripts/licences.py."
    ]


@pytest.mark.parametrize(
    ("written", "classifiers", "licence"),
    [
        ("BSD 3-Clause OR Apache-2.0", [], "BSD-3-Clause OR Apache-2.0"),
        ("", ["BSD License", "Mozilla Public License 2.0 (MPL 2.0)"], "BSD AND MPL-2.0"),
        ("", ["BSD License", "Other/Proprietary License"], "BSD"),
        ("", [], "none stated"),
    ],
)
def test_licences_are_read_however_they_are_spelled(written: str, classifiers: list[str], licence: str) -> None:
    assert licences.stated(written, classifiers) == licence
