import json
import subprocess
from pathlib import Path

import pytest

from grading.runner.runtimes import Runtime

SAID = {
    "close": "passed",
    "both infinite": "passed",
    "a number for a tensor": "passed",
    "a tensor for a number": "passed",
    "empty": "passed",
    "far": "y: 2 of 4 values differ; the first at [1, 0]: expected 4, got 3",
    "opposite infinity": "y: expected -inf, got inf",
    "expected infinity": "y: expected inf, got 1",
    "expected an infinite number": "J: expected inf, got 1",
    "infinite": "y: expected 1, got inf",
    "NaN": "y contains NaN (1 of 2 values)",
    "NaN number": "J is NaN",
    "shape": "b: expected shape (20,), got (1, 20)",
    "0-d": "J: expected shape (), got (1,)",
    "dtype": "y: expected dtype float32, got int64",
    "none": "y: expected a tensor of shape (1,), got None",
    "array": "y: expected a tensor of shape (1,), got a ndarray",
    "object": "y: expected a tensor of shape (1,), got an object",
    "bool for a number": "J: expected a number, got a bool",
    "missing key": "grads has no 'b'",
    "in a dict": "grads['a']: expected 2, got 1",
    "in a tuple": "out[1]: expected 2, got 3",
    "too few": "out: expected 2 items, got 1",
    "equal": "passed",
    "unequal text": "s: expected 'b', got '" + "a" * 78 + "…",
    "unequal type": "n: expected a int, got a float",
    "unequal tensor": "x: 1 of 2 values differ; the first at [1]: expected 3, got 2",
    "unequal float": "x: expected 1, got 1",
    "true": "passed",
    "false": "it should be so",
    "lying condition": "TypeError: Trial.true wants a bool, got a tensor of shape ()",
    "expected NaN": "ValueError: the expected value of y contains NaN",
    "incomparable": "TypeError: Trial.close cannot compare with a object",
}


@pytest.mark.sandbox
def test_comparisons_say_what_is_wrong(runtime: Runtime) -> None:
    command = [str(runtime.python), "-m", "tests.runner.comparisons"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    assert json.loads(answer.stdout) == SAID
