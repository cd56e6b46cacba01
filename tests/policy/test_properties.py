"""What holds for every policy, due time and moment: found by search, not by example."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import get_args
from zoneinfo import ZoneInfo

from hypothesis import assume, given
from hypothesis import strategies as st

from grading.policy.counts import Attempt, which_counts
from grading.policy.due import Accommodation, effective_due
from grading.policy.late import AfterLast, Base, DayRule, Due, LatePolicy, Scope, cost, lateness, segment_at, timeline
from grading.policy.score import Deduction, component_score
from grading.policy.visibility import Moment, Release, Viewer, Visibility, may_see_check, may_see_score

ZONES = ("America/New_York", "Europe/London", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Shanghai", "Africa/Casablanca", "UTC")
CHANGES = (datetime(2023, 11, 5, 2), datetime(2024, 3, 10, 2), datetime(2018, 11, 4), datetime(2018, 2, 17, 23), datetime(2023, 10, 1, 2))
MICROSECOND = timedelta(microseconds=1)

minutes = st.integers(min_value=-4 * 24 * 60, max_value=4 * 24 * 60).map(lambda amount: timedelta(minutes=amount))
near_changes = st.builds(lambda change, offset: change + offset, st.sampled_from(CHANGES), minutes)
any_minute = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1)).map(lambda wall: wall.replace(second=0, microsecond=0))
dues = st.builds(Due.soonest, near_changes | any_minute, st.sampled_from(ZONES))
delays = st.timedeltas(timedelta(days=-3), timedelta(days=9))
percents = st.decimals(0, 100, places=1)
steps = st.lists(percents, max_size=6).map(tuple)


@st.composite
def policies(draw: st.DrawFn, scopes: tuple[Scope, ...] = get_args(Scope)) -> LatePolicy:
    base: Base = draw(st.sampled_from(get_args(Base)))
    scope: Scope = draw(st.sampled_from(scopes)) if base in ("of_possible", "ceiling") else "component"
    rule: DayRule = draw(st.sampled_from(get_args(DayRule)))
    after: AfterLast = draw(st.sampled_from(get_args(AfterLast)))
    grace = draw(st.sampled_from((0, 1, 15, 1439)))
    return LatePolicy(draw(steps), base=base, scope=scope, day_rule=rule, grace_minutes=grace, after_last=after)


points = st.decimals(0, 200, places=2)
deductions = st.lists(st.builds(Deduction, st.sampled_from(("format", "not_runnable")), percents, st.just("Reason")), max_size=4)
HOMEWORK = Decimal(300)


def final(policy: LatePolicy, raw: Decimal, possible: Decimal, days: int, taken: list[Deduction]) -> Decimal:
    return component_score(policy, raw=raw, possible=possible, days_late=days, deductions=taken, homework_possible=HOMEWORK).final


@given(policies(), dues, delays, delays, points, points, deductions)
def test_later_is_never_less_late_and_never_worth_more(
    policy: LatePolicy, due: Due, one: timedelta, other: timedelta, raw: Decimal, possible: Decimal, taken: list[Deduction]
) -> None:
    earlier, later = sorted((one, other))
    first, second = (lateness(policy, due=due, received=due.end + delay) for delay in (earlier, later))
    assert first.days <= second.days
    assert first.by <= second.by
    assert first.accepted >= second.accepted
    assert final(policy, raw, possible, first.days, taken) >= final(policy, raw, possible, second.days, taken)


@given(policies(), points, points, st.integers(0, 9), deductions)
def test_a_score_lies_between_nothing_and_the_raw_points(
    policy: LatePolicy, raw: Decimal, possible: Decimal, days: int, taken: list[Deduction]
) -> None:
    assert 0 <= final(policy, raw, possible, days, taken) <= raw


@given(policies(), points, points, st.integers(0, 9), deductions)
def test_the_lines_add_up_to_the_score(policy: LatePolicy, raw: Decimal, possible: Decimal, days: int, taken: list[Deduction]) -> None:
    score = component_score(policy, raw=raw, possible=possible, days_late=days, deductions=taken, homework_possible=HOMEWORK)
    *parts, last = score.lines
    assert abs(sum((line.points or Decimal(0) for line in parts), Decimal(0)) - score.final) < Decimal("1e-20")
    assert last.points == score.final
    assert all((line.points or Decimal(0)) <= 0 for line in parts[1:])


@given(policies(), points, points, st.integers(0, 9), deductions, st.randoms())
def test_the_order_of_deductions_does_not_matter(
    policy: LatePolicy, raw: Decimal, possible: Decimal, days: int, taken: list[Deduction], random: Random
) -> None:
    shuffled = list(taken)
    random.shuffle(shuffled)
    assert final(policy, raw, possible, days, taken) == final(policy, raw, possible, days, shuffled)


@given(policies(), dues, st.integers(0, 8))
def test_a_day_ends_exactly_at_its_boundary(policy: LatePolicy, due: Due, days: int) -> None:
    boundary = policy.boundary(due, days)
    assert policy.days_late(due, boundary - MICROSECOND) <= days < policy.days_late(due, boundary)


@given(policies(), dues, delays)
def test_days_late_are_the_boundaries_passed(policy: LatePolicy, due: Due, delay: timedelta) -> None:
    received = due.end + delay
    assert policy.days_late(due, received) == sum(received >= policy.boundary(due, days) for days in range(20))


@given(st.integers(0, 400), st.timedeltas(timedelta(days=-3), timedelta(days=40)))
def test_wall_days_of_a_midnight_due_time_are_calendar_days(day: int, delay: timedelta) -> None:
    """New York never changes its clock around midnight: days late are then the difference of two dates, whatever the changes between."""
    wall = datetime(2023, 9, 1, 23, 59) + timedelta(days=day)
    due = Due(wall, "America/New_York")
    received = due.end + delay
    local_day = received.astimezone(ZoneInfo(due.zone)).date()
    assert LatePolicy().days_late(due, received) == max(0, (local_day - wall.date()).days)


@given(dues, st.timedeltas(timedelta(days=-3), timedelta(days=40)))
def test_elapsed_days_are_started_spans_of_24_hours(due: Due, delay: timedelta) -> None:
    days = LatePolicy(day_rule="elapsed_24h").days_late(due, due.end + delay)
    assert days == max(0, delay // timedelta(days=1) + 1)


@given(policies(), dues, minutes, delays)
def test_a_due_time_moved_later_never_makes_anyone_later(policy: LatePolicy, due: Due, shift: timedelta, delay: timedelta) -> None:
    later = Due.soonest(due.wall + abs(shift), due.zone)
    received = due.end + delay
    assert policy.days_late(later, received) <= policy.days_late(due, received)


@given(policies(), dues, st.none() | delays, delays, st.decimals(1, 200, places=2))
def test_what_is_shown_is_what_is_enforced(
    policy: LatePolicy, due: Due, release: timedelta | None, delay: timedelta, possible: Decimal
) -> None:
    """The segments cover all of time without gaps, and each agrees with the lateness, the score and the named cost in it."""
    opens = None if release is None else due.end + release
    segments = timeline(policy, release=opens, due=due, possible=possible, homework_possible=HOMEWORK)
    assert segments[0].start is None
    assert segments[-1].end is None
    assert all(one.end == other.start for one, other in pairwise(segments))
    assert all(one.start is None or one.end is None or one.start < one.end for one in segments)

    received = due.end + delay
    segment, late = segment_at(segments, received), lateness(policy, due=due, received=received)
    if segment.kind == "before":
        assert opens is not None
        assert received < opens
        return
    assert segment.open == late.accepted
    assert (segment.kind == "on_time") == (late.days == 0)
    best = final(policy, possible, possible, late.days, [])
    assert abs(segment.credit - 100 * best / possible) < Decimal("1e-20")
    named = cost(policy, possible=possible, days=late.days, homework_possible=HOMEWORK)
    assert named.accepted == late.accepted
    if named.points is not None:
        assert named.points == possible - best
    if late.days <= policy.last_day:
        assert segment.days == late.days


@given(policies())
def test_settings_survive_a_round_trip_through_json(policy: LatePolicy) -> None:
    assert LatePolicy.from_settings(json.loads(json.dumps(policy.to_settings()))) == policy


@given(policies(), dues, delays)
def test_grace_never_makes_anyone_later(policy: LatePolicy, due: Due, delay: timedelta) -> None:
    received = due.end + delay
    less, more = (replace(policy, grace_minutes=minutes).days_late(due, received) for minutes in (5, 60))
    assert more <= less <= replace(policy, grace_minutes=0).days_late(due, received)


accommodations = st.none() | st.builds(Accommodation, days=st.integers(0, 9), factor=st.decimals(1, 2, places=2), stacks=st.booleans())


@given(dues, st.none() | minutes, st.none() | minutes, accommodations, st.none() | st.timedeltas(timedelta(0), timedelta(days=30)))
def test_nothing_granted_ever_takes_time_away(
    base: Due, section: timedelta | None, extension: timedelta | None, accommodation: Accommodation | None, lead: timedelta | None
) -> None:
    own = None if section is None else Due.soonest(base.wall + section, base.zone)
    granted = None if extension is None else Due.soonest(base.wall + extension, base.zone)
    release = None if lead is None else base.instant - lead
    result = effective_due(base=base, section=own, extension=granted, accommodation=accommodation, release=release)
    assert result.due.instant >= (own or base).instant
    assert granted is None or result.due.instant >= granted.instant
    for fewer_granted, fewer_accommodation in ((None, accommodation), (granted, None)):
        fewer = effective_due(base=base, section=own, extension=fewer_granted, accommodation=fewer_accommodation, release=release)
        assert fewer.due.instant <= result.due.instant


@st.composite
def histories(draw: st.DrawFn) -> list[Attempt]:
    start = datetime(2023, 10, 22, tzinfo=UTC)
    rows = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.booleans(), st.booleans(), st.integers(0, 3)), max_size=6))
    return [
        Attempt(50 + number, number, start + timedelta(hours=hours), days, accepted, judged, Decimal(net), Decimal(net))
        for number, (hours, days, accepted, judged, net) in enumerate(rows, start=1)
    ]


@given(histories(), st.booleans(), st.integers(-3, 5), st.randoms())
def test_the_order_in_which_hand_ins_are_listed_does_not_matter(
    history: list[Attempt], autograded: bool, pick: int, random: Random
) -> None:
    chosen = history[pick].id if 0 <= pick < len(history) else None
    shuffled = list(history)
    random.shuffle(shuffled)
    assert which_counts(history, autograded=autograded, chosen=chosen) == which_counts(shuffled, autograded=autograded, chosen=chosen)


@given(histories(), st.booleans())
def test_what_counts_was_accepted_and_is_the_best_or_on_time(history: list[Attempt], autograded: bool) -> None:
    counting = next((one for one in history if one.id == which_counts(history, autograded=autograded, chosen=None).id), None)
    eligible = [one for one in history if one.accepted and (one.judged or not autograded)]
    assert (counting is None) == (not eligible)
    if counting is None:
        return
    assert counting in eligible
    if autograded:
        assert all((one.net or 0) <= (counting.net or 0) for one in eligible)
    else:
        assert counting.days_late == 0 or all(one.days_late for one in eligible)


moments = st.builds(lambda delay, published: (delay, published), st.timedeltas(timedelta(days=-2), timedelta(days=2)), st.booleans())


@given(moments, moments, st.sampled_from(get_args(Release)), st.sampled_from(get_args(Visibility)))
def test_the_gate_only_ever_opens(
    one: tuple[timedelta, bool], other: tuple[timedelta, bool], release: Release, visibility: Visibility
) -> None:
    end, owner = datetime(2023, 10, 23, 4, tzinfo=UTC), Viewer(staff=False, owner=True)
    assume(one[0] <= other[0] and one[1] <= other[1])
    before, after = (Moment(end + delay, end, published) for delay, published in (one, other))
    assert may_see_score(owner, before, release=release) <= may_see_score(owner, after, release=release)
    assert (may_see_check(owner, before, visibility).detail == "full") <= (may_see_check(owner, after, visibility).detail == "full")
