"""Frames between the checker, the student's process and the host: never pickle, and nothing is believed.

A frame is `u32 header length, u32 payload length` (little endian), a JSON header, and the raw bytes of the tensors it names, in order.
The student's interpreter belongs to the student, so whatever it writes is an answer at best: lengths, JSON, dtypes, shapes and sizes are
checked here, and anything else raises ProtocolError, which ends that process. Plain Python: tensors are `RawTensor` on this level.
"""

import json
import math
import select
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

MAX_HEADER = 64 * 1024
MAX_PAYLOAD = 64 * 2**20
# On the way to the student's process, which has nothing to fear from the checker: a hand-in, or an answer that is handed back and takes
# more bytes than it came in.
MAX_REQUEST_HEADER = 2**20
MAX_REQUEST = 256 * 2**20
MAX_RANK = 8
MAX_DEPTH = 4
MAX_ELEMENTS = 2**31

ITEM_SIZES: Mapping[str, int] = {
    "bool": 1,
    "uint8": 1,
    "int8": 1,
    "int16": 2,
    "int32": 4,
    "int64": 8,
    "float16": 2,
    "bfloat16": 2,
    "float32": 4,
    "float64": 8,
    "complex64": 8,
    "complex128": 16,
}

_PREFIX = struct.Struct("<II")
_ENCODER = json.JSONEncoder(separators=(",", ":"))


class ProtocolError(Exception):
    """The other side broke the protocol; the text says how, for staff."""


class Closed(ProtocolError):  # noqa: N818 - an event, not an error of the reader
    """The other side has gone."""


class DeadlineError(Exception):
    """No whole frame before the deadline."""


class TooLargeError(ValueError):
    """A value of ours does not fit a frame, or is of a kind that does not cross."""


@dataclass(frozen=True)
class RawTensor:
    """A dense tensor's bytes, row-major and little endian."""

    dtype: str
    shape: tuple[int, ...]
    data: bytes | memoryview


@dataclass(frozen=True)
class Ref:
    """An object that stays in the student's process."""

    number: int
    kind: str


@dataclass(frozen=True)
class Foreign:
    """A value of a kind that does not cross; only its type's name does."""

    kind: str


@dataclass(frozen=True)
class Frame:
    header: dict[str, Any]
    payload: memoryview


class FrameBuffer:
    """Frames out of a stream that is read piece by piece."""

    def __init__(self, *, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> None:
        self._buffer = bytearray()
        self._max_header = max_header
        self._max_payload = max_payload

    @property
    def pending(self) -> int:
        """Bytes of a frame that is not whole yet."""
        return len(self._buffer)

    def feed(self, piece: bytes) -> None:
        self._buffer += piece

    def __iter__(self) -> Iterator[Frame]:
        """The whole frames so far, each once."""
        while len(self._buffer) >= _PREFIX.size:
            header_length, payload_length = _lengths(self._buffer, self._max_header, self._max_payload)
            middle, end = _PREFIX.size + header_length, _PREFIX.size + header_length + payload_length
            if len(self._buffer) < end:
                return
            frame = Frame(parse_header(self._buffer[_PREFIX.size : middle]), memoryview(bytes(self._buffer[middle:end])))
            del self._buffer[:end]
            yield frame


def plain(text: str) -> str:
    """The text without what a database refuses: lone surrogates and NUL."""
    return text.encode(errors="replace").decode().replace("\0", "\ufffd")


def pack_frame(header: Mapping[str, Any], payload: bytes = b"", *, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> bytes:
    text = _ENCODER.encode(header).encode()
    if len(text) > max_header:
        raise TooLargeError(f"a header of {len(text)} bytes; at most {max_header} can cross")
    if len(payload) > max_payload:
        raise TooLargeError(f"{len(payload)} bytes of tensors; at most {max_payload} can cross")
    return _PREFIX.pack(len(text), len(payload)) + text + payload


def parse_header(data: bytes | bytearray) -> dict[str, Any]:
    try:
        header = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ProtocolError("a header that is not JSON") from error
    if not isinstance(header, dict):
        raise ProtocolError("a header that is not an object")
    return header


def _lengths(prefix: bytes | bytearray, max_header: int, max_payload: int) -> tuple[int, int]:
    header_length, payload_length = _PREFIX.unpack_from(prefix)
    if not 2 <= header_length <= max_header:
        raise ProtocolError(f"a header of {header_length} bytes; at most {max_header} are accepted")
    if payload_length > max_payload:
        raise ProtocolError(f"a payload of {payload_length} bytes; at most {max_payload} are accepted")
    return header_length, payload_length


def send_frame(connection: socket.socket, frame: bytes | memoryview, deadline: float) -> None:
    """Send within `deadline` (time.monotonic). The socket is non-blocking."""
    view = memoryview(frame)
    while view:
        try:
            view = view[connection.send(view, socket.MSG_NOSIGNAL) :]
        except BlockingIOError:
            _wait(connection, select.POLLOUT, deadline)
        except OSError as error:
            raise Closed("the connection is closed") from error


def has_input(connection: socket.socket) -> bool:
    """Whether bytes wait that nobody has asked for. The socket is non-blocking."""
    try:
        return bool(connection.recv(1, socket.MSG_PEEK))
    except OSError:
        return False


def receive_frame(connection: socket.socket, deadline: float, *, max_header: int = MAX_HEADER, max_payload: int = MAX_PAYLOAD) -> Frame:
    """One whole frame within `deadline` (time.monotonic), and not a byte more than that. The socket is non-blocking."""
    header_length, payload_length = _lengths(_receive(connection, _PREFIX.size, deadline), max_header, max_payload)
    header = parse_header(_receive(connection, header_length, deadline))
    return Frame(header, memoryview(_receive(connection, payload_length, deadline)))


def _receive(connection: socket.socket, length: int, deadline: float) -> bytearray:
    buffer = bytearray()
    while len(buffer) < length:
        try:
            piece = connection.recv(min(length - len(buffer), 2**20))
        except BlockingIOError:
            _wait(connection, select.POLLIN, deadline)
            continue
        except OSError as error:
            raise Closed("the connection is closed") from error
        if not piece:
            raise Closed("the connection is closed")
        buffer += piece
        if time.monotonic() > deadline:
            raise DeadlineError
    return buffer


def _wait(connection: socket.socket, events: int, deadline: float) -> None:
    left = deadline - time.monotonic()
    poll = select.poll()
    poll.register(connection, events)
    if left <= 0 or not poll.poll(None if math.isinf(left) else left * 1000):
        raise DeadlineError


def encode(value: Any, payload: list[bytes | memoryview], depth: int = 0) -> Any:
    """`value` as JSON; the bytes of its RawTensors are appended to `payload`. TooLargeError for what may not cross."""
    if value is None or isinstance(value, bool | float | str):
        return value
    if isinstance(value, int):
        if not -(2**63) <= value < 2**63:
            raise TooLargeError("an integer of more than 64 bits")
        return value
    if isinstance(value, RawTensor):
        payload.append(value.data)
        return {"tensor": [value.dtype, list(value.shape)]}
    if isinstance(value, Ref):
        return {"ref": [value.number, value.kind]}
    if isinstance(value, Foreign):
        return {"foreign": value.kind}
    if depth >= MAX_DEPTH:
        raise TooLargeError(f"lists and dicts more than {MAX_DEPTH} deep")
    if isinstance(value, list | tuple):
        return {"list" if isinstance(value, list) else "tuple": [encode(item, payload, depth + 1) for item in value]}
    if isinstance(value, dict):
        for key in value:
            if not isinstance(key, str | int):
                raise TooLargeError(f"a dict with a key of type {type(key).__name__}")
        return {"dict": [[key, encode(item, payload, depth + 1)] for key, item in value.items()]}
    raise TooLargeError(f"a {type(value).__name__}")


def decode(data: Any, payload: memoryview, depth: int = 0) -> Any:
    """The value that `encode` made; RawTensors are views of `payload`, all of which must be used. ProtocolError for anything else."""
    reader = _Reader(payload)
    value = reader.value(data, depth)
    if reader.at != len(payload):
        raise ProtocolError("bytes that belong to no tensor")
    return value


class _Reader:
    def __init__(self, payload: memoryview) -> None:
        self.payload = payload
        self.at = 0

    def value(self, data: Any, depth: int) -> Any:
        if data is None or isinstance(data, bool | float):
            return data
        if isinstance(data, str):
            return plain(data)
        if isinstance(data, int):
            if not -(2**63) <= data < 2**63:
                raise ProtocolError("an integer of more than 64 bits")
            return data
        if not isinstance(data, dict) or len(data) != 1:
            raise ProtocolError("a value of no known form")
        ((form, body),) = data.items()
        if form == "tensor":
            return self._tensor(body)
        if form == "ref":
            if not _is_pair(body) or type(body[0]) is not int or not isinstance(body[1], str):
                raise ProtocolError("a malformed reference")
            return Ref(body[0], plain(body[1][:100]))
        if form == "foreign":
            if not isinstance(body, str):
                raise ProtocolError("a malformed type name")
            return Foreign(plain(body[:100]))
        if depth >= MAX_DEPTH or not isinstance(body, list):
            raise ProtocolError("a malformed or too deep container")
        if form == "list":
            return [self.value(item, depth + 1) for item in body]
        if form == "tuple":
            return tuple(self.value(item, depth + 1) for item in body)
        if form == "dict":
            pairs: dict[str | int, Any] = {}
            for pair in body:
                if not _is_pair(pair) or not isinstance(pair[0], str | int):
                    raise ProtocolError("a malformed dict")
                key = self.value(pair[0], depth + 1)
                if key in pairs:
                    raise ProtocolError("a malformed dict")
                pairs[key] = self.value(pair[1], depth + 1)
            return pairs
        raise ProtocolError("a value of no known form")

    def _tensor(self, body: Any) -> RawTensor:
        if not _is_pair(body) or not isinstance(body[0], str) or body[0] not in ITEM_SIZES:
            raise ProtocolError("a tensor of no accepted dtype")
        dtype, shape = body
        if not isinstance(shape, list) or len(shape) > MAX_RANK or not all(type(size) is int and size >= 0 for size in shape):
            raise ProtocolError("a tensor with a malformed shape")
        # A zero hides the other sizes from the byte count, but not from the strides that are computed of them.
        if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
            raise ProtocolError("a tensor with too many elements")
        end = self.at + math.prod(shape) * ITEM_SIZES[dtype]
        if end > len(self.payload):
            raise ProtocolError("a tensor larger than its bytes")
        tensor = RawTensor(dtype, tuple(shape), self.payload[self.at : end])
        self.at = end
        return tensor


def _is_pair(body: Any) -> bool:
    return isinstance(body, list) and len(body) == 2
