"""Notebooks are compared by what somebody wrote into their cells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.diff import Budget
from courseapp.diff_notebook import Cell, CellChange, compare_cells

CELLS = st.lists(st.tuples(st.sampled_from(["code", "markdown"]), st.sampled_from(["", "a b", "a c", "x = 1", "x = 2"])), max_size=10)


def cells(*sources: str) -> list[Cell]:
    return [("code", source) for source in sources]


def kinds(old: list[Cell], new: list[Cell]) -> list[tuple[str, int | None, int | None]]:
    return [(one.kind, one.old, one.new) for one in compare_cells(old, new, Budget())]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (cells("a", "b"), cells("a", "b"), [("same", 0, 0), ("same", 1, 1)]),
        (cells("a"), cells("a", "b"), [("same", 0, 0), ("added", None, 1)]),
        (cells("a", "b"), cells("b"), [("removed", 0, None), ("same", 1, 0)]),
        (cells("x = relu(1)"), cells("x = relu(2)"), [("changed", 0, 0)]),
        (cells("x = 1"), [("markdown", "x = 1")], [("removed", 0, None), ("added", None, 0)]),
        (cells("one", "two", "three"), cells("three", "one", "two"), [("moved", 2, 0), ("same", 0, 1), ("same", 1, 2)]),
        ([], cells("a"), [("added", None, 0)]),
        ([], [], []),
    ],
)
def test_cells(old: list[Cell], new: list[Cell], expected: list[tuple[str, int | None, int | None]]) -> None:
    assert kinds(old, new) == expected


def test_a_long_notebook_is_compared_too() -> None:
    """More than 50 cells on either side: equal ones are lined up first."""
    old = cells(*(f"cell {n} = f({n})" for n in range(200)))
    new = cells(*(f"cell {n} = f({n})" for n in reversed(range(60))), *(f"cell {n} = f({n}) + 1" for n in range(60, 200)))
    found = [kind for kind, _, _ in kinds(old, new)]
    assert {kind: found.count(kind) for kind in ("same", "moved", "changed")} == {"same": 1, "moved": 59, "changed": 140}


@given(CELLS, CELLS, st.sampled_from([0, 3, 100_000]))
def test_every_cell_of_both_sides_is_told_once_and_truly(old: list[Cell], new: list[Cell], steps: int) -> None:
    found = compare_cells(old, new, Budget(steps))
    assert sorted(one.old for one in found if one.old is not None) == list(range(len(old)))
    assert [one.new for one in found if one.new is not None] == list(range(len(new)))

    def true(one: CellChange) -> bool:
        if one.old is None or one.new is None:
            return one.kind == ("added" if one.old is None else "removed")
        same = old[one.old] == new[one.new]
        return one.kind in {"same", "moved"} if same else one.kind == "changed" and old[one.old][0] == new[one.new][0]

    assert [one for one in found if not true(one)] == []
