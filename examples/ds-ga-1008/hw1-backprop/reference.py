"""Homework 1, as it should be, and problems to try it on. Runs beside the checks only.

Everything is computed in float64 and rounded to float32 once; the gradients come from autograd, so that they do not repeat a slip of
somebody's derivation.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "sigmoid": torch.sigmoid, "identity": torch.clone}
KINK = 1e-3  # inputs of relu stay this far from 0, where rounding could turn it over
BOTH_SIGNS = 4  # from so many values on, the input of an activation has both signs


@dataclass(frozen=True)
class Problem:
    """A net and a batch, in float32.

    x: (batch, n), W1: (hidden, n), b1: (hidden,), W2: (out, hidden), b2: (out,), y_hat and incoming = dJ/dŷ: (batch, out).
    """

    sizes: tuple[int, int, int]
    f: str
    g: str
    parameters: dict[str, Tensor]
    x: Tensor
    incoming: Tensor
    y_hat: Tensor
    grads: dict[str, Tensor]

    @property
    def arguments(self) -> tuple[int, int, str, int, int, str]:
        """What MLP is built from."""
        inputs, hidden, outputs = self.sizes
        return (inputs, hidden, self.f, hidden, outputs, self.g)


def draw_parameters(sizes: tuple[int, int, int], draw: Generator) -> dict[str, Tensor]:
    """Weights small enough that a sigmoid stays far from 0 and 1, large enough that no gradient is lost in the rounding."""
    inputs, hidden, outputs = sizes
    return {
        "W1": torch.randn(hidden, inputs, generator=draw) * 0.8 / inputs**0.5,
        "b1": torch.randn(hidden, generator=draw) * 0.3,
        "W2": torch.randn(outputs, hidden, generator=draw) * 0.8 / hidden**0.5,
        "b2": torch.randn(outputs, generator=draw) * 0.3,
    }


def problem(f: str, g: str, draw: Generator, *, batch: int = 6, sizes: tuple[int, int, int] = (4, 7, 3)) -> Problem:
    """Draw until every right program gives the same answer, and every wrong one can show that it is wrong."""
    for _ in range(1000):
        parameters = draw_parameters(sizes, draw)
        x = torch.randn(batch, sizes[0], generator=draw)
        incoming = torch.randn(batch, sizes[2], generator=draw) / batch
        before_f, before_g, y_hat, grads = _run(f, g, parameters, x, incoming)
        if _telling(before_f) and _telling(before_g) and all(bool(grad.any()) for grad in grads.values()):
            return Problem(sizes, f, g, parameters, x, incoming, y_hat, grads)
    raise RuntimeError(f"no problem of sizes {sizes} for {f}, {g} was found in 1000 draws")


def predict(f: str, g: str, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """ŷ of this net with the activations f and g."""
    hidden = ACTIVATIONS[f](x @ parameters["W1"].T + parameters["b1"])
    return ACTIVATIONS[g](hidden @ parameters["W2"].T + parameters["b2"])


def backward(problem: Problem, incoming: Tensor) -> dict[str, Tensor]:
    """The gradients of the same net and batch for another dJ/dŷ."""
    return _run(problem.f, problem.g, problem.parameters, problem.x, incoming)[3]


def _telling(values: Tensor) -> bool:
    """Far from the kink of relu, and of both signs, so that no two activations agree on them."""
    if values.abs().min() < KINK:
        return False
    return values.numel() < BOTH_SIGNS or bool((values > 0).any() and (values < 0).any())


def _run(f: str, g: str, parameters: dict[str, Tensor], x: Tensor, incoming: Tensor) -> tuple[Tensor, Tensor, Tensor, dict[str, Tensor]]:
    exact = {name: value.double().requires_grad_() for name, value in parameters.items()}
    before_f = x.double() @ exact["W1"].T + exact["b1"]
    before_g = ACTIVATIONS[f](before_f) @ exact["W2"].T + exact["b2"]
    y_hat = ACTIVATIONS[g](before_g)
    found = torch.autograd.grad((y_hat * incoming.double()).sum(), list(exact.values()))  # given dJ/dŷ itself, it would import SymPy
    grads = {f"dJd{name}": grad.float() for name, grad in zip(exact, found, strict=True)}
    return before_f.detach(), before_g.detach(), y_hat.detach().float(), grads


def mse_loss(y: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
    return _loss(lambda target, guess: (guess - target).square().mean(), y, y_hat)


def bce_loss(y: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
    return _loss(lambda target, guess: torch.nn.functional.binary_cross_entropy(guess, target), y, y_hat)


def _loss(loss: Callable[[Tensor, Tensor], Tensor], y: Tensor, y_hat: Tensor) -> tuple[Tensor, Tensor]:
    guess = y_hat.double().requires_grad_()
    value = loss(y.double(), guess)
    (gradient,) = torch.autograd.grad(value, guess)
    return value.detach().float(), gradient.float()
