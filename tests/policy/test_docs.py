"""docs/policies.md names every setting and value, and its examples mean what they say."""

import re
import tomllib
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest

from grading.policy.late import SETTINGS, LatePolicy
from grading.policy.score import Deduction
from grading.policy.visibility import Release, Visibility

PAGE = (Path(__file__).parents[2] / "docs" / "policies.md").read_text()
EXAMPLES = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize("key", SETTINGS)
def test_every_late_setting_has_its_place(key: str) -> None:
    assert f"`{key}`" in PAGE
    for value in SETTINGS[key]:
        assert f"`{value}`" in PAGE


@pytest.mark.parametrize("words", [Release, Visibility, Deduction.__annotations__["kind"]])
def test_every_word_of_a_choice_has_its_place(words: object) -> None:
    for word in get_args(words):
        assert f"`{word}`" in PAGE


def test_the_examples_are_accepted_and_the_first_is_the_default() -> None:
    policies = [LatePolicy.from_settings(tomllib.loads(example)["late"]) for example in EXAMPLES]
    assert policies == [LatePolicy(), LatePolicy(steps=(Decimal(20),)), LatePolicy(steps=(Decimal(5), Decimal(10), Decimal(20)))]


def test_the_first_example_spells_out_every_setting_but_steps() -> None:
    assert set(tomllib.loads(EXAMPLES[0])["late"]) == set(SETTINGS) - {"steps"}
