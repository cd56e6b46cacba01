"""The order in which runs are claimed: who goes first, what use costs, and when a run can be expected to start."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.policy.queueing import (
    HALF_LIFE_S,
    NOTHING_USED,
    Account,
    Line,
    Purpose,
    Rules,
    Slot,
    Waiting,
    charged,
    expected,
    in_order,
    key,
    used,
)

DAY = HALF_LIFE_S
HAND_IN, LAB, RERUN, SUPERSEDED = Purpose


def waits(number: int, account: int, purpose: Purpose = HAND_IN, since: float | None = None) -> Waiting:
    return Waiting(number, account, purpose, float(number) if since is None else since)


def taken(line: Line) -> list[int]:
    found = []
    while (run := line.take()) is not None:
        found.append(run.id)
    return found


def test_use_is_halved_every_day() -> None:
    level = charged(NOTHING_USED, 600, at=0)
    assert used(level, at=0) == pytest.approx(600)
    assert used(level, at=DAY) == pytest.approx(300)
    assert used(charged(level, 100, at=DAY), at=DAY) == pytest.approx(400)
    assert used(charged(level, 100, at=DAY), at=3 * DAY) == pytest.approx(100)
    assert used(NOTHING_USED, at=DAY) == 0
    assert charged(level, 0, at=DAY) == level


def test_levels_stay_finite_over_years() -> None:
    level = NOTHING_USED
    for day in range(0, 5000, 10):
        level = charged(level, 3600, at=day * DAY)
    assert used(level, at=4990 * DAY) == pytest.approx(3600, rel=0.01)


@given(
    st.lists(st.tuples(st.floats(1, 1e5), st.floats(0, 200 * DAY)), max_size=12),
    st.lists(st.tuples(st.floats(1, 1e5), st.floats(0, 200 * DAY)), max_size=12),
)
def test_levels_order_accounts_as_the_decayed_sums_do(one: list[tuple[float, float]], other: list[tuple[float, float]]) -> None:
    def level(uses: list[tuple[float, float]]) -> float:
        found = NOTHING_USED
        for seconds, at in uses:
            found = charged(found, seconds, at)
        return found

    def summed(uses: list[tuple[float, float]]) -> float:
        return sum(seconds * 2 ** ((at - 200 * DAY) / DAY) for seconds, at in uses)

    assert used(level(one), at=200 * DAY) == pytest.approx(summed(one))
    if summed(one) > 1.001 * summed(other):
        assert level(one) > level(other)


def test_who_has_used_less_goes_first_and_then_who_waits_longer() -> None:
    accounts = {1: Account(charged(NOTHING_USED, 600, at=0)), 2: Account(charged(NOTHING_USED, 60, at=0)), 3: Account(), 4: Account()}
    line = Line([waits(10, 1), waits(11, 2), waits(12, 3), waits(13, 4)], accounts)
    assert taken(line) == [12, 13, 11, 10]
    unfair = Line([waits(10, 1), waits(11, 2), waits(12, 3), waits(13, 4)], accounts, Rules(fair_share=False))
    assert taken(unfair) == [10, 11, 12, 13]


def test_a_second_slot_goes_to_one_account_only_when_nobody_else_has_use_for_it() -> None:
    waiting = [waits(1, 1), waits(2, 1), waits(3, 2)]
    assert taken(Line(waiting, {})) == [1, 3, 2]
    assert taken(Line(waiting, {2: Account(running=1)})) == [1, 2, 3]  # both have one by then, and who waits longer goes first
    assert taken(Line(waiting, {}, Rules(one_at_a_time=False))) == [1, 2, 3]


def test_hand_ins_go_before_lab_runs_and_those_before_reruns_and_superseded_ones() -> None:
    waiting = [waits(1, 1, SUPERSEDED), waits(2, 2, RERUN), waits(3, 3, LAB), waits(4, 4)]
    assert taken(Line(waiting, {})) == [4, 3, 2, 1]
    heavy = {4: Account(charged(NOTHING_USED, 1e6, at=0))}
    assert taken(Line(waiting, heavy)) == [4, 3, 2, 1]


def test_a_lab_run_of_somebody_without_a_slot_goes_before_the_second_hand_in_of_another() -> None:
    waiting = [waits(1, 1), waits(2, 2, LAB)]
    assert taken(Line(waiting, {1: Account(running=1)})) == [2, 1]


def test_a_slot_that_is_given_back_counts_again() -> None:
    line = Line([waits(1, 1), waits(2, 1), waits(3, 2)], {})
    assert (line.take() or waits(0, 0)).id == 1
    line.give_back(1, seconds=30, at=0)
    assert taken(line) == [3, 2]  # account 1 has used something now
    line.add(waits(4, 2))
    line.add(waits(5, 3))
    assert taken(line) == [5, 4]


@pytest.mark.parametrize("purpose", [RERUN, SUPERSEDED])
def test_a_slot_for_what_staff_or_nobody_waits_for_is_not_held_against_an_account(purpose: Purpose) -> None:
    line = Line([waits(1, 1, purpose)], {})
    assert (line.take() or waits(0, 0)).id == 1
    line.add(waits(2, 1))
    line.add(waits(3, 2))
    assert taken(line) == [2, 3]
    own = Line([waits(1, 1)], {})
    assert (own.take() or waits(0, 0)).id == 1
    own.add(waits(2, 1))
    own.add(waits(3, 2))
    assert taken(own) == [3, 2]


@pytest.mark.parametrize("purpose", [RERUN, SUPERSEDED])
def test_what_does_not_count_goes_by_age(purpose: Purpose) -> None:
    accounts = {1: Account(charged(NOTHING_USED, 600, at=0)), 2: Account(charged(NOTHING_USED, 60, at=0))}
    waiting = [waits(1, 1, purpose), waits(2, 2, purpose), waits(3, 1, purpose), waits(4, 2, purpose)]
    assert taken(Line(waiting, accounts)) == [1, 2, 3, 4]
    assert taken(Line([replace(run, purpose=LAB) for run in waiting], accounts)) == [2, 1, 4, 3]


def test_what_does_not_count_costs_nothing_in_an_expectation() -> None:
    waiting = [waits(1, 1, RERUN), waits(2, 1, SUPERSEDED), waits(3, 2, SUPERSEDED), waits(4, 1, SUPERSEDED)]
    assert [run.id for run, _ in expected(waiting, {}, [Slot()], 600, now=0)] == [1, 2, 3, 4]


def test_a_run_that_is_removed_is_not_taken_and_may_come_back_for_another_purpose() -> None:
    line = Line([waits(1, 1), waits(2, 1), waits(3, 2)], {})
    line.remove(waits(1, 1))
    line.add(waits(1, 1, SUPERSEDED))
    assert taken(line) == [2, 3, 1]
    line.add(waits(4, 3))
    line.remove(waits(4, 3))
    assert line.first() is None
    with pytest.raises(ValueError):
        line.remove(waits(4, 3))


@st.composite
def lines(draw: st.DrawFn) -> tuple[list[Waiting], dict[int, Account]]:
    count = draw(st.integers(0, 30))
    purposes = st.sampled_from(Purpose)
    waiting = [Waiting(number, draw(st.integers(1, 5)), draw(purposes), draw(st.integers(0, 5))) for number in range(count)]
    levels = st.sampled_from([NOTHING_USED, 1.0, 2.0])
    return waiting, {account: Account(draw(levels), draw(st.integers(0, 2))) for account in range(1, 6)}


@given(lines(), st.sampled_from([Rules(), Rules(fair_share=False), Rules(one_at_a_time=False)]))
def test_the_line_takes_what_has_the_smallest_key(found: tuple[list[Waiting], dict[int, Account]], rules: Rules) -> None:
    """The plain reading of the rules, run by run, against the heap of heads."""
    waiting, accounts = found
    line = Line(waiting, accounts, rules)
    left = list(waiting)
    while left:
        smallest = min(left, key=lambda run: key(run, accounts[run.account], rules))
        assert line.take() == smallest
        left.remove(smallest)
        if smallest.purpose in {HAND_IN, LAB}:
            accounts[smallest.account] = replace(accounts[smallest.account], running=accounts[smallest.account].running + 1)
    assert line.take() is None


@given(lines())
def test_a_claim_is_offered_what_the_line_would_take(found: tuple[list[Waiting], dict[int, Account]]) -> None:
    """A claim reads one run of each account, the line has all; whoever is passed over leaves the others in their order."""
    waiting, accounts = found
    heads: dict[int, Waiting] = {}
    for run in sorted(waiting, key=lambda run: (run.purpose, run.since, run.id)):
        heads.setdefault(run.account, run)
    offered = in_order(heads.values(), accounts)
    assert offered[:1] == [run for run in [Line(waiting, accounts).take()] if run]
    if offered:
        others = [run for run in waiting if run.account != offered[0].account]
        assert offered[1:2] == [run for run in [Line(others, accounts).take()] if run]


def test_when_a_run_can_be_expected_to_start() -> None:
    waiting = [waits(1, 1), waits(2, 1), waits(3, 2), waits(4, 3)]
    slots = [Slot(), Slot(free_in_s=100, account=9)]
    found = [(run.id, at) for run, at in expected(waiting, {}, slots, 600, now=0)]
    assert found == [(1, 0), (3, 100), (4, 600), (2, 700)]
    assert list(expected(waiting, {}, [], 600, now=0)) == []
    assert list(expected([], {}, slots, 600, now=0)) == []


def test_a_run_that_needs_a_kind_waits_for_a_slot_of_it() -> None:
    """Others pass it on slots that it cannot have, and whoever has a slot of any kind is behind those who have none."""
    big = [replace(waits(number, account), kind="h100") for number, account in ((1, 1), (2, 2))]
    waiting = [*big, waits(3, 3), waits(4, 1), replace(waits(5, 4), kind="a100")]
    slots = [Slot(kind="t4"), Slot(free_in_s=100, kind="h100")]
    found = [(run.id, at) for run, at in expected(waiting, {}, slots, 600, now=0)]
    assert found == [(3, 0), (1, 100), (4, 600), (2, 700)]
    assert [(run.id, at) for run, at in expected(waiting, {}, [Slot(kind="a100"), Slot(kind="h100")], 600, now=0)][:2] == [(3, 0), (1, 0)]


@given(
    st.lists(st.tuples(st.integers(1, 4), st.sampled_from([HAND_IN, LAB, RERUN]), st.sampled_from(["", "a", "b"])), max_size=12),
    st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=4),
)
def test_what_is_expected_is_what_claims_one_by_one_would_give(drawn: list[tuple[int, Purpose, str]], kinds: list[str]) -> None:
    """Each slot that comes free takes the first of all that it serves."""
    waiting = {n: replace(waits(n, account, purpose), kind=kind) for n, (account, purpose, kind) in enumerate(drawn)}
    accounts = {account: Account() for account in range(1, 5)}
    free: list[tuple[float, int, int | None]] = [(0.0, number, None) for number in range(len(kinds))]
    by_hand: list[tuple[int, float]] = []
    while free:
        at, number, whose = entry = min(free, key=lambda one: one[:2])
        free.remove(entry)
        if whose is not None:
            accounts[whose] = Account(charged(accounts[whose].level, 600, at), accounts[whose].running - 1)
        served = [run for run in waiting.values() if run.kind in {"", kinds[number]}]
        if not served:
            continue
        first = min(served, key=lambda run: key(run, accounts[run.account]))
        del waiting[first.id]
        if first.counts:
            accounts[first.account] = replace(accounts[first.account], running=accounts[first.account].running + 1)
        by_hand.append((first.id, at))
        free.append((at + 600, number, first.account if first.counts else None))
    every = [replace(waits(n, account, purpose), kind=kind) for n, (account, purpose, kind) in enumerate(drawn)]
    assert [(run.id, at) for run, at in expected(every, {}, [Slot(kind=kind) for kind in kinds], 600, now=0)] == by_hand


def test_each_of_three_thousand_has_one_place() -> None:
    draw = random.Random(1)
    waiting = [Waiting(number, draw.randrange(1, 51), HAND_IN, draw.random()) for number in range(3000)]
    order = [run.id for run, _ in expected(waiting, {}, [Slot(), Slot()], 600, now=0)]
    assert sorted(order) == list(range(3000))
