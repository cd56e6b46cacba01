"""Data files of a hand-in, read without running anybody's code: `.npy` and `.safetensors` to RawTensor. Plain Python.

A file is as little believed as a frame: its header is capped and taken apart by the grammar of the format alone (a `.npy` header is
Python's syntax, and is not given to Python), the dtypes and ranks are those that cross the protocol, and its bytes are exactly as many
as its shapes say. Formats: numpy.lib.format, versions 1 to 3; the safetensors README.
"""

import json
import math
import re
import struct
from collections.abc import Mapping
from typing import Any

from grading.runner.protocol import ITEM_SIZES, MAX_ELEMENTS, MAX_PAYLOAD, MAX_RANK, RawTensor, plain

MAX_NPY_HEADER = 10_000  # what numpy accepts, too
MAX_SAFETENSORS_HEADER = 2**20
MAX_TENSORS = 4096

_NPY_MAGIC = b"\x93NUMPY"
_NPY_DTYPES = {
    "|b1": "bool",
    "|u1": "uint8",
    "|i1": "int8",
    "<i2": "int16",
    "<i4": "int32",
    "<i8": "int64",
    "<f2": "float16",
    "<f4": "float32",
    "<f8": "float64",
    "<c8": "complex64",
    "<c16": "complex128",
}
_NPY_HEADER = re.compile(rb"\s*\{(.*)\}\s*", re.DOTALL)
_NPY_ENTRY = re.compile(
    rb"""\s*(['"])(descr|fortran_order|shape)\1\s*:\s*(?:(['"])([<>|=]?[A-Za-z]\d{0,4})\3|(True|False)|\(([\d\s,]*)\))\s*(?:,\s*|\Z)"""
)
_NPY_SHAPE = re.compile(rb"\s*(?:\d{1,19}\s*,\s*)*(?:\d{1,19}\s*)?")
_SAFETENSORS_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
}


class DataFileError(Exception):
    """The file cannot be read; the text says why, without its name."""


def read_npy(data: bytes | memoryview) -> tuple[RawTensor, bool]:
    """(the array, whether its bytes are in Fortran order: the array is then the transpose, with its shape turned round)."""
    view = _capped(data)
    head = bytes(view[:12])
    if head[:6] != _NPY_MAGIC or len(head) < 12:
        raise DataFileError("it is not a NumPy file; write it with numpy.save")
    if head[6] == 1:
        start, length = 10, int.from_bytes(head[8:10], "little")
    elif head[6] in (2, 3):
        start, length = 12, int.from_bytes(head[8:12], "little")
    else:
        raise DataFileError(f"it has version {head[6]} of NumPy's format; 1, 2 and 3 are read")
    if length > MAX_NPY_HEADER or start + length > len(view):
        raise DataFileError(f"its header says {length} bytes; at most {MAX_NPY_HEADER} are read, and no more than there are")
    descr, fortran, shape = _npy_header(bytes(view[start : start + length]))
    if descr not in _NPY_DTYPES:
        what = "Python objects" if descr.endswith("O") else f"the dtype {descr}"
        raise DataFileError(f"it holds {what}; accepted: {', '.join(_NPY_DTYPES.values())}, little endian")
    tensor = _tensor(_NPY_DTYPES[descr], shape, view[start + length :])
    if fortran:
        return RawTensor(tensor.dtype, tensor.shape[::-1], tensor.data), True
    return tensor, False


def read_safetensors(data: bytes | memoryview) -> dict[str, RawTensor]:
    """{name: tensor}, in the order of the header."""
    view = _capped(data)
    if len(view) < 8:
        raise DataFileError("it is not a safetensors file")
    (length,) = struct.unpack("<Q", view[:8])
    if length > MAX_SAFETENSORS_HEADER or 8 + length > len(view):
        raise DataFileError(f"its header says {length} bytes; at most {MAX_SAFETENSORS_HEADER} are read, and no more than there are")
    body = view[8 + length :]
    at = 0
    tensors: dict[str, RawTensor] = {}
    entries = [(name, _safetensors_entry(entry)) for name, entry in _safetensors_header(bytes(view[8 : 8 + length])).items()]
    for name, (dtype, shape, begin, end) in sorted(entries, key=lambda entry: entry[1][2:]):
        if begin != at or end < begin or end > len(body):
            raise DataFileError(f"the bytes of {name[:100]!r} do not follow those before them")
        tensors[name] = _tensor(dtype, shape, body[begin:end])
        at = end
    if at != len(body):
        raise DataFileError("it has bytes that belong to no tensor")
    return {plain(name): tensors[name] for name, _ in entries}


def _capped(data: bytes | memoryview) -> memoryview:
    if len(data) > MAX_PAYLOAD:
        raise DataFileError(f"it has {len(data) / 2**20:.0f} MB; at most {MAX_PAYLOAD // 2**20} MB are read")
    return memoryview(data)


def _npy_header(text: bytes) -> tuple[str, bool, tuple[int, ...]]:
    whole = _NPY_HEADER.fullmatch(text)
    found: dict[bytes, tuple[bytes | None, ...]] = {}
    at = 0
    inner = whole.group(1) if whole else b""
    while (entry := _NPY_ENTRY.match(inner, at)) and entry.group(2) not in found:
        found[entry.group(2)] = entry.groups()[3:]
        at = entry.end()
    descr, _, _ = found.get(b"descr", (None, None, None))
    _, fortran, _ = found.get(b"fortran_order", (None, None, None))
    _, _, sizes = found.get(b"shape", (None, None, None))
    if at != len(inner) or descr is None or fortran is None or sizes is None or not _NPY_SHAPE.fullmatch(sizes):
        raise DataFileError("its header is not that of a plain array (records and pickled objects are not read)")
    return descr.decode(), fortran == b"True", tuple(int(size) for size in sizes.replace(b",", b" ").split())


def _safetensors_header(text: bytes) -> Mapping[str, Any]:
    try:
        header = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        raise DataFileError("its header is not JSON with each name once") from None
    if not isinstance(header, dict):
        raise DataFileError("its header is not a JSON object")
    header.pop("__metadata__", None)
    if len(header) > MAX_TENSORS:
        raise DataFileError(f"it holds {len(header)} tensors; at most {MAX_TENSORS} are read")
    return header


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name twice")
    return found


def _safetensors_entry(entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise DataFileError("its header is not that of safetensors")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _SAFETENSORS_DTYPES:
        raise DataFileError(f"it holds the dtype {plain(str(dtype)[:20])}; accepted: {', '.join(_SAFETENSORS_DTYPES.values())}")
    if not _are_sizes(shape) or not _are_sizes(offsets) or len(offsets) != 2:
        raise DataFileError("its header is not that of safetensors")
    return _SAFETENSORS_DTYPES[dtype], tuple(shape), offsets[0], offsets[1]


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and 0 <= value < 2**63 for value in values)


def _tensor(dtype: str, shape: tuple[int, ...], data: memoryview) -> RawTensor:
    if len(shape) > MAX_RANK:
        raise DataFileError(f"it holds a tensor with {len(shape)} dimensions; at most {MAX_RANK} are read")
    # A zero hides the other sizes from the byte count, but not from the strides that are computed of them.
    if math.prod(max(size, 1) for size in shape) > MAX_ELEMENTS:
        raise DataFileError(f"it holds a tensor of shape {shape}; at most {MAX_ELEMENTS} elements are read")
    wanted = math.prod(shape) * ITEM_SIZES[dtype]
    if wanted != len(data):
        raise DataFileError(f"a tensor of shape {shape} and dtype {dtype} takes {wanted} bytes, and there are {len(data)}")
    return RawTensor(dtype, shape, data)
