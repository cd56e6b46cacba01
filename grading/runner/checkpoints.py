"""Checkpoints and data files, opened in the student's process: whatever a file does when it is read, it does in there."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from grading.runner.datafiles import DataFileError, read_safetensors
from grading.runner.values import tensor

SUFFIXES = (".safetensors", ".pt", ".pth")
MAX_UNPACKED = 256 * 2**20  # bytes; a .pt file is an archive, and may be a compressed one
_NAMED = 5  # keys that a sentence names


class CheckpointError(Exception):
    """The file is not what is wanted; the text is for the student."""


def read(path: Path) -> Any:
    """What the checkpoint `path` holds: {name: tensor} of a .safetensors, whatever torch.load gives with weights_only of a .pt or .pth."""
    if path.suffix == ".safetensors":
        try:
            return {name: tensor(raw) for name, raw in read_safetensors(path.read_bytes()).items()}
        except DataFileError as error:
            raise CheckpointError(f"{path.name} cannot be read: {error}.") from None
    unpacked = _unpacked(path)
    if unpacked > MAX_UNPACKED:
        raise CheckpointError(f"{path.name} unpacks to {unpacked // 2**20} MB; at most {MAX_UNPACKED // 2**20} MB are loaded.")
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        if isinstance(error, MemoryError) or "DefaultCPUAllocator" in str(error):
            raise
        advice = f'Save tensors only: torch.save(net.state_dict(), "{path.name}").'
        raise CheckpointError(
            f"{path.name} is not a checkpoint that torch.load reads with weights_only ({_kind(error)}). {advice}"
        ) from None


def load_state(owner: Any, kind: str, path: Path) -> None:
    """Load a state dict into a module, all keys and no others. CheckpointError names the file, the key, and what is accepted."""
    if not isinstance(owner, torch.nn.Module):
        raise CheckpointError(f"{kind} is not a torch.nn.Module, so {path.name} cannot be loaded into it.")
    state = read(path)
    if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
        raise CheckpointError(f"{path.name} holds a {_kind(state)}; a state dict is accepted, as net.state_dict() gives it.")
    wanted = owner.state_dict()
    if missing := [key for key in wanted if key not in state]:
        raise CheckpointError(f"{path.name} has no {_some(missing)}, which {kind} needs; it has {_some(state) or 'nothing'}.")
    if extra := [key for key in state if key not in wanted]:
        raise CheckpointError(f"{path.name} has {_some(extra)}, which {kind} has not; accepted: {_some(wanted)}.")
    for key, current in wanted.items():
        value = state[key]
        if not isinstance(current, torch.Tensor):
            continue
        if not isinstance(value, torch.Tensor):
            raise CheckpointError(f"{path.name}: {key} is a {_kind(value)}; a tensor of shape {tuple(current.shape)} is accepted.")
        if value.shape != current.shape:
            raise CheckpointError(f"{path.name}: {key} has the shape {tuple(value.shape)}; {kind} accepts {tuple(current.shape)}.")
    owner.load_state_dict(state)


def _unpacked(path: Path) -> int:
    """How many bytes the file holds when it is unpacked."""
    try:
        with zipfile.ZipFile(path) as archive:
            return sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError, UnicodeDecodeError):
        return path.stat().st_size  # torch.save wrote no archives at first


def _kind(value: object) -> str:
    return type(value).__name__


def _some(keys: Iterable[str]) -> str:
    names = [key[:80] for key in keys]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
