"""Checks of homework 1. Nets, batches and weights are drawn anew for each hand-in (trial.generator); sizes are fixed."""

from collections.abc import Callable
from itertools import product

import reference
import torch
from reference import Problem
from torch import Tensor

from grading.runner.checks import Failed, Student, Trial, check
from grading.runner.protocol import Ref

PARAMETERS = ("W1", "b1", "W2", "b2")
GRADS = ("dJdW1", "dJdb1", "dJdW2", "dJdb2")


# What a wrong answer most often comes from.


def close(trial: Trial, name: str, actual: object, expected: Tensor, over: torch.Size) -> None:
    """As trial.close, with the likely slip. `over`: the shape of ŷ, (batch, outputs)."""
    try:
        trial.close(name, actual, expected)
    except Failed as failed:
        raise Failed(f"{failed}. {cause(name, actual, expected, over)}".rstrip()) from None


def cause(name: str, actual: object, expected: Tensor, over: torch.Size) -> str:
    if actual is None:
        return "Is a return statement missing?"
    if isinstance(actual, float):
        actual = torch.tensor(actual)
    if not isinstance(actual, Tensor):
        return ""
    if actual.shape != expected.shape:
        return shape_cause(name, actual, expected)
    if actual.dtype != expected.dtype:
        return "Keep to float32: do not pass through NumPy or float64."
    if not actual.isfinite().all():
        return "Is a logarithm or a quotient taken of 0, or are y and ŷ the wrong way round?"
    if name in GRADS and not actual.any():
        return "It is still zero: does backward write to self.grads?"
    for factor, sentence in grad_factors(over) if name in GRADS else loss_factors(over):
        if looks_like(actual, expected * factor):
            return sentence
    return ""


def shape_cause(name: str, actual: Tensor, expected: Tensor) -> str:
    if name == "J":
        return "The loss is one number: take the mean over all elements."
    if expected.ndim == 2 and actual.shape == expected.shape[::-1]:
        return (
            "It is transposed: weights are out × in, and so are their gradients."
            if name in GRADS
            else "It is transposed: rows are samples."
        )
    if name in ("dJdb1", "dJdb2") and actual.shape == (1, *expected.shape):
        return "Sum over the batch without keepdim: a bias has one dimension, and so has its gradient."
    if name in GRADS and actual.ndim == expected.ndim + 1:
        return "Is the sum over the batch missing?"
    return "A gradient has the shape of its parameter." if name in GRADS else ""


def grad_factors(over: torch.Size) -> list[tuple[float, str]]:
    return [
        (1 / over[0], "It is divided by the batch size: sum over the batch, the mean is in dJ/dŷ already."),
        (-1, "The sign is turned over."),
    ]


def loss_factors(over: torch.Size) -> list[tuple[float, str]]:
    batch, outputs = over
    return [
        (-1, "The sign is turned over: the arguments are (y, ŷ), and the derivative is with respect to ŷ."),
        (1 / 2, "It is half of what is expected: there is no factor ½ in this loss, so its derivative has a factor 2."),
        (2, "It is twice what is expected."),
        (batch * outputs, "It is a sum where a mean over all elements is expected."),
        (outputs, "It is a mean over the batch where a mean over all elements is expected."),
        (batch, "It is a mean over the features where a mean over all elements is expected."),
    ]


def looks_like(actual: object, other: Tensor) -> bool:
    return isinstance(actual, Tensor) and actual.shape == other.shape and torch.allclose(actual.to(other), other, rtol=1e-3, atol=1e-6)


def activation_cause(problem: Problem, actual: object) -> str:
    """Which other activations would give this prediction."""
    for f, g in product(reference.ACTIVATIONS, repeat=2):
        other = reference.predict(f, g, problem.parameters, problem.x)
        if (f, g) != (problem.f, problem.g) and looks_like(actual, other):
            return f" It is what f = {f} and g = {g} would give; this net has f = {problem.f} and g = {problem.g}."
    return ""


# Steps that several checks take.


def build(student: Student, problem: Problem) -> Ref:
    net = student.new("mlp.MLP", *problem.arguments)
    student.set(net, "parameters", problem.parameters)
    return net


def forward(student: Student, trial: Trial, problem: Problem, net: Ref | None = None) -> Ref:
    net = net or build(student, problem)
    predict(student, trial, problem, net)
    return net


def predict(student: Student, trial: Trial, problem: Problem, net: Ref) -> Tensor:
    """The student's ŷ, once it is right."""
    y_hat = student.call(net, "forward", problem.x)
    try:
        close(trial, "y_hat", y_hat, problem.y_hat, problem.y_hat.shape)
    except Failed as failed:
        raise Failed(f"{failed}{activation_cause(problem, y_hat)}") from None
    return trial.tensor("y_hat", y_hat)


def grads_of(student: Student, trial: Trial, net: Ref) -> dict[str, object]:
    return trial.mapping("self.grads, the dict that __init__ made,", student.get(net, "grads"), *GRADS)


def compare_grads(trial: Trial, grads: dict[str, object], expected: dict[str, Tensor], over: torch.Size) -> None:
    for name in reversed(GRADS):  # backpropagation goes this way: the first wrong one is where to look
        close(trial, name, grads[name], expected[name], over)


def backward(student: Student, trial: Trial, problem: Problem, net: Ref | None = None) -> Ref:
    """The gradients, after a forward pass whose answer is looked at elsewhere."""
    if net is None:
        net = build(student, problem)
        student.call(net, "forward", problem.x)
    student.call(net, "backward", problem.incoming)
    grads = grads_of(student, trial, net)
    compare_grads(trial, grads, problem.grads, problem.y_hat.shape)
    return net


def draw_losses(trial: Trial) -> tuple[Tensor, Tensor, Tensor]:
    """Real targets, binary targets, and predictions away from 0 and 1; each (5, 3)."""
    draw = trial.generator
    labels = torch.randperm(15, generator=draw).reshape(5, 3) % 2  # both classes occur
    return torch.randn(5, 3, generator=draw), labels.float(), 0.1 + 0.8 * torch.rand(5, 3, generator=draw)


def loss_pair(trial: Trial, name: str, answer: object) -> tuple[object, object]:
    return trial.pair(f"{name}, which ends with return J, dJdy_hat", answer)


# The nine pairs of activations.


def forward_check(f: str, g: str) -> Callable[[Student, Trial], None]:
    def run(student: Student, trial: Trial) -> None:
        forward(student, trial, reference.problem(f, g, trial.generator))

    return run


def backward_check(f: str, g: str) -> Callable[[Student, Trial], None]:
    def run(student: Student, trial: Trial) -> None:
        backward(student, trial, reference.problem(f, g, trial.generator))

    return run


for f, g in product(reference.ACTIVATIONS, repeat=2):
    check(f"forward-{f}-{g}")(forward_check(f, g))
    check(f"backward-{f}-{g}")(backward_check(f, g))


# The losses.


@check("mse-value")
def mse_value(student: Student, trial: Trial) -> None:
    y, _, y_hat = draw_losses(trial)
    value, _ = loss_pair(trial, "mse_loss", student.call("mlp.mse_loss", y, y_hat))
    close(trial, "J", value, reference.mse_loss(y, y_hat)[0], y_hat.shape)


@check("mse-gradient")
def mse_gradient(student: Student, trial: Trial) -> None:
    y, _, y_hat = draw_losses(trial)
    _, gradient = loss_pair(trial, "mse_loss", student.call("mlp.mse_loss", y, y_hat))
    close(trial, "dJdy_hat", gradient, reference.mse_loss(y, y_hat)[1], y_hat.shape)


@check("bce-value")
def bce_value(student: Student, trial: Trial) -> None:
    _, y, y_hat = draw_losses(trial)
    value, _ = loss_pair(trial, "bce_loss", student.call("mlp.bce_loss", y, y_hat))
    close(trial, "J", value, reference.bce_loss(y, y_hat)[0], y_hat.shape)


@check("bce-gradient")
def bce_gradient(student: Student, trial: Trial) -> None:
    _, y, y_hat = draw_losses(trial)
    _, gradient = loss_pair(trial, "bce_loss", student.call("mlp.bce_loss", y, y_hat))
    close(trial, "dJdy_hat", gradient, reference.bce_loss(y, y_hat)[1], y_hat.shape)


# How the parts work together.


@check("batches")
def batches(student: Student, trial: Trial) -> None:
    for batch in (1, 10, 64):
        problem = reference.problem("relu", "sigmoid", trial.generator, batch=batch, sizes=(3, 8, 4))
        backward(student, trial, problem, forward(student, trial, problem))


@check("single-output")
def single_output(student: Student, trial: Trial) -> None:
    for g in ("identity", "sigmoid"):
        problem = reference.problem("relu", g, trial.generator, batch=5, sizes=(2, 20, 1))
        backward(student, trial, problem, forward(student, trial, problem))


@check("two-steps")
def two_steps(student: Student, trial: Trial) -> None:
    """Forward, backward, clear, and again with another batch: nothing of the first step may be left in the second."""
    first = reference.problem("sigmoid", "identity", trial.generator, batch=4)
    second = reference.problem("sigmoid", "identity", trial.generator, batch=7)
    net = backward(student, trial, first, forward(student, trial, first))
    student.call(net, "clear_grad_and_cache")
    student.set(net, "parameters", second.parameters)
    backward(student, trial, second, forward(student, trial, second, net))


@check("training-step")
def training_step(student: Student, trial: Trial) -> None:
    """Prediction, loss and gradients in a row, the way a training loop uses them; backward returns nothing."""
    problem = reference.problem("relu", "sigmoid", trial.generator, batch=8, sizes=(5, 6, 3))
    labels = (torch.randperm(24, generator=trial.generator).reshape(8, 3) % 2).float()
    net = build(student, problem)
    y_hat = predict(student, trial, problem, net)
    value, gradient = loss_pair(trial, "bce_loss", student.call("mlp.bce_loss", labels, y_hat))
    expected_value, expected_gradient = reference.bce_loss(labels, problem.y_hat)
    close(trial, "J", value, expected_value, y_hat.shape)
    close(trial, "dJdy_hat", gradient, expected_gradient, y_hat.shape)
    returned = student.call(net, "backward", gradient)
    grads = grads_of(student, trial, net)
    compare_grads(trial, grads, reference.backward(problem, expected_gradient), y_hat.shape)
    trial.true(returned is None, "backward returns something; it writes to self.grads and returns nothing.")


@check("inputs-unchanged")
def inputs_unchanged(student: Student, trial: Trial) -> None:
    """x, dJ/dŷ, y, ŷ and the parameters are the caller's. Counts only where the answers are right."""
    problem = reference.problem("relu", "relu", trial.generator)
    net = forward(student, trial, problem)
    trial.equal("x after forward", student.argument(0), problem.x)
    student.call(net, "backward", problem.incoming)
    trial.equal("dJdy_hat after backward", student.argument(0), problem.incoming)
    grads = grads_of(student, trial, net)
    compare_grads(trial, grads, problem.grads, problem.y_hat.shape)
    parameters = trial.mapping("self.parameters after backward", student.get(net, "parameters"), *PARAMETERS)
    for name in PARAMETERS:
        trial.equal(f"{name} after backward", parameters[name], problem.parameters[name])
    real, binary, y_hat = draw_losses(trial)
    for loss, y, expected in [("mse_loss", real, reference.mse_loss(real, y_hat)), ("bce_loss", binary, reference.bce_loss(binary, y_hat))]:
        value, gradient = loss_pair(trial, loss, student.call(f"mlp.{loss}", y, y_hat))
        trial.equal(f"y after {loss}", student.argument(0), y)
        trial.equal(f"y_hat after {loss}", student.argument(1), y_hat)
        close(trial, "J", value, expected[0], y_hat.shape)
        close(trial, "dJdy_hat", gradient, expected[1], y_hat.shape)
