import torch
from torch import Tensor


class Layer:
    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def back(self, g: Tensor) -> Tensor:
        raise NotImplementedError


class Linear(Layer):
    def __init__(self, W: Tensor, b: Tensor, dW: Tensor, db: Tensor):
        self.W, self.b, self.dW, self.db = W, b, dW, db  # the same tensors as in the dicts of MLP

    def __call__(self, x):
        self.x = x
        return torch.nn.functional.linear(x, self.W, self.b)

    def back(self, g):
        self.dW[:] = torch.matmul(g.transpose(0, 1), self.x)
        self.db[:] = torch.sum(g, dim=0)
        return torch.matmul(g, self.W)


class ReLU(Layer):
    def __call__(self, x):
        self.open = x.gt(0)
        return x * self.open

    def back(self, g):
        return g * self.open


class Sigmoid(Layer):
    def __call__(self, x):
        self.value = 1 / (1 + torch.exp(-x))
        return self.value

    def back(self, g):
        return g * self.value * (1 - self.value)


class Identity(Layer):
    def __call__(self, x):
        return x

    def back(self, g):
        return g


LAYERS = {"relu": ReLU, "sigmoid": Sigmoid, "identity": Identity}


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function, linear_2_in_features, linear_2_out_features, g_function):
        self.parameters = {
            "W1": torch.randn(linear_1_out_features, linear_1_in_features),
            "b1": torch.randn(linear_1_out_features),
            "W2": torch.randn(linear_2_out_features, linear_2_in_features),
            "b2": torch.randn(linear_2_out_features),
        }
        self.grads = {"dJd%s" % name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.cache = {}
        P, G = self.parameters, self.grads
        self.layers = [
            Linear(P["W1"], P["b1"], G["dJdW1"], G["dJdb1"]),
            LAYERS[f_function](),
            Linear(P["W2"], P["b2"], G["dJdW2"], G["dJdb2"]),
            LAYERS[g_function](),
        ]

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return x

    def backward(self, dJdy_hat):
        for layer in self.layers[::-1]:
            dJdy_hat = layer.back(dJdy_hat)

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


class MeanSquaredError:
    @staticmethod
    def value(y, p):
        return torch.mean(torch.pow(p - y, 2))

    @staticmethod
    def slope(y, p):
        return 2 * (p - y) / torch.numel(p)


class CrossEntropy:
    @staticmethod
    def value(y, p):
        return torch.mean(-y * torch.log(p) - (1 - y) * torch.log1p(-p))

    @staticmethod
    def slope(y, p):
        return (-(y / p) + (1 - y) / (1 - p)) / torch.numel(p)


def mse_loss(y_hat, y):
    return MeanSquaredError.value(y, y_hat), MeanSquaredError.slope(y, y_hat)


def bce_loss(y_hat, y):
    return CrossEntropy.value(y, y_hat), CrossEntropy.slope(y, y_hat)
