"""What a rerun's table says of each hand-in, and what it advises."""

from dataclasses import replace
from decimal import Decimal as D

import pytest

from grading.policy.reruns import Case, Comparison, Judgement, Scored, compare, files_used, old_and_new, spread, totals

STEADY, NOISY = "forward", "training"
TOLERANCES = {NOISY: D("0.5")}


def judged(
    forward: str = "4", training: str = "2", *, run: int = 1, autograder: str = "a", environment: str = "e", out_of: str = "4"
) -> Judgement:
    checks = (Scored(STEADY, "Forward pass", D(forward), D(out_of)), Scored(NOISY, "Training", D(training), D(2)))
    return Judgement(run, D(forward) + D(training), D(out_of) + 2, checks, autograder, environment)


def compared(old: Judgement | None, new: Judgement | None, **case: object) -> Comparison:
    return compare(Case(old, new, **case), tolerances=TOLERANCES)  # type: ignore[arg-type]  # the fields of the case


@pytest.mark.parametrize(
    ("new", "case", "reason", "difference", "advised"),
    [
        (judged(run=2), {}, "same", "0", True),
        (judged(run=2, autograder="b"), {}, "same", "0", True),
        (judged("0", run=2, autograder="b"), {}, "checks", "-4", True),
        (judged("0", run=2, autograder="b"), {"published": True}, "checks", "-4", False),
        (judged("3", run=2, autograder="b"), {"patched": True}, "patched", "-1", False),
        (replace(judged(run=2), taken=D("1.2")), {"patched": True}, "patched", "-1.2", False),
        (replace(judged("9", run=2), taken=D("1.2")), {"patched": True}, "patched", "3.8", True),
        (replace(judged(run=2), taken=D(100)), {}, "unsteady", "-6", False),
        (judged("0", run=2, environment="f"), {}, "environment", "-4", True),
        (judged("0", run=2), {}, "unsteady", "-4", False),
        (judged(training="1.5", run=2, autograder="b"), {}, "noise", "-0.5", False),
        (judged(training="1.4", run=2, autograder="b"), {}, "checks", "-0.6", True),
        (judged("3", "1.5", run=2, autograder="b"), {}, "checks", "-1.5", True),
        (judged("5", run=2, autograder="b", out_of="5"), {"published": True}, "checks", "1", True),
    ],
)
def test_each_difference_has_its_reason(new: Judgement, case: dict[str, object], reason: str, difference: str, advised: bool) -> None:
    found = compared(judged(), new, **case)
    assert (found.reason, found.difference, found.may_apply, found.advised) == (reason, D(difference), True, advised)


def test_what_staff_graded_by_hand_stands_whatever_the_rerun_found() -> None:
    found = compared(judged(), judged("0", run=2, autograder="b"), by_hand=D(0), published=True)
    assert (found.reason, found.difference, found.stands, len(found.changes)) == ("checks", None, D(0), 1)
    assert (found.may_apply, found.advised, found.flags) == (False, False, ("0 by hand stands; the checks would give 2",))
    assert not compared(None, judged(), by_hand=D(30)).may_apply
    assert compared(judged(), None, by_hand=D("30.5")).flags == ("30.5 by hand stands",)


def test_a_hand_in_without_a_score_gets_its_first_one() -> None:
    found = compared(None, judged())
    assert (found.reason, found.difference, found.advised) == ("first", None, True)


@pytest.mark.parametrize("missing", ["waits", "unjudged", "stopped"])
def test_without_a_new_result_nothing_can_be_applied(missing: str) -> None:
    found = compared(judged(), None, missing=missing)
    assert (found.reason, found.difference, found.may_apply, found.advised) == (missing, None, False, False)


def test_a_result_that_came_after_the_reruns_is_not_displaced() -> None:
    found = compared(judged(run=3), judged("0", run=2))
    assert (found.reason, found.may_apply) == ("overtaken", False)


def test_every_check_that_differs_is_named() -> None:
    old = judged()
    scored = (Scored(STEADY, "Forward pass", D(0), D(4), judged=False), Scored("shape", "Shapes", D(1), D(2)))
    new = Judgement(2, D(1), D(6), scored, "b")
    found = compare(Case(old, new), tolerances={}, changed={STEADY})
    assert [(change.title, change.words, change.difference) for change in found.changes] == [
        ("Forward pass", "4 → 0 of 4, could not be judged now, its check changed", D(-4)),
        ("Shapes", "new check, 1 of 2", D(1)),
        ("Training", "no check any more, was 2 of 2", D(-2)),
    ]


def test_a_time_limit_is_no_noise() -> None:
    new = Judgement(
        2, D("4"), D(6), (Scored(STEADY, "Forward pass", D(4), D(4)), Scored(NOISY, "Training", D("1.9"), D(2), judged=False)), "a"
    )
    assert compare(Case(judged(), new), tolerances={NOISY: D(2)}).reason == "unsteady"


def test_totals_count_every_row_once_and_a_change_only_where_it_may_be_accepted() -> None:
    rows = [
        compared(judged(), judged("0", run=2, autograder="b")),
        compared(judged("0"), judged("1", run=2, autograder="b")),
        compared(judged(), judged(run=2)),
        compared(None, judged()),
        compared(judged(), None, missing="waits"),
        compared(judged(), None, missing="unjudged"),
        compared(judged(), judged("0", run=2, autograder="b"), by_hand=D(5)),
        compared(None, judged(), by_hand=D(5)),
        compared(judged(run=3), judged("0", run=2)),
    ]
    found = totals(rows)
    assert (found.up, found.down, found.same, found.first, found.waiting, found.unjudged) == (1, 1, 1, 1, 1, 1)
    assert (found.by_hand, found.overtaken, found.mean, found.begun) == (2, 1, D(-1), True)
    waiting = totals([compared(judged(), None, missing="waits", by_hand=D(5))])
    assert (waiting.waiting, waiting.by_hand, waiting.mean, waiting.begun) == (1, 0, None, False)


@pytest.mark.parametrize(
    ("theirs", "words"),
    [
        ([], ""),
        (["a.py"], "with a.py from the staff in the place of yours"),
        (["c.py", "b.py", "a.py"], "with a.py and b.py from the staff in the place of yours, and c.py added"),
        (["e.py", "d.py", "c.py"], "with c.py, d.py and e.py from the staff added"),
    ],
)
def test_it_is_said_whose_files_ran(theirs: list[str], words: str) -> None:
    assert files_used(theirs, {"a.py", "b.py"}, whose="yours") == words


def test_old_and_new_points_are_told_with_what_a_repair_costs() -> None:
    assert old_and_new(D(48), D(50), D(0)) == "Points from the checks: 48 → 50."
    assert old_and_new(None, D("48.5"), D(1)) == "Points from the checks: none → 48.5, after 1 taken off for the repair."


def test_a_sample_is_spread_over_the_scores() -> None:
    scores = [D(9), D(1), None, D(5), D(7), D(3), D(10)]
    assert [scores[at] for at in spread(scores, 3)] == [None, D(5), D(10)]
    assert spread(scores, 99) == list(range(7))
    assert [scores[at] for at in spread(scores, 1)] == [D(5)]
    assert spread([], 5) == []
