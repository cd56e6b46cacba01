"""Homework 0, as it should be. Runs beside the checks only; computed in float64, compared in float32."""

import torch
from torch import Tensor


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return torch.nn.functional.linear(x.double(), weight.double(), bias.double()).float()


def one_hot(labels: Tensor, classes: int) -> Tensor:
    return torch.eye(classes)[labels]


def standardize(x: Tensor) -> Tensor:
    centred = x.double() - x.double().mean(dim=0)
    spread = centred.square().mean(dim=0).sqrt()
    return torch.where(spread > 1e-9, centred / spread.clamp_min(1e-9), torch.zeros_like(centred)).float()


def distances(a: Tensor, b: Tensor) -> Tensor:
    return (a.double()[:, None, :] - b.double()[None, :, :]).square().sum(dim=2).sqrt().float()
