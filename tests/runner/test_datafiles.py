"""Data files as the checker reads them: what NumPy and safetensors write, and everything else refused with its reason."""

import json
import math
import struct
import time
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading.runner.datafiles import DataFileError, read_npy, read_safetensors
from grading.runner.protocol import ITEM_SIZES, MAX_ELEMENTS, MAX_PAYLOAD, MAX_RANK, RawTensor


def npy(header: str, data: bytes = b"", *, version: int = 1) -> bytes:
    size = struct.pack("<H" if version == 1 else "<I", len(header.encode()))
    return b"\x93NUMPY" + bytes([version, 0]) + size + header.encode() + data


def plain_npy(descr: str = "<f4", shape: str = "(2,)", data: bytes = b"12345678", *, fortran: bool = False) -> bytes:
    return npy(f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}          \n", data)


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str = "F32", shape: tuple[object, ...] = (2,), offsets: tuple[object, ...] = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("data", "tensor", "turned"),
    [
        (plain_npy(), RawTensor("float32", (2,), b"12345678"), False),
        (plain_npy("<i8", "()"), RawTensor("int64", (), b"12345678"), False),
        (plain_npy("|b1", "(2, 1, 4)"), RawTensor("bool", (2, 1, 4), b"12345678"), False),
        (plain_npy("<f2", "(4, 1)", fortran=True), RawTensor("float16", (1, 4), b"12345678"), True),
        (plain_npy("<f8", "(0, 3)", b""), RawTensor("float64", (0, 3), b""), False),
        (
            npy('{"shape":(1,),"descr":"<c8","fortran_order":False}', b"12345678", version=3),
            RawTensor("complex64", (1,), b"12345678"),
            False,
        ),
    ],
)
def test_an_array_is_read_as_numpy_writes_it(data: bytes, tensor: RawTensor, turned: bool) -> None:
    assert read_npy(data) == (tensor, turned)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not a NumPy file"),
        (b"\x93NUMPY\x01\x00", "not a NumPy file"),
        (b"PK\x03\x04" + bytes(40), "not a NumPy file"),
        (npy("{}", version=9), "version 9"),
        (b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**31) + b"{", "2147483648 bytes"),
        (npy("{}"), "not that of a plain array"),
        (npy("__import__('os').system('id')"), "not that of a plain array"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }"), "records and pickled objects"),
        (npy("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,), }"), "not that of a plain array"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1 1), }"), "not that of a plain array"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }"), "not that of a plain array"),
        (npy("{'descr': '<f4', 'fortran_order': 1, 'shape': (1,), }"), "not that of a plain array"),
        (plain_npy("|O"), "Python objects"),
        (plain_npy(">f4"), "the dtype >f4; accepted: bool, uint8"),
        (plain_npy("<U4"), "the dtype <U4"),
        (plain_npy(shape="(3,)"), "takes 12 bytes, and there are 8"),
        (plain_npy(shape="(1,)"), "takes 4 bytes, and there are 8"),
        (plain_npy(shape=f"({'1, ' * (MAX_RANK + 1)})"), f"{MAX_RANK + 1} dimensions"),
        (plain_npy(shape=f"(0, {MAX_ELEMENTS + 1})", data=b""), f"at most {MAX_ELEMENTS} elements"),
        (bytes(MAX_PAYLOAD + 1), "at most 64 MB"),
    ],
)
def test_any_other_array_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(DataFileError) as refused:
        read_npy(data)
    assert why in str(refused.value)


def test_a_header_made_to_be_slow_is_refused_at_once() -> None:
    start = time.thread_time()
    for inner in ("1" * 9000, "1," * 4500, " " * 9000, "1 " * 4500, "'descr': " * 1000):
        for header in (f"{{'shape': ({inner}", f"{{'shape': ({inner}), 'x'", f"{{{inner}"):
            with pytest.raises(DataFileError):
                read_npy(npy(header))
    assert time.thread_time() - start < 1


def test_tensors_are_read_as_safetensors_writes_them() -> None:
    header = {"__metadata__": {"format": "pt"}, "b": entry("BF16", (2,), (8, 12)), "a": entry(), "none": entry("I64", (0, 4), (8, 8))}
    assert read_safetensors(safetensors(header, b"12345678abcd")) == {
        "b": RawTensor("bfloat16", (2,), b"abcd"),
        "a": RawTensor("float32", (2,), b"12345678"),
        "none": RawTensor("int64", (0, 4), b""),
    }
    assert read_safetensors(safetensors({})) == {}


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"1234567", "not a safetensors file"),
        (struct.pack("<Q", 2**63) + b"{}", "9223372036854775808 bytes"),
        (struct.pack("<Q", 10) + b"{}", "no more than there are"),
        (safetensors(b"[" * 500_000), "not JSON"),
        (safetensors(b'{"a": 1, "a": 1}'), "each name once"),
        (safetensors(b"\xff\xff"), "not JSON"),
        (safetensors([]), "not a JSON object"),
        (safetensors({"a": 1}), "not that of safetensors"),
        (safetensors({"a": entry() | {"more": 1}}, b"12345678"), "not that of safetensors"),
        (safetensors({"a": entry(shape=(True,))}, b"12345678"), "not that of safetensors"),
        (safetensors({"a": entry(offsets=(0, 8.0))}, b"12345678"), "not that of safetensors"),
        (safetensors({"a": entry(offsets=(0, 2**70))}, b"12345678"), "not that of safetensors"),
        (safetensors({"a": entry("F8_E4M3", (8,))}, b"12345678"), "the dtype F8_E4M3; accepted: bool"),
        (safetensors({"a": entry()}, b"1234567"), "do not follow"),
        (safetensors({"a": entry()}, b"123456789"), "belong to no tensor"),
        (safetensors({"a": entry(offsets=(8, 0))}, b"12345678"), "do not follow"),
        (safetensors({"a": entry(), "b": entry()}, b"12345678"), "do not follow"),
        (safetensors({"a": entry(offsets=(1, 9))}, b"123456789"), "do not follow"),
        (safetensors({"a": entry(shape=(3,))}, b"12345678"), "takes 12 bytes, and there are 8"),
        (safetensors({"a": entry("U8", (1,) * 9, (0, 1))}, b"1"), "9 dimensions"),
        (safetensors({"a": entry("U8", (0, 2**62), (0, 0))}), f"at most {MAX_ELEMENTS} elements"),
        (safetensors({str(number): entry("U8", (0,), (0, 0)) for number in range(5000)}), "5000 tensors"),
    ],
)
def test_any_other_safetensors_file_is_refused_with_its_reason(data: bytes, why: str) -> None:
    with pytest.raises(DataFileError) as refused:
        read_safetensors(data)
    assert why in str(refused.value)


numbers = st.one_of(st.integers(0, 9), st.sampled_from([-1, 2**31, 2**63, 2**64, True, None, 1.5]))
shapes = st.lists(numbers, max_size=9)


def is_sound(tensor: RawTensor) -> bool:
    return len(tensor.shape) <= MAX_RANK and math.prod(tensor.shape) * ITEM_SIZES[tensor.dtype] == len(tensor.data)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(st.sampled_from("{}(),:'\" descrfortran_ordershape<f4|O0123456789TrueFalse"), max_size=80).map(npy),
        st.builds(
            lambda descr, shape, data, fortran: plain_npy(descr, str(tuple(shape)), data, fortran=fortran),
            st.sampled_from(["<f4", "|b1", "<i8", ">f4", "|O", "<c16", "=f8", "", "V8"]),
            shapes,
            st.binary(max_size=64),
            st.booleans(),
        ),
    )
)
def test_any_bytes_give_a_sound_array_or_a_reason(data: bytes) -> None:
    try:
        tensor, _ = read_npy(data)
    except DataFileError:
        return
    assert is_sound(tensor)


@given(
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=100).map(safetensors),
        st.builds(
            safetensors,
            st.dictionaries(
                st.sampled_from(["a", "b", "__metadata__", "\ud800", ""]),
                st.fixed_dictionaries(
                    {
                        "dtype": st.sampled_from(["F32", "BOOL", "I64", "F4", None, []]),
                        "shape": shapes,
                        "data_offsets": st.lists(numbers, max_size=3),
                    }
                ),
                max_size=3,
            ),
            st.binary(max_size=64),
        ),
    )
)
def test_any_bytes_give_sound_tensors_or_a_reason(data: bytes) -> None:
    try:
        tensors: Mapping[str, Any] = read_safetensors(data)
    except DataFileError:
        return
    assert all(is_sound(tensor) for tensor in tensors.values())
