"""Tensors to bytes and back, in the runtime's Python."""

from typing import Any

import torch

from grading.runner.protocol import ITEM_SIZES, MAX_DEPTH, Foreign, RawTensor, Ref, decode, encode

_DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in ITEM_SIZES}
_NAMES = {dtype: name for name, dtype in _DTYPES.items()}


def pack(value: Any, depth: int = 0) -> tuple[Any, bytes]:
    """(JSON, payload) of a value; raises protocol.TooLargeError. A negative `depth` leaves room for containers of ours around it."""
    payload: list[bytes | memoryview] = []
    data = encode(_lower(value), payload, depth)
    return data, b"".join(payload)


def unpack(data: Any, payload: memoryview, depth: int = 0) -> Any:
    """The value of (JSON, payload), with fresh tensors; raises protocol.ProtocolError."""
    return _raise(decode(data, payload, depth))


def tensor(raw: RawTensor, *, transposed: bool = False) -> torch.Tensor:
    """A fresh tensor of raw bytes; with `transposed`, of its dimensions in the opposite order."""
    plain = _raise_tensor(raw)
    return plain.permute(tuple(reversed(range(plain.ndim)))).contiguous() if transposed else plain


def _lower(value: Any, depth: int = 0) -> Any:
    if value is None or isinstance(value, bool | str | Ref | Foreign):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, torch.Tensor):
        return _lower_tensor(value)
    if depth > MAX_DEPTH + 2:
        return Foreign(type(value).__name__)
    if isinstance(value, list):
        return [_lower(item, depth + 1) for item in value]
    if isinstance(value, tuple):
        return tuple(_lower(item, depth + 1) for item in value)
    if isinstance(value, dict):
        return {key: _lower(item, depth + 1) for key, item in value.items()}
    return Foreign(type(value).__name__)


def _lower_tensor(tensor: torch.Tensor) -> RawTensor | Foreign:
    plain = tensor.detach()
    if plain.layout is not torch.strided or plain.dtype not in _NAMES:
        return Foreign(f"{plain.dtype} tensor".removeprefix("torch."))
    plain = plain.cpu().resolve_conj().resolve_neg().contiguous()
    shape = tuple(plain.shape)
    if plain.numel() == 0:
        return RawTensor(_NAMES[plain.dtype], shape, b"")
    return RawTensor(_NAMES[plain.dtype], shape, bytes(plain.reshape(-1).view(torch.uint8).numpy()))


def _raise(value: Any) -> Any:
    if isinstance(value, RawTensor):
        return _raise_tensor(value)
    if isinstance(value, list):
        return [_raise(item) for item in value]
    if isinstance(value, tuple):
        return tuple(_raise(item) for item in value)
    if isinstance(value, dict):
        return {key: _raise(item) for key, item in value.items()}
    return value


def _raise_tensor(raw: RawTensor) -> torch.Tensor:
    dtype = _DTYPES[raw.dtype]
    if not raw.data:
        return torch.empty(raw.shape, dtype=dtype)
    if dtype is torch.bool:  # a byte other than 0 or 1 is undefined behaviour in a bool tensor
        return torch.frombuffer(bytearray(raw.data), dtype=torch.uint8).reshape(raw.shape) != 0
    return torch.frombuffer(bytearray(raw.data), dtype=dtype).reshape(raw.shape)
