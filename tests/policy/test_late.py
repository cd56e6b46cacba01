"""Days late, the segments of a deadline, and what lateness costs, by hand-checked cases."""

from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from grading.policy.late import Cost, Due, Lateness, LatePolicy, Segment, cost, lateness, segment_at, timeline

NEW_YORK = "America/New_York"
SUNDAY = Due.parse("2023-10-22 23:59", NEW_YORK)
WALL = LatePolicy()
ELAPSED = LatePolicy(day_rule="elapsed_24h")
GRACE = LatePolicy(grace_minutes=15)


def at(text: str) -> datetime:
    """A moment from an ISO time with its offset: "2023-10-23 00:00-04:00"."""
    return datetime.fromisoformat(text)


def taken(percent: int, points: int | None, sentence: str, *, accepted: bool = True) -> Cost:
    return Cost(Decimal(percent), None if points is None else Decimal(points), accepted, sentence)


def percents(*numbers: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, numbers))


DAYS = [
    ("the start of the due minute", WALL, "2023-10-22 23:59", "2023-10-22 23:59:00-04:00", 0),
    ("the last microsecond of the due minute", WALL, "2023-10-22 23:59", "2023-10-22 23:59:59.999999-04:00", 0),
    ("the next microsecond", WALL, "2023-10-22 23:59", "2023-10-23 00:00:00-04:00", 1),
    ("weeks early", WALL, "2023-10-22 23:59", "2023-10-01 12:00:00-04:00", 0),
    ("Monday morning", WALL, "2023-10-22 23:59", "2023-10-23 08:12:07-04:00", 1),
    ("the last microsecond of the first day", WALL, "2023-10-22 23:59", "2023-10-23 23:59:59.999999-04:00", 1),
    ("the first of the second day", WALL, "2023-10-22 23:59", "2023-10-24 00:00:00-04:00", 2),
    ("the last microsecond of the fourth day", WALL, "2023-10-22 23:59", "2023-10-26 23:59:59.999999-04:00", 4),
    ("the first of the fifth day", WALL, "2023-10-22 23:59", "2023-10-27 00:00:00-04:00", 5),
    ("a month late", WALL, "2023-10-22 23:59", "2023-11-22 12:00:00-05:00", 31),
    ("the same moment, named from Shanghai", WALL, "2023-10-22 23:59", "2023-10-23 11:59:59+08:00", 0),
    ("a minute later, named from Shanghai", WALL, "2023-10-22 23:59", "2023-10-23 12:00:00+08:00", 1),
    ("elapsed, the last microsecond of 24 h", ELAPSED, "2023-10-22 23:59", "2023-10-23 23:59:59.999999-04:00", 1),
    ("elapsed, exactly 24 h after the end", ELAPSED, "2023-10-22 23:59", "2023-10-24 00:00:00-04:00", 2),
    # The clock is put back on Sun 5 Nov 2023 at 02:00 EDT: that day has 25 hours.
    ("autumn, 24 h 30 min later the same wall day", WALL, "2023-11-04 23:59", "2023-11-05 23:30:00-05:00", 1),
    ("autumn, elapsed counts two", ELAPSED, "2023-11-04 23:59", "2023-11-05 23:30:00-05:00", 2),
    ("autumn, elapsed, the last microsecond of 24 h", ELAPSED, "2023-11-04 23:59", "2023-11-05 22:59:59.999999-05:00", 1),
    ("autumn, elapsed, exactly 24 h", ELAPSED, "2023-11-04 23:59", "2023-11-05 23:00:00-05:00", 2),
    ("autumn, the end of the long day", WALL, "2023-11-04 23:59", "2023-11-05 23:59:59.999999-05:00", 1),
    ("autumn, after the long day", WALL, "2023-11-04 23:59", "2023-11-06 00:00:00-05:00", 2),
    ("autumn, a week over the change", WALL, "2023-10-29 23:59", "2023-11-05 23:30:00-05:00", 7),
    ("autumn, a week over the change, elapsed", ELAPSED, "2023-10-29 23:59", "2023-11-05 23:30:00-05:00", 8),
    ("due in the repeated hour, its first pass", WALL, "2023-11-05 01:30", "2023-11-05 01:45:00-04:00", 0),
    ("due in the repeated hour, its second pass", WALL, "2023-11-05 01:30", "2023-11-05 01:30:59.999999-05:00", 0),
    ("due in the repeated hour, over", WALL, "2023-11-05 01:30", "2023-11-05 01:31:00-05:00", 1),
    ("a day that ends in the repeated hour, its first pass", WALL, "2023-11-04 01:30", "2023-11-05 01:45:00-04:00", 1),
    ("a day that ends in the repeated hour, its second pass", WALL, "2023-11-04 01:30", "2023-11-05 01:30:59.999999-05:00", 1),
    ("a day that ends in the repeated hour, over", WALL, "2023-11-04 01:30", "2023-11-05 01:31:00-05:00", 2),
    # The clock is put forward on Sun 10 Mar 2024 at 02:00 EST: that day has 23 hours.
    ("spring, the end of the short day", WALL, "2024-03-09 23:59", "2024-03-10 23:59:59.999999-04:00", 1),
    ("spring, 23 h 30 min later the next wall day", WALL, "2024-03-09 23:59", "2024-03-11 00:30:00-04:00", 2),
    ("spring, elapsed counts one", ELAPSED, "2024-03-09 23:59", "2024-03-11 00:30:00-04:00", 1),
    ("spring, elapsed, exactly 24 h", ELAPSED, "2024-03-09 23:59", "2024-03-11 01:00:00-04:00", 2),
    ("a day that ends in the skipped hour, before it", WALL, "2024-03-09 02:30", "2024-03-10 01:59:59.999999-05:00", 1),
    ("a day that ends in the skipped hour, after it", WALL, "2024-03-09 02:30", "2024-03-10 03:00:00-04:00", 2),
    ("a day that ends a minute earlier in it, before it", WALL, "2024-03-09 02:29", "2024-03-10 01:59:59.999999-05:00", 1),
    ("a day that ends a minute earlier in it, after it", WALL, "2024-03-09 02:29", "2024-03-10 03:00:00-04:00", 2),
    ("the day after that ends at its own minute", WALL, "2024-03-09 02:30", "2024-03-11 02:30:59.999999-04:00", 2),
    ("grace, its last microsecond", GRACE, "2023-10-22 23:59", "2023-10-23 00:14:59.999999-04:00", 0),
    ("grace, over", GRACE, "2023-10-22 23:59", "2023-10-23 00:15:00-04:00", 1),
    ("grace holds at the next day too", GRACE, "2023-10-22 23:59", "2023-10-24 00:14:59.999999-04:00", 1),
    ("grace at the next day, over", GRACE, "2023-10-22 23:59", "2023-10-24 00:15:00-04:00", 2),
]


@pytest.mark.parametrize(("policy", "due", "received", "days"), [pytest.param(*case[1:], id=case[0]) for case in DAYS])
def test_days_late(policy: LatePolicy, due: str, received: str, days: int) -> None:
    assert lateness(policy, due=Due.parse(due, NEW_YORK), received=at(received)).days == days


@pytest.mark.parametrize(
    ("policy", "received", "expected"),
    [
        pytest.param(WALL, "2023-10-22 23:59:59-04:00", Lateness(0, True, False, timedelta(0), "on time"), id="on time"),
        pytest.param(
            GRACE, "2023-10-23 00:10:00-04:00", Lateness(0, True, False, timedelta(minutes=10), "on time, within the grace"), id="grace"
        ),
        pytest.param(WALL, "2023-10-23 08:12:07-04:00", Lateness(1, True, True, timedelta(seconds=29527), "1 day late"), id="one day"),
        pytest.param(GRACE, "2023-10-23 08:12:00-04:00", Lateness(1, True, True, timedelta(seconds=29520), "1 day late"), id="after grace"),
        pytest.param(WALL, "2023-10-26 23:59:00-04:00", Lateness(4, True, True, timedelta(days=4, minutes=-1), "4 days late"), id="last"),
        pytest.param(
            WALL,
            "2023-10-27 00:00:00-04:00",
            Lateness(5, False, True, timedelta(days=4), "closed since Thu 26 Oct 23:59 EDT"),
            id="refused",
        ),
        pytest.param(
            LatePolicy(after_last="zero"),
            "2023-10-27 00:00:00-04:00",
            Lateness(5, True, True, timedelta(days=4), "5 days late, scored 0"),
            id="accepted for nothing",
        ),
        pytest.param(
            LatePolicy(steps=percents(20)),
            "2023-10-24 00:00:00-04:00",
            Lateness(2, False, True, timedelta(days=1), "closed since Mon 23 Oct 23:59 EDT"),
            id="one step, then refused",
        ),
        pytest.param(
            LatePolicy(steps=()),
            "2023-10-23 00:00:00-04:00",
            Lateness(1, False, True, timedelta(0), "closed since Sun 22 Oct 23:59 EDT"),
            id="no late work at all",
        ),
    ],
)
def test_lateness_of_a_hand_in(policy: LatePolicy, received: str, expected: Lateness) -> None:
    assert lateness(policy, due=SUNDAY, received=at(received)) == expected


def test_a_hand_in_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="has no time zone"):
        lateness(WALL, due=SUNDAY, received=datetime(2023, 10, 22, 23, 59))


RELEASE = at("2023-10-12 12:00+00:00")
ENDS = tuple(at(f"2023-10-{day} 04:00+00:00") for day in (23, 24, 25, 26, 27))


def test_the_timeline_of_the_default_policy() -> None:
    assert timeline(WALL, release=RELEASE, due=SUNDAY) == (
        Segment("before", Decimal(100), None, RELEASE, False, 0),
        Segment("on_time", Decimal(100), RELEASE, ENDS[0], True, 0),
        Segment("late", Decimal(90), ENDS[0], ENDS[1], True, 1),
        Segment("late", Decimal(80), ENDS[1], ENDS[2], True, 2),
        Segment("late", Decimal(70), ENDS[2], ENDS[3], True, 3),
        Segment("late", Decimal(60), ENDS[3], ENDS[4], True, 4),
        Segment("closed", Decimal(0), ENDS[4], None, False, 5),
    )


def test_a_timeline_without_release_starts_on_time() -> None:
    assert timeline(LatePolicy(steps=percents(20)), release=None, due=SUNDAY) == (
        Segment("on_time", Decimal(100), None, ENDS[0], True, 0),
        Segment("late", Decimal(80), ENDS[0], ENDS[1], True, 1),
        Segment("closed", Decimal(0), ENDS[1], None, False, 2),
    )


def test_a_timeline_that_never_closes_ends_with_zero_credit() -> None:
    last = timeline(LatePolicy(steps=percents(20), after_last="zero"), release=None, due=SUNDAY)[-1]
    assert last == Segment("late", Decimal(0), ENDS[1], None, True, 2)


def test_a_release_after_the_due_time_leaves_what_is_left() -> None:
    release = ENDS[1] + timedelta(hours=3)
    assert timeline(LatePolicy(steps=percents(10, 10)), release=release, due=SUNDAY) == (
        Segment("before", Decimal(100), None, release, False, 0),
        Segment("late", Decimal(80), release, ENDS[2], True, 2),
        Segment("closed", Decimal(0), ENDS[2], None, False, 3),
    )


def test_a_release_at_the_end_of_a_segment_leaves_no_empty_one() -> None:
    assert [segment.kind for segment in timeline(LatePolicy(steps=()), release=ENDS[0], due=SUNDAY)] == ["before", "closed"]


def test_what_each_base_can_still_reach() -> None:
    due, steps = SUNDAY, percents(10, 20)
    credit = {
        base: [str(segment.credit.normalize()) for segment in timeline(LatePolicy(steps=steps, base=base), release=None, due=due)]
        for base in ("of_possible", "of_earned", "ceiling", "compounding")
    }
    assert credit == {
        "of_possible": ["1E+2", "9E+1", "7E+1", "0"],
        "of_earned": ["1E+2", "9E+1", "7E+1", "0"],
        "ceiling": ["1E+2", "9E+1", "7E+1", "0"],
        "compounding": ["1E+2", "9E+1", "72", "0"],
    }


def test_a_percent_of_the_homework_weighs_double_on_half_of_it() -> None:
    policy = LatePolicy(scope="homework")
    segments = timeline(policy, release=None, due=SUNDAY, possible=Decimal(50), homework_possible=Decimal(100))
    assert [segment.credit for segment in segments] == [100, 80, 60, 40, 20, 0]


def test_a_component_worth_nothing_can_reach_nothing() -> None:
    segments = timeline(LatePolicy(scope="homework"), release=None, due=SUNDAY, possible=Decimal(0), homework_possible=Decimal(100))
    assert [segment.credit for segment in segments] == [100, 0, 0, 0, 0, 0]


def test_a_percent_of_the_homework_needs_its_points() -> None:
    policy = LatePolicy(scope="homework")
    with pytest.raises(ValueError, match="the component's and the homework's possible points are needed"):
        timeline(policy, release=None, due=SUNDAY, homework_possible=Decimal(100))
    with pytest.raises(ValueError, match="the homework's possible points are needed"):
        timeline(policy, release=None, due=SUNDAY, possible=Decimal(50))


def test_the_last_minute_is_the_one_to_print() -> None:
    segments = timeline(WALL, release=None, due=SUNDAY)
    assert segments[0].last_minute == SUNDAY.instant
    assert segments[-1].last_minute is None


@pytest.mark.parametrize(
    ("moment", "kind", "days"),
    [
        ("2023-10-12 11:59:59.999999+00:00", "before", 0),
        ("2023-10-12 12:00:00+00:00", "on_time", 0),
        ("2023-10-22 23:59:59.999999-04:00", "on_time", 0),
        ("2023-10-23 00:00:00-04:00", "late", 1),
        ("2023-10-27 00:00:00-04:00", "closed", 5),
    ],
)
def test_the_segment_of_a_moment(moment: str, kind: str, days: int) -> None:
    segment = segment_at(timeline(WALL, release=RELEASE, due=SUNDAY), at(moment))
    assert (segment.kind, segment.days) == (kind, days)


def test_local_times_of_the_repeated_hour_are_told_apart() -> None:
    """Two local times of one zone compare by their digits, so 01:15 the second time would look earlier than 01:45 the first time."""
    zone = ZoneInfo(NEW_YORK)
    due = Due.parse("2023-11-05 00:30", NEW_YORK)
    policy = LatePolicy(day_rule="elapsed_24h", grace_minutes=60)  # on time until 01:31 EDT
    first, second = datetime(2023, 11, 5, 1, 15, tzinfo=zone), datetime(2023, 11, 5, 1, 15, fold=1, tzinfo=zone)
    assert [lateness(policy, due=due, received=moment).days for moment in (first, second)] == [0, 1]
    assert [segment_at(timeline(policy, release=None, due=due), moment).days for moment in (first, second)] == [0, 1]


def test_a_list_without_an_open_end_is_no_timeline() -> None:
    with pytest.raises(ValueError, match="ends with an open segment"):
        segment_at(timeline(WALL, release=None, due=SUNDAY)[:-1], at("2023-10-27 00:00:00-04:00"))


COSTS = [
    ("on time", WALL, 0, taken(0, 0, "On time: it costs nothing.")),
    (
        "of_possible, 1 day",
        WALL,
        1,
        taken(10, 5, "1 day late: it costs 5 points (10 % of the 50 possible × 1 day)."),
    ),
    (
        "of_possible, 4 days",
        WALL,
        4,
        taken(40, 20, "4 days late: it costs 20 points (10 % of the 50 possible × 4 days)."),
    ),
    ("of_possible, closed", WALL, 5, taken(100, 50, "More than 4 days late: not accepted.", accepted=False)),
    (
        "after the last day, accepted",
        LatePolicy(after_last="zero"),
        5,
        taken(100, 50, "More than 4 days late: accepted, and scored 0."),
    ),
    ("one step", LatePolicy(steps=percents(20)), 2, taken(100, 50, "More than 1 day late: not accepted.", accepted=False)),
    ("no late work", LatePolicy(steps=()), 1, taken(100, 50, "Late: not accepted.", accepted=False)),
    (
        "uneven steps",
        LatePolicy(steps=percents(2, 10)),
        2,
        taken(12, 6, "2 days late: it costs 6 points (2 % + 10 % of the 50 possible)."),
    ),
    (
        "a single point",
        LatePolicy(steps=percents(2, 10)),
        1,
        taken(2, 1, "1 day late: it costs 1 point (2 % of the 50 possible × 1 day)."),
    ),
    (
        "more than there is",
        LatePolicy(steps=percents(60, 60)),
        2,
        taken(100, 50, "2 days late: it costs 50 points (60 % of the 50 possible × 2 days)."),
    ),
    (
        "of the homework",
        LatePolicy(scope="homework"),
        1,
        taken(10, 10, "1 day late: it costs 10 points (10 % of the homework's 100 possible × 1 day)."),
    ),
    ("of_earned", LatePolicy(base="of_earned"), 2, taken(20, None, "2 days late: it costs 20 % of the points it earns.")),
    ("ceiling", LatePolicy(base="ceiling"), 2, taken(20, None, "2 days late: it can reach 40 of the 50 possible points.")),
    (
        "ceiling of the homework",
        LatePolicy(base="ceiling", scope="homework"),
        2,
        taken(20, None, "2 days late: it can reach 30 of the 50 possible points."),
    ),
    (
        "compounding, 1 day",
        LatePolicy(base="compounding"),
        1,
        taken(10, None, "1 day late: it costs 10 % of the points it earns."),
    ),
    (
        "compounding, 2 days",
        LatePolicy(base="compounding"),
        2,
        taken(19, None, "2 days late: it costs 19 % of the points it earns, 10 % of what is left, day by day."),
    ),
    (
        "compounding, uneven",
        LatePolicy(base="compounding", steps=percents(10, 20)),
        2,
        taken(28, None, "2 days late: it costs 28 % of the points it earns, 10 %, then 20 % of what is left, day by day."),
    ),
]


@pytest.mark.parametrize(("policy", "days", "expected"), [pytest.param(*case[1:], id=case[0]) for case in COSTS])
def test_a_late_hand_in_names_its_cost_before_it_is_made(policy: LatePolicy, days: int, expected: Cost) -> None:
    assert cost(policy, possible=Decimal(50), days=days, homework_possible=Decimal(100)) == expected
