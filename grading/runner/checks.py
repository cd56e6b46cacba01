"""The instructor's API: `from grading.runner.checks import check, Student, Trial, Failed`.

A homework's checks.py binds functions to the check ids of homework.toml. It runs in the checker's process only. The student's code
runs in another process; `Student` is the line to it, and only values cross: None, bool, int, float, str, tensors, and lists, tuples and
dicts of them to depth 4.

    @check("forward-relu-identity")
    def forward(student: Student, trial: Trial) -> None:
        net = student.new("mlp.MLP", 3, 20, "relu", 5, "identity")
        x = torch.randn(10, 3, generator=trial.generator)
        trial.close("y_hat", student.call(net, "forward", x), reference_forward(x))
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch

from grading.runner.protocol import Foreign, Ref

__all__ = ["Check", "Failed", "Raised", "Student", "Trial", "check"]


class Failed(Exception):  # noqa: N818 - the instructor's word, not an error
    """The student's answer is wrong: a judged fail. The text is for the student, and shown only for a visible check."""


class Raised(Failed):
    """The student's code raised. `kind` is the class's nearest builtin name, such as "ValueError"."""

    def __init__(self, message: str, kind: str) -> None:
        super().__init__(message)
        self.kind = kind


class Line(Protocol):
    """The way to the student's process; raises Failed, Raised, or ends the check when that process is gone."""

    def ask(self, operation: str, **arguments: Any) -> Any: ...


class Student:
    """The student's code in its process, one call at a time. Every call has the run's `call_s` to answer."""

    def __init__(self, line: Line) -> None:
        self._line = line

    def new(self, name: str, *args: Any, **kwargs: Any) -> Ref:
        """An object of the class "module.Name", which stays in the student's process."""
        ref = self._line.ask("new", name=name, args=list(args), kwargs=kwargs)
        if not isinstance(ref, Ref):
            raise Failed(f"{name}(…) did not give an object")
        return ref

    def call(self, target: Ref | str, *args: Any, **kwargs: Any) -> Any:
        """`call("module.function", …)`, or `call(ref, "method", …)`."""
        if isinstance(target, Ref):
            method, *rest = args
            return self._line.ask("call", ref=target, name=method, args=rest, kwargs=kwargs)
        return self._line.ask("call", name=target, args=list(args), kwargs=kwargs)

    def get(self, ref: Ref, name: str) -> Any:
        """The attribute's value now."""
        return self._line.ask("get", ref=ref, name=name)

    def set(self, ref: Ref, name: str, value: Any) -> None:
        """Set an attribute. A dict goes into a dict that is there, and a tensor into a tensor of equal shape and dtype, in place."""
        self._line.ask("set", ref=ref, name=name, value=value)

    def argument(self, index: int) -> Any:
        """The positional argument `index` of the last `new` or `call`, as the student's process holds it now."""
        return self._line.ask("argument", index=index)


class Trial:
    """One check's comparisons. `generator` is seeded from the run's seed and the check's id, so a rerun draws the same inputs."""

    def __init__(self, *, seed: int, check_id: str) -> None:
        digest = hashlib.sha256(f"{seed}:{check_id}".encode()).digest()
        self.seed = int.from_bytes(digest[:7])
        self.generator = torch.Generator().manual_seed(self.seed)
        self.comparisons = 0

    def true(self, condition: object, sentence: str) -> None:
        """Fail with `sentence`, which says what was expected, unless `condition` holds."""
        self.comparisons += 1
        if not isinstance(condition, bool):
            raise TypeError(f"Trial.true wants a bool, got {_kind(condition)}")
        if not condition:
            raise Failed(sentence)

    def equal(self, name: str, actual: Any, expected: Any) -> None:
        """Same type and same value; tensors bit for bit (NaN is never equal)."""
        self.comparisons += 1
        if isinstance(expected, torch.Tensor):
            self._tensor(name, actual, expected, rtol=0.0, atol=0.0)
            return
        if type(actual) is not type(expected):
            raise Failed(f"{name}: expected {_kind(expected)}, got {_kind(actual)}")
        if isinstance(expected, list | tuple):
            if len(actual) != len(expected):
                raise Failed(f"{name}: expected {len(expected)} items, got {len(actual)}")
            for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
                self.equal(f"{name}[{index}]", one, other)
        elif isinstance(expected, dict):
            self._keys(name, actual, expected)
            for key in expected:
                self.equal(f"{name}[{key!r}]", actual[key], expected[key])
        elif actual != expected:
            raise Failed(f"{name}: expected {_short(expected)}, got {_short(actual)}")

    def close(self, name: str, actual: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-6) -> None:
        """Same shape and dtype, no NaN, and |actual − expected| ≤ atol + rtol·|expected| everywhere.

        `expected`: a tensor, a number (a tensor of one element is a number, and the other way round), or lists, tuples, dicts of them.
        """
        self.comparisons += 1
        if isinstance(expected, torch.Tensor):
            if expected.ndim == 0 and _is_number(actual):
                self._number(name, float(actual), float(expected), rtol=rtol, atol=atol)
            else:
                self._tensor(name, actual, expected, rtol=rtol, atol=atol)
        elif _is_number(expected):
            if isinstance(actual, torch.Tensor) and actual.numel() == 1:
                actual = actual.item()
            if not _is_number(actual):
                raise Failed(f"{name}: expected a number, got {_kind(actual)}")
            self._number(name, float(actual), float(expected), rtol=rtol, atol=atol)
        elif isinstance(expected, Mapping):
            if not isinstance(actual, dict):
                raise Failed(f"{name}: expected a dict, got {_kind(actual)}")
            self._keys(name, actual, expected)
            for key in expected:
                self.close(f"{name}[{key!r}]", actual[key], expected[key], rtol=rtol, atol=atol)
        elif isinstance(expected, list | tuple):
            if not isinstance(actual, list | tuple):
                raise Failed(f"{name}: expected a list or tuple of {len(expected)}, got {_kind(actual)}")
            if len(actual) != len(expected):
                raise Failed(f"{name}: expected {len(expected)} items, got {len(actual)}")
            for index, (one, other) in enumerate(zip(actual, expected, strict=True)):
                self.close(f"{name}[{index}]", one, other, rtol=rtol, atol=atol)
        else:
            raise TypeError(f"Trial.close cannot compare with {_kind(expected)}")

    def _keys(self, name: str, actual: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
        missing = [repr(key) for key in expected if key not in actual]
        if missing:
            raise Failed(f"{name} has no {', '.join(missing)}")

    def _number(self, name: str, actual: float, expected: float, *, rtol: float, atol: float) -> None:
        if math.isnan(expected):
            raise ValueError(f"the expected value of {name} is NaN")
        if math.isnan(actual):
            raise Failed(f"{name} is NaN")
        near = math.isfinite(expected) and abs(actual - expected) <= atol + rtol * abs(expected)
        if actual != expected and not near:
            raise Failed(f"{name}: expected {expected:.6g}, got {actual:.6g}")

    def _tensor(self, name: str, actual: Any, expected: torch.Tensor, *, rtol: float, atol: float) -> None:
        if not isinstance(actual, torch.Tensor):
            raise Failed(f"{name}: expected a tensor of shape {_shape(expected)}, got {_kind(actual)}")
        if actual.shape != expected.shape:
            raise Failed(f"{name}: expected shape {_shape(expected)}, got {_shape(actual)}")
        if actual.dtype != expected.dtype:
            raise Failed(f"{name}: expected dtype {_dtype(expected)}, got {_dtype(actual)}")
        wide = torch.complex128 if expected.is_complex() else torch.float64
        exact = not (expected.is_floating_point() or expected.is_complex())
        have, want = (actual, expected) if exact else (actual.to(wide), expected.to(wide))
        if not exact and torch.isnan(want).any():
            raise ValueError(f"the expected value of {name} contains NaN")
        if not exact and torch.isnan(have).any():
            raise Failed(f"{name} contains NaN ({int(torch.isnan(have).sum())} of {have.numel()} values)")
        wrong = have != want
        if not exact:
            wrong &= ~(want.isfinite() & ((have - want).abs() <= atol + rtol * want.abs()))  # rtol of infinity is all there is
        if wrong.any():
            first = tuple(int(index) for index in wrong.nonzero()[0])
            values = f"expected {_number_text(want[first])}, got {_number_text(have[first])}"
            if wrong.numel() == 1:
                raise Failed(f"{name}: {values}")
            at = ", ".join(map(str, first))
            raise Failed(f"{name}: {int(wrong.sum())} of {wrong.numel()} values differ; the first at [{at}]: {values}")


Check = Callable[[Student, Trial], None]
registered: dict[str, Check] = {}


def check(check_id: str) -> Callable[[Check], Check]:
    """Bind a function to the check of homework.toml with this id."""

    def bind(function: Check) -> Check:
        if check_id in registered:
            raise ValueError(f"two functions are bound to the check “{check_id}”")
        registered[check_id] = function
        return function

    return bind


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, torch.Tensor):
        return f"a tensor of shape {_shape(value)}"
    if isinstance(value, Foreign):
        return f"a {value.kind}"
    if isinstance(value, Ref):
        return "an object"
    return f"a {type(value).__name__}"


def _shape(tensor: torch.Tensor) -> str:
    return str(tuple(tensor.shape))


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _number_text(value: torch.Tensor) -> str:
    item = value.item()
    return f"{item:.6g}" if isinstance(item, float) else str(item)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
