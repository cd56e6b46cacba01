"""The queue's simulation: every upload has one result, slots hold one each, and a rule that is off changes only what it should."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from grading.policy.queueing import Rules
from grading.policy.simulation import FIFO, OURS, POLICIES, Day, Policy, Scenario, Teams, Upload, play, simulate, uploads

SMALL = Scenario(
    title="Small",
    slots=2,
    hours=6,
    rush_hours=1,
    rush_percent=50,
    length_median_min=10,
    length_sigma=0.5,
    broken_percent=20,
    smoke_check_s=60,
    seeds=(1, 2, 3),
    teams=(Teams(2, 12), Teams(8, 3)),
)
SETTINGS: dict[str, Any] = {
    "title": "Small",
    "slots": 2,
    "hours": 6,
    "rush_hours": 1,
    "rush_percent": 50,
    "length_median_min": 10,
    "length_sigma": 0.5,
    "broken_percent": 20,
    "smoke_check_s": 60,
    "seeds": [1, 2, 3],
    "teams": [{"count": 2, "uploads": 12}, {"count": 8, "uploads": 3}],
}
NAMED = {policy.name: policy for policy in POLICIES}


def upload(number: int, team: int, at: float, length: float = 100, fails_after: float | None = None) -> Upload:
    return Upload(number, team, at, length, fails_after)


def day(came: Sequence[Upload], policy: Policy = OURS, slots: int = 1) -> Day:
    return simulate(came, policy, slots=slots, smoke_check_s=10)


def order(played: Day) -> list[int]:
    return [use.upload for use in sorted(played.uses, key=lambda use: use.began)]


def test_a_scenario_is_read_from_its_settings() -> None:
    assert Scenario.from_settings(SETTINGS) == SMALL


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"slots": 0}, "slots = 0 is not accepted; accepted: a whole number from 1 to 1000"),
        ({"slots": True}, "slots = True is not accepted; accepted: a whole number from 1 to 1000"),
        ({"rush_hours": 7}, "rush_hours = 7 is not accepted; accepted: a number from 0 to 6"),
        ({"broken_percent": "15"}, "broken_percent = '15' is not accepted; accepted: a number from 0 to 100"),
        ({"seeds": []}, "seeds = [] is not accepted; accepted: a list that is not empty"),
        ({"teams": [{"count": 2}]}, "teams = {'count': 2} is not accepted; accepted: tables of count and uploads"),
        ({"gpus": 2}, f"gpus = 2 is not accepted; accepted: only {', '.join(SETTINGS)}"),
    ],
)
def test_a_setting_that_is_none_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError) as refused:
        Scenario.from_settings(SETTINGS | change)
    assert str(refused.value) == said


def test_a_missing_setting_is_named() -> None:
    with pytest.raises(ValueError, match=r"^hours is missing"):
        Scenario.from_settings({key: value for key, value in SETTINGS.items() if key != "hours"})


def test_a_day_is_the_same_each_time_and_another_by_another_seed() -> None:
    assert uploads(SMALL, 1) == uploads(SMALL, 1)
    assert uploads(SMALL, 1) != uploads(SMALL, 2)
    assert play(SMALL, OURS) == play(SMALL, OURS)


def test_a_day_has_the_uploads_that_its_scenario_says() -> None:
    many = replace(SMALL, teams=(Teams(1, 1000), Teams(100, 10)))
    came = uploads(many, 1)
    assert [one.id for one in came] == list(range(2000))
    assert [one.at for one in came] == sorted(one.at for one in came)
    assert Counter(Counter(one.team for one in came).values()) == {1000: 1, 10: 100}
    assert 0 <= came[0].at <= came[-1].at <= 6 * 3600
    assert sum(one.at >= 5 * 3600 for one in came) == pytest.approx(1000, abs=80)
    assert sum(one.broken for one in came) == pytest.approx(400, abs=70)
    assert sum(one.length_s <= 600 for one in came) == pytest.approx(1000, abs=80)
    assert all(0 <= one.holds_s <= one.length_s for one in came)


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_every_upload_has_one_result_and_a_slot_holds_one_upload(policy: Policy) -> None:
    for seed, played in zip(SMALL.seeds, play(SMALL, policy), strict=True):
        came = {one.id: one for one in uploads(SMALL, seed)}
        assert {one.id: one for one in played.uploads} == came
        assert played.ended.keys() == came.keys()
        tried = [number for number, one in came.items() if not (policy.smoke_check and one.broken)]
        assert sorted(use.upload for use in played.uses) == tried
        for use in played.uses:
            assert use.began >= came[use.upload].at + (SMALL.smoke_check_s if policy.smoke_check else 0)
            assert use.ended == use.began + came[use.upload].holds_s == played.ended[use.upload]
        for slot in range(SMALL.slots):
            own = sorted((use.began, use.ended) for use in played.uses if use.slot == slot)
            assert all(ended <= began for (_, ended), (began, _) in pairwise(own))
        assert {use.slot for use in played.uses} == {0, 1}


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_no_slot_is_free_while_an_upload_waits(policy: Policy) -> None:
    for played in play(SMALL, policy):
        joined = {one.id: one.at + (SMALL.smoke_check_s if policy.smoke_check else 0) for one in played.uploads}
        moments = {use.began for use in played.uses} | {use.ended for use in played.uses}
        for at in moments:
            busy = sum(use.began <= at < use.ended for use in played.uses)
            waiting = sum(joined[use.upload] <= at < use.began for use in played.uses)
            assert busy == SMALL.slots or waiting == 0


def test_first_come_first_served_is_the_order_of_arrival() -> None:
    for played in play(SMALL, FIFO):
        assert order(played) == [one.id for one in played.uploads]


def test_the_smoke_check_keeps_what_is_broken_from_the_slots_and_delays_the_rest() -> None:
    came = [upload(0, 1, 0), upload(1, 2, 5, fails_after=30), upload(2, 3, 6)]
    assert day(came).ended == {0: 110, 1: 15, 2: 210}
    assert day(came, NAMED["ours-without-smoke-check"]).ended == {0: 100, 1: 130, 2: 230}


def test_the_newest_supersedes_what_still_waits_of_its_team() -> None:
    came = [upload(0, 1, 0), upload(1, 2, 1), upload(2, 2, 2), upload(3, 3, 3), upload(4, 2, 4, fails_after=5)]
    assert order(day(came)) == [0, 2, 3, 1]  # the broken one supersedes nothing
    assert order(day(came, NAMED["ours-without-superseding"])) == [0, 1, 3, 2]


def test_what_was_superseded_is_not_held_against_its_team() -> None:
    came = [upload(0, 2, 0), upload(1, 1, 1, 300), upload(2, 1, 2, 10), upload(3, 1, 340), upload(4, 2, 341)]
    played = day(came)
    assert [(use.upload, use.counts) for use in played.uses] == [(0, True), (2, True), (1, False), (3, True), (4, True)]


def test_fair_share_lets_those_go_first_who_have_used_less() -> None:
    came = [upload(0, 1, 0), upload(1, 9, 50), upload(2, 1, 150), upload(3, 2, 151)]
    assert order(day(came)) == [0, 1, 3, 2]
    assert order(day(came, NAMED["ours-without-fair-share"])) == [0, 1, 2, 3]


def test_one_at_a_time_leaves_the_second_slot_to_others() -> None:
    policy = replace(OURS, superseding=False)
    came = [upload(0, 9, 0, 50), upload(1, 9, 1, 60), upload(2, 1, 2), upload(3, 1, 3), upload(4, 2, 4)]
    assert order(day(came, policy, slots=2)) == [0, 1, 2, 4, 3]
    greedy = replace(policy, rules=Rules(one_at_a_time=False))
    assert order(day(came, greedy, slots=2)) == [0, 1, 2, 3, 4]


def test_each_rule_is_switched_off_alone() -> None:
    on = {"smoke_check": True, "superseding": True, "fair_share": True, "one_at_a_time": True}

    def held(policy: Policy) -> dict[str, bool]:
        rules = policy.rules
        return {
            "smoke_check": policy.smoke_check,
            "superseding": policy.superseding,
            "fair_share": rules.fair_share,
            "one_at_a_time": rules.one_at_a_time,
        }

    assert held(FIFO) == dict.fromkeys(on, False)
    assert held(OURS) == on
    assert {name: held(policy) for name, policy in NAMED.items() if policy not in (FIFO, OURS)} == {
        f"ours-without-{rule.replace('_', '-')}": on | {rule: False} for rule in on
    }


def test_every_policy_is_given_the_same_uploads() -> None:
    days = [play(SMALL, policy) for policy in POLICIES]
    for per_seed in zip(*days, strict=True):
        assert len({played.uploads for played in per_seed}) == 1


def test_a_team_waits_for_the_result_of_an_upload_or_of_a_newer_one_that_is_not_broken() -> None:
    came = (upload(0, 1, 0), upload(1, 1, 10, fails_after=1), upload(2, 1, 20), upload(3, 2, 30))
    ended = {0: 500.0, 1: 40.0, 2: 120.0, 3: 90.0}
    played = Day(came, ended, ())
    assert played.own_waits() == {0: 500, 1: 30, 2: 100, 3: 60}
    assert played.waits() == {0: 120, 1: 30, 2: 100, 3: 60}
    assert played.first_results() == {1: 40, 2: 60}
