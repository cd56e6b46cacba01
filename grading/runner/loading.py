"""What of a hand-in is loaded in the student's process, and what is said where that does not work."""

import builtins
import importlib.util
import os
import sys
import traceback
import types
from pathlib import Path
from typing import Any

from grading.runner import messages

HAND_IN = Path("/tmp/handin")  # noqa: S108 - inside the sandbox
_BUILTIN = {name: cls for name, cls in vars(builtins).items() if isinstance(cls, type) and issubclass(cls, BaseException)}
_TEXT = 600  # characters of an exception's message that are passed on


class Problem(Exception):  # noqa: N818 - a reply, not an error
    """A reply other than a value. `kind`: raised, missing, load, memory, large."""

    def __init__(self, kind: str, message: str, builtin: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.builtin = builtin


class Modules:
    """The hand-in's modules, by the names that a homework's checks call them."""

    def __init__(self) -> None:
        self._unloadable: dict[str, Problem] = {}

    def load(self, files: list[tuple[str, int]], entry: list[str], payload: memoryview) -> dict[str, list[str]]:
        """Write the hand-in into the scratch space and import its entry modules. {module: [why it does not load, builtin exception]}"""
        at = 0
        for name, size in files:
            path = HAND_IN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(payload[at : at + size])
            at += size
        HAND_IN.mkdir(exist_ok=True)
        os.chdir(HAND_IN)
        sys.path.insert(0, str(HAND_IN))
        sys.argv = [""]
        for file in entry:
            name = file.removesuffix(".py").replace("/", ".")
            try:
                self._import(name)
            except Problem as problem:
                if problem.kind == "memory":
                    raise
        return {name: [problem.message, problem.builtin] for name, problem in self._unloadable.items()}

    def named(self, name: str, kind: str) -> Any:
        """What "module.name" is; `kind` (class, function) is for the message when there is none."""
        module_name, _, attribute = name.rpartition(".")
        module = self._module(module_name)
        if not hasattr(module, attribute):
            raise Problem("missing", messages.NO_NAME.format(file=_file(module_name), kind=kind, name=attribute))
        return getattr(module, attribute)

    def _module(self, name: str) -> types.ModuleType:
        if name in self._unloadable:
            raise self._unloadable[name]
        loaded = sys.modules.get(name)
        if loaded is None or not str(getattr(loaded, "__file__", "")).startswith(str(HAND_IN)):
            loaded = self._import(name)
        return loaded

    def _import(self, name: str) -> types.ModuleType:
        path = HAND_IN / _file(name)
        try:
            if not path.is_file():
                raise Problem("load", messages.MISSING_FILE.format(file=_file(name)))
            spec = importlib.util.spec_from_file_location(name, path)
            assert spec is not None
            assert spec.loader is not None
            module = importlib.util.module_from_spec(spec)
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException as error:  # noqa: BLE001 - whatever an import raises is an answer
                sys.modules.pop(name, None)
                raise _unloadable(_file(name), error) from None
        except Problem as problem:
            self._unloadable[name] = problem
            raise
        return module


def raised(error: BaseException) -> Problem:
    """What is said of an exception in the student's code."""
    if _is_memory(error):
        return Problem("memory", "")
    return Problem("raised", _described(error), _builtin(error))


def _file(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _builtin(error: BaseException) -> str:
    return next((cls.__name__ for cls in type(error).__mro__ if _BUILTIN.get(cls.__name__) is cls), "Exception")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _unloadable(file: str, error: BaseException) -> Problem:
    if _is_memory(error):
        return Problem("memory", "")
    if isinstance(error, SyntaxError) and error.filename and str(error.filename).startswith(str(HAND_IN)):
        at = Path(error.filename).relative_to(HAND_IN)
        text = messages.SYNTAX.format(file=at, line=error.lineno, what=error.msg)
    elif isinstance(error, ModuleNotFoundError) and error.name:
        text = messages.MISSING_MODULE.format(file=file, module=error.name)
    else:
        text = messages.IMPORT_FAILED.format(file=file, what=_described(error))
    return Problem("load", text, _builtin(error))


def _described(error: BaseException) -> str:
    """ "ValueError: … in mlp.py line 40": the last frame in a file of the hand-in."""
    text = f"{type(error).__name__}: {str(error)[:_TEXT]}".removesuffix(": ")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(f"{HAND_IN}/"):
            return f"{text} (in {Path(frame.filename).relative_to(HAND_IN)} line {frame.lineno})"
    return text
