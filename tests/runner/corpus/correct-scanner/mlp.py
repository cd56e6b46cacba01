"""A correct solution that first looks everywhere for what it should not find. Whatever it finds, it prints after the word LEAK."""

import gc
import os
import socket
import sys

import torch

SOURCES = {"checks.py", "reference.py", "solution.py", "statement.md"}
NAMES = {"homework.toml", "course.toml", "manage.py", "db.sqlite3", "outcome.json", ".env", "id_rsa", "runner.sock"}
WORDS = ("SECRET", "PASSWORD", "TOKEN", "DATABASE", "REDIS", "DJANGO", "DATA_DIR", "RUNNER", "SEED")
SUSPECTS = {"Trial", "Student", "Problem", "Job", "Bundle", "CheckSpec", "Outcome"}


def leak(kind, what):
    print("LEAK", kind, repr(what)[:200])


def look_at_files():
    for folder in ("/home", "/root", "/mnt", "/srv", "/opt", "/var", "/tmp", "/run", "/dev/shm", "/etc", os.getcwd(), *sys.path):
        for place, below, files in os.walk(folder):
            if place.count("/") > 8:
                below.clear()
            for name in NAMES & set(files):
                leak("file", os.path.join(place, name))
            for name in SOURCES & set(files):
                with open(os.path.join(place, name), "rb") as file:
                    if b"dJdb1" in file.read():
                        leak("source", os.path.join(place, name))
    for path in ("/etc/shadow", "/root/.ssh/id_rsa", "/proc/1/environ", "/proc/kcore", "/dev/mem"):
        try:
            with open(path, "rb") as file:
                if path != "/proc/1/environ" or any(word.encode() in file.read() for word in WORDS):
                    leak("file", path)
        except OSError:
            pass


def look_at_environment():
    for name in os.environ:
        if any(word in name.upper() for word in WORDS):
            leak("environment", name)
    for argument in sys.argv:
        if any(word in argument.upper() for word in WORDS):
            leak("argument", argument)


def look_at_processes():
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                command = file.read()
        except OSError:
            continue
        if int(number) != os.getpid():
            leak("process", command)


def look_at_memory():
    frame = sys._getframe()
    while frame is not None:
        for name, value in frame.f_locals.items():
            if type(value).__name__ in SUSPECTS or name in ("expected", "seed", "bundle"):
                leak("frame", (frame.f_code.co_name, name, value))
        frame = frame.f_back
    for thing in gc.get_objects():
        if type(thing).__name__ in SUSPECTS and type(thing).__module__.startswith(("grading", "reference", "checks")):
            leak("object", type(thing))
    for name in ("checks", "reference", "grading.runner.host", "django"):
        if name in sys.modules:
            leak("module", name)
    if getattr(sys.modules.get("grading.runner.checks"), "registered", None):  # imported beforehand; a homework's checks are never in it
        leak("checks", sys.modules["grading.runner.checks"].registered)


def look_at_network():
    for address in (("127.0.0.1", 6379), ("127.0.0.1", 5432), ("127.0.0.1", 8000), ("127.0.0.1", 22), ("192.0.2.1", 80), ("8.8.8.8", 53)):
        try:
            with socket.create_connection(address, timeout=0.2):
                leak("network", address)
        except OSError:
            pass
    try:
        leak("name", socket.gethostbyname("example.org"))
    except OSError:
        pass
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(b"here I am", ("192.0.2.1", 9))
            leak("network", "a datagram left")
    except OSError:
        pass


for look in (look_at_files, look_at_environment, look_at_processes, look_at_memory, look_at_network):
    try:
        look()
    except Exception as error:
        print("a look was refused:", type(error).__name__)


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
        if name == "relu":
            return torch.relu(s)
        if name == "sigmoid":
            return torch.sigmoid(s)
        return s

    def slope(self, name, s):
        """derivative of the activation at s"""
        if name == "relu":
            return (s > 0).float()
        if name == "sigmoid":
            a = torch.sigmoid(s)
            return a * (1 - a)
        return torch.ones_like(s)

    def forward(self, x):
        print("SEEN", self.f_function, self.g_function, "".join(f" LEAK module {name}" for name in ("checks", "reference") if name in sys.modules))
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
