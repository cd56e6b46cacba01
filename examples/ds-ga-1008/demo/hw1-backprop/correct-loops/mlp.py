# One sample at a time, as on the blackboard. Slow, but I can follow it.
import math

import torch


def act(name, s):
    if name == "identity":
        return s.clone()
    out = torch.zeros(len(s))
    for i in range(len(s)):
        v = float(s[i])
        if name == "relu":
            out[i] = v if v > 0 else 0.0
        else:
            out[i] = 1 / (1 + math.exp(-v))
    return out


def dact(name, s):
    out = torch.ones(len(s))
    for i in range(len(s)):
        v = float(s[i])
        if name == "relu":
            out[i] = 1.0 if v > 0 else 0.0
        elif name == "sigmoid":
            q = 1 / (1 + math.exp(-v))
            out[i] = q * (1 - q)
    return out


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function, linear_2_in_features, linear_2_out_features, g_function):
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
        self.cache = dict()

    def forward(self, x):
        rows = []
        kept = []
        for sample in x:
            s1 = torch.mv(self.parameters["W1"], sample) + self.parameters["b1"]
            a1 = act(self.f_function, s1)
            s2 = torch.mv(self.parameters["W2"], a1) + self.parameters["b2"]
            rows.append(act(self.g_function, s2))
            kept.append((sample, s1, a1, s2))
        self.cache["kept"] = kept
        return torch.stack(rows)

    def backward(self, dJdy_hat):
        for upstream, (sample, s1, a1, s2) in zip(dJdy_hat, self.cache["kept"]):
            d2 = upstream * dact(self.g_function, s2)
            d1 = torch.mv(self.parameters["W2"].T, d2) * dact(self.f_function, s1)
            self.grads["dJdW2"] += torch.outer(d2, a1)
            self.grads["dJdb2"] += d2
            self.grads["dJdW1"] += torch.outer(d1, sample)
            self.grads["dJdb1"] += d1

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    total = 0.0
    slope = torch.zeros_like(y_hat)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            e = float(y_hat[i, j] - y[i, j])
            total += e * e
            slope[i, j] = 2 * e / y.numel()
    return torch.tensor(total / y.numel()), slope


def bce_loss(y, y_hat):
    total = 0.0
    slope = torch.zeros_like(y_hat)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            t, p = float(y[i, j]), float(y_hat[i, j])
            total -= t * math.log(p) + (1 - t) * math.log(1 - p)
            slope[i, j] = ((1 - t) / (1 - p) - t / p) / y.numel()
    return torch.tensor(total / y.numel()), slope
