"""Curves from what the visible checks print: each line that is one JSON object with numbers, `{"step": 10, "loss": 0.7}`.

The text is a student's, and so is every number in it: nothing here raises, and the memory that it takes is bounded whatever is printed.
A curve of more than MOST_POINTS values is thinned by putting neighbours together, twice as many each time it is full; such a point keeps
the mean, the lowest and the highest of its values, so a spike is never lost.
"""

import json
import math
import re
from dataclasses import dataclass, field
from typing import Any

MOST_CURVES = 8
MOST_POINTS = 256  # of a curve; even
MOST_LINES = 100_000  # of one run that are read as JSON
MOST_LINE = 1024  # bytes
MOST_NAME = 40  # characters
LARGEST = 1e100
_OBJECT = re.compile(rb"^[ \t]*(\{.*\})[ \t\r]*$", re.MULTILINE)  # a flood of lines is searched, not split

Pair = tuple[float, float]  # step, value


@dataclass
class Curve:
    """One name's values in order of their steps. `points` are [step, mean, lowest, highest] of `per` values each, the last of `filled`."""

    per: int = 1
    filled: int = 0
    count: int = 0
    points: list[list[float]] = field(default_factory=list)
    first: Pair = (0.0, 0.0)
    last: Pair = (0.0, 0.0)
    lowest: Pair = (0.0, 0.0)
    highest: Pair = (0.0, 0.0)

    def add(self, step: float, value: float) -> bool:
        """False when the step is not beyond the curve's last: it is then left out."""
        here = (step, value)
        if self.count == 0:
            self.first = self.lowest = self.highest = here
        elif step <= self.last[0]:
            return False
        self.last = here
        self.lowest = min(self.lowest, here, key=lambda pair: pair[1])
        self.highest = max(self.highest, here, key=lambda pair: pair[1])
        self.count += 1
        if self.points and self.filled < self.per:
            self.points[-1] = _merged(self.points[-1], self.filled, [step, value, value, value], 1)
            self.filled += 1
            return True
        if len(self.points) == MOST_POINTS:
            pairs = zip(self.points[::2], self.points[1::2], strict=True)
            self.points = [_merged(one, 1, other, 1) for one, other in pairs]
            self.per *= 2
        self.points.append([step, value, value, value])
        self.filled = 1
        return True

    def to_json(self) -> dict[str, Any]:
        """Columns; `lows` and `highs` are left out where each point is one value."""
        named = {"first": self.first, "last": self.last, "lowest": self.lowest, "highest": self.highest}
        found: dict[str, Any] = {"per": self.per, "count": self.count}
        found |= {name: [_number(step), _short(value)] for name, (step, value) in named.items()}
        found |= {"steps": [_number(point[0]) for point in self.points], "means": [_short(point[1]) for point in self.points]}
        if self.per > 1:
            found |= {"lows": [_short(point[2]) for point in self.points], "highs": [_short(point[3]) for point in self.points]}
        return found


@dataclass
class Curves:
    """All curves of a run. `lines` are those that held a value; what was left out is counted by its reason."""

    lines: int = 0
    read: int = 0
    curves: dict[str, Curve] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)

    @property
    def full(self) -> bool:
        """MOST_LINES were read; nothing more is."""
        return "lines" in self.left_out

    def take(self, line: bytes) -> None:
        """Read one line that begins with a brace and ends with one."""
        if self.read >= MOST_LINES:
            self.left_out["lines"] = 1
            return
        self.read += 1
        try:
            found = json.loads(line)
        except (ValueError, RecursionError):
            return
        numbers = {name: value for name, value in found.items() if isinstance(value, int | float) and not isinstance(value, bool)}
        step = _finite(numbers.pop("step", self.lines))
        if not numbers:
            return
        self.lines += 1
        for name, value in numbers.items():
            self._add(name, step, _finite(value))

    def to_json(self) -> dict[str, Any]:
        """Each curve with its `place` among them: a database may forget the order of names."""
        kept = [(name, curve) for name, curve in self.curves.items() if curve.count]
        drawn = {name: {"place": place, **curve.to_json()} for place, (name, curve) in enumerate(kept)}
        return {"lines": self.lines, "left_out": dict(self.left_out), "curves": drawn}

    def _add(self, name: str, step: float | None, value: float | None) -> None:
        if not (0 < len(name) <= MOST_NAME and name.isprintable()):
            self._leave_out("names")
        elif step is None or value is None:
            self._leave_out("numbers")
        elif name not in self.curves and len(self.curves) >= MOST_CURVES:
            self._leave_out("curves")
        elif not self.curves.setdefault(name, Curve()).add(step, value):
            self._leave_out("steps")

    def _leave_out(self, reason: str) -> None:
        self.left_out[reason] = self.left_out.get(reason, 0) + 1


@dataclass
class Lines:
    """Cuts the output of one process into lines for `curves`; what is longer than MOST_LINE is no line of it."""

    curves: Curves
    _rest: bytes = b""
    _skips: bool = False

    def feed(self, piece: bytes) -> None:
        if self.curves.full:
            return
        if self._skips:
            _, found, piece = piece.partition(b"\n")
            if not found:
                return
            self._skips = False
        whole, _, self._rest = (self._rest + piece).rpartition(b"\n")
        for line in _OBJECT.finditer(whole):
            if len(line[0]) <= MOST_LINE:
                self.curves.take(line[1])
        if len(self._rest) > MOST_LINE:
            self._rest, self._skips = b"", True

    def end(self) -> None:
        """The process prints no more: its last line needs no end."""
        self.feed(b"\n")


def _merged(one: list[float], many: int, other: list[float], more: int) -> list[float]:
    share = more / (many + more)
    step, mean = (one[at] * (1 - share) + other[at] * share for at in (0, 1))
    return [step, mean, min(one[2], other[2]), max(one[3], other[3])]


def _finite(value: float) -> float | None:
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= LARGEST else None


def _number(value: float) -> float:
    value = float(f"{value:.12g}") if value != int(value) else value  # a mean's own rounding is not shown
    return int(value) if value == int(value) and abs(value) < 2**53 else value


def _short(value: float) -> float:
    return float(f"{value:.6g}")
