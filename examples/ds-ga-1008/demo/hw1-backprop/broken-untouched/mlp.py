"""Homework 1: a two-layer network with a backward pass of your own.

Fill in what raises NotImplementedError. Names, arguments and the keys of the three dicts stay as they are. Autograd is not allowed:
no backward(), no torch.autograd, no requires_grad, and no loss from torch.nn. You may add functions, classes and keys of the cache.
"""

import torch


class MLP:
    """ŷ = g(W2 f(W1 x + b1) + b2), for each row x of a batch."""

    def __init__(
        self,
        linear_1_in_features,
        linear_1_out_features,
        f_function,
        linear_2_in_features,
        linear_2_out_features,
        g_function,
    ):
        """The sizes of the two linear layers, and the names of f and g: "relu", "sigmoid" or "identity"."""
        self.f_function = f_function
        self.g_function = g_function

        self.parameters = dict(
            W1=torch.randn(linear_1_out_features, linear_1_in_features),
            b1=torch.randn(linear_1_out_features),
            W2=torch.randn(linear_2_out_features, linear_2_in_features),
            b2=torch.randn(linear_2_out_features),
        )
        self.grads = dict(
            dJdW1=torch.zeros(linear_1_out_features, linear_1_in_features),
            dJdb1=torch.zeros(linear_1_out_features),
            dJdW2=torch.zeros(linear_2_out_features, linear_2_in_features),
            dJdb2=torch.zeros(linear_2_out_features),
        )
        self.cache = dict()  # what forward keeps for backward

    def forward(self, x):
        """x: (batch, linear_1_in_features). Returns ŷ: (batch, linear_2_out_features)."""
        raise NotImplementedError("forward is yours to write")

    def backward(self, dJdy_hat):
        """dJdy_hat: (batch, linear_2_out_features). Writes self.grads, returns nothing. Comes after forward."""
        raise NotImplementedError("backward is yours to write")

    def clear_grad_and_cache(self):
        """Given: call it between two steps of training."""
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    """Both (batch, features). Returns J, of shape (), and dJ/dŷ, of the shape of y_hat; the mean is over all elements."""
    raise NotImplementedError("mse_loss is yours to write")


def bce_loss(y, y_hat):
    """As mse_loss, for 0 < y_hat < 1: the binary cross-entropy, with the natural logarithm."""
    raise NotImplementedError("bce_loss is yours to write")
