"""Which due time holds: sections, extensions, accommodations, and who is told what."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from grading.policy.due import Accommodation, EffectiveDue, default_due, effective_due
from grading.policy.walltime import Due

NEW_YORK = "America/New_York"
RELEASE = datetime(2023, 10, 12, 16, 0, tzinfo=UTC)  # Thu 12 Oct 12:00 EDT


def due(text: str) -> Due:
    return Due.parse(text, NEW_YORK)


BASE, SECTION = due("2023-10-22 23:59"), due("2023-10-20 18:00")
TWO_DAYS, HALF_AGAIN = Accommodation(days=2), Accommodation(factor=Decimal("1.5"))
HALF_AGAIN_ON_TOP = Accommodation(factor=Decimal("1.5"), stacks=True)

CASES = [
    ("nothing given", None, None, None, "2023-10-22 23:59"),
    ("a section's own, though earlier", SECTION, None, None, "2023-10-20 18:00"),
    ("an extension", None, "2023-10-25 23:59", None, "2023-10-25 23:59"),
    ("an extension over a section's", SECTION, "2023-10-21 18:00", None, "2023-10-21 18:00"),
    ("an extension that the due time has overtaken", None, "2023-10-21 23:59", None, "2023-10-22 23:59"),
    ("two days", None, None, TWO_DAYS, "2023-10-24 23:59"),
    ("two days over a section's", SECTION, None, TWO_DAYS, "2023-10-22 18:00"),
    ("half as much time again: 251 h 59 min and 125 h 59 min 30 s", None, None, HALF_AGAIN, "2023-10-28 05:59"),
    ("days and a factor: the one that gives more", None, None, Accommodation(days=2, factor=Decimal("1.5")), "2023-10-28 05:59"),
    ("days and a factor: the days give more", None, None, Accommodation(days=7, factor=Decimal("1.5")), "2023-10-29 23:59"),
    ("an accommodation of nothing", None, None, Accommodation(), "2023-10-22 23:59"),
    ("an extension beyond the accommodation", None, "2023-10-25 23:59", TWO_DAYS, "2023-10-25 23:59"),
    ("an extension short of the accommodation", None, "2023-10-23 23:59", TWO_DAYS, "2023-10-24 23:59"),
    ("an extension and one that stacks", None, "2023-10-25 23:59", Accommodation(days=2, stacks=True), "2023-10-27 23:59"),
    (
        "an extension and a factor that stacks",
        None,
        "2023-10-23 23:59",
        Accommodation(factor=Decimal("1.5"), stacks=True),
        "2023-10-29 05:59",
    ),
    ("an early extension and one that stacks", None, "2023-10-12 23:59", Accommodation(days=2, stacks=True), "2023-10-24 23:59"),
]


@pytest.mark.parametrize(("section", "extension", "accommodation", "expected"), [pytest.param(*case[1:], id=case[0]) for case in CASES])
def test_the_due_time_that_holds(section: Due | None, extension: str | None, accommodation: Accommodation | None, expected: str) -> None:
    granted = due(extension) if extension else None
    result = effective_due(base=BASE, section=section, extension=granted, accommodation=accommodation, release=RELEASE)
    assert result.due == due(expected)


def test_extra_days_keep_their_hour_across_a_clock_change() -> None:
    base = due("2023-11-04 23:59")
    result = effective_due(base=base, section=None, extension=None, accommodation=TWO_DAYS, release=RELEASE)
    assert result.due == due("2023-11-06 23:59")


def test_a_factor_keeps_its_hour_across_a_clock_change() -> None:
    """From Sat 28 Oct 23:59 to Sat 4 Nov 23:59 is a week; as much again ends on Sat 11 Nov at 23:59, in winter time."""
    release = datetime(2023, 10, 29, 3, 59, tzinfo=UTC)
    result = effective_due(
        base=due("2023-11-04 23:59"), section=None, extension=None, accommodation=Accommodation(factor=Decimal(2)), release=release
    )
    assert result.due == due("2023-11-11 23:59")


def test_a_factor_is_rounded_up_to_the_minute() -> None:
    release = datetime(2023, 10, 23, 3, 56, tzinfo=UTC)  # three minutes before: half of them is 90 s
    result = effective_due(base=BASE, section=None, extension=None, accommodation=HALF_AGAIN, release=release)
    assert result.due == due("2023-10-23 00:01")


def test_extra_days_into_a_skipped_hour_end_right_after_it() -> None:
    result = effective_due(base=due("2024-03-08 02:30"), section=None, extension=None, accommodation=TWO_DAYS, release=RELEASE)
    assert result.due == due("2024-03-10 03:00")


def test_a_release_after_the_due_time_adds_nothing() -> None:
    late_release = datetime(2023, 10, 30, tzinfo=UTC)
    result = effective_due(base=BASE, section=None, extension=None, accommodation=HALF_AGAIN, release=late_release)
    assert result.due == BASE


def test_a_factor_without_a_release_is_said_and_the_days_hold() -> None:
    both = Accommodation(days=2, factor=Decimal("1.5"))
    result = effective_due(base=BASE, section=None, extension=None, accommodation=both, release=None)
    assert result.due == due("2023-10-24 23:59")
    assert result.why[-1] == "The factor 1.5 is not applied: the homework has no release time to count from."


def test_days_need_no_release() -> None:
    result = effective_due(base=BASE, section=None, extension=None, accommodation=TWO_DAYS, release=None)
    assert result.due == due("2023-10-24 23:59")
    assert result.why[-1] == "The accommodation of 2 days makes it Tue 24 Oct 23:59 EDT."


def test_what_is_said_without_anything_special() -> None:
    assert effective_due(base=BASE, section=None, extension=None, accommodation=None, release=RELEASE) == EffectiveDue(
        BASE, ("The homework's due time is Sun 22 Oct 23:59 EDT.",), "Due Sun 22 Oct 23:59 EDT."
    )


def test_what_instructor_and_student_are_told() -> None:
    both = Accommodation(days=2, factor=Decimal("1.1"), stacks=True)
    assert effective_due(
        base=BASE, section=SECTION, extension=due("2023-10-25 23:59"), accommodation=both, release=RELEASE
    ) == EffectiveDue(
        due("2023-10-27 23:59"),
        (
            "The section's due time is Fri 20 Oct 18:00 EDT.",
            "The accommodation of 2 days or 1.1 times the time makes it Sun 22 Oct 18:00 EDT.",
            "An extension until Wed 25 Oct 23:59 EDT was granted.",
            "The accommodation adds to it: Fri 27 Oct 23:59 EDT.",
        ),
        "Due Fri 27 Oct 23:59 EDT: this is your own due time, instead of Fri 20 Oct 18:00 EDT.",
    )


@pytest.mark.parametrize(("text", "named"), [("2023-10-23 23:59", "Mon 23 Oct 23:59 EDT"), ("2023-10-24 23:59", "Tue 24 Oct 23:59 EDT")])
def test_an_extension_that_changes_nothing_is_said(text: str, named: str) -> None:
    result = effective_due(base=BASE, section=None, extension=due(text), accommodation=TWO_DAYS, release=RELEASE)
    assert result.why == (
        "The homework's due time is Sun 22 Oct 23:59 EDT.",
        "The accommodation of 2 days makes it Tue 24 Oct 23:59 EDT.",
        f"An extension until {named} was granted.",
        "It does not change the due time, which is Tue 24 Oct 23:59 EDT.",
    )


def test_the_students_sentence_does_not_tell_an_accommodation_from_an_extension() -> None:
    by_extension = effective_due(base=BASE, section=None, extension=due("2023-10-24 23:59"), accommodation=None, release=RELEASE)
    by_accommodation = effective_due(base=BASE, section=None, extension=None, accommodation=TWO_DAYS, release=RELEASE)
    assert by_extension.public_why == by_accommodation.public_why


@pytest.mark.parametrize(
    ("accommodation", "text"),
    [
        (Accommodation(), "no extra time"),
        (Accommodation(days=1), "1 day"),
        (Accommodation(factor=Decimal("1.50")), "1.5 times the time"),
    ],
)
def test_an_accommodation_in_words(accommodation: Accommodation, text: str) -> None:
    assert str(accommodation) == text


@pytest.mark.parametrize("days", [-1, 366])
def test_days_out_of_range_are_refused(days: int) -> None:
    with pytest.raises(ValueError) as refused:
        Accommodation(days=days)
    assert str(refused.value) == f"accommodation of {days} days: accepted are 0 to 365"


@pytest.mark.parametrize("factor", ["0.99", "10.01", "NaN", "Infinity"])
def test_factors_out_of_range_are_refused(factor: str) -> None:
    with pytest.raises(ValueError) as refused:
        Accommodation(factor=Decimal(factor))
    assert str(refused.value) == f"accommodation factor {factor}: accepted is a number from 1 to 10, such as 1.5"


def test_the_edges_of_both_ranges_are_accepted() -> None:
    assert Accommodation(days=365).days == 365
    assert Accommodation(factor=Decimal(10)).factor == 10


@pytest.mark.parametrize(
    ("release", "expected"),
    [
        pytest.param("2023-10-09 00:00-04:00", "2023-10-22 23:59", id="a Monday"),
        pytest.param("2023-10-12 12:00-04:00", "2023-10-22 23:59", id="a Thursday"),
        pytest.param("2023-10-15 23:59-04:00", "2023-10-22 23:59", id="a Sunday"),
        pytest.param("2023-10-16 03:00+00:00", "2023-10-22 23:59", id="still Sunday in the course's zone"),
        pytest.param("2023-10-16 04:00+00:00", "2023-10-29 23:59", id="Monday there too"),
    ],
)
def test_a_new_homework_is_offered_the_sunday_of_the_next_week(release: str, expected: str) -> None:
    assert default_due(datetime.fromisoformat(release), NEW_YORK) == due(expected)
