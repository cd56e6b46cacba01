"""What homework 3 asks for: attention by hand, and images that a transformer learns in seconds. Runs beside the checks only."""

import math

import torch
from torch import Generator, Tensor

LAYERS = ("query", "key", "value", "out")


def draw_layers(size: int, draw: Generator) -> dict[str, Tensor]:
    """A state dict of the attention's four linear layers; scores spread enough that a wrong scale shows."""
    drawn = {}
    for layer in LAYERS:
        drawn[f"{layer}.weight"] = torch.randn(size, size, generator=draw) * 1.5 / math.sqrt(size)
        drawn[f"{layer}.bias"] = torch.randn(size, generator=draw) * 0.3
    return drawn


def attention(x: Tensor, state: dict[str, Tensor], heads: int, *, scale: float | None = None) -> Tensor:
    """(B, N, D) to (B, N, D), head by head. `scale`: what scores are divided by, else the root of a head's size."""
    size = x.shape[-1] // heads
    query, key, value = (x @ state[f"{layer}.weight"].T + state[f"{layer}.bias"] for layer in LAYERS[:3])
    answers = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        scores = query[..., own] @ key[..., own].transpose(1, 2) / (scale or math.sqrt(size))
        answers.append(scores.softmax(-1) @ value[..., own])
    return torch.cat(answers, -1) @ state["out.weight"].T + state["out.bias"]


def block_parameters(size: int, mlp: int) -> int:
    """Two LayerNorms, four linear layers of the attention, two of the MLP."""
    return 2 * 2 * size + 4 * (size * size + size) + (size * mlp + mlp) + (mlp * size + size)


def stripes(count: int, draw: Generator) -> tuple[Tensor, Tensor]:
    """(count, 3, 16, 16) and their classes: stripes that lie, stand, or go down to the right or to the left; with noise."""
    down, right = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    ways = torch.stack([down, right, down - right, down + right])
    labels = torch.randint(0, 4, (count,), generator=draw)
    phase = torch.randint(0, 4, (count, 1, 1), generator=draw)
    stripe = ((ways[labels] + phase) % 4 < 2).float() * 2 - 1
    colour = 0.5 + torch.rand(count, 3, 1, 1, generator=draw)
    return colour * stripe[:, None] + 0.4 * torch.randn(count, 3, 16, 16, generator=draw), labels


def places(count: int, draw: Generator) -> tuple[Tensor, Tensor]:
    """(count, 1, 12, 12) and their classes: in which quarter of the image a bright square of 4 by 4 lies; with noise."""
    labels = torch.randint(0, 4, (count,), generator=draw)
    images = 0.3 * torch.randn(count, 1, 12, 12, generator=draw)
    for image, label, (down, right) in zip(images, labels.tolist(), torch.randint(0, 3, (count, 2), generator=draw).tolist(), strict=True):
        top, left = 6 * (label // 2) + down, 6 * (label % 2) + right
        image[0, top : top + 4, left : left + 4] += 2
    return images, labels
