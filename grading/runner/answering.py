"""What the student's process does for a request: load, new, call, get, set, argument, forget."""

import builtins
import contextlib
import importlib.util
import math
import os
import random
import socket
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import numpy
import torch

from grading.runner import messages, values
from grading.runner.protocol import Frame, Ref, TooLargeError, pack_frame, receive_frame, send_frame

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


class Answerer:
    def __init__(self, channel: socket.socket, seed: int, threads: int) -> None:
        self._channel = channel
        self._objects: dict[int, Any] = {}
        self._arguments: list[Any] = []
        self._unloadable: dict[str, Problem] = {}
        torch.set_num_threads(threads)
        with contextlib.suppress(RuntimeError):
            torch.set_num_interop_threads(1)
        random.seed(seed)
        numpy.random.seed(seed % 2**32)
        torch.manual_seed(seed)

    def serve(self) -> None:
        send_frame(self._channel, pack_frame({"id": 0, "ready": True}), math.inf)
        while True:
            frame = receive_frame(self._channel, math.inf)
            reply = self._answer(frame)
            for stream in (sys.stdout, sys.stderr):
                with contextlib.suppress(BaseException):
                    stream.flush()
            send_frame(self._channel, reply, math.inf)

    def _answer(self, frame: Frame) -> bytes:
        number = frame.header["id"]
        try:
            try:
                data, payload = values.pack(self._do(frame))
                return pack_frame({"id": number, "value": data}, payload)
            except Problem:
                raise
            except TooLargeError as error:
                raise Problem("large", messages.TOO_LARGE.format(what=error)) from None
            except BaseException as error:  # noqa: BLE001 - SystemExit and KeyboardInterrupt are answers too
                raise _raised(error) from None
        except Problem as problem:
            return pack_frame({"id": number, "problem": problem.kind, "message": problem.message[:2000], "builtin": problem.builtin})

    def _do(self, frame: Frame) -> Any:
        header = frame.header
        operation = header["op"]
        if operation == "load":
            return self._load(header["files"], header["entry"], frame.payload)
        if operation == "forget":
            self._objects.clear()
            self._arguments = []
            return None
        request = values.unpack(header["request"], frame.payload, depth=-2)
        if operation == "argument":
            return self._arguments[request["index"]]
        if operation == "get":
            return self._attribute(request["ref"], request["name"], "attribute")
        if operation == "set":
            return self._set(request["ref"], request["name"], request["value"])
        return self._call(operation, request)

    def _call(self, operation: str, request: dict[str, Any]) -> Any:
        if "ref" in request:
            function = self._attribute(request["ref"], request["name"], "method")
        else:
            function = self._named(request["name"], "class" if operation == "new" else "function")
        self._arguments = [self._resolve(value) for value in request["args"]]
        result = function(*self._arguments, **{name: self._resolve(value) for name, value in request["kwargs"].items()})
        return self._keep(result) if operation == "new" else result

    def _keep(self, value: Any) -> Ref:
        number = len(self._objects) + 1
        self._objects[number] = value
        return Ref(number, type(value).__name__)

    def _resolve(self, value: Any) -> Any:
        return self._objects[value.number] if isinstance(value, Ref) else value

    def _attribute(self, ref: Ref, name: str, kind: str) -> Any:
        owner = self._objects[ref.number]
        if not hasattr(owner, name):
            raise Problem("missing", messages.NO_ATTRIBUTE.format(owner=ref.kind, kind=kind, name=name))
        return getattr(owner, name)

    def _set(self, ref: Ref, name: str, value: Any) -> None:
        owner = self._objects[ref.number]
        current = getattr(owner, name, None)
        with torch.no_grad():
            if isinstance(current, dict) and isinstance(value, dict):
                for key, item in value.items():
                    if not _copied(current.get(key), item):
                        current[key] = item
            elif not _copied(current, value):
                setattr(owner, name, value)

    def _named(self, name: str, kind: str) -> Any:
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

    def _load(self, files: list[tuple[str, int]], entry: list[str], payload: memoryview) -> dict[str, list[str]]:
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


def _copied(current: Any, value: Any) -> bool:
    same = isinstance(current, torch.Tensor) and isinstance(value, torch.Tensor)
    if same and current.shape == value.shape and current.dtype == value.dtype:
        current.copy_(value)
        return True
    return False


def _file(module: str) -> str:
    return module.replace(".", "/") + ".py"


def _builtin(error: BaseException) -> str:
    return next((cls.__name__ for cls in type(error).__mro__ if _BUILTIN.get(cls.__name__) is cls), "Exception")


def _is_memory(error: BaseException) -> bool:
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error))


def _raised(error: BaseException) -> Problem:
    if _is_memory(error):
        return Problem("memory", "")
    return Problem("raised", _described(error), _builtin(error))


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
