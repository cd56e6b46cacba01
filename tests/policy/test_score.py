"""Scores by hand-checked numbers: each base, steps, scope, the order of deductions and penalty, and the lines that explain them."""

from decimal import Decimal
from typing import get_args

import pytest

from grading.policy.late import Base, LatePolicy
from grading.policy.score import Deduction, component_score

HUNDRED = Decimal(100)


def final(policy: LatePolicy, raw: str, days: int, *, possible: str = "100", deductions: tuple[Deduction, ...] = ()) -> Decimal:
    score = component_score(policy, raw=Decimal(raw), possible=Decimal(possible), days_late=days, deductions=deductions)
    return score.final


BASES: dict[Base, tuple[str, str, str, str, str]] = {  # 80 of 100 raw: after 0, 1, 2, 4 and 5 days
    "of_possible": ("80", "70", "60", "40", "0"),
    "of_earned": ("80", "72", "64", "48", "0"),
    "ceiling": ("80", "80", "80", "60", "0"),
    "compounding": ("80", "72", "64.8", "52.488", "0"),
}


@pytest.mark.parametrize("base", get_args(Base))
def test_eighty_of_a_hundred_after_some_days(base: Base) -> None:
    assert tuple(final(LatePolicy(base=base), "80", days) for days in (0, 1, 2, 4, 5)) == tuple(map(Decimal, BASES[base]))
