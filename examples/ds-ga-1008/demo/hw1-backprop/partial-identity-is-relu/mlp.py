import torch


class MLP:
    def __init__(self, linear_1_in_features, linear_1_out_features, f_function,
                 linear_2_in_features, linear_2_out_features, g_function):
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

    def activate(self, name, s):
        if name == "sigmoid":
            return torch.sigmoid(s)
        return torch.relu(s)

    def slope(self, name, s):
        """derivative of the activation at s"""
        if name == "sigmoid":
            a = torch.sigmoid(s)
            return a * (1 - a)
        return (s > 0).float()

    def forward(self, x):
        p = self.parameters
        s1 = x @ p["W1"].T + p["b1"]
        a1 = self.activate(self.f_function, s1)
        s2 = a1 @ p["W2"].T + p["b2"]
        self.cache["x"] = x
        self.cache["s1"] = s1
        self.cache["a1"] = a1
        self.cache["s2"] = s2
        return self.activate(self.g_function, s2)

    def backward(self, dJdy_hat):
        d2 = dJdy_hat * self.slope(self.g_function, self.cache["s2"])
        self.grads["dJdW2"] = d2.T @ self.cache["a1"]
        self.grads["dJdb2"] = d2.sum(dim=0)
        d1 = (d2 @ self.parameters["W2"]) * self.slope(self.f_function, self.cache["s1"])
        self.grads["dJdW1"] = d1.T @ self.cache["x"]
        self.grads["dJdb1"] = d1.sum(dim=0)

    def clear_grad_and_cache(self):
        for gradient in self.grads.values():
            gradient.zero_()
        self.cache.clear()


def mse_loss(y, y_hat):
    J = ((y_hat - y) ** 2).mean()
    dJdy_hat = 2 * (y_hat - y) / y.numel()
    return J, dJdy_hat


def bce_loss(y, y_hat):
    J = -(y * torch.log(y_hat) + (1 - y) * torch.log(1 - y_hat)).mean()
    dJdy_hat = (y_hat - y) / (y_hat * (1 - y_hat)) / y.numel()
    return J, dJdy_hat
