"""What of a hand-in is loaded in the student's process, and what is said where that does not work."""

import builtins
import importlib.util
import os
import sys
import traceback
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from grading.runner import gpu_memory, messages, notebook
from grading.runner.entry import NOTEBOOK, NotebookMode, module_name
from grading.runner.notebook import Left, UnreadableError

HAND_IN = Path("/tmp/handin")  # noqa: S108 - inside the sandbox
_BUILTIN = {name: cls for name, cls in vars(builtins).items() if isinstance(cls, type) and issubclass(cls, BaseException)}
_TEXT = 600  # characters of an exception's message that are passed on


class Problem(Exception):  # noqa: N818 - a reply, not an error
    """A reply other than a value. `kind`: raised, missing, load, memory, gpu_memory, large."""

    def __init__(self, kind: str, message: str, builtin: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.builtin = builtin


class Modules:
    """The hand-in's modules, by the names that a homework's checks call them."""

    def __init__(self) -> None:
        self._files: dict[str, str] = {}  # by module name, of the entry
        self._unloadable: dict[str, Problem] = {}
        self._left: dict[str, dict[str, Left]] = {}  # of notebooks, by module and name
        self._mode: NotebookMode = "definitions"
        self._prelude: tuple[str, str] | None = None  # name and source

    def load(self, header: Mapping[str, Any], payload: memoryview) -> dict[str, list[str]]:
        """Write the hand-in into the scratch space and import its entry modules. {module: [why it does not load, builtin exception]}"""
        at = 0
        for name, size in header["files"]:
            path = HAND_IN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(payload[at : at + size])
            at += size
        self._mode = header["mode"]
        if header["prelude"]:
            self._prelude = (header["prelude"], bytes(payload[at:]).decode("utf-8-sig"))
        HAND_IN.mkdir(exist_ok=True)
        os.chdir(HAND_IN)
        sys.path.insert(0, str(HAND_IN))
        sys.argv = [""]
        self._files = {module_name(file): file for file in header["entry"]}
        for name in self._files:
            try:
                self._import(name)
            except Problem as problem:
                if problem.kind in ("memory", "gpu_memory"):
                    raise
        return {name: [problem.message, problem.builtin] for name, problem in self._unloadable.items()}

    def named(self, name: str, kind: str) -> Any:
        """What "module.name" is; `kind` (class, function) is for the message when there is none."""
        module_name, _, attribute = name.rpartition(".")
        module = self._module(module_name)
        if not hasattr(module, attribute):
            text = messages.NO_NAME.format(file=self._file(module_name), kind=kind, name=attribute)
            raise Problem("missing", text + _left_out(self._left.get(module_name, {}).get(attribute)))
        return getattr(module, attribute)

    def raised(self, error: BaseException) -> Problem:
        """What is said of an exception in the student's code."""
        if problem := _memory_problem(error):
            return problem
        text = _described(error)
        if type(error) is NameError and error.name:  # and not of a local variable
            found = [left[error.name] for left in self._left.values() if error.name in left]
            text += f".{_left_out(found[0])}" if found else ""
        return Problem("raised", text, _builtin(error))

    def _file(self, module: str) -> str:
        """The file of a module, also of one that is not loaded before the first check."""
        plain = module.replace(".", "/")
        found = next((plain + ending for ending in (".py", NOTEBOOK) if (HAND_IN / (plain + ending)).is_file()), f"{plain}.py")
        return self._files.get(module, found)

    def _module(self, name: str) -> types.ModuleType:
        if name in self._unloadable:
            raise self._unloadable[name]
        loaded = sys.modules.get(name)
        if loaded is None or not str(getattr(loaded, "__file__", "")).startswith(str(HAND_IN)):
            loaded = self._import(name)
        return loaded

    def _import(self, name: str) -> types.ModuleType:
        file = self._file(name)
        path = HAND_IN / file
        try:
            if not path.is_file():
                raise Problem("load", messages.MISSING_FILE.format(file=file))
            try:
                return self._run_notebook(name, path) if file.endswith(NOTEBOOK) else _run_file(name, path)
            except Problem:
                raise
            except UnreadableError as error:
                raise Problem("load", str(error), "ValueError") from None
            except BaseException as error:  # noqa: BLE001 - whatever an import raises is an answer
                sys.modules.pop(name, None)
                raise _unloadable(file, error) from None
        except Problem as problem:
            self._unloadable[name] = problem
            raise

    def _run_notebook(self, name: str, path: Path) -> types.ModuleType:
        cells = notebook.read(path)
        module = types.ModuleType("__main__" if self._mode == "run-all" else name)
        module.__file__ = str(path)
        sys.modules[name] = sys.modules["__main__"] = module  # what was pickled in a notebook is of __main__
        notebook.stand_in(module)
        execution = notebook.Execution(module, self._mode)
        if self._prelude:
            self._run_prelude(execution, path.name, *self._prelude)
        try:
            execution.run(cells)
        finally:
            self._left[name] = {bound: left for left in execution.left for bound in left.names}
            if report := notebook.report(path.name, self._mode, execution.left):
                print(report)
        return module

    def _run_prelude(self, execution: notebook.Execution, file: str, prelude: str, source: str) -> None:
        try:
            execution.prelude(prelude, source)
        except BaseException as error:  # noqa: BLE001 - instructor's code
            what = _described(error)
            raise Problem("load", messages.PRELUDE_FAILED.format(prelude=prelude, file=file, what=what), _builtin(error)) from None


def _run_file(name: str, path: Path) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _left_out(left: Left | None) -> str:
    if left is None:
        return ""
    return messages.LEFT_OUT.format(place=left.place, why=f" ({left.why[:_TEXT]})" if left.why else "")


def _builtin(error: BaseException) -> str:
    return next((cls.__name__ for cls in type(error).__mro__ if _BUILTIN.get(cls.__name__) is cls), "Exception")


def is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _memory_problem(error: BaseException) -> Problem | None:
    if gpu_memory.ran_out(error):
        return Problem("gpu_memory", _described(error))
    return Problem("memory", "") if is_memory(error) else None


def _unloadable(file: str, error: BaseException) -> Problem:
    if problem := _memory_problem(error):
        return problem
    failed = messages.CELL_FAILED if file.endswith(NOTEBOOK) else messages.IMPORT_FAILED
    return Problem("load", described_failure(file, error, failed), _builtin(error))


def described_failure(file: str, error: BaseException, failed: str) -> str:
    """Why a file of the hand-in does not run to its end; `failed` is the sentence for what its own code raises."""
    if isinstance(error, SyntaxError) and error.filename and str(error.filename).startswith(str(HAND_IN)):
        name, cell = _split(error.filename)
        if cell:
            return messages.CELL_SYNTAX.format(file=name, place=f"{cell}, line {error.lineno}", what=error.msg)
        return messages.SYNTAX.format(file=name, line=error.lineno, what=error.msg)
    if isinstance(error, ModuleNotFoundError) and error.name:
        return messages.MISSING_MODULE.format(file=file, module=error.name)
    return failed.format(file=file, what=_described(error))


def _described(error: BaseException) -> str:
    """ "ValueError: … (in mlp.py line 40)": the last frame in a file of the hand-in."""
    text = f"{type(error).__name__}: {str(error)[:_TEXT]}".removesuffix(": ")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename.startswith(f"{HAND_IN}/"):
            name, cell = _split(frame.filename)
            return f"{text} (in {name}, {cell}, line {frame.lineno})" if cell else f"{text} (in {name} line {frame.lineno})"
    return text


def _split(filename: str) -> tuple[str, str]:
    """The file of the hand-in, and the cell where it is a notebook."""
    name, _, cell = str(Path(filename).relative_to(HAND_IN)).partition(f"{NOTEBOOK}, ")
    return (f"{name}{NOTEBOOK}", cell) if cell else (name, "")
