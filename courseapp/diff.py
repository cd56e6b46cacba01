"""What changed between two texts: which lines, and which words inside a line. Plain Python, and bounded on hostile input.

Lines that occur once on both sides are lined up first (as in patience diff); between them the shortest edit is looked for
(Myers, "An O(ND) Difference Algorithm", 1986). When a page's budget of steps is spent, what is left is one replaced block:
still right, only coarser, and the budget says so.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

STEPS = 250_000  # of a whole page
MOST_TOKENS = 400  # of a line; in longer ones only the common beginning and end are left out
MOST_CHARACTERS = 4_000  # of a text that is looked at to find its partner
ALIKE = 0.5

_WORD = re.compile(r"\w+")
_TOKEN = re.compile(r"\w+|\s+|[^\w\s]")

Span = tuple[int, int]
Ids = list[int]


@dataclass
class Budget:
    """Counts down while it is used; `exact` turns False when something was not compared to the end."""

    steps: int = STEPS
    exact: bool = True

    def take(self, steps: int) -> bool:
        self.steps -= steps
        if self.steps < 0:
            self.exact = False
        return self.steps >= 0


@dataclass(frozen=True)
class Change:
    """`old[old_from:old_to]` became `new[new_from:new_to]`; one of them may be empty. Everything between changes is the same."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


@dataclass(frozen=True)
class Hunk:
    """Neighbouring changes with the unchanged items around them, as half-open ranges of both sides."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int
    changes: tuple[Change, ...]


def compare(old: Sequence[Hashable], new: Sequence[Hashable], budget: Budget) -> list[Change]:
    """The changes that make `new` of `old`, in order and apart from one another."""
    ids: dict[Hashable, int] = {}
    a = [ids.setdefault(item, len(ids)) for item in old]
    b = [ids.setdefault(item, len(ids)) for item in new]
    found: list[Change] = []
    for part in _parts(a, b):
        for change in _shortest(a, b, part, budget):
            if found and (found[-1].old_to, found[-1].new_to) == (change.old_from, change.new_from):
                change = Change(found[-1].old_from, change.old_to, found.pop().new_from, change.new_to)
            found.append(change)
    return found


def hunks(changes: Sequence[Change], old_count: int, new_count: int, *, context: int = 3) -> list[Hunk]:
    """Changes grouped: two that share context come together."""
    groups: list[list[Change]] = []
    for change in changes:
        if groups and change.old_from - groups[-1][-1].old_to <= 2 * context:
            groups[-1].append(change)
        else:
            groups.append([change])
    return [
        Hunk(
            max(0, group[0].old_from - context),
            min(old_count, group[-1].old_to + context),
            max(0, group[0].new_from - context),
            min(new_count, group[-1].new_to + context),
            tuple(group),
        )
        for group in groups
    ]


def words(old: str, new: str, budget: Budget) -> tuple[list[Span], list[Span]]:
    """The parts of two lines that differ, as spans of characters of each."""
    a, b = _TOKEN.findall(old[: 20 * MOST_TOKENS]), _TOKEN.findall(new[: 20 * MOST_TOKENS])
    if max(len(a), len(b)) > MOST_TOKENS or max(len(old), len(new)) > 20 * MOST_TOKENS or budget.steps <= 0:
        begin, end = common_ends(old, new)
        return _only_filled([(begin, len(old) - end)]), _only_filled([(begin, len(new) - end)])
    changes = compare(a, b, budget)
    return _spans(a, [(change.old_from, change.old_to) for change in changes]), _spans(
        b, [(change.new_from, change.new_to) for change in changes]
    )


def pairs(old: Sequence[str], new: Sequence[str], budget: Budget) -> list[tuple[int, int]]:
    """Which of the replaced texts belong together, in order: each with the later one that is most alike, if half of the words are."""
    if not budget.take(sum(map(len, old)) // 8 + sum(map(len, new)) // 8):
        return []
    bags_old, bags_new = ([bag(text) for text in side] for side in (old, new))
    found: list[tuple[int, int]] = []
    begin = 0
    for i, wanted in enumerate(bags_old):
        best, at = 0.0, -1
        for j in range(begin, len(new)):
            if not budget.take(8 + len(wanted)):
                return found
            alike = likeness(wanted, bags_new[j])
            if alike > best:
                best, at = alike, j
        if best >= ALIKE:
            found.append((i, at))
            begin = at + 1
    return found


def common_ends(old: Sequence[object], new: Sequence[object]) -> tuple[int, int]:
    """How many items both begin with, and how many of the rest both end with."""
    most = min(len(old), len(new))
    begin = _bisect(most, lambda low, high: old[low:high] == new[low:high])
    end = _bisect(most - begin, lambda low, high: old[len(old) - high : len(old) - low] == new[len(new) - high : len(new) - low])
    return begin, end


def _bisect(most: int, same: Callable[[int, int], bool]) -> int:
    """The largest n up to which everything is the same; compares slices, which is quick also for a line of a million letters."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low


def bag(text: str) -> Counter[str]:
    """The words of a text without their order; its signs, where it has no words."""
    text = text[:MOST_CHARACTERS]
    return Counter(_WORD.findall(text)) or Counter(text.split())


def likeness(a: Counter[str], b: Counter[str]) -> float:
    """0 for nothing in common, 1 for the same words."""
    total = a.total() + b.total()
    return 2 * (a & b).total() / total if total else 1.0


def _parts(a: Ids, b: Ids) -> Iterator[Change]:
    """What lies between the beginnings, the ends and the lines that occur once on both sides."""
    begin, end = common_ends(a, b)
    a_end, b_end = len(a) - end, len(b) - end
    once_a, once_b = _once(a, begin, a_end), _once(b, begin, b_end)
    anchors = _longest([(at, once_b[item]) for item, at in once_a.items() if item in once_b])
    for (i, j), (next_i, next_j) in pairwise([(begin - 1, begin - 1), *anchors, (a_end, b_end)]):
        yield Change(i + 1, next_i, j + 1, next_j)


def _once(ids: Ids, begin: int, end: int) -> dict[int, int]:
    """Where each item lies that occurs once, in order."""
    counted = Counter(ids[begin:end])
    return {item: at for at, item in enumerate(ids[begin:end], begin) if counted[item] == 1}


def _longest(places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest run of places that rise on both sides; they rise on the first already."""
    ends: list[int] = []
    last: list[int] = []
    before: list[int] = []
    for n, (_, j) in enumerate(places):
        at = bisect_left(ends, j)
        before.append(last[at - 1] if at else -1)
        ends[at : at + 1] = [j]
        last[at : at + 1] = [n]
    found: list[tuple[int, int]] = []
    n = last[-1] if last else -1
    while n >= 0:
        found.append(places[n])
        n = before[n]
    return found[::-1]


def _shortest(a: Ids, b: Ids, part: Change, budget: Budget) -> list[Change]:
    """The fewest lines taken out and put in that turn one side of `part` into the other; the whole of it when the budget is spent."""
    old, new = a[part.old_from : part.old_to], b[part.new_from : part.new_to]
    begin, end = common_ends(old, new)
    i, j = part.old_from + begin, part.new_from + begin
    old, new = old[begin : len(old) - end], new[begin : len(new) - end]
    whole = Change(i, i + len(old), j, j + len(new))
    if not old or not new:
        return [whole] if old or new else []
    if set(old).isdisjoint(new):
        return [whole]
    trace = _trace(old, new, budget)
    if trace is None:
        return [whole]
    return [Change(i + x, i + x_to, j + y, j + y_to) for x, x_to, y, y_to in _walk_back(trace, len(old), len(new))]


def _trace(a: Ids, b: Ids, budget: Budget) -> list[dict[int, int]] | None:
    """How far each diagonal reached, after 0, 1, 2 … edits."""
    reach = {1: 0}
    trace: list[dict[int, int]] = []
    for edits in range(len(a) + len(b) + 1):
        if not budget.take(2 * edits + 1):
            return None
        trace.append(reach.copy())
        for k in range(-edits, edits + 1, 2):
            down = k == -edits or (k != edits and reach[k - 1] < reach[k + 1])
            x = reach[k + 1] if down else reach[k - 1] + 1
            start = x
            while x < len(a) and 0 <= x - k < len(b) and a[x] == b[x - k]:
                x += 1
            budget.steps -= x - start
            reach[k] = x
            if x >= len(a) and x - k >= len(b):
                return trace
    raise AssertionError("all of it can be taken out and put in")


def _walk_back(trace: list[dict[int, int]], x: int, y: int) -> list[tuple[int, int, int, int]]:
    found: list[tuple[int, int, int, int]] = []
    for edits in range(len(trace) - 1, 0, -1):
        reach, k = trace[edits], x - y
        down = k == -edits or (k != edits and reach[k - 1] < reach[k + 1])
        before = k + 1 if down else k - 1
        x_from = reach[before]
        y_from = x_from - before
        x_to, y_to = (x_from, y_from + 1) if down else (x_from + 1, y_from)
        if found and (x_to, y_to) == (found[-1][0], found[-1][2]):
            last = found.pop()
            found.append((x_from, last[1], y_from, last[3]))
        else:
            found.append((x_from, x_to, y_from, y_to))
        x, y = x_from, y_from
    return found[::-1]


def _spans(tokens: list[str], ranges: list[Span]) -> list[Span]:
    """Ranges of tokens as spans of characters; a blank between two of them is taken along."""
    starts = [0]
    for token in tokens:
        starts.append(starts[-1] + len(token))
    found: list[Span] = []
    for begin, end in ranges:
        if begin == end:
            continue
        if found and all(token.isspace() for token in tokens[_index(starts, found[-1][1]) : begin]):
            found[-1] = (found[-1][0], starts[end])
        else:
            found.append((starts[begin], starts[end]))
    return found


def _index(starts: list[int], character: int) -> int:
    return bisect_left(starts, character)


def _only_filled(spans: list[Span]) -> list[Span]:
    return [span for span in spans if span[0] < span[1]]
