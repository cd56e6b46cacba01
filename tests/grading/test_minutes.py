"""What is left of a week's GPU minutes."""

import pytest

from grading.policy.minutes import Left, Spent, left


@pytest.mark.parametrize(
    ("every_week", "granted", "spent", "expected"),
    [
        (240, 0, Spent(), Left(14_400, 14_400)),
        (240, 30, Spent(charged_s=60), Left(16_140, 16_140)),
        (19, 0, Spent(reserved_s=600), Left(540, 1140)),
        (19, 1, Spent(charged_s=570, reserved_s=600), Left(30, 630)),
        (5, 0, Spent(charged_s=400), Left(-100, -100)),
    ],
)
def test_what_is_left(every_week: int, granted: int, spent: Spent, expected: Left) -> None:
    assert left(every_week, granted, spent) == expected


def test_what_is_set_aside_makes_wait_and_what_is_spent_does_not_come_back() -> None:
    has = Left(now_s=540, at_most_s=1140)
    assert [has.serves(540), has.serves(541)] == [True, False]
    assert [has.may_serve(1140), has.may_serve(1141)] == [True, False]
