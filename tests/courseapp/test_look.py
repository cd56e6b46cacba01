"""The template tags, seen from a template."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import pytest
import time_machine
from django import forms
from django.template import Context, Template

from courseapp.icons import ICONS
from courseapp.upload_box import LateCost, UploadBox

COURSE = SimpleNamespace(zone=ZoneInfo("America/New_York"))
DUE = datetime(2023, 10, 23, 4, tzinfo=UTC)
DAY = timedelta(days=1)


def shown(source: str, **context: object) -> str:
    return Template("{% load look %}" + source).render(Context(context)).strip()


@dataclass(frozen=True)
class Segment:
    kind: str
    credit: Decimal
    start: datetime | None
    end: datetime | None
    open: bool = True


def segments(late_days: int = 4) -> list[Segment]:
    return [
        Segment("before", Decimal(0), None, DUE - 14 * DAY, open=False),
        Segment("on_time", Decimal(100), DUE - 14 * DAY, DUE),
        *(Segment("late", Decimal(100 - 10 * n), DUE + (n - 1) * DAY, DUE + n * DAY) for n in range(1, late_days + 1)),
        Segment("closed", Decimal(0), DUE + late_days * DAY, None, open=False),
    ]


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def marked(html: str) -> tuple[str, str]:
    """Class of the segment with the mark, and where in it the mark is."""
    found = re.search(r'<li class="([^"]*)">(?:(?!</li>).)*<line x1="([^"]*)"', html, re.DOTALL)
    assert found
    return found[1], found[2]


def timeline(pieces: Sequence[Segment], at: datetime | None) -> str:
    return shown("{% timeline pieces at %}", pieces=pieces, at=at, course=COURSE)


def test_timeline_says_what_the_work_is_worth_and_until_when() -> None:
    assert words(timeline(segments(2), None)) == (
        "100 % until Sun 22 Oct 23:59 EDT 90 % until Mon 23 Oct 23:59 EDT 80 % until Tue 24 Oct 23:59 EDT closed"
    )


@pytest.mark.parametrize(
    ("at", "where"),
    [
        (DUE - 15 * DAY, ("before", "40.0%")),
        (DUE - 14 * DAY, ("on_time", "0.0%")),
        (DUE - 7 * DAY, ("on_time", "50.0%")),
        (DUE, ("late d1", "0.0%")),
        (DUE + 1.5 * DAY, ("late d2", "50.0%")),
        (DUE + 4 * DAY, ("closed", "40.0%")),
    ],
)
def test_timeline_marks_where_one_is(at: datetime, where: tuple[str, str]) -> None:
    assert marked(timeline(segments(), at)) == where


def test_timeline_shows_the_time_before_the_release_only_to_those_who_are_in_it() -> None:
    assert 'class="before"' not in timeline(segments(), DUE)
    assert 'class="before"' in timeline(segments(), DUE - 20 * DAY)


def test_timeline_marks_a_homework_without_release_or_late_days() -> None:
    pieces = [Segment("on_time", Decimal(100), None, DUE), Segment("closed", Decimal(0), DUE, None, open=False)]
    assert marked(timeline(pieces, DUE - DAY)) == ("on_time", "40.0%")


@time_machine.travel(DUE, tick=False)
def test_when_carries_the_courses_offset_for_the_script() -> None:
    assert shown("{% when at %}", at=DUE - timedelta(minutes=1), course=COURSE) == (
        '<time datetime="2023-10-22T23:59:00-04:00">Sun 22 Oct 23:59 EDT</time>'
    )
    assert shown("{% when at seconds=True plain=True %}", at=DUE, course=COURSE) == (
        '<time datetime="2023-10-23T00:00:00-04:00" data-plain>Mon 23 Oct 00:00:00 EDT</time>'
    )


@time_machine.travel(DUE, tick=False)
def test_when_names_the_year_of_what_is_far_away_and_utc_without_a_course() -> None:
    assert shown("{% when at %}", at=DUE - 400 * DAY) == '<time datetime="2022-09-18T04:00:00+00:00">Sun 18 Sep 2022 04:00 UTC</time>'
    assert shown("{% when at %}", at=None) == "–"


@time_machine.travel(DUE - timedelta(hours=1), tick=False)
def test_today_is_the_courses_day() -> None:
    assert shown("{% today %}", course=COURSE) == "Sunday 22 October"


def test_icons_are_silent_unless_they_are_labelled() -> None:
    assert 'aria-hidden="true"' in shown('{% icon "check" %}')
    assert 'role="img" aria-label="a &quot;b&quot;"' in shown("{% icon 'check' label %}", label='a "b"')
    assert ICONS["open"] in shown('{% icon "no such icon" %}')


def test_histogram_says_its_numbers_and_marks_the_readers_bar() -> None:
    html = shown("{% histogram counts mine=1 %}", counts=[0, 4, 2])
    assert 'aria-label="Histogram of scores: 0, 4, 2, from 0 to 100"' in html
    assert re.findall(r'<rect( class="mine")? [^>]*height="([\d.]+)"', html) == [("", "0.0"), (' class="mine"', "62.0"), ("", "31.0")]


def test_histogram_of_nothing_draws_no_bar() -> None:
    assert "<rect" not in shown("{% histogram counts %}", counts=[])


class Sample(forms.Form):
    email = forms.EmailField(label="Email", widget=forms.EmailInput(attrs={"placeholder": "Email address"}))
    agree = forms.BooleanField()


def test_a_control_has_our_class_and_no_placeholder_that_repeats_the_label() -> None:
    form = Sample()
    assert (
        shown("{% control f %}", f=form["email"])
        == '<input type="email" name="email" maxlength="320" class="field" required id="id_email">'
    )
    assert shown("{% control f %}", f=form["agree"]) == '<input type="checkbox" name="agree" required id="id_agree">'


def box(**changes: object) -> UploadBox:
    values: dict[str, object] = {
        "action": "/submit/",
        "component": "practice",
        "required": ("mlp.py",),
        "allowed": ("*.py", "*.zip"),
        "max_file_bytes": 20 * 1024**2,
        "max_total_bytes": 50 * 1024**2,
        "max_files": 200,
        "own_work": "This is my own work.",
        "on_time": "On time until Sun 22 Oct 23:59 EDT.",
        **changes,
    }
    return UploadBox(**values)  # type: ignore[arg-type]  # a table of keyword arguments


def upload(given: UploadBox) -> str:
    return shown('{% include "components/_upload.html" %}', box=given, csrf_token="token")


def test_upload_box_posts_without_a_script() -> None:
    html = upload(box())
    assert '<form class="stack" id="upload-practice" method="post" action="/submit/" enctype="multipart/form-data"' in html
    assert 'name="files" multiple required accept=".py,.zip"' in html
    assert '<input type="checkbox" name="own_work" value="yes" required>' in html
    assert "On time until Sun 22 Oct 23:59 EDT." in html
    assert "confirm_late" not in html


def test_late_upload_box_names_the_cost_and_asks() -> None:
    html = upload(box(late=LateCost(2, "20 %", "It loses 10 of 50 points.")))
    assert "It loses 10 of 50 points." in html
    assert '<input type="checkbox" name="confirm_late" value="2" required>' in html
    assert "On time until" not in html


def test_upload_rules_cannot_close_their_script() -> None:
    assert "</script><b>" not in upload(box(allowed=("</script><b>",)))


@pytest.mark.parametrize(
    ("required", "allowed", "accept"),
    [
        (("theory.pdf",), (), ".pdf"),
        (("mlp.py",), ("*.py", "*.zip"), ".py,.zip"),
        (("Makefile",), ("*.py",), ""),
        (("a.py",), ("*",), ""),
        (("a.py",), ("a.*",), ".py"),
    ],
)
def test_the_file_picker_takes_the_endings_of_all_names(required: tuple[str, ...], allowed: tuple[str, ...], accept: str) -> None:
    assert box(required=required, allowed=allowed).accept == accept
