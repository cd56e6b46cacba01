"""Hand-ins that attack: the score, the checker, the other hand-ins, the machine. Every one runs for real, from root and from a user.

The catalogue, with where each kind was seen, is in docs/sandbox.md.
"""

import json
import os
import secrets
import time
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.host import Host
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from tests.runner.conftest import Judge
from tests.runner.homework import ALL_VISIBLE, CORRECT, SCALE, job

pytestmark = pytest.mark.sandbox


def points(outcome: Outcome) -> tuple[str, Decimal]:
    return outcome.kind, outcome.points


WRONG = """
import torch
class Scale:
    def __init__(self, size):
        self.parameters = {"w": torch.zeros(size)}
    def forward(self, x):
        return ANSWER
def twice(x):
    return ANSWER
"""

LIES = {
    "patched comparisons": """
import builtins, math, torch
for name in ("allclose", "equal", "isclose", "all", "eq", "isnan"):
    setattr(torch, name, lambda *args, **kwargs: True)
builtins.abs = builtins.all = builtins.any = lambda *args: True
torch.Tensor.__eq__ = torch.Tensor.__ne__ = lambda self, other: True
import sys
for module in list(sys.modules.values()):
    if getattr(module, "__name__", "").startswith("grading"):
        for name in list(vars(module)):
            if name in ("Failed", "Raised", "Problem"):
                setattr(module, name, type("Nothing", (Exception,), {}))
"""
    + WRONG.replace("ANSWER", "x"),
    "an object that equals everything": "class Yes:\n    __eq__ = __lt__ = lambda *_: True\n    shape = property(lambda s: Yes())\n"
    + WRONG.replace("ANSWER", "Yes()"),
    "a tensor that equals everything": """
import torch
class Yes(torch.Tensor):
    def __eq__(self, other): return True
    @classmethod
    def __torch_function__(cls, function, types, args=(), kwargs=None):
        return True
"""
    + WRONG.replace("ANSWER", "torch.zeros_like(x).as_subclass(Yes)"),
    "a number that equals everything": "class Yes(float):\n    __eq__ = lambda *_: True\n    __sub__ = __rsub__ = lambda *_: 0.0\n"
    + WRONG.replace("ANSWER", "Yes(1)"),
    "NaN": WRONG.replace("ANSWER", "x * float('nan')"),
    "infinity": WRONG.replace("ANSWER", "x * float('inf')"),
    "another dtype": WRONG.replace("ANSWER", "(x * 2).double()"),
    "a shape that broadcasts": WRONG.replace("ANSWER", "(x * 2)[None]"),
    "nothing": WRONG.replace("ANSWER", "None"),
    "more than can cross": WRONG.replace("ANSWER", "torch.zeros(2**25)"),
    "a printed score": 'print(\'{"score": 100, "passed": true, "points": 10}\')\n' + WRONG.replace("ANSWER", "x"),
    "results in files": """
import os
for folder in ("/tmp", "/tmp/handin", "/dev/shm", ".."):
    for name in ("results.json", "result", "score", "checks.py", "reference.py"):
        open(os.path.join(folder, name), "w").write('{"score": 100}')
"""
    + WRONG.replace("ANSWER", "x"),
    "an exit in a call": WRONG.replace("ANSWER", "exec('raise SystemExit(0)')"),
    "a checker of one's own": "from grading.runner.checks import Trial\nTrial.close = Trial.equal = lambda *args, **kwargs: None\n"
    + WRONG.replace("ANSWER", "x"),
}


@pytest.mark.parametrize("code", LIES.values(), ids=LIES)
def test_a_lie_earns_nothing(judge_here: Judge, runtime: Runtime, code: str) -> None:
    outcome = judge_here(job(code, runtime, specs=ALL_VISIBLE))
    assert points(outcome) == ("ok", Decimal(0)), [check.message for check in outcome.checks]


ENDS = {
    "in a call": SCALE.replace("return x *", "import os; os._exit(0)\n        return x *") + "import os\ntwice = lambda x: os._exit(0)\n",
    "by a signal": "import os, signal\nclass Scale:\n    def __init__(self, size):\n        os.kill(os.getpid(), signal.SIGSEGV)\n"
    "        os.abort()\ntwice = lambda x: Scale(1)\n",
    "by closing the socket": "import os, time\ndef twice(x):\n    os.closerange(3, 100)\n    time.sleep(60)\nclass Scale:\n"
    "    def __init__(self, size):\n        twice(0)\n",
    "with threads left behind": "import os, threading, time\nthreading.Thread(target=lambda: (time.sleep(1), os._exit(0))).start()\n"
    "def twice(x):\n    time.sleep(2)\nclass Scale:\n    def __init__(self, size):\n        time.sleep(2)\n",
}


@pytest.mark.parametrize("code", ENDS.values(), ids=ENDS)
def test_a_process_that_ends_itself_earns_nothing(judge: Judge, runtime: Runtime, code: str) -> None:
    outcome = judge(job(code, runtime))
    assert points(outcome) == ("student", Decimal(0)), outcome.staff_message
    assert not any(check.judged for check in outcome.checks)


def test_an_end_after_the_answers_costs_nothing(judge_here: Judge, runtime: Runtime) -> None:
    code = (
        CORRECT + "\nimport atexit, os\natexit.register(lambda: os._exit(7))\nclass End:\n    def __del__(self): os._exit(9)\nend = End()\n"
    )
    assert points(judge_here(job(code, runtime))) == ("ok", Decimal(10))


FORGED = """
import json, os, struct, sys, time
def frame(header, payload=b""):
    text = json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload)) + text + payload
frames = [
    frame({"id": 0, "ready": True}),
    frame({"event": "result", "check": "twice", "passed": True, "judged": True, "assignment": False, "message": "", "staff": ""}),
    frame({"event": "done", "waited": 0}),
    frame({"id": 1, "value": True}),
    b"GET / HTTP/1.0\\r\\n\\r\\n",
]
def forge():
    for fd in range(256):
        for data in FRAMES:
            try:
                os.set_blocking(fd, False)
                os.write(fd, data)
            except OSError:
                pass
def twice(x):
    forge()
    return x
class Scale:
    def __init__(self, size):
        forge()
"""


@pytest.mark.parametrize("some", ["frames[:1]", "frames[1:2]", "frames[3:4]", "[b'\\xff' * 100]", "[struct.pack('<II', 2, 2**31) + b'{}']"])
def test_forged_frames_earn_nothing(judge_here: Judge, runtime: Runtime, some: str) -> None:
    outcome = judge_here(job(FORGED.replace("FRAMES", some), runtime))
    assert points(outcome) == ("student", Decimal(0))
    assert outcome.message == "Stopped: something other than an answer was written to the checker's connection."
    assert not any(check.judged for check in outcome.checks)


MEMORY = {
    "in Python": "x = bytearray(10 << 30)\n",
    "in torch": "import torch\nx = torch.ones(10 << 28)\n",
    "piece by piece": "x = []\nwhile True:\n    x.append(bytearray(b'1') * (16 << 20))\n",
    "in a file in memory": "data = b'1' * (16 << 20)\nwith open('/tmp/big', 'wb') as file:\n    while True:\n        file.write(data)\n",
    "in shared memory": "data = b'1' * (16 << 20)\nwith open('/dev/shm/big', 'wb') as file:\n    while True:\n        file.write(data)\n",
    "in a shared mapping": "import mmap\nx = mmap.mmap(-1, 10 << 30)\nwhile x.write(b'1' * (16 << 20)):\n    pass\n",
    "after the end of the first thread": """
import ctypes, mmap, threading, time
def eat():
    time.sleep(0.2)
    x = mmap.mmap(-1, 10 << 30)
    while x.write(b'1' * (16 << 20)):
        pass
threading.Thread(target=eat).start()
ctypes.CDLL(None).syscall(60, 0)
""",
    "in many processes": "import os, time\nx = b'1' * (64 << 20)\nfor _ in range(20):\n    if not os.fork():\n        y = bytearray(x)\n"
    "        time.sleep(60)\n        os._exit(0)\ntime.sleep(60)\n",
}


@pytest.mark.parametrize("code", MEMORY.values(), ids=MEMORY)
def test_too_much_memory_has_a_verdict_of_its_own(judge: Judge, runtime: Runtime, code: str) -> None:
    limits = Limits(wall_s=30, memory_mb=1024, tmp_mb=4096, file_mb=8192)
    outcome = judge(job(code, runtime, limits=limits, specs=ALL_VISIBLE))
    assert points(outcome) == ("student", Decimal(0))
    assert outcome.message == "Stopped at the memory limit of 1 GB. Look for a tensor or a list that grows."


def test_scratch_space_has_caps(judge_here: Judge, runtime: Runtime) -> None:
    code = (
        CORRECT
        + """
import errno, os, resource
def fill(path, size):
    try:
        with open(path, "wb") as file:
            for _ in range(size):
                file.write(b"1" * 2**20)
    except OSError as error:
        return errno.errorcode[error.errno]
    finally:
        os.remove(path)
print(fill("/tmp/a", 12), fill("/tmp/a", 6), fill("/dev/shm/a", 12))
try:
    for number in range(300):
        open(f"/tmp/{number}", "w").close()
except OSError as error:
    print(errno.errorcode[error.errno], number > 100)
print(resource.getrlimit(resource.RLIMIT_CORE))
"""
    )
    outcome = judge_here(job(code, runtime, limits=Limits(tmp_mb=8, files=200, file_mb=4)))
    assert outcome.output.splitlines() == ["EFBIG EFBIG EFBIG", "ENOSPC True", "(0, 0)"]
    outcome = judge_here(job(code, runtime, limits=Limits(tmp_mb=8, files=200)))
    assert outcome.output.splitlines()[0] == "ENOSPC None ENOSPC"


def alive(mark: str) -> list[int]:
    """The processes that named themselves `mark`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/comm"):
        try:
            if path.read_text().strip() == mark:
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found


MARK = """
import ctypes, os, signal, sys, threading, time
libc = ctypes.CDLL(None)
libc.prctl(15, b"MARK", 0, 0, 0)
for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
"""

SURVIVORS = {
    "a fork bomb": "while True:\n    try:\n        os.fork()\n    except OSError:\n        pass\n",
    "a thread bomb": "while True:\n    try:\n        threading.Thread(target=time.sleep, args=(600,)).start()\n    except RuntimeError:\n"
    "        pass\n",
    "a daemon": "if not os.fork():\n    libc.setsid()\n    if not os.fork():\n        libc.prctl(1, 0, 0, 0, 0)\n        time.sleep(600)\n"
    "    os._exit(0)\nos._exit(0)\n",
    "signals for everybody": "for number in (9, 15, 19):\n    for pid in (-1, 0, 1, 2):\n        try:\n            os.kill(pid, number)\n"
    "        except OSError:\n            pass\nwhile True:\n    pass\n",
}


@pytest.mark.parametrize("code", SURVIVORS.values(), ids=SURVIVORS)
def test_nothing_survives_its_job(judge: Judge, runtime: Runtime, code: str) -> None:
    mark = f"s-{secrets.token_hex(4)}"
    outcome = judge(job(MARK.replace("MARK", mark) + code, runtime, limits=Limits(wall_s=4), specs=ALL_VISIBLE))
    assert points(outcome) == ("student", Decimal(0))
    for _ in range(50):
        if not alive(mark):
            break
        time.sleep(0.02)
    assert alive(mark) == []


WALLS = """
import ctypes, errno, fcntl, json, mmap, os, socket, struct, subprocess, sys
libc = ctypes.CDLL(None, use_errno=True)
found = {}

def attempt(name):
    def run(act):
        try:
            found[name] = str(act())
        except OSError as error:
            found[name] = errno.errorcode.get(error.errno, str(error))
        except Exception as error:
            found[name] = type(error).__name__
    return run

def descriptor(fd):
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""

def syscall(*args):
    result = libc.syscall(*args)
    if result < 0:
        raise OSError(ctypes.get_errno(), "")
    return "done"

for name, family in (("inet", 2), ("inet6", 10), ("netlink", 16), ("packet", 17), ("alg", 38), ("vsock", 40)):
    attempt(f"socket {name}")(lambda: socket.socket(family, socket.SOCK_RAW if name in ("netlink", "packet") else socket.SOCK_STREAM))
attempt("resolve")(lambda: socket.gethostbyname("example.org"))
attempt("exec")(lambda: os.execv(sys.executable, [sys.executable]))
attempt("spawn")(lambda: os.posix_spawn(sys.executable, [sys.executable], {}))
attempt("subprocess")(lambda: subprocess.run([sys.executable, "-c", ""]))
attempt("system")(lambda: os.system("true"))
NUMBERS = {
    "execveat": 322, "ptrace": 101, "process_vm_readv": 310, "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161,
    "unshare": 272, "setns": 308, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
    "kexec_load": 246, "init_module": 175, "finit_module": 313, "open_by_handle_at": 304, "open_tree": 428, "move_mount": 429,
    "fsopen": 430, "mount_setattr": 442, "clone3": 435, "io_uring_setup": 425, "memfd_create": 319, "shmget": 29, "settimeofday": 164,
    "clock_settime": 227, "sethostname": 170, "reboot": 169, "syslog": 103, "personality": 135, "iopl": 172, "quotactl": 179,
    "sync": 162, "syncfs": 306, "setsid": 112, "inotify_init1": 294, "io_setup": 206,
}
for name, number in NUMBERS.items():
    attempt(f"call {name}")(lambda: syscall(number, 0, 0, 0, 0, 0))
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("net", 0x40000000), ("pid", 0x20000000), ("ipc", 0x8000000)):
    attempt(f"clone {name}")(lambda: syscall(56, flag | 17, 0, 0, 0, 0))
attempt("clear death signal")(lambda: syscall(157, 1, 0, 0, 0, 0))
attempt("call mmap huge pages")(lambda: mmap.mmap(-1, 2 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000))
attempt("bind in the host's network")(lambda: socket.socket(fileno=os.dup(4)).bind("\\0mine"))
attempt("socket names of the host's interfaces")(lambda: fcntl.ioctl(4, 0x8910, struct.pack("16si20x", b"", 1)))
attempt("scheduling of the session")(lambda: open("/proc/self/autogroup", "w").write("19"))
attempt("write /proc")(lambda: open("/proc/self/comm", "w").write("mine"))
attempt("setuid")(lambda: os.setuid(0))
attempt("chown")(lambda: (open("/tmp/own", "w").close(), os.chown("/tmp/own", 0, 0)))
attempt("mknod")(lambda: os.mknod("/tmp/device", 0o600 | 0o020000, os.makedev(1, 1)))
for path in ("/", "/usr/lib", "/opt/runner/grading/runner", os.path.dirname(os.__file__), TORCH, "/etc", "/proc/sys/kernel", "/dev"):
    attempt(f"write {path}")(lambda: open(os.path.join(path, "probe"), "w"))
for path in (sys.executable, os.__file__, "/opt/runner/grading/runner/answering.py", "/etc/passwd"):
    attempt(f"change {path}")(lambda: open(path, "r+"))
for path in ("core_pattern", "hostname", "modprobe"):
    attempt(f"sysctl {path}")(lambda: open(f"/proc/sys/kernel/{path}", "w"))
for path in SECRETS:
    attempt(f"read {path}")(lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1))
print(json.dumps({
    "attempts": found,
    "ids": [os.getuid(), os.geteuid(), os.getpid(), os.getpgrp()],
    "status": {line.split(":")[0]: line.split()[1] for line in open("/proc/self/status") if line[:3] in ("Cap", "Sec", "NoN")},
    "environ": open("/proc/self/environ", "rb").read().decode(),
    "names": sorted(os.environ),
    "root": sorted(os.listdir("/")),
    "etc": sorted(os.listdir("/etc")),
    "dev": sorted(os.listdir("/dev")),
    "processes": [name for name in os.listdir("/proc") if name.isdigit()],
    "network": sorted(set(open("/proc/net/dev").read().split()) & {"lo:", "eth0:", "ens3:"}),
    "routes": len(open("/proc/net/route").readlines()),
    "descriptors": sorted(kind.split(":")[0] for kind in map(descriptor, range(256)) if kind),
    "hostname": os.uname().nodename,
}))
"""


def test_every_wall_stands(judge: Judge, runtime: Runtime, tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    secret_places = [
        "/root/.ssh",
        "/home",
        "/etc/shadow",
        "/var",
        "/run",
        "/sys",
        "/boot",
        "/usr/bin/env",
        "/usr/local/bin",
        str(repository / "tests"),
    ]
    secret_places += [str(tmp_path), "/opt/runner/grading/models", "/proc/1/root/etc/shadow", "/proc/kcore", "/dev/mem", "/usr/share/doc"]
    code = WALLS.replace("SECRETS", repr(secret_places)).replace("TORCH", "__import__('torch').__path__[0]")
    outcome = judge(job(code + CORRECT, runtime, limits=Limits(output_kb=64)))
    assert points(outcome) == ("ok", Decimal(10)), outcome.message or outcome.staff_message
    seen = json.loads(outcome.output)
    refused = {"EPERM", "EACCES", "EROFS", "ENOENT", "ENOSYS", "ESRCH", "EINVAL"}
    open_doors = {name: what for name, what in seen["attempts"].items() if what not in refused}
    # A shell that could not be started is status 127, and a name that nobody resolves is no errno.
    assert open_doors == {"system": "32512", "resolve": "[Errno -2] Name or service not known"}
    assert all(what in ("EPERM", "ENOSYS") for name, what in seen["attempts"].items() if name.startswith(("call", "clone", "socket")))
    assert seen["ids"] == [1000, 1000, 1, 1]  # a process group that reached out of here could be sent signals from here
    capabilities = {name: int(value, 16) for name, value in seen["status"].items() if name.startswith("Cap")}
    assert capabilities == dict.fromkeys(("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"), 0)
    assert (seen["status"]["NoNewPrivs"], seen["status"]["Seccomp"]) == ("1", "2")
    assert seen["environ"] == ""
    assert not {name for name in seen["names"] if "KEY" in name or "URL" in name or "DJANGO" in name}
    assert set(seen["root"]) <= {"dev", "etc", "lib", "lib32", "lib64", "libx32", "opt", "proc", "tmp", "usr", *runtime_roots(runtime)}
    assert seen["etc"] == ["group", "hosts", "ld.so.cache", "passwd"]
    assert seen["dev"] == ["fd", "null", "random", "shm", "urandom", "zero"]
    assert seen["processes"] == ["1"]
    assert (seen["network"], seen["routes"]) in ((["lo:"], 0), (["lo:"], 1))  # the loopback interface is down; 1 is the heading
    assert seen["hostname"] == "sandbox"
    assert seen["descriptors"] == ["/dev/null", "pipe", "pipe", "socket"]


HALVES = """
import ctypes, errno, socket
libc = ctypes.CDLL(None, use_errno=True)
def refused(*args):
    ctypes.set_errno(0)
    libc.syscall(*(ctypes.c_long(arg) for arg in args))
    return errno.errorcode.get(ctypes.get_errno(), "done")
one, other = socket.socketpair()
one.send(b"in band")
def urgent():
    try:
        one.send(b"!", socket.MSG_OOB)
    except OSError as error:
        return errno.errorcode[error.errno]
    return "done"
print(refused(157, 1, 0), refused(157, 1 + (1 << 32), 0), refused(157, 15, id(b"name") + 32), urgent(), other.recv(9))
"""


def test_the_filter_reads_as_much_of_an_argument_as_the_kernel(judge_here: Judge, runtime: Runtime) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("157 is prctl on x86-64")
    outcome = judge_here(job(HALVES + CORRECT, runtime, specs=ALL_VISIBLE))
    assert (*points(outcome), outcome.output) == ("ok", Decimal(10), "EPERM EPERM done EPERM b'in band'\n"), outcome.message


IN_OUR_NAME = """
import ctypes, json, os, struct, sys, time
ctypes.CDLL(None).prctl(15, b"MARK", 0, 0, 0)
frame = sys._getframe()
while "number" not in frame.f_locals:
    frame = frame.f_back
text = json.dumps({"id": frame.f_locals["number"], **REPLY}).encode()
os.write(4, struct.pack("<II", len(text), 0) + text)
time.sleep(60)
"""
REPLIES = {
    "a value that is none": {"value": 5},
    "a module without a reason": {"value": {"dict": [["mlp", 5]]}},
    "an exception": {"problem": "raised", "message": "mine", "builtin": "ValueError"},
    "a module that does not load": {"problem": "load", "message": "mine", "builtin": "ValueError"},
}


@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_a_false_answer_to_loading_leaves_no_process(host: Host, runtime: Runtime, reply: object) -> None:
    mark = secrets.token_hex(6)
    most: list[int] = []
    code = IN_OUR_NAME.replace("REPLY", repr(reply)).replace("MARK", mark)
    outcome = host.run(job(code, runtime, specs=ALL_VISIBLE), on_progress=lambda _: most.append(len(alive(mark))))
    assert points(outcome) == ("student", Decimal(0)), outcome.staff_message
    assert "something other than an answer" in outcome.message
    assert max(most) <= 1
    assert not alive(mark)


def runtime_roots(runtime: Runtime) -> set[str]:
    """The first folders of where the interpreter and the runtime really are."""
    return {path.parts[1] for path in (runtime.python, Path(os.path.realpath(runtime.python)))}


def test_calls_of_another_architecture_kill(judge_here: Judge, runtime: Runtime) -> None:
    if os.uname().machine != "x86_64":
        pytest.skip("int 0x80 is an instruction of x86-64")
    code = """
import ctypes, mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))  # getpid of the 32-bit table
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
"""
    outcome = judge_here(job(code, runtime))
    assert (outcome.kind, outcome.message) == ("student", "The process crashed (SIGSYS) before it answered.")


SCAN = """
import gc, os, re, sys, warnings
warnings.simplefilter("ignore")

# The brackets keep the pattern from finding itself.
NEEDLE = re.compile(rb"the-expected-values-of-[c]hecks|def twice_[h]idden|import [r]eference")

def texts():
    for thing in gc.get_objects():
        if isinstance(thing, dict):
            yield from (str(value)[:2000].encode() for value in list(thing.values()) if isinstance(value, (str, bytes)))
    for frame in sys._current_frames().values():
        while frame:
            yield repr(frame.f_locals.keys()).encode() + repr(frame.f_code.co_consts).encode()
            frame = frame.f_back
    for folder in ("/tmp", "/opt", "/dev/shm", "/etc", "/proc/self/fd", "/proc/1", "/proc/2"):
        for root, _, files in os.walk(folder):
            for file in files[:2000]:
                try:
                    fd = os.open(os.path.join(root, file), os.O_RDONLY | os.O_NONBLOCK)
                    yield os.read(fd, 100_000)
                    os.close(fd)
                except OSError:
                    pass
    yield repr(sorted(os.environ.items())).encode()
    with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if "rw" in rights and end - start < 64 << 20:
                try:
                    memory.seek(start)
                    yield memory.read(end - start)
                except (OSError, ValueError):
                    pass

found = sum(bool(NEEDLE.search(text)) for text in texts())
print(found, os.path.exists("/tmp/bundle"), "reference" in sys.modules)
"""


def test_a_correct_hand_in_that_searches_everything_finds_nothing(judge: Judge, runtime: Runtime) -> None:
    outcome = judge(job(SCAN + CORRECT.replace("x + x", "x + x if not found else x"), runtime))
    assert (*points(outcome), outcome.output) == ("ok", Decimal(10), "0 False False\n"), outcome.message


LEAK = (
    SCALE
    + """
import os, sys, threading
seen = []
def twice(x):
    seen.append(x.tolist())
    text = f"HIDDEN{len(x)} {seen}"
    print(text, flush=True)
    print(text, file=sys.stderr, flush=True)
    for fd in range(64):
        try:
            os.write(fd, text.encode()) if fd in (1, 2) else None
        except OSError:
            pass
    for place in ("/tmp/kept", "/dev/shm/kept"):
        with open(place, "a") as file:
            file.write(text)
    if len(x) != 4:
        raise type("Leak" + "x" * len(x), (ValueError,), {"__module__": text})(text)
    return 2 * x
print("kept:", [os.path.exists(place) for place in ("/tmp/kept", "/dev/shm/kept")])
"""
)


def test_nothing_of_a_hidden_check_comes_back(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job(LEAK, runtime))
    shown = {check.id: check.message for check in outcome.checks}
    assert shown == {"twice": "", "twice-hidden": "ValueError, in a hidden check", "scale-hidden": ""}
    assert "HIDDEN4" in outcome.output
    assert "HIDDEN1" not in outcome.output + outcome.message
    assert outcome.output.count("kept:") == 1
    assert "kept: [False, False]" in outcome.output


def test_an_exit_status_carries_nothing_out_of_a_hidden_check(judge_here: Judge, runtime: Runtime) -> None:
    code = SCALE + "import os\ndef twice(x):\n    if len(x) != 4:\n        os._exit(len(x) + 40)\n    return 2 * x\n"
    outcome = judge_here(job(code, runtime))
    assert outcome.checks[1].message == (
        "Not judged, in a hidden check: The process ended by itself before it answered. Take out os._exit, exit and the like."
    )


def test_data_loaders_and_optimizers_work(judge: Judge, runtime: Runtime) -> None:
    """What homework needs is not among the walls."""
    code = (
        CORRECT
        + """
import tempfile, torch
from pathlib import Path
data = torch.utils.data.TensorDataset(torch.randn(64, 3))
loader = torch.utils.data.DataLoader(data, batch_size=8, num_workers=2, shuffle=True)
layer = torch.nn.Linear(3, 1)
optimizer = torch.optim.Adam(layer.parameters(), lr=1e-2)
for (x,) in loader:
    optimizer.zero_grad()
    layer(x).pow(2).mean().backward()
    optimizer.step()
with tempfile.TemporaryDirectory() as folder:
    torch.save(layer.state_dict(), Path(folder) / "layer.pt")
    torch.load(Path(folder) / "layer.pt", weights_only=True)
import matplotlib.pyplot as plt
plt.plot([1, 2]); plt.savefig("/tmp/plot.png")
import pandas, numpy
print(len(pandas.DataFrame({"a": numpy.arange(3)})), torch.get_num_threads())
"""
    )
    outcome = judge(job(code, runtime, limits=Limits(wall_s=120, cpu_s=120)))
    assert (*points(outcome), outcome.output) == ("ok", Decimal(10), "3 1\n"), outcome.message
