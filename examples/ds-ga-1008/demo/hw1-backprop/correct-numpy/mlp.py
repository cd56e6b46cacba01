import matplotlib.pyplot as plt  # used while debugging
import numpy as np
import torch


def sigma(v):
    return (1.0 / (1.0 + np.exp(-v))).astype(np.float32)


PHI = dict(relu=lambda v: np.maximum(v, 0), sigmoid=sigma, identity=lambda v: v)
DPHI = dict(relu=lambda v: (v > 0).astype(np.float32), sigmoid=lambda v: sigma(v) * (1 - sigma(v)), identity=lambda v: np.ones_like(v))


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

    def _arrays(self):
        return [self.parameters[name].numpy() for name in ["W1", "b1", "W2", "b2"]]

    def forward(self, x):
        W1, b1, W2, b2 = self._arrays()
        x0 = x.numpy()
        x1 = np.dot(x0, W1.T) + b1
        x2 = PHI[self.f_function](x1)
        x3 = np.dot(x2, W2.T) + b2
        self.cache["xs"] = x0, x1, x2, x3
        return torch.from_numpy(PHI[self.g_function](x3))

    def backward(self, dJdy_hat):
        W2 = self.parameters["W2"].numpy()
        x0, x1, x2, x3 = self.cache["xs"]
        e3 = dJdy_hat.numpy() * DPHI[self.g_function](x3)
        e1 = np.dot(e3, W2) * DPHI[self.f_function](x1)
        for name, value in [("dJdW2", e3.T @ x2), ("dJdb2", e3.sum(axis=0)), ("dJdW1", e1.T @ x0), ("dJdb1", e1.sum(axis=0))]:
            self.grads[name] = torch.from_numpy(value)

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    e = y_hat.numpy() - y.numpy()
    return torch.tensor(np.mean(e**2)), torch.from_numpy(2 * e / e.size)


def bce_loss(y, y_hat):
    t, p = y.numpy(), y_hat.numpy()
    J = -np.mean(t * np.log(p) + (1 - t) * np.log(1 - p))
    return torch.tensor(J), torch.from_numpy((p - t) / (p * (1 - p)) / t.size)
