import torch

one = torch.tensor(1.0)
nil = torch.tensor(0.0)


def nl(which, s):
    return {
        "relu": lambda: torch.where(s > 0, s, nl("zero", s)),
        "zero": lambda: torch.zeros_like(s),
        "sigmoid": lambda: torch.where(s >= 0, one / (one + torch.exp(-s)), torch.exp(s) / (one + torch.exp(s))),
        "identity": lambda: s,
    }[which]()


def d_nl(which, s):
    if which == "sigmoid":
        return nl("sigmoid", s) * nl("sigmoid", -s)
    return torch.where((s > 0) | torch.tensor(which == "identity"), one, nil).expand_as(s)


class MLP(object):
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
        # batch of column vectors: (B, n, 1)
        col = x.unsqueeze(-1)
        z1 = torch.matmul(self.parameters["W1"], col).squeeze(-1) + self.parameters["b1"]
        z2 = nl(self.f_function, z1)
        z3 = torch.matmul(self.parameters["W2"], z2.unsqueeze(-1)).squeeze(-1) + self.parameters["b2"]
        self.cache = {"x": x, "z1": z1, "z2": z2, "z3": z3}
        return nl(self.g_function, z3)

    def backward(self, dJdy_hat):
        c = self.cache
        dz3 = dJdy_hat * d_nl(self.g_function, c["z3"])
        dz2 = torch.matmul(dz3, self.parameters["W2"])
        dz1 = dz2 * d_nl(self.f_function, c["z1"])
        self.grads = dict(
            dJdW1=torch.bmm(dz1.unsqueeze(2), c["x"].unsqueeze(1)).sum(0),
            dJdb1=dz1.sum(0),
            dJdW2=torch.bmm(dz3.unsqueeze(2), c["z2"].unsqueeze(1)).sum(0),
            dJdb2=dz3.sum(0),
        )

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    diff = y - y_hat
    return torch.dot(diff.flatten(), diff.flatten()) / diff.numel(), -2 * diff / diff.numel()


def bce_loss(y, y_hat):
    terms = y * torch.log(y_hat) + (one - y) * torch.log(one - y_hat)
    return -torch.mean(terms), (y_hat - y) / torch.where(y > 0.5, y_hat, 1 - y_hat) / torch.where(y > 0.5, 1 - y_hat, y_hat) / y.numel()
