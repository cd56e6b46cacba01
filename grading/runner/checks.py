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
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any, Protocol

import torch

from grading.runner import messages, values
from grading.runner.checkpoints import SUFFIXES
from grading.runner.datafiles import DataFileError, read_npy, read_safetensors
from grading.runner.protocol import Foreign, Ref

__all__ = ["Check", "Failed", "Raised", "Student", "Trial", "check"]

MOST_KEYS = 5  # of an answer, that are named in a text


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

    def file(self, name: str) -> memoryview | None:
        """A file of the hand-in as it was handed in; None when there is none of this name."""


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

    def load_state(self, ref: Ref, file: str) -> None:
        """Load a state dict that was handed in, .safetensors, .pt or .pth, into the torch.nn.Module `ref`: all its keys and no others.

        The file is opened in the student's process only. Fails when it was not handed in, is no checkpoint, or does not fit.
        """
        self._handed_in(file, SUFFIXES)
        self._line.ask("load_state", ref=ref, file=file)

    def read(self, file: str) -> Any:
        """What a file of the hand-in holds: a tensor of .npy, {name: tensor} of .safetensors, whatever is in a .pt or .pth.

        .npy and .safetensors are read here, from the bytes that were handed in, so the student's code has no say in them.
        .pt and .pth are opened in the student's process, and what crosses is its answer like any other.
        """
        data = self._handed_in(file, (".npy", *SUFFIXES))
        try:
            if file.endswith(".npy"):
                raw, transposed = read_npy(data)
                return values.tensor(raw, transposed=transposed)
            if file.endswith(".safetensors"):
                return {name: values.tensor(raw) for name, raw in read_safetensors(data).items()}
        except DataFileError as error:
            raise Failed(f"{file} cannot be read: {error}.") from None
        return self._line.ask("read", file=file)

    def _handed_in(self, file: str, suffixes: tuple[str, ...]) -> memoryview:
        if PurePosixPath(file).suffix not in suffixes:
            raise ValueError(f"{file!r} is not read; accepted: {', '.join(suffixes)}")
        data = self._line.file(file)
        if data is None:
            raise Failed(messages.MISSING_FILE.format(file=file))
        return data


class Trial:
    """One check's comparisons. `generator` is seeded from the run's seed and the check's id, so a rerun draws the same inputs. Where
    a check declares `seeds`, it is called with one trial for each, `draw` 0, 1, …; the first is as if it declared none.

    `smoke`: this is the short run on a processor before the one on a GPU. Look only whether the code would run there: shapes, two steps.
    """

    def __init__(self, *, seed: int, check_id: str, smoke: bool = False, draw: int = 0) -> None:
        digest = hashlib.sha256((f"{seed}:{check_id}:{draw}" if draw else f"{seed}:{check_id}").encode()).digest()
        self.seed = int.from_bytes(digest[:7])
        self.generator = torch.Generator().manual_seed(self.seed)
        self.smoke = smoke
        self.draw = draw
        self.comparisons = 0

    def true(self, condition: object, sentence: str) -> None:
        """Fail with `sentence`, which says what was expected, unless `condition` holds."""
        self.comparisons += 1
        if not isinstance(condition, bool):
            raise TypeError(f"Trial.true wants a bool, got {_kind(condition)}")
        if not condition:
            raise Failed(sentence)

    def equal(self, name: str, actual: Any, expected: Any) -> None:
        """Same type and same value, of dicts the same keys; tensors bit for bit (NaN is never equal)."""
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
            self._same_keys(name, actual, expected)
            for key in expected:
                self.equal(f"{name}[{key!r}]", actual[key], expected[key])
        elif actual != expected:
            raise Failed(f"{name}: expected {_short(expected)}, got {_short(actual)}")

    def close(self, name: str, actual: Any, expected: Any, *, rtol: float = 1e-4, atol: float = 1e-6) -> None:
        """Same shape and dtype, no NaN, and |actual − expected| ≤ atol + rtol·|expected| everywhere.

        `expected`: a tensor, a number (a tensor of one element is a number, and the other way round), or lists, tuples, dicts of them;
        a list or tuple of as many items, a dict of the same keys.
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
            self._same_keys(name, actual, expected)
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

    # What an answer is: the typed value, or a fail that says what came instead. None of these is a comparison.

    def tensor(self, name: str, value: Any, *, shape: Sequence[int | None] | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """The answer as a tensor. `shape`: None in it stands for any size."""
        if not isinstance(value, torch.Tensor):
            raise Failed(f"{name}: expected a tensor{'' if shape is None else f' of shape {_pattern(shape)}'}, got {_kind(value)}")
        fits = shape is None or (
            value.ndim == len(shape) and all(size in (None, actual) for size, actual in zip(shape, value.shape, strict=True))
        )
        if shape is not None and not fits:
            raise Failed(f"{name}: expected shape {_pattern(shape)}, got {_shape(value)}")
        if dtype not in (None, value.dtype):
            raise Failed(f"{name}: expected dtype {str(dtype).removeprefix('torch.')}, got {_dtype(value)}")
        return value

    def number(self, name: str, value: Any) -> float:
        """The answer as a number; a tensor of one element is one."""
        if isinstance(value, torch.Tensor) and value.numel() == 1 and not (value.is_complex() or value.dtype is torch.bool):
            value = value.item()
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise Failed(f"{name}: expected a number, got {_kind(value)}")
        return float(value)

    def text(self, name: str, value: Any) -> str:
        """The answer as a text."""
        if not isinstance(value, str):
            raise Failed(f"{name}: expected a text, got {_kind(value)}")
        return value

    def mapping(self, name: str, value: Any, *keys: str | int) -> dict[Any, Any]:
        """The answer as a dict that has these keys; it may have more."""
        if not isinstance(value, dict):
            raise Failed(f"{name}: expected a dict, got {_kind(value)}")
        self._keys(name, value, dict.fromkeys(keys))
        return value

    def sequence(self, name: str, value: Any, length: int | None = None) -> list[Any] | tuple[Any, ...]:
        """The answer as a list or tuple, of `length` items if that is given."""
        if not isinstance(value, list | tuple):
            raise Failed(f"{name}: expected a list or tuple{'' if length is None else f' of {length}'}, got {_kind(value)}")
        if length not in (None, len(value)):
            raise Failed(f"{name}: expected {length} items, got {len(value)}")
        return value

    def pair(self, name: str, value: Any) -> tuple[Any, Any]:
        """The answer as two things."""
        first, second = self.sequence(name, value, 2)
        return first, second

    def _keys(self, name: str, actual: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
        missing = [repr(key) for key in expected if key not in actual]
        if missing:
            raise Failed(f"{name} has no {', '.join(missing)}")

    def _same_keys(self, name: str, actual: Mapping[Any, Any], expected: Mapping[Any, Any]) -> None:
        self._keys(name, actual, expected)
        more = sorted(_short(key) for key in actual if key not in expected)
        if more:
            rest = f" and {len(more) - MOST_KEYS} more" if len(more) > MOST_KEYS else ""
            raise Failed(f"{name} has keys that are not expected: {', '.join(more[:MOST_KEYS])}{rest}")

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
        if torch.equal(have, want) if exact else torch.allclose(have, want, rtol=rtol, atol=atol):
            return
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


def _pattern(shape: Sequence[int | None]) -> str:
    return str(tuple(shape)).replace("None", "any")


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _number_text(value: torch.Tensor) -> str:
    item = value.item()
    return f"{item:.6g}" if isinstance(item, float) else str(item)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:79] + "…"
