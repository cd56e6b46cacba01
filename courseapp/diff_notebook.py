"""What changed between two notebooks, by their cells: added, removed, moved or rewritten. Outputs and execution counts do not count."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from courseapp.diff import ALIKE, Budget, Change, bag, common_ends, compare, likeness, pairs

CellKind = Literal["same", "changed", "added", "removed", "moved"]
Cell = tuple[str, str]
"""What kind of cell it is (`code`, `markdown`, …), and its source."""

MOST_PAIRS = 2_500  # of cells that are all compared with one another: 50 on either side


@dataclass(frozen=True)
class CellChange:
    """`old` and `new` are places, from 0; None where the cell is not on that side. A moved cell stands at its new place."""

    kind: CellKind
    old: int | None
    new: int | None


def compare_cells(old: Sequence[Cell], new: Sequence[Cell], budget: Budget) -> list[CellChange]:
    """Every cell of both sides once, in the order of `new`, with removed cells where they were."""
    partners = _partners(old, new, budget)
    found: list[CellChange] = []
    for (i, j), (next_i, next_j) in pairwise([(-1, -1), *partners, (len(old), len(new))]):
        if i >= 0:
            found.append(CellChange("same" if old[i] == new[j] else "changed", i, j))
        found += [CellChange("removed", n, None) for n in range(i + 1, next_i)]
        found += [CellChange("added", None, n) for n in range(j + 1, next_j)]
    return _with_moved(old, new, found)


def _partners(old: Sequence[Cell], new: Sequence[Cell], budget: Budget) -> list[tuple[int, int]]:
    """Which cells are the same one, rewritten or not: rising on both sides."""
    begin, end = common_ends(old, new)
    old_end, new_end = len(old) - end, len(new) - end
    middle = Change(begin, old_end, begin, new_end)
    quick = (old_end - begin) * (new_end - begin) > MOST_PAIRS
    inside = _by_lines(old, new, middle, budget) if quick else _by_likeness(old, new, middle, budget)
    return [*((n, n) for n in range(begin)), *inside, *((old_end + n, new_end + n) for n in range(end))]


def _by_lines(old: Sequence[Cell], new: Sequence[Cell], part: Change, budget: Budget) -> list[tuple[int, int]]:
    """For long notebooks: equal cells first, then those alike between them."""
    found: list[tuple[int, int]] = []
    i, j = part.old_from, part.new_from
    left, right = old[i : part.old_to], new[j : part.new_to]
    at = 0
    for change in [*compare(left, right, budget), Change(len(left), len(left), len(right), len(right))]:
        shift = change.new_from - change.old_from
        found += [(i + n, j + n + shift) for n in range(at, change.old_from)]
        gone, came = left[change.old_from : change.old_to], right[change.new_from : change.new_to]
        for a, b in pairs([source for _, source in gone], [source for _, source in came], budget):
            if gone[a][0] == came[b][0]:
                found.append((i + change.old_from + a, j + change.new_from + b))
        at = change.old_to
    return found


def _by_likeness(old: Sequence[Cell], new: Sequence[Cell], part: Change, budget: Budget) -> list[tuple[int, int]]:
    """The partners that have most in common together: equal cells, long ones before short ones, then cells alike."""
    left, right = old[part.old_from : part.old_to], new[part.new_from : part.new_to]
    bags = [bag(source) for _, source in left], [bag(source) for _, source in right]
    worth: dict[tuple[int, int], float] = {}
    for a, (kind, source) in enumerate(left):
        for b, (other_kind, other) in enumerate(right):
            if source == other and kind == other_kind:
                worth[a, b] = 1 + min(len(source), 400) / 400
            elif kind == other_kind and budget.take(len(bags[0][a])) and (found := likeness(bags[0][a], bags[1][b])) >= ALIKE:
                worth[a, b] = found
    best = [[0.0] * (len(right) + 1) for _ in range(len(left) + 1)]
    for a in range(len(left)):
        for b in range(len(right)):
            best[a + 1][b + 1] = max(best[a][b + 1], best[a + 1][b], best[a][b] + worth.get((a, b), 0.0))
    return [(part.old_from + a, part.new_from + b) for a, b in _chosen(best, worth, len(left), len(right))]


def _chosen(best: list[list[float]], worth: dict[tuple[int, int], float], a: int, b: int) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    while a and b:
        if best[a][b] == best[a - 1][b]:
            a -= 1
        elif best[a][b] == best[a][b - 1]:
            b -= 1
        else:
            a, b = a - 1, b - 1
            found.append((a, b))
    return [pair for pair in reversed(found) if pair in worth]


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
