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
    "one key more": "grads has keys that are not expected: 'junk'",
    "one key more, further in": "out[0] has keys that are not expected: 'junk'",
    "a key for another": "grads has no 'a'",
    "in a dict": "grads['a']: expected 2, got 1",
    "in a tuple": "out[1]: expected 2, got 3",
    "too few": "out: expected 2 items, got 1",
    "equal": "passed",
    "equal, one key more": "counts has keys that are not expected: 'junk'",
    "equal, keys where none are expected": "counts has keys that are not expected: 'b', 2",
    "equal, many keys more": "counts has keys that are not expected: 'k1', 'k2', 'k3', 'k4', 'k5' and 1 more",
    "equal, a long key more": "counts has keys that are not expected: '" + "k" * 78 + "…",
    "equal, in another order": "passed",
    "unequal text": "s: expected 'b', got '" + "a" * 78 + "…",
    "unequal type": "n: expected a int, got a float",
    "unequal tensor": "x: 1 of 2 values differ; the first at [1]: expected 3, got 2",
    "unequal float": "x: expected 1, got 1",
    "true": "passed",
    "false": "it should be so",
    "lying condition": "TypeError: Trial.true wants a bool, got a tensor of shape ()",
    "expected NaN": "ValueError: the expected value of y contains NaN",
    "incomparable": "TypeError: Trial.close cannot compare with a object",
    "a tensor": "a tensor",
    "no tensor": "y: expected a tensor, got a list",
    "no tensor of a shape": "y: expected a tensor of shape (any, 3), got None",
    "rank": "y: expected shape (any, 3), got (3,)",
    "size": "y: expected shape (any, 3), got (2, 4)",
    "another dtype": "y: expected dtype float32, got int64",
    "a number": "(1.0, 2.0)",
    "no number": "J: expected a number, got a bool",
    "two numbers": "J: expected a number, got a tensor of shape (2,)",
    "a text": "'relu'",
    "no text": "name: expected a text, got a int",
    "a mapping": "{'a': 1, 'b': 2}",
    "no mapping": "grads: expected a dict, got a list",
    "no such keys": "grads has no 'a', 'c'",
    "a sequence": "(1, 2)",
    "no sequence": "layers: expected a list or tuple of 2, got a str",
    "a pair": "(1, 2)",
    "no pair": "mse_loss: expected 2 items, got 3",
}


@pytest.mark.sandbox
def test_comparisons_say_what_is_wrong(runtime: Runtime) -> None:
    command = [str(runtime.python), "-m", "tests.runner.comparisons"]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).resolve().parents[2])
    assert json.loads(answer.stdout) == SAID
