from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from courseapp import formats

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("36", "36"),
        ("46.50", "46.5"),
        ("0.125", "0.12"),
        ("0.135", "0.14"),
        ("52.488", "52.49"),
        ("-5", "−5"),
        ("-0.001", "0"),
        ("100", "100"),
        ("1200.00", "1200"),
    ],
)
def test_points_are_rounded_half_even_and_end_without_noise(value: str, text: str) -> None:
    assert formats.points(Decimal(value)) == text


def test_a_table_column_keeps_its_places() -> None:
    assert [formats.fixed(Decimal(value)) for value in ("36", "0.125", "-5")] == ["36.00", "0.12", "−5.00"]


def test_what_is_not_there_is_a_dash() -> None:
    assert {formats.points(None), formats.fixed(None), formats.filesize(None), formats.duration(None)} == {"–"}


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1 kB"),
        (412 * 1024, "412 kB"),
        (1536, "1.5 kB"),
        (20 * 1024**2, "20 MB"),
        (1024**2 - 1, "1 MB"),
    ],
)
def test_file_sizes(size: int, text: str) -> None:
    assert formats.filesize(size) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.21, "0.21 s"),
        (0.995, "1.0 s"),
        (2, "2.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (12, "12 s"),
        (59.7, "1 min"),
        (125, "2 min 5 s"),
        (timedelta(hours=1, minutes=3), "1 h 3 min"),
        (timedelta(days=2, hours=4, minutes=59), "2 d 4 h"),
        (timedelta(days=1), "1 d"),
        (-12, "−12 s"),
    ],
)
def test_durations_have_two_units_at_most(value: float | timedelta, text: str) -> None:
    assert formats.duration(value) == text


def test_a_moment_is_said_in_the_zone_that_is_asked_for() -> None:
    due = datetime(2023, 10, 23, 3, 59, 7, tzinfo=UTC)
    assert formats.moment(due, NEW_YORK) == "Sun 22 Oct 23:59 EDT"
    assert formats.moment(due, NEW_YORK, seconds=True, year=True) == "Sun 22 Oct 2023 23:59:07 EDT"
    assert formats.moment(due + timedelta(days=30), NEW_YORK) == "Tue 21 Nov 22:59 EST"
