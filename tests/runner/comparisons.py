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
    "in a dict": lambda trial: trial.close("grads", {"a": t(1.0), "c": 0}, {"a": t(2.0)}),
    "in a tuple": lambda trial: trial.close("out", (1.0, 3.0), (1.0, 2.0)),
    "too few": lambda trial: trial.close("out", [1.0], (1.0, 2.0)),
    "equal": lambda trial: trial.equal("y", {"a": [1, "b", t([1, 2])]}, {"a": [1, "b", t([1, 2])]}),
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


if __name__ == "__main__":
    print(json.dumps({name: outcome(case) for name, case in CASES.items()}))
