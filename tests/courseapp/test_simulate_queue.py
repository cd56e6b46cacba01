"""`manage.py simulate_queue`: its document, its table, its picture, and the bars on the scenario of this repository."""

import json
import tomllib
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree

import pytest
from django.core.management import CommandError, call_command

from courseapp.management import simulation_report
from courseapp.management.commands.simulate_queue import SCENARIO
from grading.policy.simulation import POLICIES, Scenario

SMALL = """
title = "Small & quick"
slots = 1
hours = 2
rush_hours = 1
rush_percent = 50
length_median_min = 10
length_sigma = 0.5
broken_percent = 15
smoke_check_s = 60
seeds = [1, 2]
teams = [{ count = 1, uploads = 12 }, { count = 6, uploads = 3 }]
"""


@pytest.fixture
def small(tmp_path: Path) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(SMALL)
    return path


def said(*arguments: str | Path) -> tuple[int, str]:
    """(exit status, standard output)"""
    out = StringIO()
    try:
        call_command("simulate_queue", *map(str, arguments), stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    return 0, out.getvalue()


def test_the_document_has_a_row_per_policy_and_the_bars(small: Path) -> None:
    status, text = said("--scenario", small, "--json")
    document = json.loads(text)
    assert document.keys() == {"scenario", "rows", "bars"}
    assert document["scenario"]["teams"] == [{"count": 1, "uploads": 12}, {"count": 6, "uploads": 3}]
    assert [row["policy"] for row in document["rows"]] == [policy.name for policy in POLICIES]
    for row in document["rows"]:
        assert 0 < row["wait_p50_min"] <= row["wait_p95_min"]
        assert 0 < row["first_result_median_min"] <= row["first_result_worst_min"]
        assert len(row["team_p95_min"]) == len(row["team_own_p95_min"]) == 7
        assert 0 <= row["teams_worse"] <= 7
        assert 0 <= row["team_days_worse"] <= 14
    fifo, ours = document["rows"][:2]
    assert (fifo["teams_worse"], fifo["teams_own_worse"], fifo["team_days_worse"]) == (0, 0, 0)
    assert [(bar["value"], bar["limit"]) for bar in document["bars"]] == [
        (ours["wait_p50_min"], pytest.approx(fifo["wait_p50_min"] / 5, abs=0.05)),
        (ours["first_result_worst_min"], pytest.approx(fifo["first_result_worst_min"] / 3, abs=0.05)),
        (ours["teams_worse"], 0),
    ]
    assert [bar["held"] for bar in document["bars"]] == [bar["value"] <= bar["limit"] for bar in document["bars"]]
    assert status == (0 if all(bar["held"] for bar in document["bars"]) else 1)


def test_a_missed_bar_ends_with_status_1_and_is_said(tmp_path: Path) -> None:
    """With one team and an upload each time, no order can be better than any other."""
    path = tmp_path / "alone.toml"
    path.write_text(
        SMALL.replace("teams = [{ count = 1, uploads = 12 }, { count = 6, uploads = 3 }]", "teams = [{ count = 1, uploads = 1 }]")
    )
    status, text = said("--scenario", path)
    assert status == 1
    assert text.count("MISSED") == 3
    assert text.splitlines()[0] == "Small & quick: 1 team, 1 upload a day, 1 slot, 2 days. Minutes."


def test_the_picture_is_plain_svg_without_scripts(small: Path, tmp_path: Path) -> None:
    said("--scenario", small, "--svg", tmp_path / "queue.svg")
    picture = ElementTree.parse(tmp_path / "queue.svg").getroot()
    kinds = {element.tag.removeprefix("{http://www.w3.org/2000/svg}") for element in picture.iter()}
    assert kinds == {"svg", "title", "desc", "style", "rect", "path", "text"}
    words = [element.text for element in picture.iter() if element.tag.endswith("}text")]
    assert "Small & quick: 7 teams, 30 uploads a day, 1 slot, 2 days." in words
    assert {name for name in simulation_report.NAMES.values() if name not in words} == set()
    assert not any(attribute.startswith("on") or attribute == "style" for element in picture.iter() for attribute in element.attrib)


@pytest.mark.parametrize(
    ("text", "why"),
    [("slots = ", "Invalid value"), (SMALL.replace("slots = 1", "slots = 0"), "slots = 0 is not accepted"), (None, "could not be read")],
)
def test_a_scenario_that_is_none_is_said_and_is_a_matter_of_usage(tmp_path: Path, text: str | None, why: str) -> None:
    path = tmp_path / "wrong.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(CommandError, match=why) as refused:
        said("--scenario", path)
    assert refused.value.returncode == 2


def test_a_picture_that_cannot_be_written_is_said(small: Path, tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"could not be written") as refused:
        said("--scenario", small, "--svg", tmp_path / "no-folder" / "queue.svg")
    assert refused.value.returncode == 2


def test_our_order_holds_its_bars_on_the_last_day_before_a_deadline() -> None:
    scenario = Scenario.from_settings(tomllib.loads(SCENARIO.read_text()))
    assert sum(teams.count for teams in scenario.teams) == 40
    assert scenario.seeds == tuple(range(1, 21))
    report = simulation_report.measure(scenario)
    assert [bar.what for bar in report.bars if not bar.holds] == []
