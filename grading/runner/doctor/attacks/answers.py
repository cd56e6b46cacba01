"""Answers that are wrong but would pass where whoever compares can be talked into it."""

from grading.runner.doctor.attack import RIGHT, Attack, wrong

_PATCHED = """
import builtins, math, torch
for name in ("allclose", "equal", "isclose", "all", "eq", "isnan"):
    setattr(torch, name, lambda *args, **kwargs: True)
builtins.abs = builtins.all = builtins.any = lambda *args: True
torch.Tensor.__eq__ = torch.Tensor.__ne__ = lambda self, other: True
"""

_OUR_MODULES = """
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("grading"):
        for name in list(vars(module)):
            if name in ("Failed", "Raised", "Problem", "ProtocolError", "TooLargeError"):
                setattr(module, name, type("Nothing", (Exception,), {}))
"""

_CHECKER = """
from grading.runner import checks
checks.Trial.close = checks.Trial.equal = checks.Trial.true = lambda *args, **kwargs: None
checks.Failed = type("Nothing", (Exception,), {})
"""

_EQUAL_OBJECT = """
class Yes:
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = lambda *_: True
    __sub__ = __rsub__ = __abs__ = lambda *_: Yes()
    __float__ = lambda _: 0.0
    __bool__ = lambda _: True
    __hash__ = None
    shape = dtype = property(lambda _: Yes())
"""

_EQUAL_TENSOR = """
import torch
class Yes(torch.Tensor):
    def __eq__(self, other): return True
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True
"""

_LYING_PROPERTIES = """
import torch
class Lying(torch.Tensor):
    shape = property(lambda _: torch.Size([4, 3]))
    dtype = property(lambda _: torch.float32)
    numel = lambda _: 12
    cpu = detach = contiguous = lambda self: self
"""

_PACKED = """
from grading.runner import values
values.pack = lambda *args, **kwargs: (True, b"")
"""

_EQUAL_NUMBER = """
class Yes(float):
    __eq__ = lambda *_: True
    __sub__ = __rsub__ = lambda *_: 0.0
class Text(str):
    __eq__ = lambda *_: True
    __hash__ = str.__hash__
"""

_LATE_CHANGE = """
def twice(x):
    made()
    x.mul_(2)
    return x
def answer(x):
    return ""
"""

ATTACKS = (
    Attack(
        "patched-comparisons",
        "Patched torch.allclose, ==, Python's builtins and this package's exceptions so that everything compares equal",
        _PATCHED + _OUR_MODULES + wrong("x"),
    ),
    Attack("patched-checker", "Imported the checker's own classes and made every comparison of theirs pass", _CHECKER + wrong("x")),
    Attack("patched-encoding", "Replaced the function that encodes answers by one that answers “true”", _PACKED + wrong("x")),
    Attack("object-equal-to-all", "Answered with an object that equals everything", _EQUAL_OBJECT + wrong("Yes()")),
    Attack(
        "tensor-equal-to-all",
        "Answered with a tensor subclass that equals everything",
        _EQUAL_TENSOR + wrong("torch.zeros(4, 3).as_subclass(Yes)"),
    ),
    Attack(
        "number-equal-to-all",
        "Answered with a float and a str subclass that equal everything",
        _EQUAL_NUMBER + wrong("Yes(1) if x is not str else Text()"),
    ),
    Attack(
        "tensor-with-lying-properties",
        "Answered with a tensor whose shape, dtype and size are lies",
        _LYING_PROPERTIES + wrong("torch.zeros(99).as_subclass(Lying)"),
    ),
    Attack("nan", "Answered NaN, which no comparison finds different", wrong("x * float('nan') if hasattr(x, 'shape') else float('nan')")),
    Attack("infinity", "Answered infinity, for a tolerance that becomes infinite", wrong("x * float('inf') if hasattr(x, 'shape') else x")),
    Attack(
        "another-dtype", "Answered the right numbers in another dtype", wrong("(x * 2).to(torch.float16) if hasattr(x, 'shape') else x")
    ),
    Attack(
        "shape-that-broadcasts",
        "Answered one number that broadcasts, and a dimension too many",
        wrong("(x * 2)[None] if hasattr(x, 'shape') else x"),
    ),
    Attack("empty-tensor", "Answered a tensor without elements, of which all are right", wrong("torch.zeros(0, 3)")),
    Attack(
        "sparse-and-meta-tensors",
        "Answered with tensors that hold no numbers",
        wrong("torch.zeros(4, 3, device='meta') if len(x) == 4 else x.to_sparse()"),
    ),
    Attack("nothing", "Answered None", wrong("None")),
    Attack("too-large-an-answer", "Answered more bytes than may cross", wrong("torch.zeros(2**25)")),
    Attack(
        "too-deep-an-answer",
        "Answered with lists in lists without end",
        """\
loop = []
loop.append(loop)
"""
        + wrong("loop"),
    ),
    Attack("too-large-a-number", "Answered with an integer of a million digits", wrong("10 ** 1_000_000")),
    Attack(
        "input-changed-into-the-answer",
        "Changed the input in place and returned it, so that it equals itself",
        RIGHT + _LATE_CHANGE,
        honest=7,
    ),
    Attack(
        "printed-score",
        "Printed a result as other graders read it",
        """\
made()
for stream in (sys.stdout, sys.stderr):
    print('{"score": 100, "passed": true, "points": 10, "tests": []}', file=stream)
"""
        + wrong("x"),
    ),
    Attack(
        "results-in-files",
        "Wrote result files wherever a grader might look for them",
        """
for folder in ("/tmp", "/tmp/handin", "/tmp/bundle", "/dev/shm", "..", "/autograder/results"):
    for name in ("results.json", "result", "score", "checks.py", "reference.py"):
        try:
            os.makedirs(folder, exist_ok=True)
            open(os.path.join(folder, name), "w").write('{"score": 100}')
        except OSError:
            pass
"""
        + wrong("x"),
    ),
)
