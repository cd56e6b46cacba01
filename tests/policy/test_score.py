"""Scores by hand-checked numbers: each base, steps, scope, the order of deductions and penalty, and the lines that explain them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args

import pytest

from grading.policy.late import Base, Due, LatePolicy
from grading.policy.score import ComponentScore, Deduction, Line, component_score, shown

DUE = Due.parse("2023-10-22 23:59", "America/New_York")
RECEIVED = datetime(2023, 10, 23, 12, 12, 7, tzinfo=UTC)
FORMAT = Deduction("format", Decimal(5), "The zip holds test scripts.")
REPAIRED = Deduction("not_runnable", Decimal(20), "A missing import was added")


def percents(*numbers: int) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, numbers))


def score(
    policy: LatePolicy,
    raw: str,
    days: int,
    *,
    possible: str = "100",
    deductions: tuple[Deduction, ...] = (),
    homework: str | None = None,
) -> ComponentScore:
    return component_score(
        policy,
        raw=Decimal(raw),
        possible=Decimal(possible),
        days_late=days,
        deductions=deductions,
        homework_possible=None if homework is None else Decimal(homework),
    )


BASES: dict[Base, tuple[str, str, str, str, str]] = {  # 80 of 100 raw: after 0, 1, 2, 4 and 5 days
    "of_possible": ("80", "70", "60", "40", "0"),
    "of_earned": ("80", "72", "64", "48", "0"),
    "ceiling": ("80", "80", "80", "60", "0"),
    "compounding": ("80", "72", "64.8", "52.488", "0"),
}


@pytest.mark.parametrize("base", get_args(Base))
@pytest.mark.parametrize("after_last", ["refuse", "zero"])
def test_eighty_of_a_hundred_after_some_days(base: Base, after_last: str) -> None:
    policy = LatePolicy.from_settings({"base": base, "after_last": after_last})
    assert tuple(score(policy, "80", days).final for days in (0, 1, 2, 4, 5)) == tuple(map(Decimal, BASES[base]))


FINALS = [
    ("one step of 20 %, on the day", LatePolicy(steps=percents(20)), "80", 1, "60"),
    ("one step of 20 %, the day after", LatePolicy(steps=percents(20)), "80", 2, "0"),
    ("no late work", LatePolicy(steps=()), "80", 1, "0"),
    ("steps are summed", LatePolicy(steps=percents(5, 10, 20)), "80", 3, "45"),
    ("steps of the earned are summed", LatePolicy(steps=percents(5, 10, 20), base="of_earned"), "80", 3, "52"),
    ("steps compound one after the other", LatePolicy(steps=percents(50, 10), base="compounding"), "80", 2, "36"),
    ("never below 0", LatePolicy(), "15", 2, "0"),
    ("exactly 0", LatePolicy(), "20", 2, "0"),
    ("more than everything is everything, of the possible", LatePolicy(steps=percents(60, 60)), "80", 2, "0"),
    ("more than everything is everything, of the earned", LatePolicy(steps=percents(60, 60), base="of_earned"), "80", 2, "0"),
    ("more than everything is everything, ceiling", LatePolicy(steps=percents(60, 60), base="ceiling"), "80", 2, "0"),
    ("a ceiling exactly at the earned", LatePolicy(base="ceiling"), "90", 1, "90"),
    ("a ceiling just below the earned", LatePolicy(base="ceiling"), "90.5", 1, "90"),
    ("bonus points are not cut on time", LatePolicy(base="ceiling"), "105", 0, "105"),
    ("nothing earned", LatePolicy(), "0", 1, "0"),
    ("a fraction", LatePolicy(steps=(Decimal("2.5"),)), "33.33", 1, "30.83"),
]


@pytest.mark.parametrize(("policy", "raw", "days", "final"), [pytest.param(*case[1:], id=case[0]) for case in FINALS])
def test_the_final_score(policy: LatePolicy, raw: str, days: int, final: str) -> None:
    assert score(policy, raw, days).final == Decimal(final)


def test_a_homework_wide_percentage_takes_from_the_whole_homework() -> None:
    assert score(LatePolicy(scope="homework"), "40", 1, possible="50", homework="100").final == 30
    assert score(LatePolicy(scope="component"), "40", 1, possible="50", homework="100").final == 35
    assert score(LatePolicy(scope="homework", base="ceiling"), "45", 1, possible="50", homework="100").final == 40


def test_a_homework_wide_percentage_needs_the_homeworks_points() -> None:
    with pytest.raises(ValueError) as refused:
        score(LatePolicy(scope="homework"), "40", 1, possible="50")
    assert str(refused.value) == 'late.scope = "homework": the homework\'s possible points are needed'


def test_on_time_there_is_no_penalty_not_even_on_a_bonus() -> None:
    for base in get_args(Base):
        assert LatePolicy(base=base).penalty(earned=Decimal(105), possible=Decimal(100), days=0) == 0


def test_the_late_sheet_of_spring_2025() -> None:
    """10 % of one homework of 15 is 1.5 of the 60 homework points, as the sheet prints; wrong format takes the same, a repair 3."""
    assert score(LatePolicy(), "15", 1, possible="15").final == Decimal("13.5")
    assert score(LatePolicy(), "15", 0, possible="15", deductions=(Deduction("format", Decimal(10), "Wrong name"),)).final == Decimal(
        "13.5"
    )
    assert score(LatePolicy(), "15", 0, possible="15", deductions=(REPAIRED,)).final == 12


def test_deductions_come_before_the_late_penalty() -> None:
    """80 − 25 = 55, then 10 % of 55; the other order would leave 72 − 25 = 47."""
    assert score(LatePolicy(base="of_earned"), "80", 1, deductions=(FORMAT, REPAIRED)).final == Decimal("49.5")


def test_deductions_are_of_the_possible_not_of_the_earned() -> None:
    assert score(LatePolicy(), "40", 0, possible="50", deductions=(REPAIRED,)).final == 30


def test_an_untouched_score_is_two_lines() -> None:
    assert score(LatePolicy(), "41", 0, possible="50").lines == (
        Line("Raw points", Decimal(41), Decimal(50), ""),
        Line("Score", Decimal(41), Decimal(50), ""),
    )


def test_the_statement_of_a_late_hand_in() -> None:
    statement = component_score(
        LatePolicy(),
        raw=Decimal(41),
        possible=Decimal(50),
        days_late=1,
        deductions=(FORMAT,),
        due=DUE,
        received=RECEIVED,
        raw_why="9 of 10 checks",
    )
    assert statement == ComponentScore(
        raw=Decimal(41),
        final=Decimal("33.5"),
        possible=Decimal(50),
        days_late=1,
        lines=(
            Line("Raw points", Decimal(41), Decimal(50), "9 of 10 checks"),
            Line("Wrong format", Decimal("-2.5"), None, "The zip holds test scripts: 5 % of the 50 possible"),
            Line(
                "1 day late",
                Decimal(-5),
                None,
                "10 % of the 50 possible × 1 day; due Sun 22 Oct 23:59 EDT, received Mon 23 Oct 08:12 EDT",
            ),
            Line("Score", Decimal("33.5"), Decimal(50), "41 − 2.5 − 5 = 33.5"),
        ),
    )


WHYS = [
    ("of_possible", LatePolicy(), "80", 2, "10 % of the 100 possible × 2 days"),
    ("of_possible, uneven", LatePolicy(steps=percents(5, 10)), "80", 2, "5 % + 10 % of the 100 possible"),
    ("of_possible, more than was left", LatePolicy(), "15", 2, "10 % of the 100 possible × 2 days is 20, only 15 were left"),
    ("of_possible, just enough left", LatePolicy(), "20", 2, "10 % of the 100 possible × 2 days"),
    ("of_earned", LatePolicy(base="of_earned"), "80", 2, "10 % of the 80 earned × 2 days"),
    (
        "ceiling",
        LatePolicy(base="ceiling"),
        "80",
        2,
        "at most 80 of the 100 possible count: 100 less 10 % of the 100 possible × 2 days",
    ),
    (
        "ceiling, at the floor",
        LatePolicy(base="ceiling", steps=percents(60, 60)),
        "80",
        2,
        "at most 0 of the 100 possible count: 100 less 60 % of the 100 possible × 2 days",
    ),
    ("compounding", LatePolicy(base="compounding"), "80", 2, "10 % of what is left, day by day, from 80"),
    (
        "compounding, uneven",
        LatePolicy(base="compounding", steps=percents(10, 20)),
        "80",
        2,
        "10 %, then 20 % of what is left, day by day, from 80",
    ),
    ("after the last day", LatePolicy(), "80", 5, "More than 4 days late: not accepted"),
    ("after the last day, accepted", LatePolicy(after_last="zero"), "80", 5, "More than 4 days late: accepted, and scored 0"),
    ("after the only day", LatePolicy(steps=percents(20)), "80", 2, "More than 1 day late: not accepted"),
    ("no late work", LatePolicy(steps=()), "80", 1, "Late: not accepted"),
]


@pytest.mark.parametrize(("policy", "raw", "days", "why"), [pytest.param(*case[1:], id=case[0]) for case in WHYS])
def test_the_penalty_line_carries_its_formula(policy: LatePolicy, raw: str, days: int, why: str) -> None:
    line = score(policy, raw, days).lines[1]
    assert (line.item, line.why) == ("1 day late" if days == 1 else f"{days} days late", why)


def test_the_penalty_line_of_a_homework_wide_percentage_says_so() -> None:
    line = score(LatePolicy(scope="homework"), "40", 1, possible="50", homework="100").lines[1]
    assert line == Line("1 day late", Decimal(-10), None, "10 % of the homework's 100 possible × 1 day")


def test_a_deduction_takes_no_more_than_there_is() -> None:
    lines = score(LatePolicy(), "4", 0, deductions=(FORMAT, REPAIRED)).lines
    assert [(line.points, line.why) for line in lines[1:3]] == [
        (Decimal(-4), "The zip holds test scripts: 5 % of the 100 possible is 5, only 4 were left"),
        (Decimal(0), "A missing import was added: 20 % of the 100 possible is 20, only 0 were left"),
    ]
    assert lines[2].item == "Repaired by staff before it ran"
    assert lines[3] == Line("Score", Decimal(0), Decimal(100), "4 − 4 = 0")


def test_a_deduction_of_all_there_is_needs_no_excuse() -> None:
    line = score(LatePolicy(), "5", 0, deductions=(FORMAT,)).lines[1]
    assert line == Line("Wrong format", Decimal(-5), None, "The zip holds test scripts: 5 % of the 100 possible")


def test_the_times_are_printed_only_together() -> None:
    for due, received in ((DUE, None), (None, RECEIVED)):
        lines = component_score(LatePolicy(), raw=Decimal(41), possible=Decimal(50), days_late=1, due=due, received=received).lines
        assert lines[1].why == "10 % of the 50 possible × 1 day"


def test_a_penalty_that_takes_nothing_is_still_a_line() -> None:
    lines = score(LatePolicy(base="ceiling"), "80", 1).lines
    assert lines[1].points == 0
    assert lines[2].why == ""


@pytest.mark.parametrize(("raw", "possible", "days"), [("-1", "50", 0), ("1", "-50", 0), ("1", "50", -1)])
def test_numbers_below_zero_are_refused(raw: str, possible: str, days: int) -> None:
    with pytest.raises(ValueError) as refused:
        score(LatePolicy(), raw, days, possible=possible)
    assert str(refused.value) == f"raw {raw} of {possible} points, {days} days late: none of them may be below 0"


@pytest.mark.parametrize(("raw", "possible", "final"), [("0", "0", "0"), ("0.5", "0.5", "0.45"), ("3", "0", "3")])
def test_small_numbers_are_numbers_too(raw: str, possible: str, final: str) -> None:
    assert score(LatePolicy(), raw, 1, possible=possible).final == Decimal(final)


@pytest.mark.parametrize(("percent", "left"), [("0", "50"), ("0.5", "49.75"), ("100", "0")])
def test_deductions_from_nothing_to_everything(percent: str, left: str) -> None:
    deduction = Deduction("format", Decimal(percent), "Wrong name")
    assert score(LatePolicy(), "50", 0, possible="50", deductions=(deduction,)).final == Decimal(left)


@pytest.mark.parametrize("percent", ["-1", "-0.1", "100.5"])
def test_a_deduction_is_a_percentage(percent: str) -> None:
    with pytest.raises(ValueError, match="accepted is a percent from 0 to 100"):
        Deduction("format", Decimal(percent), "Wrong name")


@pytest.mark.parametrize(
    ("value", "places", "text"),
    [
        ("36", 2, "36.00"),
        ("52.488", 2, "52.49"),
        ("0.125", 2, "0.12"),
        ("0.135", 2, "0.14"),
        ("-5", 2, "−5.00"),
        ("-0.001", 2, "0.00"),
        ("0", 0, "0"),
        ("2.5", 0, "2"),
        ("1E+3", 1, "1000.0"),
    ],
)
def test_a_score_is_rounded_half_to_even_at_display(value: str, places: int, text: str) -> None:
    assert shown(Decimal(value), places) == text


def test_two_places_are_shown_unless_said() -> None:
    assert shown(Decimal("64.8")) == "64.80"
