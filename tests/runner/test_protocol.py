import math
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.runner.protocol import (
    ITEM_SIZES,
    MAX_DEPTH,
    Closed,
    DeadlineError,
    Foreign,
    FrameBuffer,
    ProtocolError,
    RawTensor,
    Ref,
    TooLargeError,
    decode,
    encode,
    pack_frame,
    plain,
    receive_frame,
    send_frame,
)

SOON = 0.2


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


@st.composite
def tensors(draw: st.DrawFn) -> RawTensor:
    dtype = draw(st.sampled_from(sorted(ITEM_SIZES)))
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    size = math.prod(shape) * ITEM_SIZES[dtype]
    return RawTensor(dtype, shape, draw(st.binary(min_size=size, max_size=size)))


texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False),
    texts,
    tensors(),
    st.builds(Ref, st.integers(0, 9), texts),
    st.builds(Foreign, texts),
)


def nested(depth: int) -> st.SearchStrategy[object]:
    if depth == 0:
        return leaves
    inner = nested(depth - 1)
    keys = st.one_of(texts, st.integers(-5, 5))
    return st.one_of(
        leaves,
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(keys, inner, max_size=3),
    )


def through_the_wire(value: object) -> object:
    payload: list[bytes | memoryview] = []
    header = {"id": 1, "value": encode(value, payload)}
    buffer = FrameBuffer()
    buffer.feed(pack_frame(header, b"".join(payload)))
    (frame,) = buffer
    return decode(frame.header["value"], frame.payload)


@given(nested(2))
def test_values_arrive_as_they_were_sent(value: object) -> None:
    assert through_the_wire(value) == value


@given(st.binary(max_size=400))
def test_any_bytes_give_frames_or_a_protocol_error(data: bytes) -> None:
    buffer = FrameBuffer(max_header=64, max_payload=64)
    buffer.feed(data)
    taken = 0
    try:
        for frame in buffer:
            taken += 8 + len(frame.payload)  # the two lengths, and what they announced
            decode(frame.header.get("value"), frame.payload)
    except ProtocolError:
        return
    assert taken <= len(data)


json_values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=8),
        st.sampled_from(["float32", "bool", "tensor", "ref", "list"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["tensor", "list", "tuple", "dict", "ref", "foreign", "other"]), inner, max_size=2),
    ),
    max_leaves=12,
)


@given(json_values, st.binary(max_size=64))
def test_any_json_gives_a_value_or_a_protocol_error(data: object, payload: bytes) -> None:
    try:
        value = decode(data, memoryview(payload))
    except ProtocolError:
        return
    assert sum(len(raw.data) for raw in raw_tensors(value)) == len(payload)


def raw_tensors(value: object) -> list[RawTensor]:
    if isinstance(value, RawTensor):
        return [value]
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [raw for item in items for raw in raw_tensors(item)]


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (["float32", [2]], b"1234"),  # fewer bytes than the shape needs
        (["float32", [1]], b"12345678"),  # more
        (["float32", [-1]], b""),
        (["float32", [1.0]], b"1234"),
        (["float32", [True]], b"1234"),
        (["float32", [1] * 9], b"1234"),
        (["float32", [0, 2**40]], b""),
        (["float32", "ab"], b""),
        (["object", [1]], b"12345678"),
        ([["float32"], [1]], b"1234"),
        ("float32", b""),
        ([2**31, [1]], b"1234"),
    ],
)
def test_a_lying_tensor_is_refused(body: object, payload: bytes) -> None:
    with pytest.raises(ProtocolError):
        decode({"tensor": body}, memoryview(payload))


def test_containers_cross_to_depth_four_and_no_deeper() -> None:
    value: object = 1
    for _ in range(MAX_DEPTH):
        value = [value]
    assert through_the_wire(value) == value
    with pytest.raises(TooLargeError):
        encode([value], [])
    data: object = 1
    for _ in range(MAX_DEPTH + 1):
        data = {"list": [data]}
    with pytest.raises(ProtocolError):
        decode(data, memoryview(b""))


def test_what_does_not_cross_is_named() -> None:
    with pytest.raises(TooLargeError, match="a object"):
        encode(object(), [])
    with pytest.raises(TooLargeError, match="64 bits"):
        encode(2**70, [])
    with pytest.raises(TooLargeError, match="key of type tuple"):
        encode({(1, 2): 3}, [])


def test_text_that_a_database_refuses_is_made_plain() -> None:
    assert plain("a\0b\ud800c") == "a\ufffdb?c"
    assert decode({"dict": [["\ud800", "\0"]]}, memoryview(b"")) == {"?": "\ufffd"}


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<II", 2**31, 0),
        struct.pack("<II", 2, 2**31) + b"{}",
        struct.pack("<II", 1, 0) + b"{",
        struct.pack("<II", 4, 0) + b"null",
        struct.pack("<II", 60000, 0) + b"[" * 60000,
        struct.pack("<II", 4, 0) + b"\xff\xfe{}",
        struct.pack("<II", 5008, 0) + b'{"id": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_malformed_frame_is_a_protocol_error(pair: tuple[socket.socket, socket.socket], data: bytes) -> None:
    ours, theirs = pair
    theirs.sendall(data)
    with pytest.raises(ProtocolError):
        receive_frame(ours, time.monotonic() + SOON)


def test_a_frame_that_never_ends_meets_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(pack_frame({"id": 1}, b"12345678")[:-1])
    with pytest.raises(DeadlineError):
        receive_frame(ours, time.monotonic() + SOON)


def test_a_frame_that_drips_meets_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    stop = threading.Event()

    def drip() -> None:
        theirs.sendall(struct.pack("<II", 60000, 0))
        while not stop.wait(0.01):
            theirs.sendall(b" ")

    thread = threading.Thread(target=drip)
    thread.start()
    start = time.monotonic()
    with pytest.raises(DeadlineError):
        receive_frame(ours, start + SOON)
    assert time.monotonic() - start < 60  # and it drips on until it is told to stop
    stop.set()
    thread.join()


def test_a_closed_connection_is_told_apart(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.close()
    with pytest.raises(Closed):
        receive_frame(ours, time.monotonic() + SOON)
    with pytest.raises(Closed):
        send_frame(ours, pack_frame({"id": 1}), time.monotonic() + SOON)


def test_a_reader_that_does_not_read_meets_the_deadline(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, _theirs = pair
    with pytest.raises(DeadlineError):
        send_frame(ours, pack_frame({"id": 1}, b"x" * 2**22), time.monotonic() + SOON)


def test_one_frame_is_read_and_not_a_byte_more(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    theirs.sendall(pack_frame({"id": 1}, b"ab") + pack_frame({"id": 2}))
    first = receive_frame(ours, time.monotonic() + SOON)
    assert (first.header, bytes(first.payload)) == ({"id": 1}, b"ab")
    assert receive_frame(ours, time.monotonic() + SOON).header == {"id": 2}
