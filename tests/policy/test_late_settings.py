"""The `[late]` table: what it means, what it refuses, and how a homework's overrides the course's."""

from decimal import Decimal

import pytest

from grading.policy.late import SETTINGS, LatePolicy


def percents(*numbers: str) -> tuple[Decimal, ...]:
    return tuple(map(Decimal, numbers))


@pytest.mark.parametrize(
    ("settings", "policy"),
    [
        pytest.param({}, LatePolicy(), id="nothing: the defaults"),
        pytest.param({"percent_per_day": 10, "days": 4}, LatePolicy(steps=percents("10", "10", "10", "10")), id="the course page"),
        pytest.param({"percent_per_day": 5}, LatePolicy(steps=percents("5", "5", "5", "5")), id="percent alone"),
        pytest.param({"days": 2}, LatePolicy(steps=percents("10", "10")), id="days alone"),
        pytest.param({"days": 0}, LatePolicy(steps=()), id="no late work"),
        pytest.param({"steps": [20]}, LatePolicy(steps=percents("20")), id="20 %, then refused"),
        pytest.param({"steps": []}, LatePolicy(steps=()), id="no steps"),
        pytest.param({"steps": [2.5, "7.5", 100, 0]}, LatePolicy(steps=percents("2.5", "7.5", "100", "0")), id="fractions and edges"),
        pytest.param({"percent_per_day": 0.1, "days": 1}, LatePolicy(steps=percents("0.1")), id="a float means its digits"),
        pytest.param({"days": 60, "percent_per_day": 1}, LatePolicy(steps=percents("1") * 60), id="the most days"),
        pytest.param(
            {"base": "ceiling", "scope": "homework", "day_rule": "elapsed_24h", "grace_minutes": 1439, "after_last": "zero"},
            LatePolicy(base="ceiling", scope="homework", day_rule="elapsed_24h", grace_minutes=1439, after_last="zero"),
            id="every word",
        ),
    ],
)
def test_settings_and_their_meaning(settings: dict[str, object], policy: LatePolicy) -> None:
    assert LatePolicy.from_settings(settings) == policy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"percent": 10},
            "late.percent = 10: there is no such setting; accepted are "
            "percent_per_day, days, steps, grace_minutes, base, scope, day_rule, after_last",
        ),
        ({"base": "of_maximum"}, 'late.base = "of_maximum": accepted are of_possible, of_earned, ceiling, compounding'),
        ({"scope": "course"}, 'late.scope = "course": accepted are component, homework'),
        ({"day_rule": 24}, "late.day_rule = 24: accepted are wall_clock, elapsed_24h"),
        ({"after_last": "accept"}, 'late.after_last = "accept": accepted are refuse, zero'),
        ({"percent_per_day": 101}, "late.percent_per_day = 101: accepted is a percent from 0 to 100"),
        ({"percent_per_day": -1}, "late.percent_per_day = -1: accepted is a percent from 0 to 100"),
        ({"percent_per_day": "ten"}, 'late.percent_per_day = "ten": accepted is a percent from 0 to 100'),
        ({"percent_per_day": float("nan")}, "late.percent_per_day = nan: accepted is a percent from 0 to 100"),
        ({"percent_per_day": float("inf")}, "late.percent_per_day = inf: accepted is a percent from 0 to 100"),
        ({"percent_per_day": True}, "late.percent_per_day = True: accepted is a percent from 0 to 100"),
        ({"percent_per_day": [10]}, "late.percent_per_day = [10]: accepted is a percent from 0 to 100"),
        ({"days": -1}, "late.days = -1: accepted is a whole number from 0 to 60"),
        ({"days": 61}, "late.days = 61: accepted is a whole number from 0 to 60"),
        ({"days": 1.5}, "late.days = 1.5: accepted is a whole number from 0 to 60"),
        ({"days": True}, "late.days = True: accepted is a whole number from 0 to 60"),
        ({"grace_minutes": 1440}, "late.grace_minutes = 1440: accepted is a whole number from 0 to 1439"),
        ({"steps": 20}, "late.steps = 20: accepted is a list of percents, such as [20]"),
        ({"steps": "20"}, 'late.steps = "20": accepted is a list of percents, such as [20]'),
        ({"steps": [20, 120]}, "late.steps = 120: accepted is a percent from 0 to 100"),
        ({"steps": [20], "days": 4}, "late.days = 4: not accepted beside steps, which already says it"),
        ({"steps": [20], "percent_per_day": 10}, "late.percent_per_day = 10: not accepted beside steps, which already says it"),
        (
            {"scope": "homework", "base": "of_earned"},
            'late.scope = "homework": accepted with base of_possible or ceiling; of_earned takes a share of what was earned',
        ),
        (
            {"scope": "homework", "base": "compounding"},
            'late.scope = "homework": accepted with base of_possible or ceiling; compounding takes a share of what was earned',
        ),
    ],
)
def test_a_refused_setting_names_its_key_its_value_and_what_is_accepted(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError) as refused:
        LatePolicy.from_settings(settings)
    assert str(refused.value) == message


def test_too_many_steps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"late\.steps = \[.*\]: accepted is at most 60 days"):
        LatePolicy.from_settings({"steps": [1] * 61})


def test_a_policy_made_in_code_is_checked_too() -> None:
    with pytest.raises(ValueError, match=r"late\.steps = 101: accepted is a percent from 0 to 100"):
        LatePolicy(steps=percents("101"))
    with pytest.raises(ValueError, match=r"late\.grace_minutes = -5"):
        LatePolicy(grace_minutes=-5)


@pytest.mark.parametrize(
    ("course", "homework", "policy"),
    [
        pytest.param({"percent_per_day": 5, "days": 2}, {}, LatePolicy(steps=percents("5", "5")), id="the course's holds"),
        pytest.param({}, {"days": 1}, LatePolicy(steps=percents("10")), id="the homework's holds"),
        pytest.param({"percent_per_day": 5, "days": 2}, {"days": 3}, LatePolicy(steps=percents("5", "5", "5")), id="key by key"),
        pytest.param({"percent_per_day": 5, "days": 2}, {"steps": [20]}, LatePolicy(steps=percents("20")), id="steps replace days"),
        pytest.param({"steps": [20]}, {"days": 2}, LatePolicy(steps=percents("10", "10")), id="days replace steps"),
        pytest.param({"steps": [20]}, {"percent_per_day": 5}, LatePolicy(steps=percents("5") * 4), id="percent replaces steps"),
        pytest.param({"base": "ceiling"}, {"steps": [20]}, LatePolicy(steps=percents("20"), base="ceiling"), id="the rest stays"),
    ],
)
def test_a_homework_overrides_its_course(course: dict[str, object], homework: dict[str, object], policy: LatePolicy) -> None:
    assert LatePolicy.from_settings(homework, course) == policy


def test_a_wrong_setting_of_the_course_is_refused_too() -> None:
    with pytest.raises(ValueError, match=r"late\.base = \"x\""):
        LatePolicy.from_settings({"days": 1}, {"base": "x"})


def test_settings_are_given_back_as_they_are_written() -> None:
    rest = {"base": "of_possible", "scope": "component", "day_rule": "wall_clock", "grace_minutes": 0, "after_last": "refuse"}
    assert LatePolicy().to_settings() == {"percent_per_day": 10, "days": 4, **rest}
    assert LatePolicy(steps=percents("2.5", "20")).to_settings() == {"steps": ["2.5", 20], **rest}
    assert LatePolicy(steps=()).to_settings() == {"steps": [], **rest}


def test_every_field_of_the_policy_is_a_setting() -> None:
    assert {key for policy in (LatePolicy(), LatePolicy(steps=())) for key in policy.to_settings()} == set(SETTINGS)
