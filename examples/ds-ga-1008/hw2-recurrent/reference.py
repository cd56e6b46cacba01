"""What homework 2 asks for: texts, their codes, and what a memory should answer. Runs beside the checks only."""

import torch
from torch import Generator, Tensor
from torch.nn import functional

ALPHABET = " abcdefghijklmnopqrstuvwxyz"
LETTERS = len(ALPHABET)
DELAY = 4
FIXED_HIDDEN = 64
VARIABLE_HIDDEN = 96
MAX_DELAY = 4


def draw_codes(batch: int, length: int, draw: Generator) -> Tensor:
    """(batch, length) of int64, each letter and the blank equally likely."""
    return torch.randint(0, LETTERS, (batch, length), generator=draw)


def one_hot(codes: Tensor) -> Tensor:
    """(B, L) to (B, L, 27) of float32."""
    return functional.one_hot(codes, LETTERS).float()


def delayed(codes: Tensor, delays: Tensor) -> Tensor:
    """`codes` (B, L), each row moved to the right by its delay (B,); blanks come in from the left."""
    at = torch.arange(codes.shape[1]) - delays[:, None]
    return torch.where(at >= 0, codes.gather(1, at.clamp(min=0)), 0)


def text(codes: Tensor) -> str:
    """The text of (L,)."""
    return "".join(ALPHABET[code] for code in codes.tolist())


def loss(logits: Tensor, targets: Tensor) -> float:
    """Mean cross-entropy of (B, L, 27) against (B, L), in nats."""
    return float(functional.cross_entropy(logits.double().flatten(0, 1), targets.flatten()))
