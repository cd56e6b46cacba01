import torch


def affine(x, W, b):
    return torch.einsum("bn,mn->bm", x, W) + b


def one_hot(labels, classes):
    return torch.eye(classes)[labels]


def standardize(x):
    return (x - x.mean(0)) / x.std(0)


def distances(a, b):
    squares = (a**2).sum(1, keepdim=True) + (b**2).sum(1) - 2 * a @ b.T
    return squares.clamp(min=0).sqrt()
