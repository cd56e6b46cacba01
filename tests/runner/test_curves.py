"""Curves out of printed lines: whatever is printed, nothing raises, memory is bounded, and what is drawn is what was logged."""

import json
import math
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.runner import curves
from grading.runner.curves import MOST_CURVES, MOST_LINE, MOST_LINES, MOST_POINTS, Curve, Curves, Lines


def drawn(*pieces: bytes) -> Curves:
    found = Curves()
    lines = Lines(found)
    for piece in pieces:
        lines.feed(piece)
    lines.end()
    return found


def points(found: Curves) -> dict[str, list[tuple[float, float]]]:
    return {name: list(zip(curve["steps"], curve["means"], strict=True)) for name, curve in found.to_json()["curves"].items()}


def test_a_json_line_with_numbers_is_a_point_of_each_of_its_names() -> None:
    printed = b'epoch 1\n{"step": 0, "loss": 2.5}\n  {"loss": 2, "step": 10, "acc": 0.25, "note": "ok", "done": true}\r\nbye'
    assert points(drawn(printed)) == {"loss": [(0, 2.5), (10, 2.0)], "acc": [(10, 0.25)]}


def test_lines_without_a_step_are_counted() -> None:
    assert points(drawn(b'{"loss": 3}\n{"loss": 2}\n{"acc": 1}\n')) == {"loss": [(0, 3), (1, 2)], "acc": [(2, 1)]}


NOTHING = {
    "no object": b"[1, 2]\n3\n{}\n",
    "broken": b'{"loss": 1\n{"loss": }\n{loss: 1}\n',
    "no number": b'{"loss": "1"}\n{"loss": null}\n{"loss": true}\n{"loss": [1]}\n{"step": 4}\n',
    "not finite": b'{"loss": NaN}\n{"loss": Infinity}\n{"loss": 1e999}\n{"loss": -1e101}\n{"step": NaN, "loss": 1}\n',
    "a number without end": b'{"loss": 1' + b"0" * 900 + b"}\n",
    "deep": b'{"a":' * 150 + b"1" + b"}" * 150 + b"\n",
    "a name that cannot be shown": b'{"\\ud800": 1}\n{"\\u0000": 1}\n{"": 1}\n{"' + b"n" * 41 + b'": 1}\n',
    "no UTF-8": b'{"\xff": 1}\n',
    "in a line": b'loss {"loss": 1}\n{"loss": 1} done\n',
    "too long a line": b'{"loss": 1, "x": "' + b"." * MOST_LINE + b'"}\n',
}


@pytest.mark.parametrize("printed", NOTHING.values(), ids=NOTHING)
def test_what_is_no_number_of_a_line_is_not_drawn(printed: bytes) -> None:
    assert points(drawn(printed)) == {}
    assert points(drawn(printed + b'{"loss": 1, "step": 3}\n')) == {"loss": [(3, 1)]}


def test_what_is_left_out_is_counted_by_its_reason() -> None:
    many = b"{" + b", ".join(b'"c%d": 1' % n for n in range(MOST_CURVES + 2)) + b"}\n"
    found = drawn(many, b'{"step": 5, "c0": 2}\n{"step": 5, "c0": 3}\n{"step": 4, "c0": 3, "c1": NaN}\n{"step": 6, "\\n": 3}\n')
    assert found.left_out == {"curves": 2, "steps": 2, "numbers": 1, "names": 1}
    assert points(found)["c0"] == [(0, 1), (5, 2)]


def test_a_long_curve_is_thinned_and_keeps_its_spikes() -> None:
    values = [math.sin(step / 50) for step in range(3000)]
    values[1234] = 99.0
    found = drawn(*(b'{"step": %d, "loss": %r}\n' % (step, value) for step, value in enumerate(values)))
    curve = found.to_json()["curves"]["loss"]
    assert (curve["per"], curve["count"], len(curve["steps"])) == (16, 3000, 188)
    assert (curve["first"], curve["last"], curve["highest"]) == ([0, 0.0], [2999, float(f"{values[-1]:.6g}")], [1234, 99.0])
    for at in range(187):
        part = values[16 * at : 16 * at + 16]
        assert curve["steps"][at] == 16 * at + 7.5
        expected = [sum(part) / 16, min(part), max(part)]
        assert [curve[name][at] for name in ("means", "lows", "highs")] == pytest.approx(expected, rel=1e-5, abs=1e-6)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, width=16), min_size=1, max_size=2 * MOST_POINTS + 3))
def test_a_curves_mean_is_that_of_its_values(values: list[float]) -> None:
    curve = Curve()
    for step, value in enumerate(values):
        assert curve.add(step, value)
    weights = [curve.per] * (len(curve.points) - 1) + [curve.filled]
    assert sum(weights) == curve.count == len(values)
    mean = sum(weight * point[1] for weight, point in zip(weights, curve.points, strict=True)) / len(values)
    assert mean == pytest.approx(sum(values) / len(values), rel=1e-6, abs=1e-6 * max(1, *map(abs, values)))
    assert all(low - 1e-6 * abs(low) <= mean <= high + 1e-6 * abs(high) for _, mean, low, high in curve.points)
    assert [min(point[2] for point in curve.points), max(point[3] for point in curve.points)] == [min(values), max(values)]


@given(st.lists(st.binary(max_size=80) | st.sampled_from([b'{"loss": 1}', b"\n", b'{"a', b'": 2, "step": 1e3}', b"{" * 2000])))
def test_nothing_that_is_printed_raises_and_cuts_change_nothing(pieces: list[bytes]) -> None:
    found = drawn(*pieces)
    assert json.loads(json.dumps(found.to_json(), allow_nan=False)) == found.to_json()
    whole = b"".join(pieces)
    assert drawn(whole).to_json() == found.to_json()
    assert drawn(*(whole[at : at + 1] for at in range(len(whole)))).to_json() == found.to_json()


def test_a_flood_is_read_fast_and_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(curves, "MOST_LINES", 2000)
    began = time.process_time()
    for piece in (b"\n" * 2**16, b"{\n" * 2**15, b"{" * 2**16, b" " * 2**16, b"{}" * 2**15 + b"\n"):
        drawn(*[piece] * 32)  # 2 MiB
    found = drawn(*[b'{"a": 1}\n' * 1000] * 32)
    assert time.process_time() - began < 5
    assert (found.lines, found.left_out) == (2000, {"lines": 1})
    names = [b"{" + b", ".join(b'"c%d-%d": %d.25' % (line, n, line) for n in range(20)) + b"}\n" for line in range(1000)]
    long = [b"{" + b", ".join(b'"c0-%d": %d.12345678' % (n, line) for n in range(MOST_CURVES)) + b"}\n" for line in range(1000)]
    assert len(json.dumps(drawn(*names[:1], *long).to_json())) < 128 * 1024
    assert MOST_LINES == 100_000
