"""Processes, threads, signals and descriptors: bombs, survivors, and what reaches beyond the sandbox."""

from dataclasses import replace

from grading.runner.doctor.attack import HONEST, QUICK, RIGHT, UNHURRIED, Attack

_SHORT = replace(QUICK, wall_s=1.5, cpu_s=30)
_ENDED = "Stopped after 1.5 s of wall time"
_FORKS = "Stopped: processes that it started kept starting others"
_DEAF = """\
for number in set(signal.Signals) - {9, 19}:
    signal.signal(number, signal.SIG_IGN)
"""
_ALL_SIGNALS = """
for number in (9, 15, 19, 1, 2, 6):
    for pid in (-1, 0, 1, 2, 3, os.getppid(), -os.getppid(), -2):
        try:
            os.kill(pid, number)
        except OSError:
            pass
"""

ATTACKS = (
    Attack(
        "fork-bomb",
        "Forked without end",
        "made()\n"
        + _DEAF
        + """\
while True:
    try:
        os.fork()
    except OSError:
        pass
""",
        proof=_FORKS,
        limits=_SHORT,
    ),
    Attack(
        "fork-bomb-that-dies",
        "Forked without end children that end at once, so that there is always room",
        """\
made()
while True:
    try:
        if not os.fork():
            os._exit(0)
    except OSError:
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except OSError:
            pass
""",
        proof=_ENDED,
        limits=_SHORT,
    ),
    Attack(
        "thread-bomb",
        "Started threads without end",
        """\
made()
while True:
    try:
        threading.Thread(target=time.sleep, args=(600,)).start()
    except RuntimeError:
        pass
""",
        proof=_ENDED,
        limits=_SHORT,
    ),
    Attack(
        "busy-processes",
        "Kept every processor busy by as many processes as it may have",
        """\
made()
for _ in range(60):
    try:
        if not os.fork():
            break
    except OSError:
        break
while True:
    pass
""",
        proof=_ENDED,
        limits=_SHORT,
    ),
    Attack(
        "processor-time-by-many",
        "Spent more processor time than its limit by sharing it among processes",
        """\
made()
for _ in range(7):
    if not os.fork():
        break
while True:
    pass
""",
        proof="Stopped after",
        limits=replace(QUICK, cpu_s=2, wall_s=4),
    ),
    Attack(
        "zombies",
        "Left dead children unburied",
        """\
made()
for _ in range(1000):
    try:
        if not os.fork():
            os._exit(0)
    except OSError:
        break
"""
        + RIGHT,
        honest=HONEST,
        limits=UNHURRIED,
    ),
    Attack(
        "daemon",
        "Left a daemon that forked twice, cleared its death signal and asked for a session of its own",
        RIGHT
        + """\
made()
if not os.fork():
    libc.setsid()
    if not os.fork():
        libc.prctl(1, 0, 0, 0, 0)
        """
        + _DEAF.replace("\n    ", "\n            ").replace("\nfor", "\n        for").strip()
        + """\

        time.sleep(600)
    os._exit(0)
os.wait()
""",
        honest=HONEST,
    ),
    Attack(
        "daemon-in-a-hidden-check",
        "Left a daemon from within a call",
        RIGHT.replace(
            "return 2 * x",
            """\
if not os.fork():
        os.setpgid(0, 0)
        time.sleep(600)
    return 2 * x""",
        )
        + "made()\n",
        honest=HONEST,
    ),
    Attack(
        "kill-everybody",
        "Sent fatal signals to everybody, to its group, its parent and process 1",
        "made()\n"
        + _DEAF
        + _ALL_SIGNALS
        + """\
while True:
    pass
""",
        proof="Stopped after",
        limits=_SHORT,
    ),
    Attack(
        "kill-by-descriptor",
        "Sent signals by pidfd, tgkill, sigqueue and the owner of a descriptor",
        RIGHT
        + "import fcntl\n"
        + """
for pid in (2, 3, 4, 5, os.getppid() or 99, 64090):
    attempt(f"a pidfd of {pid}", lambda: os.pidfd_open(pid))
    attempt(f"tgkill {pid}", lambda: syscall(234, pid, pid, 9))
    attempt(f"sigqueue {pid}", lambda: syscall(129, pid, 9, 0))
for fd in (1, 4):
    fcntl.fcntl(fd, fcntl.F_SETOWN, 0)
    fcntl.fcntl(fd, fcntl.F_SETSIG, 9)
made()
""",
        honest=HONEST,
    ),
    Attack(
        "descriptors-used-up",
        "Opened files and sockets until there were no descriptors, here and in children",
        RIGHT
        + """\
import socket
kept = []
for _ in range(4):
    if not os.fork():
        break
else:
    made()
if os.getpid() != 1:
    try:
        while True:
            kept.append(os.open('/dev/null', os.O_RDONLY))
    except OSError:
        time.sleep(60)
""",
        honest=HONEST,
    ),
    Attack(
        "descriptors-in-flight",
        "Put descriptors into sockets, where no limit of its own counts them",
        RIGHT
        + """\
import array, socket
made()
kept = []
try:
    while len(kept) < 100:
        one, other = socket.socketpair()
        kept.append((one, other))
        for _ in range(10):
            one.sendmsg([b'1'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [other.fileno()] * 200))], socket.MSG_DONTWAIT)
except OSError:
    pass
kept.clear()
""",
        honest=HONEST,
    ),
    Attack(
        "priority-raised",
        "Asked for a better priority, for real-time scheduling and for other processors",
        RIGHT
        + """
attempt("a better priority", lambda: os.setpriority(os.PRIO_PROCESS, 0, -10))
for pid in (0, 1):
    attempt("real time", lambda: os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(50)))
attempt("disk first", lambda: syscall(251, 1, 0, (1 << 13) | 0))
attempt("the priority of a session", lambda: open("/proc/self/autogroup", "w").write("-10"))
attempt("never to be killed for memory", lambda: open("/proc/self/oom_score_adj", "w").write("-1000"))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "limits-raised",
        "Raised its own resource limits",
        RIGHT
        + """
import resource
for name in [name for name in dir(resource) if name.startswith("RLIMIT_")]:
    soft, hard = resource.getrlimit(getattr(resource, name))
    if hard != resource.RLIM_INFINITY:
        attempt(name, lambda: resource.setrlimit(getattr(resource, name), (hard + 1, hard + 1)))
        attempt(name, lambda: resource.prlimit(1, getattr(resource, name), (hard + 1, hard + 1)))
        attempt(name, lambda: resource.setrlimit(getattr(resource, name), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "clock-tampered",
        "Set the clock, and patched every function that reads one",
        """\
for name, number in {'settimeofday': 164, 'clock_settime': 227, 'adjtimex': 159, 'clock_adjtime': 305}.items():
    attempt(name, lambda: syscall(number, 0, 0))
"""
        """\
for name in ('time', 'monotonic', 'perf_counter', 'process_time', 'sleep', 'time_ns', 'monotonic_ns'):
    setattr(time, name, lambda *args: 0)
"""
        """\
signal.setitimer(signal.ITIMER_REAL, 0)
import select
select.poll = select.select = None
made()
while True:
    pass
""",
        proof="Stopped after 1.5 s",
        limits=_SHORT,
    ),
)
