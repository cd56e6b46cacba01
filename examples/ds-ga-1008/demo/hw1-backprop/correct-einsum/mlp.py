"""Every contraction spelled out: b = batch, i = input, h = hidden, o = output."""

import torch
from torch import einsum

# name -> (function, derivative written with the function's own value)
NONLINEARITIES = {
    "relu": (lambda z: z.clamp(min=0), lambda a: torch.sign(a)),
    "sigmoid": (torch.sigmoid, lambda a: a - a.square()),
    "identity": (lambda z: z, lambda a: torch.ones_like(a)),
}


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function, linear_2_in_features, linear_2_out_features, g_function):
        n_i, n_h, n_o = linear_1_in_features, linear_1_out_features, linear_2_out_features
        assert n_h == linear_2_in_features
        self.f, self.df = NONLINEARITIES[f_function]
        self.g, self.dg = NONLINEARITIES[g_function]
        self.parameters = {
            "W1": torch.randn(n_h, n_i), "b1": torch.randn(n_h),
            "W2": torch.randn(n_o, n_h), "b2": torch.randn(n_o),
        }
        self.grads = {"dJd" + k: torch.zeros_like(v) for k, v in self.parameters.items()}
        self.cache = {}

    def forward(self, x):
        W1, b1, W2, b2 = (self.parameters[k] for k in ("W1", "b1", "W2", "b2"))
        h = self.f(einsum("bi,hi->bh", x, W1) + b1)
        out = self.g(einsum("bh,oh->bo", h, W2) + b2)
        self.cache.update(x=x, h=h, out=out)
        return out

    def backward(self, dJdy_hat):
        x, h, out = self.cache["x"], self.cache["h"], self.cache["out"]
        delta_out = einsum("bo,bo->bo", dJdy_hat, self.dg(out))
        delta_hid = einsum("bo,oh,bh->bh", delta_out, self.parameters["W2"], self.df(h))
        self.grads["dJdW2"] += einsum("bo,bh->oh", delta_out, h)
        self.grads["dJdb2"] += einsum("bo->o", delta_out)
        self.grads["dJdW1"] += einsum("bh,bi->hi", delta_hid, x)
        self.grads["dJdb1"] += einsum("bh->h", delta_hid)

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    r = y_hat - y
    return einsum("bo,bo->", r, r) / r.numel(), r.mul(2 / r.numel())


def bce_loss(y, y_hat):
    n = y_hat.numel()
    J = -(einsum("bo,bo->", y, y_hat.log()) + einsum("bo,bo->", 1 - y, (1 - y_hat).log())) / n
    return J, ((1 - y) / (1 - y_hat) - y / y_hat) / n
