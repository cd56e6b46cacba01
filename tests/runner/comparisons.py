"""Trial's comparisons, tried under the runtime's Python: prints {case: message, or "passed"} as JSON."""

import json
import math
from collections.abc import Callable

import torch

from grading.runner.checks import Failed, Trial
from grading.runner.protocol import Foreign, Ref

t = torch.tensor
nan, inf = math.nan, math.inf

CASES: dict[str, Callable[[Trial], None]] = {
    "close": lambda trial: trial.close("y", t([1.0, 2.00001]), t([1.0, 2.0])),
    "both infinite": lambda trial: trial.close("y", t([inf, -inf]), t([inf, -inf])),
    "a number for a tensor": lambda trial: trial.close("J", 0.5, t(0.5)),
    "a tensor for a number": lambda trial: trial.close("J", t(0.5), 0.5),
    "empty": lambda trial: trial.close("y", torch.zeros(0, 3), torch.zeros(0, 3)),
    "far": lambda trial: trial.close("y", t([[1.0, 2.0], [3.0, 5.0]]), t([[1.0, 2.0], [4.0, 4.0]])),
    "opposite infinity": lambda trial: trial.close("y", t([inf]), t([-inf])),
    "expected infinity": lambda trial: trial.close("y", t([1.0]), t([inf])),
    "expected an infinite number": lambda trial: trial.close("J", 1.0, inf),
    "infinite": lambda trial: trial.close("y", t([inf]), t([1.0])),
    "NaN": lambda trial: trial.close("y", t([nan, 1.0]), t([0.0, 1.0])),
    "NaN number": lambda trial: trial.close("J", nan, 0.5),
    "shape": lambda trial: trial.close("b", torch.zeros(1, 20), torch.zeros(20)),
    "0-d": lambda trial: trial.close("J", t([0.5]), t(0.5)),
    "dtype": lambda trial: trial.close("y", t([1]), t([1.0])),
    "none": lambda trial: trial.close("y", None, t([1.0])),
    "array": lambda trial: trial.close("y", Foreign("ndarray"), t([1.0])),
    "object": lambda trial: trial.close("y", Ref(1, "MLP"), t([1.0])),
    "bool for a number": lambda trial: trial.close("J", True, 1.0),
    "missing key": lambda trial: trial.close("grads", {"a": t(1.0)}, {"a": t(1.0), "b": t(1.0)}),
    "one key more": lambda trial: trial.close("grads", {"a": t(1.0), "junk": 0}, {"a": t(1.0)}),
    "one key more, further in": lambda trial: trial.close("out", [{"a": 1.0, "junk": 0}], [{"a": 1.0}]),
    "a key for another": lambda trial: trial.close("grads", {"A": t(1.0)}, {"a": t(1.0)}),
    "in a dict": lambda trial: trial.close("grads", {"a": t(1.0)}, {"a": t(2.0)}),
    "in a tuple": lambda trial: trial.close("out", (1.0, 3.0), (1.0, 2.0)),
    "too few": lambda trial: trial.close("out", [1.0], (1.0, 2.0)),
    "equal": lambda trial: trial.equal("y", {"a": [1, "b", t([1, 2])]}, {"a": [1, "b", t([1, 2])]}),
    "equal, one key more": lambda trial: trial.equal("counts", {"a": 1, "junk": 2}, {"a": 1}),
    "equal, keys where none are expected": lambda trial: trial.equal("counts", {2: 0, "b": 1}, {}),
    "equal, many keys more": lambda trial: trial.equal("counts", {f"k{n}": n for n in (6, 5, 4, 3, 2, 1, 0)}, {"k0": 0}),
    "equal, a long key more": lambda trial: trial.equal("counts", {"k" * 100_000: 1}, {}),
    "equal, in another order": lambda trial: trial.equal("counts", {"a": 1, "b": 2}, {"b": 2, "a": 1}),
    "unequal text": lambda trial: trial.equal("s", "a" * 100, "b"),
    "unequal type": lambda trial: trial.equal("n", 1.0, 1),
    "unequal tensor": lambda trial: trial.equal("x", t([1, 2]), t([1, 3])),
    "unequal float": lambda trial: trial.equal("x", t([1.0000001]), t([1.0])),
    "true": lambda trial: trial.true(True, "never"),
    "false": lambda trial: trial.true(False, "it should be so"),
    "lying condition": lambda trial: trial.true(t(1.0), "never"),
    "expected NaN": lambda trial: trial.close("y", t([1.0]), t([nan])),
    "incomparable": lambda trial: trial.close("y", 1, object()),
}

# What an answer is: none of these counts as a comparison.
KINDS: dict[str, Callable[[Trial], object]] = {
    "a tensor": lambda trial: trial.tensor("y", torch.zeros(2, 3), shape=(None, 3), dtype=torch.float32),
    "no tensor": lambda trial: trial.tensor("y", [1.0]),
    "no tensor of a shape": lambda trial: trial.tensor("y", None, shape=(None, 3)),
    "rank": lambda trial: trial.tensor("y", torch.zeros(3), shape=(None, 3)),
    "size": lambda trial: trial.tensor("y", torch.zeros(2, 4), shape=(None, 3)),
    "another dtype": lambda trial: trial.tensor("y", t([1]), dtype=torch.float32),
    "a number": lambda trial: (trial.number("J", 1), trial.number("J", t([2.0]))),
    "no number": lambda trial: trial.number("J", True),
    "two numbers": lambda trial: trial.number("J", t([1.0, 2.0])),
    "a text": lambda trial: trial.text("name", "relu"),
    "no text": lambda trial: trial.text("name", 1),
    "a mapping": lambda trial: trial.mapping("grads", {"a": 1, "b": 2}, "a"),
    "no mapping": lambda trial: trial.mapping("grads", [("a", 1)], "a"),
    "no such keys": lambda trial: trial.mapping("grads", {"b": 2}, "a", "b", "c"),
    "a sequence": lambda trial: trial.sequence("layers", (1, 2)),
    "no sequence": lambda trial: trial.sequence("layers", "ab", 2),
    "a pair": lambda trial: trial.pair("mse_loss", [1, 2]),
    "no pair": lambda trial: trial.pair("mse_loss", (1, 2, 3)),
}


def outcome(case: Callable[[Trial], None]) -> str:
    trial = Trial(seed=1, check_id="a")
    try:
        case(trial)
    except Failed as error:
        assert trial.comparisons
        return str(error)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    assert trial.comparisons
    return "passed"


def kind(case: Callable[[Trial], object]) -> str:
    trial = Trial(seed=1, check_id="a")
    try:
        value = case(trial)
    except Failed as error:
        return str(error)
    finally:
        assert not trial.comparisons
    return "a tensor" if isinstance(value, torch.Tensor) else repr(value)


if __name__ == "__main__":
    said = {name: outcome(case) for name, case in CASES.items()}
    print(json.dumps(said | {name: kind(case) for name, case in KINDS.items()}))
