"""Memory of every kind that a process can have: its own, shared, in files, in the kernel."""

from dataclasses import replace

from grading.runner.doctor.attack import HONEST, QUICK, RIGHT, Attack

_LIMIT = "Stopped at the memory limit of 512 MB."
_LIMITS = replace(QUICK, memory_mb=512, tmp_mb=4096, file_mb=8192, wall_s=10, cpu_s=10, call_s=5)
_FILL = """\
data = b'1' * (8 << 20)
with open('PLACE', 'wb') as file:
    while True:
        file.write(data)
"""
_FILL_MAPPING = """\
while x.write(data):
    pass
"""


def _stopped(name: str, tries: str, code: str) -> Attack:
    return Attack(name, tries, "made()\n" + code, proof=_LIMIT, limits=_LIMITS)


ATTACKS = (
    _stopped("memory-of-python", "Asked Python for ten gigabytes at once", "x = bytearray(10 << 30)\n"),
    _stopped(
        "memory-of-torch",
        "Asked torch for ten gigabytes at once",
        """\
import torch
x = torch.ones(10 << 28)
""",
    ),
    _stopped(
        "memory-piece-by-piece",
        "Took memory in pieces, and wrote to each",
        """\
x = []
while True:
    x.append(bytearray(b'1') * (8 << 20))
""",
    ),
    _stopped(
        "memory-in-a-call",
        "Took memory in a call, and caught the error",
        """\
def twice(x):
    kept = []
    while True:
        try:
            kept.append(bytearray(b'1') * (8 << 20))
        except MemoryError:
            pass
""",
    ),
    _stopped("memory-in-tmp", "Filled a file below /tmp, whose cap is higher than the memory limit", _FILL.replace("PLACE", "/tmp/big")),
    _stopped("memory-in-dev-shm", "Filled a file below /dev/shm", _FILL.replace("PLACE", "/dev/shm/big")),
    _stopped(
        "memory-in-both-scratches",
        "Filled files below /tmp and /dev/shm by turns, each below the limit",
        """\
data = b'1' * (8 << 20)
with open('/tmp/big', 'wb') as one, open('/dev/shm/big', 'wb') as other:
    while True:
        one.write(data)
        other.write(data)
""",
    ),
    _stopped(
        "memory-in-a-deleted-file",
        "Filled a file that has no name any more",
        """\
fd = os.open('/tmp', os.O_TMPFILE | os.O_RDWR)
data = b'1' * (8 << 20)
while True:
    os.write(fd, data)
""",
    ),
    _stopped(
        "memory-shared",
        "Filled a shared mapping, which resource limits do not count",
        """\
import mmap
data = b'1' * (8 << 20)
x = mmap.mmap(-1, 10 << 30)
"""
        + _FILL_MAPPING,
    ),
    _stopped(
        "memory-of-a-mapped-file",
        "Filled a mapping of a file that is a hole",
        """\
import mmap
data = b'1' * (8 << 20)
file = open('/dev/shm/hole', 'w+b')
file.truncate(4 << 30)
x = mmap.mmap(file.fileno(), 4 << 30)
"""
        + _FILL_MAPPING,
    ),
    _stopped(
        "memory-of-shared-tensors",
        "Filled tensors in torch's shared memory",
        """\
import torch
x = []
while True:
    x.append(torch.ones(2 << 20).share_memory_())
""",
    ),
    _stopped(
        "memory-after-the-first-thread",
        "Ended the first thread, whose end hides the memory of the others, and filled a shared mapping",
        """\
import mmap
data = b'1' * (8 << 20)
def eat():
    time.sleep(0.1)
    x = mmap.mmap(-1, 10 << 30)
    while x.write(data):
        pass
threading.Thread(target=eat).start()
syscall(60, 0)
""",
    ),
    _stopped(
        "memory-in-many-processes",
        "Took a part of it in each of twenty processes",
        """\
x = b'1' * (40 << 20)
for _ in range(20):
    if not os.fork():
        y = bytearray(x)
        time.sleep(60)
        os._exit(0)
time.sleep(60)
""",
    ),
    _stopped(
        "memory-in-an-orphan",
        "Took it in a grandchild whose parent has ended",
        """\
if not os.fork():
    if not os.fork():
        x = []
        while True:
            x.append(bytearray(b'1') * (8 << 20))
    os._exit(0)
time.sleep(60)
""",
    ),
    Attack(
        "memory-in-pipes",
        "Filled as many pipes as it could open, in every process it could start",
        """\
made()
import fcntl
for _ in range(8):
    if not os.fork():
        break
kept = []
try:
    while True:
        pair = os.pipe()
        kept.append(pair)
        try:
            fcntl.fcntl(pair[1], 1031, 1 << 20)
        except OSError:
            pass
        os.set_blocking(pair[1], False)
        try:
            while os.write(pair[1], b'1' * (1 << 20)):
                pass
        except OSError:
            pass
except OSError:
    pass
time.sleep(60)
""",
        limits=replace(QUICK, memory_mb=512, wall_s=1.5),
    ),
    Attack(
        "memory-in-sockets",
        "Filled as many sockets as it could open, in every process it could start",
        """\
made()
import socket
for _ in range(8):
    if not os.fork():
        break
kept = []
try:
    while True:
        one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        kept.append((one, other))
        for end in (one, other):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 24)
            end.setblocking(False)
            try:
                while end.send(b'1' * 100_000):
                    pass
            except OSError:
                pass
except OSError:
    pass
time.sleep(60)
""",
        limits=replace(QUICK, memory_mb=512, wall_s=1.5),
    ),
    Attack(
        "memory-that-nobody-counts",
        "Asked for huge pages, locked memory, memory files, secret memory and System V segments",
        RIGHT + """\
import mmap
attempt('huge pages', lambda: mmap.mmap(-1, 2 << 20, flags=mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | 0x40000))
"""
        """\
for name, number in {'memfd_create': 319, 'memfd_secret': 447, 'shmget': 29, 'msgget': 68, 'semget': 64, 'mq_open': 240}.items():
"""
        "    attempt(name, lambda: syscall(number, 0, 1 << 20, 0o1600, 0, 0))\n"
        """\
attempt('mlockall', lambda: syscall(151, 3))
attempt('mlock2', lambda: syscall(325, id(libc) & ~4095, 1 << 20, 0))
made()
""",
        honest=HONEST,
    ),
)
