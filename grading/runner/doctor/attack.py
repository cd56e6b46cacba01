"""One attack, as data: a hand-in, what it honestly earns, and how one sees that it was really made."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from grading.runner.limits import Limits

MADE = "the attack was made"
REACHED = "reached: "
QUICK = Limits(wall_s=6, cpu_s=6, call_s=2, memory_mb=1024, tmp_mb=64, files=1024, processes=64, output_kb=16, file_mb=64)
HANGS = replace(QUICK, wall_s=1.5, call_s=1)
UNHURRIED = replace(QUICK, wall_s=20, cpu_s=20, call_s=10)  # where a slow machine must not end what ends by itself

# Stands before every attack's code. The mark is the name of the process, and of all that it starts, for whoever looks from outside.
PRELUDE = f'''
import ctypes, errno, os, signal, struct, sys, threading, time
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(15, b"@MARK@", 0, 0, 0)
HOST_FILE = "@HOST_FILE@"
def say(text, write=os.write):
    write(1, (text + chr(10)).encode(errors="replace"))
def made():
    say("{MADE}")
def reached(what):
    say("{REACHED}" + str(what)[:200])
def attempt(what, act):
    try:
        act()
    except Exception:
        return
    reached(what)
def syscall(*args):
    ctypes.set_errno(0)
    if libc.syscall(*(ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args)) < 0:
        raise OSError(ctypes.get_errno(), "refused")
'''

SCALE = """
import torch
class Scale:
    def __init__(self, size):
        self.parameters = {"w": torch.zeros(size)}
    def forward(self, x):
        return x * self.parameters["w"]
"""

# What earns all points that can be earned: those of `answer` are for what nobody outside the checker can know.
RIGHT = f"""{SCALE}
def twice(x):
    return 2 * x
def answer(question):
    return ""
"""
HONEST = 10  # points of RIGHT


@dataclass(frozen=True)
class Attack:
    """`tries` says in a sentence what was tried. `code` is the hand-in's mlp.py, less the prelude; `files` lie beside it.

    `honest`: the points that its answers are worth. `proof`: what is shown to the student once the attack was made, so that one that is
    broken does not count as held. `before`: code of a hand-in that is judged just before this one.
    """

    name: str
    tries: str
    code: str
    honest: int = 0
    proof: str = MADE
    limits: Limits = QUICK
    files: Mapping[str, bytes] = field(default_factory=dict)
    before: str = ""


def right_but(answer: str) -> str:
    """RIGHT, but for `answer`, whose statements are these."""
    lines = "\n    ".join(answer.splitlines())
    return f"{RIGHT}\ndef answer(question):\n    {lines}\n"


def wrong(answer: str) -> str:
    """Code that answers every call with the expression `answer` of `x`."""
    return f"""
import torch
class Scale:
    def __init__(self, size):
        self.parameters = {{"w": torch.zeros(size)}}
    def forward(self, x):
        return {answer}
def twice(x):
    made()
    return {answer}
def answer(x):
    return {answer}
"""
