"""Applying what was found gives the other side, whatever the texts and however small the budget; and the cost has a bound."""

import random
import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.diff import Budget, Change, common_ends, compare, hunks, pairs, words

LINES = st.lists(st.sampled_from(["", "a", "b", "c", "d", "e = 1"]), max_size=40)


def applied(old: Sequence[str], new: Sequence[str], changes: Sequence[Change]) -> list[str]:
    """`old` with each change made: what is between them is taken from `old` only."""
    made: list[str] = []
    at = 0
    for change in changes:
        made += [*old[at : change.old_from], *new[change.new_from : change.new_to]]
        at = change.old_to
    return [*made, *old[at:]]


def edits(changes: Sequence[Change]) -> int:
    return sum(change.old_to - change.old_from + change.new_to - change.new_from for change in changes)


@given(LINES, LINES, st.sampled_from([0, 5, 40, 100_000]))
def test_the_changes_make_the_new_text_of_the_old(old: list[str], new: list[str], steps: int) -> None:
    changes = compare(old, new, Budget(steps))
    assert applied(old, new, changes) == new
    assert applied(new, old, [Change(one.new_from, one.new_to, one.old_from, one.old_to) for one in changes]) == old


@given(LINES, LINES, st.sampled_from([0, 5, 100_000]))
def test_changes_are_in_order_apart_and_never_empty(old: list[str], new: list[str], steps: int) -> None:
    at = (-1, -1)
    for change in compare(old, new, Budget(steps)):
        assert change.old_from > at[0]
        assert change.new_from > at[1]
        assert (change.old_from, change.new_from) != (change.old_to, change.new_to)
        at = (change.old_to, change.new_to)


@given(st.lists(st.sampled_from("ab"), max_size=12), st.lists(st.sampled_from("ab"), max_size=12))
def test_between_repeated_lines_the_fewest_edits_are_found(old: list[str], new: list[str]) -> None:
    twice_old, twice_new = [*old, *old, "a", "a", "b", "b"], [*new, *new, "a", "a", "b", "b"]  # no line occurs only once
    common = [[0] * (len(twice_new) + 1) for _ in range(len(twice_old) + 1)]
    for i, a in enumerate(twice_old):
        for j, b in enumerate(twice_new):
            common[i + 1][j + 1] = common[i][j] + 1 if a == b else max(common[i][j + 1], common[i + 1][j])
    assert edits(compare(twice_old, twice_new, Budget())) == len(twice_old) + len(twice_new) - 2 * common[-1][-1]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", []),
        ("abc", "abc", []),
        ("", "ab", [Change(0, 0, 0, 2)]),
        ("ab", "", [Change(0, 2, 0, 0)]),
        ("abc", "axc", [Change(1, 2, 1, 2)]),
        ("abc", "xyz", [Change(0, 3, 0, 3)]),
        ("abcabba", "cbabac", [Change(0, 2, 0, 0), Change(3, 3, 1, 2), Change(5, 6, 4, 4), Change(7, 7, 5, 6)]),
        ("f1g2", "f1h3g2", [Change(2, 2, 2, 4)]),
    ],
)
def test_small_cases(old: str, new: str, expected: list[Change]) -> None:
    found = compare(list(old), list(new), Budget())
    assert applied(list(old), list(new), found) == list(new)
    assert edits(found) == edits(expected)
    if len(expected) < 2:
        assert found == expected


def test_a_spent_budget_gives_a_whole_block_and_says_so() -> None:
    old, new = list("abcabba" * 20), list("cbabac" * 20)
    budget = Budget(steps=50)
    changes = compare(old, new, budget)
    assert len(changes) == 1
    assert not budget.exact
    assert applied(old, new, changes) == new


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["x"] * 100_000, ["x"] * 99_000),
        (["x", "y"] * 50_000, ["y", "x", "x"] * 33_000),
        ([str(n) for n in range(100_000)], [str(n) for n in reversed(range(100_000))]),
        (random.Random(1).choices("abcdefgh", k=100_000), random.Random(2).choices("abcdefgh", k=100_000)),
        ([str(n // 2) for n in range(100_000)], [str((n + 7) // 3) for n in range(100_000)]),
    ],
    ids=["one line", "two lines", "turned round", "noise", "doubles"],
)
def test_hostile_texts_cost_a_bounded_time(old: list[str], new: list[str]) -> None:
    began = time.process_time()
    changes = compare(old, new, Budget())
    took = time.process_time() - began
    assert applied(old, new, changes) == new
    assert took < 2, f"{took:.2f} s"  # about 0.4 s; room for a busy machine


def test_neighbouring_changes_share_a_hunk() -> None:
    near = [Change(10, 11, 10, 11), Change(17, 17, 17, 18)]
    assert [(hunk.old_from, hunk.old_to, hunk.new_from, hunk.new_to) for hunk in hunks(near, 20, 21)] == [(7, 20, 7, 21)]
    far = [Change(10, 11, 10, 11), Change(18, 18, 18, 19)]
    assert [(hunk.old_from, hunk.old_to, hunk.new_from, hunk.new_to) for hunk in hunks(far, 40, 41)] == [(7, 14, 7, 14), (15, 21, 15, 22)]


@given(LINES, LINES)
def test_hunks_hold_every_change_once_and_both_sides_stay_in_step(old: list[str], new: list[str]) -> None:
    changes = compare(old, new, Budget())
    grouped = hunks(changes, len(old), len(new))
    assert [change for hunk in grouped for change in hunk.changes] == changes
    for hunk in grouped:
        first, last = hunk.changes[0], hunk.changes[-1]
        assert old[hunk.old_from : first.old_from] == new[hunk.new_from : first.new_from]
        assert old[last.old_to : hunk.old_to] == new[last.new_to : hunk.new_to]


def marked(text: str, spans: list[tuple[int, int]]) -> list[str]:
    return [text[begin:end] for begin, end in spans]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("x = 1", "x = 2", (["1"], ["2"])),
        ("return a + b", "return a * b", (["+"], ["*"])),
        ("def f(x):", "def forward(self, x):", (["f"], ["forward", "self, "])),
        ("same", "same", ([], [])),
        ("", "new", ([], ["new"])),
        ("one two three", "one 2 3 three", (["two"], ["2 3"])),
        ("a" * 3 + " b" * 500 + "!", "a" * 3 + " b" * 500 + "?", (["!"], ["?"])),
    ],
)
def test_the_words_that_differ(old: str, new: str, expected: tuple[list[str], list[str]]) -> None:
    gone, came = words(old, new, Budget())
    assert (marked(old, gone), marked(new, came)) == expected


@given(st.text("ab ,", max_size=30), st.text("ab ,", max_size=30))
def test_without_what_differs_two_lines_have_the_same_words(old: str, new: str) -> None:
    gone, came = words(old, new, Budget())

    def rest(text: str, spans: list[tuple[int, int]]) -> str:
        return "".join(letter for at, letter in enumerate(text) if not any(begin <= at < end for begin, end in spans) and letter != " ")

    assert rest(old, gone) == rest(new, came)


def test_lines_belong_together_that_share_half_their_words() -> None:
    assert pairs(["x = relu(a)", "return x"], ["# note", "x = tanh(a)", "return x + 1"], Budget()) == [(0, 1), (1, 2)]
    assert pairs(["alpha beta"], ["gamma delta"], Budget()) == []
    assert pairs(["x = 1"], ["x = 12", "x = 1 + y", "x = 1;"], Budget()) == [(0, 2)]
    assert pairs(["a"] * 5, ["a"] * 5, Budget()) == [(n, n) for n in range(5)]


def test_no_partners_are_looked_for_without_a_budget() -> None:
    budget = Budget(steps=40)
    assert pairs(["a"] * 100, ["a"] * 100, budget) == []
    assert not budget.exact


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_common_ends_do_not_overlap(old: list[int], new: list[int]) -> None:
    begin, end = common_ends(old, new)
    assert begin + end <= min(len(old), len(new))
    assert old[:begin] == new[:begin]
    assert old[len(old) - end :] == new[len(new) - end :]
