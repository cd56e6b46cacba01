"""Homework 3: a small vision transformer.

Fill in what raises NotImplementedError. Names, arguments and the four layers of the attention stay as they are; you may add functions, classes
and arguments with a default. nn.MultiheadAttention and nn.Transformer… are not allowed: the attention is yours to write.
"""

import json

import torch
from torch import nn


def device():
    """Given: where to train. The smoke check has no GPU, so nothing may ask for "cuda" by name."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def log(step, loss):
    """Given: one JSON line for each logged step, flushed at once, is a point of the live curve of your run."""
    print(json.dumps({"step": step, "loss": loss}), flush=True)


class PatchEmbedding(nn.Module):
    """An image as a sequence of tokens: the same linear map of every patch."""

    def __init__(self, image_size, patch_size, in_channels, embed_dim):
        """Images are square; patch_size divides image_size."""
        super().__init__()
        self.num_patches = (image_size // patch_size) ** 2
        raise NotImplementedError("PatchEmbedding is yours to write")

    def forward(self, images):
        """images: (B, in_channels, image_size, image_size). Returns (B, num_patches, embed_dim), patches row by row."""
        raise NotImplementedError("PatchEmbedding is yours to write")


class MultiHeadSelfAttention(nn.Module):
    """Every token looks at every token; head h has the h-th slice of the embed_dim features."""

    def __init__(self, embed_dim, num_heads):
        """num_heads divides embed_dim."""
        super().__init__()
        self.num_heads = num_heads
        self.query = nn.Linear(embed_dim, embed_dim)
        self.key = nn.Linear(embed_dim, embed_dim)
        self.value = nn.Linear(embed_dim, embed_dim)
        self.out = nn.Linear(embed_dim, embed_dim)

    def forward(self, x):
        """x: (B, N, embed_dim). Returns the same shape."""
        raise NotImplementedError("MultiHeadSelfAttention is yours to write")


class TransformerBlock(nn.Module):
    """Attention, then two linear layers with GELU in between; each behind a LayerNorm, and added to what came in."""

    def __init__(self, embed_dim, num_heads, mlp_dim, dropout):
        super().__init__()
        raise NotImplementedError("TransformerBlock is yours to write")

    def forward(self, x):
        """x: (B, N, embed_dim). Returns the same shape."""
        raise NotImplementedError("TransformerBlock is yours to write")


class VisionTransformer(nn.Module):
    """Patches, a class token in front, learned positions, blocks, a LayerNorm, and a linear layer on the class token."""

    def __init__(self, image_size, patch_size, in_channels, embed_dim, num_heads, mlp_dim, num_layers, num_classes, dropout):
        super().__init__()
        raise NotImplementedError("VisionTransformer is yours to write")

    def forward(self, images):
        """images: (B, in_channels, image_size, image_size). Returns logits: (B, num_classes)."""
        raise NotImplementedError("VisionTransformer is yours to write")


def train(model, images, labels, steps):
    """Train `model` on device() for so many steps of batches of your size. Returns the loss of each step, a list of floats.

    images: (n, in_channels, image_size, image_size), labels: (n,) of int64; both come on the processor. Call log(step, loss) now and then.
    """
    raise NotImplementedError("train is yours to write")


def predict(model, images):
    """The class with the largest logit for each image, wherever `model` is now: (B,) of int64. Without dropout, without gradients."""
    raise NotImplementedError("predict is yours to write")
