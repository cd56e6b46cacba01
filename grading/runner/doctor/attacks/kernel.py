"""Calls into the kernel that no homework needs: namespaces, mounts, tracing, loading, keys, networks, other architectures."""

from grading.runner.doctor.attack import HONEST, RIGHT, Attack

# Numbers of x86-64; those from 424 on are the same everywhere.
_NUMBERS = {
    "namespaces": {"unshare": 272, "setns": 308, "clone3": 435},
    "mounts": {
        "mount": 165,
        "umount2": 166,
        "pivot_root": 155,
        "chroot": 161,
        "open_tree": 428,
        "move_mount": 429,
        "fsopen": 430,
        "fsconfig": 431,
        "fsmount": 432,
        "fspick": 433,
        "mount_setattr": 442,
    },
    "tracing": {
        "ptrace": 101,
        "process_vm_readv": 310,
        "process_vm_writev": 311,
        "process_madvise": 440,
        "pidfd_getfd": 438,
        "kcmp": 312,
        "perf_event_open": 298,
        "lookup_dcookie": 212,
    },
    "loading": {
        "bpf": 321,
        "kexec_load": 246,
        "kexec_file_load": 320,
        "init_module": 175,
        "finit_module": 313,
        "delete_module": 176,
    },
    "machine": {
        "reboot": 169,
        "swapon": 167,
        "swapoff": 168,
        "syslog": 103,
        "acct": 163,
        "quotactl": 179,
        "sethostname": 170,
        "setdomainname": 171,
        "iopl": 172,
        "ioperm": 173,
        "modify_ldt": 154,
        "vhangup": 153,
        "sync": 162,
        "syncfs": 306,
        "setsid": 112,
        "personality": 135,
    },
    "asynchronous": {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "io_setup": 206, "userfaultfd": 323},
    "lasting": {
        "add_key": 248,
        "request_key": 249,
        "keyctl": 250,
        "shmget": 29,
        "shmat": 30,
        "shmctl": 31,
        "semget": 64,
        "semop": 65,
        "semctl": 66,
        "msgget": 68,
        "msgsnd": 69,
        "msgrcv": 70,
        "msgctl": 71,
        "mq_open": 240,
        "mq_unlink": 241,
    },
    "pages": {
        "move_pages": 279,
        "migrate_pages": 256,
        "mbind": 237,
        "memfd_create": 319,
        "memfd_secret": 447,
        "name_to_handle_at": 303,
        "open_by_handle_at": 304,
        "fanotify_init": 300,
        "inotify_init": 253,
        "inotify_init1": 294,
        "inotify_add_watch": 254,
    },
}


def _denied(name: str, tries: str, group: str, more: str = "") -> Attack:
    """Calls that have to be refused by the filter itself, whatever their arguments: EPERM or ENOSYS, and nothing else."""
    code = f"""{RIGHT}
for name, number in {_NUMBERS[group]!r}.items():
    try:
        syscall(number, 0, 0, 0, 0, 0, 0)
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOSYS):
            reached(f"{{name}}: {{errno.errorcode[error.errno]}}")
    else:
        reached(name)
{more}
made()
"""
    return Attack(name, tries, code, honest=HONEST)


_CLONE = """
flags = {"user": 1 << 28, "mount": 1 << 17, "net": 1 << 30, "pid": 1 << 29, "ipc": 1 << 27, "uts": 1 << 26, "cgroup": 1 << 25}
for name, flag in flags.items():
    attempt(f"clone with a {name} namespace", lambda: syscall(56, flag | 17, 0, 0, 0, 0))
    attempt(f"unshare {name}", lambda: syscall(272, flag))
"""

_SOCKETS = """
import socket
families = {"inet": 2, "inet6": 10, "netlink": 16, "packet": 17, "can": 29, "tipc": 30, "bluetooth": 31, "alg": 38, "vsock": 40, "xdp": 44}
for name, family in families.items():
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW, socket.SOCK_SEQPACKET):
        attempt(f"a {name} socket", lambda: socket.socket(family, kind))
    attempt(f"a pair of {name} sockets", lambda: syscall(53, family, 1, 0, id(b"12345678") + 32))
"""

ATTACKS = (
    _denied("namespaces-made", "Made and entered namespaces by unshare, setns, clone and clone3", "namespaces", _CLONE),
    _denied("mounts-changed", "Mounted, unmounted and changed the root, by the old calls and the new ones", "mounts"),
    _denied("processes-traced", "Traced, measured and read other processes", "tracing"),
    _denied("kernel-extended", "Loaded programs and modules into the kernel", "loading"),
    _denied("machine-administered", "Rebooted, changed swap, names, ports and the session", "machine"),
    _denied(
        "asynchronous-calls",
        "Used io_uring, the older asynchronous calls, which pass a filter by, and page faults of its own",
        "asynchronous",
        'attempt("userfaultfd device", lambda: open("/dev/userfaultfd"))',
    ),
    _denied("keys-and-messages", "Used the kernel's keyrings, and System V and POSIX queues, which outlive a process", "lasting"),
    _denied(
        "pages-and-handles", "Moved pages between nodes, made files of memory, opened files by handle, and watched those of others", "pages"
    ),
    Attack("network-sockets", "Made sockets of every family but Unix", RIGHT + _SOCKETS + "made()\n", honest=HONEST),
    Attack(
        "loopback",
        "Looked for Redis, PostgreSQL and web servers on the loopback address, and resolved names",
        RIGHT
        + """
import socket, urllib.request
for port in (22, 80, 443, 5432, 6379, 8000, 8080):
    attempt(f"127.0.0.1:{port}", lambda: socket.create_connection(("127.0.0.1", port), timeout=0.2))
attempt("a name", lambda: socket.gethostbyname("example.org"))
attempt("metadata", lambda: urllib.request.urlopen("http://169.254.169.254/", timeout=0.2))
if len(open("/proc/net/route").readlines()) > 1 or set(open("/proc/net/dev").read().split()) & {"eth0:", "ens3:", "wlan0:", "docker0:"}:
    reached("the host's interfaces")
made()
""",
        honest=HONEST,
    ),
    Attack(
        "unix-sockets-of-others",
        "Connected to Unix sockets of the host's, by path and by abstract name, and took a name there with the checker's socket",
        RIGHT
        + """
import socket
names = [line.split()[7] for line in open("/proc/net/unix").readlines()[1:] if len(line.split()) > 7]
for name in (*names, "@/tmp/.X11-unix/X0", "@/org/freedesktop/systemd1", "/run/dbus/system_bus_socket", "/run/docker.sock",
             "/var/run/postgresql/.s.PGSQL.5432",
             "/tmp/redis.sock", os.path.dirname(HOST_FILE) + "/runner.sock", "@doctor"):
    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET):
        attempt(f"connect {name}", lambda: socket.socket(socket.AF_UNIX, kind).connect(name.replace("@", "\\0", 1)))
ours = socket.socket(fileno=os.dup(4))
attempt("bind in the host's network", lambda: ours.bind("\\0doctor-mine"))
attempt("listen in the host's network", lambda: (ours.bind(""), ours.listen()))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "questions-about-the-network",
        "Asked the checker's socket, which is of the host's network, for interfaces, and sent out-of-band data",
        RIGHT
        + """
import fcntl, socket
for request in (0x8910, 0x8912, 0x8913, 0x8915, 0x8927, 0x8933, 0x894C, 0x8903, 0x8905):
    attempt(f"ioctl {request:x}", lambda: fcntl.ioctl(4, request, bytes(40)))
one, other = socket.socketpair()
attempt("out-of-band data", lambda: one.send(b"!", socket.MSG_OOB))
attempt("out-of-band message", lambda: one.sendmsg([b"!"], [], socket.MSG_OOB))
for request in (0x5412, 0x541C):
    attempt(f"terminal {request:x}", lambda: fcntl.ioctl(0, request, b"x"))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "programs-started",
        "Started programs by exec, spawn, subprocess, the shell and a file without a name",
        RIGHT
        + """
import subprocess
program = [sys.executable, "-c", "print('reached: a program')"]
attempt("execv", lambda: os.execv(program[0], program))
attempt("spawn", lambda: os.posix_spawn(program[0], program, {}))
attempt("subprocess", lambda: subprocess.run(program))
attempt("subprocess by vfork", lambda: subprocess.run(program, close_fds=False))
if os.system("true") == 0:
    reached("a shell")
for path in ("/proc/self/exe", "/lib64/ld-linux-x86-64.so.2", "/usr/bin/env", "/bin/sh"):
    attempt(path, lambda: os.execv(path, [path, *program]))
fd = os.open(sys.executable, os.O_RDONLY)
attempt("fexecve", lambda: os.execve(fd, program, {}))
attempt("execveat", lambda: syscall(322, fd, b"", 0, 0, 0x1000))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "file-in-scratch-executed",
        "Wrote a library into the scratch space and mapped it as code",
        RIGHT
        + """
import mmap, shutil
shutil.copy(ctypes.util.__file__ if hasattr(ctypes, "util") else os.__file__, "/tmp/library.so")
with open("/tmp/library.so", "r+b") as file:
    attempt("code from /tmp", lambda: mmap.mmap(file.fileno(), 4096, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE))
attempt("a program in /tmp", lambda: (os.chmod("/tmp/library.so", 0o755), os.execv("/tmp/library.so", ["x"])))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "rights-gained",
        "Became another user, took capabilities and switched off its own restrictions",
        RIGHT
        + """
for name in ("setuid", "seteuid", "setgid", "setegid"):
    attempt(name, lambda: getattr(os, name)(0))
attempt("setgroups", lambda: os.setgroups([0]))
attempt("capset", lambda: syscall(126, (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)(*[0xFFFFFFFF] * 6)))
attempt("ambient capabilities", lambda: syscall(157, 47, 2, 21, 0, 0))
attempt("keep capabilities", lambda: syscall(157, 28, 0, 0, 0, 0))
attempt("new privileges", lambda: syscall(157, 39, 0, 0, 0, 0) or (1 / 0 if libc.prctl(39, 0, 0, 0, 0) == 1 else 0))
attempt("no filter", lambda: syscall(157, 22, 0, 0, 0, 0))
attempt("no death signal", lambda: syscall(157, 1, 0, 0, 0, 0))
attempt("no death signal, by the other half of the argument", lambda: syscall(157, 1 + (1 << 32), 0, 0, 0, 0))
status = dict(line.rstrip("\\n").split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
wanted = {"CapInh": 0, "CapPrm": 0, "CapEff": 0, "CapBnd": 0, "CapAmb": 0, "NoNewPrivs": 1, "Seccomp": 2}
reached({name: status[name] for name in wanted}) if any(int(status[name], 16) != value for name, value in wanted.items()) else None
reached("root") if 0 in (os.getuid(), os.geteuid(), os.getgid()) else None
made()
""",
        honest=HONEST,
    ),
    Attack(
        "calls-of-another-architecture",
        "Called the kernel by the 32-bit table, which a filter may not know",
        """
import mmap
page = mmap.mmap(-1, 4096, prot=7)
page.write(bytes([0xb8, 20, 0, 0, 0, 0xcd, 0x80, 0xc3]))
ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()
reached("getpid of the 32-bit table")
""",
        proof="The process crashed (SIGSYS)",
    ),
    Attack(
        "calls-of-the-x32-table",
        "Called the kernel by the x32 table, whose numbers have a bit more",
        """\
made()
attempt('getpid of the x32 table', lambda: syscall(39 | 0x40000000))
while True:
    time.sleep(1)
""",
        proof="The process crashed (SIGSYS)",
    ),
    Attack(
        "proc-written",
        "Wrote to files below /proc, its own and the machine's",
        RIGHT
        + """
for path in ("sys/kernel/core_pattern", "sys/kernel/hostname", "sys/kernel/modprobe", "sys/vm/overcommit_memory",
             "sys/vm/drop_caches", "sys/fs/file-max",
             "sys/user/max_user_namespaces", "sysrq-trigger", "self/comm", "self/autogroup", "self/oom_score_adj",
             "self/uid_map", "self/setgroups",
             "self/coredump_filter", "self/timens_offsets", "self/attr/current", "self/sched", "self/clear_refs", "1/oom_score_adj"):
    attempt(path, lambda: os.open("/proc/" + path, os.O_WRONLY))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "proc-and-sys-read",
        "Looked at the machine and its processes through /proc and /sys",
        RIGHT
        + """
for path in ("/sys/kernel", "/sys/fs/cgroup", "/sys/class/net", "/proc/kcore", "/proc/1/root/home", "/proc/2/environ"):
    attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(16))
others = [name for name in os.listdir("/proc") if name.isdigit() and name != str(os.getpid())]
if others:
    reached(f"processes {others}")
for place, options in dict(line.split()[4:6] for line in open("/proc/self/mountinfo")).items():  # the last one at a place covers the others
    if "rw" in options.split(",") and place not in ("/tmp", "/dev/shm") and not place.startswith("/dev/"):
        reached(f"a mount that can be written: {place}")
made()
""",
        honest=HONEST,
    ),
    Attack(
        "cgroups-and-namespaces-entered",
        "Opened the namespaces of other processes and the groups of its own",
        RIGHT
        + """
for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup"):
    attempt(f"enter {kind}", lambda: syscall(308, os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), 0))
    attempt(f"owner of {kind}", lambda: syscall(308, __import__("fcntl").ioctl(os.open(f"/proc/self/ns/{kind}", os.O_RDONLY), 0xB701), 0))
for path in ("/sys/fs/cgroup", "/proc/self/root/sys/fs/cgroup/memory"):
    attempt(path, lambda: os.listdir(path))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "page-cache-written",
        "Wrote into pages of read-only files, by splice and by a private mapping",
        RIGHT
        + """
import mmap
path = os.__file__
fd = os.open(path, os.O_RDONLY)
before = os.pread(fd, 64, 0)
attempt("a shared mapping", lambda: mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_SHARED))
reading, writing = os.pipe()
os.set_blocking(writing, False)
try:
    os.write(writing, b"x" * 4096)
    os.read(reading, 4096)
    os.splice(fd, writing, 1, offset_src=1)
    os.write(writing, b"changed")
except (OSError, AttributeError):
    pass
private = mmap.mmap(fd, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE, flags=mmap.MAP_PRIVATE)
private[:7] = b"changed"
if os.pread(fd, 64, 0) != before:
    reached(path)
made()
""",
        honest=HONEST,
    ),
)
