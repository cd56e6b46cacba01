"""What a hand-in leaves behind for the next one in the same place."""

from dataclasses import replace

from grading.runner.doctor.attack import HONEST, QUICK, RIGHT, Attack

_BOMB = """\
made()
for _ in range(12):
    if not os.fork():
        time.sleep(60)
"""


def _pair(name: str, tries: str, leave: str, look: str) -> Attack:
    return Attack(name, tries, RIGHT + look + "made()\n", honest=HONEST, before=RIGHT + leave)


ATTACKS = (
    _pair(
        "files-left",
        "Left files and folders for the next hand-in",
        """\
for place in ('/tmp', '/dev/shm', '/tmp/handin', '/proc/self/cwd'):
    open(place + '/left', 'w').write('left')
    os.makedirs(place + '/left.d', exist_ok=True)
""",
        """\
for place in ('/tmp', '/dev/shm', '/tmp/handin'):
    for name in os.listdir(place):
        if 'left' in name:
            reached(place + '/' + name)
""",
    ),
    _pair(
        "environment-left",
        "Left variables, a working directory, a file mask and limits for the next hand-in",
        """\
os.environ['LEFT'] = 'left'
libc.setenv(b'LEFT', b'left', 1)
os.chdir('/dev')
os.umask(0o777)
os.nice(5)
signal.signal(signal.SIGTERM, signal.SIG_IGN)
libc.prctl(15, b'left', 0, 0, 0)
""",
        """\
if 'LEFT' in os.environ or os.getcwd() != '/tmp/handin' or os.umask(0o022) == 0o777 or signal.getsignal(signal.SIGTERM) == signal.SIG_IGN:
    reached('what the one before had set')
""",
    ),
    _pair(
        "modules-left",
        "Left attributes and modules in the interpreter for the next hand-in",
        """\
import builtins, torch, types
builtins.left = torch.left = os.left = 'left'
sys.modules['left'] = types.ModuleType('left')
torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
""",
        """\
import builtins, torch
if any(hasattr(place, 'left') for place in (builtins, torch, os)) or 'left' in sys.modules or torch.get_default_dtype() != torch.float32:
    reached('what the one before had changed')
""",
    ),
    _pair(
        "shared-memory-left",
        "Left shared memory, queues and locks for the next hand-in",
        """\
from multiprocessing import shared_memory, resource_tracker
open('/dev/shm/psm_left', 'w').write('left')
import torch
kept = torch.ones(10).share_memory_()
import fcntl
fcntl.flock(os.open('/dev/null', os.O_RDWR), fcntl.LOCK_EX)
""",
        """\
if os.listdir('/dev/shm'):
    reached(os.listdir('/dev/shm'))
import fcntl
fcntl.flock(os.open('/dev/null', os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
""",
    ),
    _pair(
        "descriptors-left",
        "Changed the flags and the owner of the descriptors that it was given",
        """\
import fcntl
for fd in (0, 1, 2, 4):
    fcntl.fcntl(fd, fcntl.F_SETSIG, 42)
    fcntl.fcntl(fd, fcntl.F_SETOWN, os.getpid())
    if fd != 4:
        fcntl.fcntl(fd, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
os.dup2(1, 77)
""",
        """\
import fcntl
for fd in (0, 1, 2, 4):
    flags = 0 if fd == 4 else fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK)
    if flags or fcntl.fcntl(fd, fcntl.F_GETSIG) or fcntl.fcntl(fd, fcntl.F_GETOWN):
        reached(f'the flags of {fd}')
try:
    os.fstat(77)
    reached('descriptor 77')
except OSError:
    pass
""",
    ),
    Attack(
        "processes-left",
        "Left processes, so that the next hand-in can start none",
        RIGHT
        + """\
for _ in range(15):
    if not os.fork():
        time.sleep(60)
made()
""",
        honest=HONEST,
        before=_BOMB,
        limits=replace(QUICK, processes=20),
    ),
)
