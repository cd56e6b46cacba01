"""Ends of the process at every point: where an exit status counts, an early one is a success."""

from grading.runner.doctor.attack import HANGS, HONEST, RIGHT, SCALE, UNHURRIED, Attack, right_but

_ENDED = "The process ended by itself"
_CRASHED = "The process crashed"
_NOT_AN_ANSWER = "something other than an answer"


def _in(body: str) -> str:
    """Hand-ins whose every function and class does `body`."""
    lines = "\n    ".join(body.splitlines())
    return f"""\
def act():
    {lines}
twice = answer = lambda x: act()
class Scale:
    def __init__(self, size):
        act()
"""


def _hangs(name: str, tries: str, body: str, proof: str = "no answer after 1 s") -> Attack:
    """A right hand-in that does `body` for one hidden request, which leaves the checker without an answer."""
    return Attack(name, tries, right_but(body), honest=HONEST, proof=proof, limits=UNHURRIED if proof == _CRASHED else HANGS)


ATTACKS = (
    Attack("exit-at-import", "Ended the process with status 0 while it was imported", "os._exit(0)\n", proof=_ENDED),
    Attack(
        "sys-exit-at-import",
        "Called sys.exit(0) while it was imported",
        """\
made()
sys.exit(0)
""",
        proof="SystemExit",
    ),
    Attack(
        "exit-in-forward",
        "Ended the process with status 0 in forward, after __init__ and an attribute set were answered",
        SCALE.replace("return x *", "os._exit(0)\n        return x *") + "made()\n",
    ),
    Attack("exit-in-a-call", "Ended the process with status 0 in each function that is called", _in("os._exit(0)"), proof=_ENDED),
    Attack(
        "sys-exit-in-a-call", "Raised SystemExit(0), KeyboardInterrupt and GeneratorExit in calls", "made()\n" + _in("raise SystemExit(0)")
    ),
    Attack(
        "exit-in-a-helper",
        "Ended the process in a helper that a property calls",
        "made()\n"
        + _in("return Result()")
        + """\
class Result:
    shape = property(lambda _: os._exit(0))
    __len__ = lambda _: os._exit(0)
    __class__ = property(lambda _: os._exit(0))
""",
        proof=_ENDED,
    ),
    Attack(
        "exit-in-a-thread",
        "Ended the process from a thread while a call waits",
        "made()\n" + _in("threading.Thread(target=os._exit, args=(0,)).start()\ntime.sleep(60)"),
        proof=_ENDED,
    ),
    Attack("exit-by-the-system-call", "Ended every thread by exit_group", _in("syscall(231, 0)"), proof=_ENDED),
    Attack(
        "exit-after-the-answers",
        "Ended with another status after every right answer, by atexit and by a finaliser",
        RIGHT
        + """\
import atexit
atexit.register(lambda: os._exit(7))
class End:
    def __del__(self): os._exit(9)
end = End()
made()
""",
        honest=HONEST,
    ),
    Attack("segmentation-fault", "Read at address 0 by ctypes", _in("ctypes.string_at(0)"), proof=_CRASHED),
    Attack("abort", "Called abort, and killed itself by SIGKILL", _in("os.kill(os.getpid(), signal.SIGKILL)\nos.abort()"), proof=_CRASHED),
    _hangs(
        "end-of-the-first-thread",
        "Ended the first thread alone, so that the process lives on without it",
        "threading.Thread(target=time.sleep, args=(60,)).start()\nsyscall(60, 0)",
    ),
    _hangs("sleep", "Slept in a call", "time.sleep(600)"),
    _hangs(
        "endless-call",
        "Ran in a call without end, and caught every exception",
        """\
while True:
    try:
        while True:
            pass
    except BaseException:
        pass""",
    ),
    _hangs(
        "stopped-by-itself",
        "Stopped itself by SIGSTOP, so that it neither answers nor ends",
        """\
syscall(200, os.getpid(), 19)
os.kill(1, 19)
time.sleep(60)""",
    ),
    _hangs(
        "deep-recursion",
        "Recursed through C code until the stack was used up, past Python's own limit",
        """\
sys.setrecursionlimit(10 ** 9)
def down(n):
    return max([n], key=down)
down(1)""",
        _CRASHED,
    ),
    _hangs(
        "stack-smashed-in-a-thread",
        "Recursed in a thread with a stack of 64 kB",
        """\
threading.stack_size(64 * 1024)
sys.setrecursionlimit(10 ** 9)
def down(n):
    return max([n], key=down)
thread = threading.Thread(target=down, args=(1,))
thread.start()
thread.join()""",
        _CRASHED,
    ),
    Attack(
        "socket-closed",
        "Closed the socket to the checker and lived on",
        right_but("os.closerange(3, 256)\ntime.sleep(60)"),
        honest=HONEST,
        proof=_NOT_AN_ANSWER,
    ),
    Attack(
        "socket-shut-at-import",
        "Shut the socket to the checker down while it was imported, and lived on",
        """\
import socket
made()
socket.socket(fileno=os.dup(4)).shutdown(socket.SHUT_RDWR)
time.sleep(60)
""",
        proof=_NOT_AN_ANSWER,
    ),
    Attack(
        "endless-import",
        "Ran without end while it was imported, deaf to every signal",
        """\
made()
for number in set(signal.Signals) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
while True:
    pass
""",
        proof="Stopped after 1.5 s",
        limits=HANGS,
    ),
)
