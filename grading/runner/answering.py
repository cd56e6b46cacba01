"""What the student's process does for a request: load, new, call, get, set, argument, load_state, read, outputs, forget."""

import contextlib
import math
import random
import socket
import sys
from typing import Any

import numpy
import torch

from grading.runner import checkpoints, messages, values
from grading.runner.loading import HAND_IN, Modules, Problem
from grading.runner.outputs import hand_over
from grading.runner.protocol import MAX_REQUEST, MAX_REQUEST_HEADER, Frame, Ref, TooLargeError, pack_frame, receive_frame, send_frame


def begin(seed: int, threads: int, gpu_memory_mb: int) -> None:
    """Random numbers and threads of the process's own: those of the warm process are every fork's. And its share of the GPU's memory."""
    _limit_gpu_memory(gpu_memory_mb)
    torch.set_num_threads(threads)
    with contextlib.suppress(RuntimeError):
        torch.set_num_interop_threads(1)
    random.seed(seed)
    numpy.random.seed(seed % 2**32)
    torch.default_generator.manual_seed(seed)  # torch.manual_seed also prepares for devices that are not there


class Answerer:
    def __init__(self, channel: socket.socket, seed: int, threads: int, files: int, gpu_memory_mb: int = 0) -> None:
        self._channel = channel
        self._files = files
        self._objects: dict[int, Any] = {}
        self._arguments: list[Any] = []
        self._modules = Modules()
        begin(seed, threads, gpu_memory_mb)

    def serve(self) -> None:
        send_frame(self._channel, pack_frame({"id": 0, "ready": True}), math.inf)
        while True:
            frame = receive_frame(self._channel, math.inf, max_header=MAX_REQUEST_HEADER, max_payload=MAX_REQUEST)
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
                raise self._modules.raised(error) from None
        except Problem as problem:
            return pack_frame({"id": number, "problem": problem.kind, "message": problem.message[:2000], "builtin": problem.builtin})

    def _do(self, frame: Frame) -> Any:
        header = frame.header
        operation = header["op"]
        if operation == "load":
            return self._modules.load(header, frame.payload)
        if operation == "outputs":
            return hand_over(HAND_IN, self._files, header["patterns"], header["limit"])
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
        if operation in ("load_state", "read"):
            return self._checkpoint(operation, request)
        return self._call(operation, request)

    def _checkpoint(self, operation: str, request: dict[str, Any]) -> Any:
        path = HAND_IN / request["file"]
        try:
            if operation == "read":
                return checkpoints.read(path)
            return checkpoints.load_state(self._objects[request["ref"].number], request["ref"].kind, path)
        except checkpoints.CheckpointError as error:
            raise Problem("missing", str(error)) from None

    def _call(self, operation: str, request: dict[str, Any]) -> Any:
        if "ref" in request:
            function = self._attribute(request["ref"], request["name"], "method")
        else:
            function = self._modules.named(request["name"], "class" if operation == "new" else "function")
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


def _copied(current: Any, value: Any) -> bool:
    same = isinstance(current, torch.Tensor) and isinstance(value, torch.Tensor)
    if same and current.shape == value.shape and current.dtype == value.dtype:
        current.copy_(value)
        return True
    return False


def _limit_gpu_memory(megabytes: int) -> None:
    """Let PyTorch ask for no more than that of the GPU; 0 for all of it. The host watches too, since the student's code may undo this."""
    if megabytes and torch.cuda.is_available():
        whole = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, megabytes * 2**20 / whole), 0)
