"""Prints bytes that are no text, terminal codes and markup."""

import sys

import torch

sys.stdout.buffer.write(b"\xff\xfe\x00 \x1b[31mred\x1b[0m \xed\xa0\x80 <script>alert(1)</script> <img src=x onerror=alert(2)>\n" * 3)
sys.stdout.flush()


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function, linear_2_in_features, linear_2_out_features, g_function):
        self.outputs = linear_2_out_features
        self.parameters = dict(
            W1=torch.randn(linear_1_out_features, linear_1_in_features),
            b1=torch.randn(linear_1_out_features),
            W2=torch.randn(linear_2_out_features, linear_2_in_features),
            b2=torch.randn(linear_2_out_features),
        )
        self.grads = {"dJd" + name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.cache = dict()

    def forward(self, x):
        return torch.zeros(len(x), self.outputs)

    def backward(self, dJdy_hat):
        pass

    def clear_grad_and_cache(self):
        self.cache.clear()


def mse_loss(y, y_hat):
    return torch.tensor(0.0), torch.zeros_like(y_hat)


def bce_loss(y, y_hat):
    return torch.tensor(0.0), torch.zeros_like(y_hat)
