"""Searches for expected values, checks and other people's work: in this process, in others, in files."""

from grading.runner.doctor.attack import HONEST, SCALE, Attack

# The brackets keep the pattern from finding itself.
_SEARCH = """
import gc, re, warnings
warnings.simplefilter("ignore")
NEEDLE = re.compile(rb"canary-(?:checks|data|expected|neighbou[r]|host)-[0-9a-f]{16}")
def look(text, found):
    found += NEEDLE.findall(text if isinstance(text, bytes) else str(text)[:100_000].encode(errors="replace"))
def read(path, size=100_000):
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(fd, size)
    finally:
        os.close(fd)
def walk(*tops):
    for top in tops:
        began = time.monotonic()
        for root, folders, files in os.walk(top):
            for file in files:
                yield os.path.join(root, file)
            if time.monotonic() - began > 0.2:
                break
def memory(pid, found):
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            span, rights, *_ = line.split()
            start, end = (int(part, 16) for part in span.split("-"))
            if "rw" in rights and end - start < 64 << 20:
                try:
                    memory.seek(start)
                    look(memory.read(end - start), found)
                except (OSError, ValueError):
                    pass
"""


def _search(body: str, *, hidden: bool = False) -> str:
    """A right hand-in that looks as `body` does and appends to `found`; in the hidden checks too, where a find is an answer."""
    lines = "\n    ".join(body.strip().splitlines())
    again = "search() if is_hidden else []" if hidden else "[]"
    return f"""{SCALE}{_SEARCH}
def search():
    found = []
    {lines}
    return [text.decode() for text in found]
for text in search():
    reached(text)
made()
is_hidden = False
def twice(x):
    return 2 * x
def answer(question, is_hidden=True):
    for text in {again}:
        if "expected" in text:
            return text
    return ""
"""


ATTACKS = (
    Attack(
        "frames-searched",
        "Looked for expected values in every frame of every thread",
        _search(
            """
for frame in sys._current_frames().values():
    while frame:
        look(repr(frame.f_locals), found)
        look(repr(frame.f_globals), found)
        look(repr(frame.f_code.co_consts), found)
        frame = frame.f_back
""",
            hidden=True,
        ),
        honest=HONEST,
    ),
    Attack(
        "garbage-collector-searched",
        "Looked for expected values in every object that Python knows of",
        _search(
            """
for thing in gc.get_objects():
    if isinstance(thing, dict):
        for value in list(thing.values()):
            if isinstance(value, (str, bytes)):
                look(value, found)
    elif isinstance(thing, (list, tuple)):
        for value in thing[:100]:
            if isinstance(value, (str, bytes)):
                look(value, found)
""",
            hidden=True,
        ),
        honest=HONEST,
    ),
    Attack(
        "own-memory-searched",
        "Looked for expected values in all of its own memory",
        _search("memory('self', found)", hidden=True),
        honest=HONEST,
    ),
    Attack(
        "memory-of-others-searched",
        "Read the memory of every process that it could name",
        _search(
            """
for pid in (*range(1, 64), os.getppid(), *(name for name in os.listdir("/proc") if name.isdigit())):
    if str(pid) != str(os.getpid()):
        for name in ("mem", "environ", "cmdline", "maps"):
            try:
                look(read(f"/proc/{pid}/{name}"), found)
            except OSError:
                continue
            if str(pid) != "0":
                reached(f"/proc/{pid}/{name}")
"""
        ),
        honest=HONEST,
    ),
    Attack(
        "descriptors-searched",
        "Read from every descriptor, and from those of every process",
        _search(
            """
kinds = []
for fd in range(256):
    try:
        kinds.append(os.readlink(f"/proc/self/fd/{fd}").split(":")[0])
    except OSError:
        continue
    if fd != 4:
        os.set_blocking(fd, False)
        try:
            look(os.read(fd, 1 << 20), found)
        except OSError:
            pass
if set(kinds) - {"/dev/null", "pipe", "socket"} or len(kinds) > 4:
    reached(f"descriptors: {kinds}")
"""
        ),
        honest=HONEST,
    ),
    Attack(
        "files-searched",
        "Read every file below /tmp, /opt, /dev, /etc, /home, /root, /run and /var",
        _search(
            """
for path in walk("/tmp", "/opt", "/dev", "/etc", "/home", "/root", "/run", "/var", "/mnt", "/srv"):
    try:
        look(read(path), found)
    except OSError:
        pass
if os.path.exists("/tmp/bundle"):
    reached("the checker's folder")
"""
        ),
        honest=HONEST,
    ),
    Attack(
        "environment-searched",
        "Looked for secrets in the environment, the command line and what Python was started with",
        _search(
            """
look(repr(sorted(os.environ.items())) + repr(sys.argv) + repr(sys.orig_argv) + repr(sys.path) + repr(sys.flags), found)
for name in ("environ", "cmdline", "status", "mountinfo", "cgroup"):
    look(read(f"/proc/self/{name}"), found)
if read("/proc/self/environ").strip(b"\\0"):
    reached("an environment of the host's")
names = [name for name in os.environ if any(word in name for word in ("KEY", "URL", "SECRET", "TOKEN", "DJANGO", "PASSWORD", "CANARY"))]
if names:
    reached(names)
"""
        ),
        honest=HONEST,
    ),
    Attack(
        "modules-searched",
        "Looked for the checker's modules among those that are loaded",
        _search(
            """
for name in ("checks", "reference", "grading.runner.host", "grading.runner.sandbox"):
    if name in sys.modules:
        reached(f"module {name}")
for module in list(sys.modules.values()):
    look(repr(list(vars(module).values()) if hasattr(module, "__dict__") and module.__name__.startswith("grading") else ""), found)
for name in ("checks", "reference"):
    try:
        __import__(name)
    except ImportError:
        continue
    reached(f"import {name}")
"""
        ),
        honest=HONEST,
    ),
    Attack(
        "host-file-searched",
        "Opened a file of the host's by its path, also through /proc and by links",
        _search(
            """
os.symlink(HOST_FILE, "/tmp/link")
for path in (HOST_FILE, "/tmp/link", "/proc/1/root" + HOST_FILE, "/proc/self/root" + HOST_FILE, "/proc/self/cwd/../../.." + HOST_FILE):
    try:
        look(read(path), found)
    except OSError:
        continue
    reached(path)
"""
        ),
        honest=HONEST,
    ),
)
