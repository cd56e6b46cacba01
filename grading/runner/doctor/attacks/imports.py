"""What is imported, and what the environment says: shadows, hooks and startup files."""

from grading.runner.doctor.attack import HONEST, RIGHT, Attack, wrong

_SHADOW = b"def __getattr__(name):\n    return lambda *args, **kwargs: True\n"

_NAMES = (
    "torch",
    "numpy",
    "json",
    "struct",
    "socket",
    "sitecustomize",
    "usercustomize",
    "select",
    "math",
    "traceback",
    "importlib",
    "grading",
)

_HOOKS = """
import importlib, importlib.abc
class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.startswith(("grading", "checks", "reference")):
            reached(f"the import of {name}")
sys.meta_path.insert(0, Finder())
sys.settrace(lambda *args: None)
sys.setprofile(lambda *args: None)
sys.excepthook = sys.unraisablehook = lambda *args: None
threading.excepthook = lambda *args: None
for name in [name for name in sys.modules if name.startswith("grading")]:
    del sys.modules[name]
made()
"""

_ENVIRONMENT = """
for name in ("LD_PRELOAD", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONSTARTUP", "PYTHONHOME", "PYTHONINSPECT", "BASH_ENV"):
    os.environ[name] = "/tmp/handin"
    libc.setenv(name.encode(), b"/tmp/handin", 1)
for place in ("/tmp/handin", "/tmp", os.path.expanduser("~/.local/lib/python3.11/site-packages"), "/dev/shm"):
    os.makedirs(place, exist_ok=True)
    for name in ("evil.pth", "sitecustomize.py", "usercustomize.py", "torch.py", "checks.py"):
        open(os.path.join(place, name), "w").write("import os; os._exit(0)")
sys.path[:0] = ["/tmp", "/dev/shm"]
os.chdir("/dev/shm")
made()
"""

_BUILTINS = """
import builtins, json, pickle
for name in ("open", "print", "isinstance", "len", "type", "getattr", "hash", "sum", "max", "range"):
    setattr(builtins, name, lambda *args, **kwargs: True)
json.dumps = lambda *args, **kwargs: "{}"
json.loads = lambda *args, **kwargs: {"passed": True, "points": 100}
struct.pack = lambda *args: b""
"""

ATTACKS = (
    Attack(
        "modules-shadowed",
        "Handed in modules named as torch, json, sitecustomize and this package",
        "made()\n" + wrong("x"),
        files={f"{name}.py": _SHADOW for name in _NAMES},
    ),
    Attack(
        "package-shadowed",
        "Handed in a package named as this one, whose modules answer for everybody",
        "made()\n" + wrong("x"),
        files={
            "grading/__init__.py": b"",
            "grading/runner/__init__.py": b"",
            "grading/runner/checks.py": _SHADOW,
            "grading/runner/answering.py": b"import os; os._exit(0)",
            "torch/__init__.py": _SHADOW,
            "conftest.py": b"import os; os._exit(0)",
            "setup.py": b"import os; os._exit(0)",
            "mlp.pth": b"import os; os._exit(0)",
        },
    ),
    Attack("import-hooks", "Put hooks into the import system, the tracer and what handles exceptions", RIGHT + _HOOKS, honest=HONEST),
    Attack(
        "environment-for-the-next",
        "Set LD_PRELOAD and PYTHONPATH, and left startup files wherever Python looks",
        RIGHT + _ENVIRONMENT,
        honest=HONEST,
    ),
    Attack(
        "builtins-replaced",
        "Replaced builtins, JSON and struct below the code that answers",
        wrong("x") + "made()\n" + _BUILTINS,
        proof="the attack was made",
    ),
    Attack(
        "main-module-replaced",
        "Replaced the modules and the loop that answer by its own",
        wrong("x")
        + """
from grading.runner import answering, protocol
answering.Answerer._do = lambda self, frame: True
answering.Answerer._answer = lambda self, frame: protocol.pack_frame({"id": frame.header["id"], "value": True})
protocol.ITEM_SIZES = {}
made()
""",
    ),
)
