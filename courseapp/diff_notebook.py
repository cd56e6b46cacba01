"""What changed between two notebooks, by their cells: added, removed, moved or rewritten. Outputs and execution counts do not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from courseapp.diff import Budget, Change, compare, pairs

CellKind = Literal["same", "changed", "added", "removed", "moved"]
Cell = tuple[str, str]
"""What kind of cell it is (`code`, `markdown`, …), and its source."""


@dataclass(frozen=True)
class CellChange:
    """`old` and `new` are places, from 0; None where the cell is not on that side. A moved cell stands at its new place."""

    kind: CellKind
    old: int | None
    new: int | None


def compare_cells(old: Sequence[Cell], new: Sequence[Cell], budget: Budget) -> list[CellChange]:
    """Every cell of both sides once, in the order of `new`, with removed cells where they were."""
    found: list[CellChange] = []
    i = j = 0
    for change in [*compare(old, new, budget), Change(len(old), len(old), len(new), len(new))]:
        found += [CellChange("same", i + n, j + n) for n in range(change.old_from - i)]
        found += _replaced(old, new, change, budget)
        i, j = change.old_to, change.new_to
    return _with_moved(old, new, found)


def _replaced(old: Sequence[Cell], new: Sequence[Cell], change: Change, budget: Budget) -> list[CellChange]:
    left, right = old[change.old_from : change.old_to], new[change.new_from : change.new_to]
    partner = {
        change.new_from + b: change.old_from + a
        for a, b in pairs([source for _, source in left], [source for _, source in right], budget)
        if left[a][0] == right[b][0] and left[a] != right[b]
    }
    found: list[CellChange] = []
    i = change.old_from
    for j in range(change.new_from, change.new_to):
        at = partner.get(j)
        if at is not None:
            found += [CellChange("removed", n, None) for n in range(i, at)]
            i = at + 1
        found.append(CellChange("added", None, j) if at is None else CellChange("changed", at, j))
    return [*found, *(CellChange("removed", n, None) for n in range(i, change.old_to))]


def _with_moved(old: Sequence[Cell], new: Sequence[Cell], found: list[CellChange]) -> list[CellChange]:
    """A cell that is removed in one place and added in another was moved."""
    gone: dict[Cell, list[int]] = {}
    for one in reversed(found):
        if one.kind == "removed" and one.old is not None and old[one.old][1].strip():
            gone.setdefault(old[one.old], []).append(one.old)
    moved: dict[int, int] = {}
    for one in found:
        if one.kind == "added" and one.new is not None and (places := gone.get(new[one.new])):
            moved[one.new] = places.pop()
    taken = set(moved.values())
    kept = [one for one in found if not (one.kind == "removed" and one.old in taken)]
    return [CellChange("moved", moved[one.new], one.new) if one.kind == "added" and one.new in moved else one for one in kept]
