"""Which hand-in counts, for work graded by checks and by people, with and without a choice."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from grading.policy.counts import Attempt, Counting, which_counts

START = datetime(2023, 10, 22, 12, 0, tzinfo=UTC)


def attempt(number: int, net: str | None = None, *, days: int = 0, accepted: bool = True, judged: bool = True) -> Attempt:
    """Hand-in #number with id 100 + number, an hour after the one before."""
    points = None if net is None else Decimal(net)
    return Attempt(100 + number, number, START + timedelta(hours=number), days, accepted, judged and net is not None, points, points)


ONLY_FIRST = Counting(101, "Hand-in #1 counts: it is the only one.")
AUTOGRADED = [
    ("nothing", (), None, Counting(None, "Nothing was handed in.")),
    ("only a refused one", (attempt(1, accepted=False),), None, Counting(None, "No hand-in was accepted.")),
    ("one", (attempt(1, "30"),), None, ONLY_FIRST),
    ("one that waits", (attempt(1),), None, Counting(None, "1 hand-in not judged yet.")),
    ("two that wait", (attempt(1), attempt(2)), None, Counting(None, "2 hand-ins not judged yet.")),
    ("the best, not the last", (attempt(1, "40"), attempt(2, "30")), None, Counting(101, "Hand-in #1 counts: it nets most, 40 points.")),
    (
        "one that waits and one that was stopped",
        (attempt(1), replace(attempt(2), stopped=True)),
        None,
        Counting(None, "1 hand-in not judged yet, 1 hand-in stopped before it had a score."),
    ),
    (
        "the other one was stopped",
        (attempt(1, "30"), replace(attempt(2), stopped=True)),
        None,
        Counting(101, "Hand-in #1 counts: it nets most, 30 points; 1 hand-in stopped before it had a score."),
    ),
    (
        "a tie: the earlier",
        (attempt(1, "30"), attempt(2, "40"), attempt(3, "40.00")),
        None,
        Counting(102, "Hand-in #2 counts: it nets most, 40 points, first to reach it."),
    ),
    (
        "a better one waits",
        (attempt(1, "30"), attempt(2)),
        None,
        Counting(101, "Hand-in #1 counts: it nets most, 30 points; 1 hand-in not judged yet."),
    ),
    (
        "a late one that nets more",
        (attempt(1, "30"), attempt(2, "35.5", days=1)),
        None,
        Counting(102, "Hand-in #2 counts: it nets most, 35.5 points."),
    ),
    (
        "a late one that nets less",
        (attempt(1, "36"), attempt(2, "35", days=1)),
        None,
        Counting(101, "Hand-in #1 counts: it nets most, 36 points."),
    ),
    (
        "a refused one that would net more",
        (attempt(1, "30"), attempt(2, "50", accepted=False)),
        None,
        ONLY_FIRST,
    ),
    (
        "zero is a score",
        (attempt(1, "0"), attempt(2, "0")),
        None,
        Counting(101, "Hand-in #1 counts: it nets most, 0 points, first to reach it."),
    ),
    (
        "a result without a judgement",
        (attempt(1, "30"), attempt(2, "40", judged=False)),
        None,
        Counting(101, "Hand-in #1 counts: it nets most, 30 points; 1 hand-in not judged yet."),
    ),
    ("a choice of less", (attempt(1, "30"), attempt(2, "40")), 101, Counting(101, "Hand-in #1 counts because it was chosen.")),
    ("a choice that waits", (attempt(1, "30"), attempt(2)), 102, Counting(102, "Hand-in #2 counts because it was chosen.")),
    (
        "a choice that was not accepted",
        (attempt(1, "30"), attempt(2, "40", accepted=False)),
        102,
        Counting(101, "Hand-in #1 counts: it is the only one. The chosen hand-in #2 was not accepted."),
    ),
    (
        "nothing but a choice that was not accepted",
        (attempt(1, accepted=False),),
        101,
        Counting(None, "No hand-in was accepted. The chosen hand-in #1 was not accepted."),
    ),
]

BY_PEOPLE = [
    ("nothing", (), None, Counting(None, "Nothing was handed in.")),
    ("one, late", (attempt(1, days=2),), None, ONLY_FIRST),
    ("the last", (attempt(1), attempt(2)), None, Counting(102, "Hand-in #2 counts: it is the last one.")),
    (
        "a late one never displaces",
        (attempt(1), attempt(2), attempt(3, days=1)),
        None,
        Counting(102, "Hand-in #2 counts: it is the last one on time. A late one counts only when it is chosen."),
    ),
    ("a late one that was chosen", (attempt(1), attempt(2, days=1)), 102, Counting(102, "Hand-in #2 counts because it was chosen.")),
    ("only late ones: the last", (attempt(1, days=1), attempt(2, days=3)), None, Counting(102, "Hand-in #2 counts: it is the last one.")),
    ("not the best", (attempt(1, "40"), attempt(2, "30")), None, Counting(102, "Hand-in #2 counts: it is the last one.")),
    (
        "a refused one does not count",
        (attempt(1), attempt(2, days=9, accepted=False)),
        None,
        ONLY_FIRST,
    ),
]


@pytest.mark.parametrize(("attempts", "chosen", "expected"), [pytest.param(*case[1:], id=case[0]) for case in AUTOGRADED])
def test_of_autograded_hand_ins(attempts: tuple[Attempt, ...], chosen: int | None, expected: Counting) -> None:
    assert which_counts(attempts, autograded=True, chosen=chosen) == expected


@pytest.mark.parametrize(("attempts", "chosen", "expected"), [pytest.param(*case[1:], id=case[0]) for case in BY_PEOPLE])
def test_of_hand_ins_graded_by_people(attempts: tuple[Attempt, ...], chosen: int | None, expected: Counting) -> None:
    assert which_counts(attempts, autograded=False, chosen=chosen) == expected


def test_the_order_is_that_of_receipt_then_number() -> None:
    same_time = [Attempt(7, 2, START, 0, True, True, Decimal(5), Decimal(5)), Attempt(9, 1, START, 0, True, True, Decimal(5), Decimal(5))]
    assert which_counts(same_time, autograded=True, chosen=None).id == 9
    assert which_counts(same_time, autograded=False, chosen=None).id == 7


def test_an_unknown_choice_is_an_error_of_the_caller() -> None:
    with pytest.raises(ValueError) as refused:
        which_counts((attempt(1), attempt(2)), autograded=True, chosen=999)
    assert str(refused.value) == "hand-in 999 was chosen but is not one of [101, 102]"
