"""Checks of homework 0. Sizes are fixed, so that messages can be talked about; numbers are drawn anew for each hand-in."""

import reference
import torch

from grading.runner.checks import Student, Trial, check


@check("affine")
def affine(student: Student, trial: Trial) -> None:
    draw = trial.generator
    x, weight, bias = (torch.randn(*shape, generator=draw) for shape in [(5, 3), (4, 3), (4,)])
    trial.close("affine(x, W, b)", student.call("tensors.affine", x, weight, bias), reference.affine(x, weight, bias))


@check("one-hot")
def one_hot(student: Student, trial: Trial) -> None:
    labels = torch.randperm(6, generator=trial.generator)
    trial.close("one_hot(labels, 6)", student.call("tensors.one_hot", labels, 6), reference.one_hot(labels, 6))


@check("one-hot-missing")
def one_hot_missing(student: Student, trial: Trial) -> None:
    labels = torch.randint(0, 3, (8,), generator=trial.generator)
    trial.close("one_hot(labels, 7)", student.call("tensors.one_hot", labels, 7), reference.one_hot(labels, 7))


@check("standardize")
def standardize(student: Student, trial: Trial) -> None:
    x = 2 + 3 * torch.randn(9, 4, generator=trial.generator)
    trial.close("standardize(x)", student.call("tensors.standardize", x), reference.standardize(x), atol=1e-5)


@check("standardize-constant")
def standardize_constant(student: Student, trial: Trial) -> None:
    x = torch.randn(7, 3, generator=trial.generator)
    x[:, 1] = 4  # its mean is exact in float32, so the spread is exactly 0
    trial.close("standardize(x)", student.call("tensors.standardize", x), reference.standardize(x), atol=1e-5)


@check("distances")
def distances(student: Student, trial: Trial) -> None:
    draw = trial.generator
    a, b = torch.randn(6, 3, generator=draw), torch.randn(4, 3, generator=draw)
    trial.close("distances(a, b)", student.call("tensors.distances", a, b), reference.distances(a, b), atol=1e-4)


@check("distances-equal")
def distances_equal(student: Student, trial: Trial) -> None:
    a = torch.randint(-3, 4, (5, 2), generator=trial.generator).float()  # whole numbers: any formula gives exact zeros
    b = torch.cat([a[2:4], a[:1] + 1])
    trial.close("distances(a, b)", student.call("tensors.distances", a, b), reference.distances(a, b), atol=1e-3)
