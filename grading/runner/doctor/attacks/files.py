"""Disk, inodes, big files, links: what fills or leaves the scratch space."""

from dataclasses import replace

from grading.runner.doctor.attack import HONEST, QUICK, RIGHT, Attack
from grading.runner.limits import Limits

_SMALL = replace(QUICK, tmp_mb=8, files=256, file_mb=4)
_FULL = """
def until_full(act, most, what):
    for number in range(most):
        try:
            act(number)
        except OSError:
            return made()
    reached(what)
"""


def _fill(name: str, tries: str, body: str, limits: Limits = _SMALL) -> Attack:
    return Attack(name, tries, RIGHT + _FULL + body, honest=HONEST, limits=limits)


_WRITE = """
data = b"1" * (1 << 20)
kept = open("PLACE", "wb", buffering=0)
def write(_):
    if kept.write(data) < len(data):
        raise OSError
until_full(write, 32, "32 MB in PLACE")
kept.close()
os.remove("PLACE")
"""

ATTACKS = (
    _fill("disk-full-in-tmp", "Wrote to /tmp until it was full", _WRITE.replace("PLACE", "/tmp/big"), replace(_SMALL, file_mb=64)),
    _fill(
        "disk-full-in-dev-shm", "Wrote to /dev/shm until it was full", _WRITE.replace("PLACE", "/dev/shm/big"), replace(_SMALL, file_mb=64)
    ),
    _fill(
        "file-too-big",
        "Wrote one file past the limit of a file",
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n" + _WRITE.replace("PLACE", "/tmp/big"),
        replace(_SMALL, tmp_mb=64),
    ),
    _fill(
        "inodes-by-files",
        "Made empty files until there were no inodes",
        """\
until_full(lambda number: open(f'/tmp/{number}', 'w').close(), 2000, '2000 files')
for name in os.listdir('/tmp'):
    if name.isdigit():
        os.remove('/tmp/' + name)
""",
    ),
    _fill(
        "inodes-by-folders",
        "Made folders in folders until there were no inodes",
        """\
os.makedirs('/dev/shm/a')
os.chdir('/dev/shm/a')
def deeper(_):
    os.mkdir('a' * 200)
    os.chdir('a' * 200)
until_full(deeper, 2000, '2000 folders in each other')
os.chdir('/tmp/handin')
""",
    ),
    _fill(
        "inodes-by-links",
        "Made symbolic links and hard links until there was no room",
        """\
open('/dev/shm/one', 'w').close()
def link(number):
    os.symlink('x' * 4000, f'/dev/shm/s{number}')
    os.link('/dev/shm/one', f'/dev/shm/h{number}')
until_full(link, 5000, '5000 links')
""",
    ),
    _fill(
        "extended-attributes",
        "Kept data in extended attributes of files",
        """\
open('/tmp/one', 'w').close()
until_full(lambda number: os.setxattr('/tmp/one', f'user.a{number}', b'1' * 60_000), 2000, '120 MB of attributes')
""",
    ),
    Attack(
        "links-out-of-the-scratch",
        "Planted links to the host's files where a host might follow them, and wrote through them",
        RIGHT
        + """
targets = {"results": HOST_FILE, "bundle": "/", "handin.log": "/etc/passwd", "up": "../../../../..", "self": "/proc/self/exe"}
for name, target in targets.items():
    os.symlink(target, "/tmp/" + name)
    os.symlink(target, "/dev/shm/" + name)
    attempt(f"write through {name}", lambda: open("/tmp/" + name, "w"))
    attempt(f"write below {name}", lambda: open(f"/tmp/{name}/planted", "w"))
os.rename("/tmp/handin", "/tmp/gone")
os.symlink("/", "/tmp/handin")
made()
""",
        honest=HONEST,
    ),
    Attack(
        "core-dump",
        "Crashed for a core file of all that it had seen",
        """\
import resource
made()
attempt('core files', lambda: resource.setrlimit(resource.RLIMIT_CORE, (1 << 20, 1 << 20)))
os.abort()
""",
        proof="The process crashed",
    ),
    Attack(
        "special-files",
        "Made devices, sockets and pipes in the scratch space, and set-user-id programs",
        RIGHT
        + """
attempt("a device", lambda: os.mknod("/tmp/device", 0o600 | 0o020000, os.makedev(1, 1)))
attempt("a file of root's", lambda: (open("/tmp/own", "w").close(), os.chown("/tmp/own", 0, 0)))
attempt("a capability of a file", lambda: os.setxattr("/tmp/own", "security.capability", b"\\1\\0\\0\\2" + b"\\xff" * 16))
os.mkfifo("/tmp/pipe")
os.chmod("/tmp/own", 0o6777)
made()
""",
        honest=HONEST,
    ),
    Attack(
        "host-files-changed",
        "Wrote to the interpreter, the packages, this package, /etc and the root",
        RIGHT
        + """
import torch
places = ("/", "/usr/lib", "/opt/runner/grading/runner", os.path.dirname(os.__file__), torch.__path__[0], "/etc", "/dev",
          "/proc", "/opt", "/home", "/var/tmp")
for place in places:
    attempt(f"a file in {place}", lambda: open(os.path.join(place, "probe"), "w"))
for path in (sys.executable, os.__file__, torch.__file__, "/opt/runner/grading/runner/answering.py", "/etc/passwd", "/etc/ld.so.cache"):
    attempt(f"open {path}", lambda: open(path, "r+"))
    attempt(f"link {path}", lambda: os.link(path, path + ".probe"))
    attempt(f"chmod {path}", lambda: os.chmod(path, os.stat(path).st_mode))
    attempt(f"touch {path}", lambda: os.utime(path, ns=(os.stat(path).st_atime_ns, os.stat(path).st_mtime_ns)))
made()
""",
        honest=HONEST,
    ),
    Attack(
        "secret-places",
        "Opened where a machine keeps its secrets",
        RIGHT
        + """
for path in ("/root", "/home", "/etc/shadow", "/etc/ssl", "/var", "/run", "/sys", "/boot", "/usr/bin/env", "/usr/local/bin",
             "/usr/share/doc", "/opt/runner/grading/models", "/opt/runner/manage.py", "/proc/1/root/etc/shadow",
             "/proc/kcore", "/proc/kmsg", "/dev/mem", "/dev/sda", "/dev/kvm"):
    if not any(place.startswith(path + "/") for place in (sys.executable, os.path.realpath(sys.executable), *sys.path)):
        attempt(path, lambda: os.listdir(path) if os.path.isdir(path) else open(path, "rb").read(1))
for path in ("/root/.ssh", "/root/.profile", "/root/.bashrc", "/home/.ssh"):
    attempt(path, lambda: os.stat(path))
made()
""",
        honest=HONEST,
    ),
)
