import torch


def make_linear(parameters, grads, weight, bias):
    """A pair of functions that look the parameters up each time they are called."""
    seen = []

    def run(x):
        seen[:] = [x]
        return torch.addmm(parameters[bias], x, parameters[weight].t())

    def pull(upstream):
        (x,) = seen
        grads["dJd" + weight].copy_(upstream.t().mm(x))
        grads["dJd" + bias].copy_(upstream.sum(0))
        return upstream.mm(parameters[weight])

    return run, pull


def make_nonlinearity(kind):
    seen = []

    def run(s):
        seen[:] = [s]
        if kind == "relu":
            return torch.maximum(s, torch.zeros_like(s))
        elif kind == "sigmoid":
            return s.sigmoid()
        elif kind == "identity":
            return s.clone()
        raise ValueError("unknown function " + kind)

    def pull(upstream):
        (s,) = seen
        if kind == "relu":
            return upstream.masked_fill(s <= 0, 0)
        elif kind == "sigmoid":
            return upstream * s.sigmoid() * (-s).sigmoid()
        return upstream

    return run, pull


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function, linear_2_in_features, linear_2_out_features, g_function):
        self.f_function, self.g_function = f_function, g_function
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
        stages = [
            make_linear(self.parameters, self.grads, "W1", "b1"),
            make_nonlinearity(f_function),
            make_linear(self.parameters, self.grads, "W2", "b2"),
            make_nonlinearity(g_function),
        ]
        self.up = [run for run, _ in stages]
        self.down = [pull for _, pull in reversed(stages)]

    def forward(self, x):
        for run in self.up:
            x = run(x)
        return x

    def backward(self, dJdy_hat):
        for pull in self.down:
            dJdy_hat = pull(dJdy_hat)

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    n = y.shape[0] * y.shape[1]
    difference = y_hat - y
    return torch.sum(difference * difference) / n, difference / (n / 2)


def bce_loss(y, y_hat):
    n = y.shape[0] * y.shape[1]
    chosen = torch.where(y == 1, y_hat, 1 - y_hat)
    sign = torch.where(y == 1, -1.0, 1.0)
    return -torch.log(chosen).sum() / n, sign / chosen / n
