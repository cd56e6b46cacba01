import torch
import torch.nn.functional as F


def affine(x, W, b):
    print("affine:", tuple(x.shape), "->", (len(x), len(W)))
    return F.linear(x, W, b)


def one_hot(labels, classes):
    return F.one_hot(labels, classes).float()


def standardize(x):
    std, mean = torch.std_mean(x, dim=0, unbiased=False)
    return torch.where(std > 0, (x - mean) / std, 0.0)


def distances(a, b):
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")
