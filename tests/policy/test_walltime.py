"""Due times as moments: the inclusive minute, the hour that comes twice, the hour that never comes, and what is refused."""

from datetime import UTC, datetime

import pytest

from grading.policy.walltime import Due, in_utc

NEW_YORK = "America/New_York"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "zone", "instant", "end"),
    [
        pytest.param("2023-10-22 23:59", NEW_YORK, "2023-10-23 03:59", "2023-10-23 04:00", id="a Sunday in summer time"),
        pytest.param("2023-10-22T23:59", NEW_YORK, "2023-10-23 03:59", "2023-10-23 04:00", id="a T between date and time"),
        pytest.param("2023-10-22 23:59:00", NEW_YORK, "2023-10-23 03:59", "2023-10-23 04:00", id="zero seconds"),
        pytest.param("2023-12-10 23:59", NEW_YORK, "2023-12-11 04:59", "2023-12-11 05:00", id="a Sunday in winter time"),
        pytest.param("2023-11-05 01:30", NEW_YORK, "2023-11-05 06:30", "2023-11-05 06:31", id="twice that night: the later"),
        pytest.param("2023-11-05 00:59", NEW_YORK, "2023-11-05 04:59", "2023-11-05 05:00", id="a minute before the repeated hour"),
        pytest.param("2023-11-05 01:59", NEW_YORK, "2023-11-05 06:59", "2023-11-05 07:00", id="last minute of the repeated hour"),
        pytest.param("2024-03-10 01:59", NEW_YORK, "2024-03-10 06:59", "2024-03-10 07:00", id="last minute before the skipped hour"),
        pytest.param("2018-11-03 23:59", "America/Sao_Paulo", "2018-11-04 02:59", "2018-11-04 03:00", id="midnight itself is skipped"),
        pytest.param("2023-09-17 23:59", "UTC", "2023-09-17 23:59", "2023-09-18 00:00", id="a zone without changes"),
    ],
)
def test_a_due_time_and_the_end_of_its_minute(text: str, zone: str, instant: str, end: str) -> None:
    due = Due.parse(text, zone)
    assert (due.instant, due.end) == (utc(instant), utc(end))


@pytest.mark.parametrize(
    ("text", "zone", "message"),
    [
        pytest.param(
            "2024-03-10 02:30",
            NEW_YORK,
            "due time 2024-03-10 02:30 does not exist in America/New_York: the clock is put forward then, to Sun 10 Mar 03:00 EDT. "
            "Choose a time before or after the change.",
            id="in the skipped hour",
        ),
        pytest.param(
            "2023-10-01 02:00",
            "Australia/Lord_Howe",
            "due time 2023-10-01 02:00 does not exist in Australia/Lord_Howe: the clock is put forward then, to Sun 1 Oct 02:30 UTC+11. "
            "Choose a time before or after the change.",
            id="at the start of a skipped half hour",
        ),
        pytest.param("next Sunday", NEW_YORK, 'due time "next Sunday": accepted is a local time such as 2023-10-22 23:59', id="words"),
        pytest.param(
            "2023-10-22",
            NEW_YORK,
            'due time "2023-10-22" names no hour: accepted is a local time such as 2023-10-22 23:59',
            id="only a date",
        ),
        pytest.param(
            "2023-10-22 23:59-04:00",
            NEW_YORK,
            'due time "2023-10-22 23:59-04:00" names an offset: leave it out, the course\'s zone America/New_York is used',
            id="an offset",
        ),
        pytest.param(
            "2023-10-22 23:59:59",
            NEW_YORK,
            "due time 2023-10-22T23:59:59: accepted is a local time with whole minutes, such as 2023-10-22 23:59",
            id="seconds",
        ),
        pytest.param("0203-10-22 23:59", NEW_YORK, "due time 0203-10-22 23:59: accepted are years from 2000 to 2199", id="a slip"),
        pytest.param("2200-01-01 00:00", NEW_YORK, "due time 2200-01-01 00:00: accepted are years from 2000 to 2199", id="far"),
        pytest.param(
            "2023-10-22 23:59", "New York", 'zone "New York" is not known: accepted are names such as America/New_York', id="zone"
        ),
        pytest.param("2023-10-22 23:59", "", 'zone "" is not known: accepted are names such as America/New_York', id="no zone"),
        pytest.param("2023-10-22 23:59", "../etc", 'zone "../etc" is not known: accepted are names such as America/New_York', id="path"),
    ],
)
def test_a_refused_due_time_says_why(text: str, zone: str, message: str) -> None:
    with pytest.raises(ValueError) as refused:
        Due.parse(text, zone)
    assert str(refused.value) == message


def test_years_at_the_edge_are_accepted() -> None:
    assert Due.parse("2000-01-01 00:00", "UTC").instant == utc("2000-01-01 00:00")
    assert Due.parse("2199-12-31 23:59", "UTC").instant == utc("2199-12-31 23:59")


def test_an_aware_time_is_no_wall_time() -> None:
    with pytest.raises(ValueError, match="accepted is a local time with whole minutes"):
        Due(datetime(2023, 10, 22, 23, 59, tzinfo=UTC), NEW_YORK)


def test_microseconds_are_refused() -> None:
    with pytest.raises(ValueError, match="accepted is a local time with whole minutes"):
        Due(datetime(2023, 10, 22, 23, 59, 0, 1), NEW_YORK)


def test_the_two_readings_of_an_ambiguous_time_are_one_due_time() -> None:
    later, either = Due(datetime(2023, 11, 5, 1, 30, fold=1), NEW_YORK), Due(datetime(2023, 11, 5, 1, 30), NEW_YORK)
    assert later == either
    assert hash(later) == hash(either)
    assert later.instant == either.instant


@pytest.mark.parametrize(
    ("wall", "zone", "due"),
    [
        pytest.param("2023-10-22T23:59:00", NEW_YORK, "2023-10-22 23:59", id="a whole minute stays"),
        pytest.param("2023-10-22T23:58:00.000001", NEW_YORK, "2023-10-22 23:59", id="anything more is rounded up"),
        pytest.param("2024-03-10T02:30:00", NEW_YORK, "2024-03-10 03:00", id="a skipped time moves to the end of the gap"),
        pytest.param("2018-11-04T00:30:00", "America/Sao_Paulo", "2018-11-04 01:00", id="a skipped midnight"),
        pytest.param("2011-12-30T12:00:00", "Pacific/Apia", "2011-12-31 00:00", id="a skipped day"),
    ],
)
def test_a_computed_due_time_is_the_soonest_possible(wall: str, zone: str, due: str) -> None:
    assert Due.soonest(datetime.fromisoformat(wall), zone) == Due.parse(due, zone)


@pytest.mark.parametrize(
    ("text", "zone", "shown"),
    [
        ("2023-10-22 23:59", NEW_YORK, "Sun 22 Oct 23:59 EDT"),
        ("2023-11-05 01:30", NEW_YORK, "Sun 5 Nov 01:30 EST"),
        ("2024-02-29 08:05", "Asia/Shanghai", "Thu 29 Feb 08:05 CST"),
        ("2024-02-29 08:05", "America/Sao_Paulo", "Thu 29 Feb 08:05 UTC-03"),
    ],
)
def test_a_due_time_reads_in_course_time(text: str, zone: str, shown: str) -> None:
    assert str(Due.parse(text, zone)) == shown


def test_a_naive_moment_is_refused() -> None:
    with pytest.raises(ValueError) as refused:
        in_utc(datetime(2023, 10, 22, 23, 59))
    assert str(refused.value) == "2023-10-22T23:59:00 has no time zone: an aware time is needed"
