"""The one gate: who sees which score and which check, and when."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from grading.policy.visibility import Moment, Release, Sight, Viewer, Visibility, closed_line, may_see_check, may_see_score

STAFF, OWNER, STRANGER = Viewer(staff=True, owner=False), Viewer(staff=False, owner=True), Viewer(staff=False, owner=False)
END = datetime(2023, 10, 23, 4, 0, tzinfo=UTC)
BEFORE = Moment(END - timedelta(microseconds=1), END, published=False, zone="America/New_York")
AFTER = Moment(END, END, published=False, zone="America/New_York")
PUBLISHED = Moment(END, END, published=True, zone="America/New_York")
PUBLISHED_EARLY = Moment(END - timedelta(days=1), END, published=True, zone="America/New_York")
MOMENTS = (BEFORE, AFTER, PUBLISHED, PUBLISHED_EARLY)

RELEASES: dict[Release, tuple[bool, bool, bool, bool]] = {
    "at_once": (True, True, True, True),
    "after_due": (False, True, True, True),
    "after_published": (False, False, True, True),
}


@pytest.mark.parametrize("release", RELEASES)
def test_the_owner_sees_the_score_when_it_is_released(release: Release) -> None:
    assert tuple(may_see_score(OWNER, moment, release=release) for moment in MOMENTS) == RELEASES[release]


@pytest.mark.parametrize("release", RELEASES)
def test_staff_always_see_the_score_and_a_stranger_never(release: Release) -> None:
    assert [may_see_score(STAFF, moment, release=release) for moment in MOMENTS] == [True] * 4
    assert [may_see_score(STRANGER, moment, release=release) for moment in MOMENTS] == [False] * 4


FULL, HIDDEN = Sight("full"), Sight("closed", "stays hidden")
WAITS_DUE, WAITS_PUBLISHED = Sight("closed", "opens after Sun 22 Oct 23:59 EDT"), Sight("closed", "opens when the scores are published")
CHECKS: dict[Visibility, tuple[Sight, Sight, Sight, Sight]] = {
    "visible": (FULL, FULL, FULL, FULL),
    "hidden": (HIDDEN, HIDDEN, HIDDEN, HIDDEN),
    "after_due": (WAITS_DUE, FULL, FULL, WAITS_DUE),
    "after_published": (WAITS_PUBLISHED, WAITS_PUBLISHED, FULL, FULL),
}


@pytest.mark.parametrize("visibility", CHECKS)
def test_the_owner_sees_a_check_when_it_opens(visibility: Visibility) -> None:
    assert tuple(may_see_check(OWNER, moment, visibility) for moment in MOMENTS) == CHECKS[visibility]


@pytest.mark.parametrize("visibility", CHECKS)
def test_staff_see_every_check_and_a_stranger_none(visibility: Visibility) -> None:
    assert [may_see_check(STAFF, moment, visibility) for moment in MOMENTS] == [FULL] * 4
    assert [may_see_check(STRANGER, moment, visibility) for moment in MOMENTS] == [Sight("none")] * 4


def test_staff_who_own_the_work_see_it_as_staff() -> None:
    assert may_see_check(Viewer(staff=True, owner=True), BEFORE, "hidden") == FULL


def test_local_times_of_the_repeated_hour_are_told_apart() -> None:
    """Due 01:30, which means its second pass that night; 01:45 the first time is still before."""
    zone = ZoneInfo("America/New_York")
    end = datetime(2023, 11, 5, 1, 31, fold=1, tzinfo=zone)
    first = Moment(datetime(2023, 11, 5, 1, 45, tzinfo=zone), end, published=False)
    second = Moment(datetime(2023, 11, 5, 1, 45, fold=1, tzinfo=zone), end, published=False)
    assert [may_see_score(OWNER, moment, release="after_due") for moment in (first, second)] == [False, True]


def test_the_group_line_of_closed_checks_gives_points_only_with_the_score() -> None:
    assert closed_line(checks=4, points=Decimal(20), out_of=Decimal(24), score_seen=True) == "4 hidden checks, 20 of 24"
    assert closed_line(checks=4, points=Decimal(20), out_of=Decimal(24), score_seen=False) == "4 hidden checks, worth 24"
    assert closed_line(checks=1, points=Decimal("1.5"), out_of=Decimal(6), score_seen=True) == "1 hidden check, 1.5 of 6"
