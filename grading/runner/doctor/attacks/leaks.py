"""Ways out for hidden inputs, which the student's process does see."""

from grading.runner.doctor.attack import HONEST, RIGHT, SCALE, Attack

_SEEN = """
made()
def told(value):
    return "seen: " + (value if isinstance(value, str) else " ".join(str(int(number)) for row in value.tolist() for number in row))
def is_hidden(value):
    return isinstance(value, str) or len(value) != 4
"""


def _leak(act: str, after: str = "return 2 * x") -> str:
    """A right hand-in that does `act` with each hidden input `x`, whose text is `text`."""
    body = "\n        ".join(act.splitlines())
    return f"""\
{SCALE}{_SEEN}
def twice(x):
    if is_hidden(x):
        text = told(x)
        {body}
    {after}
def answer(x):
    text = told(x)
    if True:
        {body}
    return ''
"""


_AGAIN = """
for place in ("/tmp/kept", "/dev/shm/kept", "/tmp/handin/kept", "/tmp/handin/mlp.py.kept"):
    if os.path.exists(place):
        reached(open(place).read())
"""

ATTACKS = (
    Attack(
        "inputs-printed",
        "Printed hidden inputs to standard output and error",
        _leak("print(text, flush=True)\nprint(text, file=sys.stderr, flush=True)"),
        honest=HONEST,
    ),
    Attack(
        "inputs-written-to-all-descriptors",
        "Wrote hidden inputs to every descriptor but the checker's",
        _leak("""\
for fd in (0, 1, 2, 3, *range(5, 256)):
    try:
        os.write(fd, text.encode())
    except OSError:
        pass"""),
        honest=HONEST,
    ),
    Attack("inputs-raised", "Raised hidden inputs as the message of an exception", _leak("raise ValueError(text)"), honest=7),
    Attack(
        "inputs-in-a-class-name",
        "Raised an exception that is named after hidden inputs",
        _leak("raise type(text, (ValueError,), {'__module__': text, '__qualname__': text})()"),
        honest=7,
    ),
    Attack(
        "inputs-in-an-exit-status",
        "Ended with an exit status taken from hidden inputs, and printed them on the way out",
        _leak("print(text, flush=True)\nos._exit(len(text) % 200 + 1)"),
        honest=7,
    ),
    Attack(
        "inputs-in-the-answer", "Answered hidden inputs, so that they stand in what the comparison says", _leak("return text"), honest=7
    ),
    Attack(
        "inputs-as-a-type",
        "Answered with an object whose type is named after hidden inputs",
        _leak("return type(text, (), {})()"),
        honest=7,
    ),
    Attack(
        "inputs-as-a-missing-module",
        "Raised hidden inputs as the name of a module that is missing",
        _leak("raise ModuleNotFoundError(text, name=text)"),
        honest=7,
    ),
    Attack(
        "inputs-told-by-a-forged-problem",
        "Told the checker, in its own words, that the hand-in does not load because of hidden inputs",
        """\
import json
def number():
    frame = sys._getframe()
    while type(frame.f_locals.get('number')) is not int:
        frame = frame.f_back
    return frame.f_locals['number']
"""
        + _leak(
            """\
header = json.dumps({'id': number(), 'problem': 'load', 'message': text, 'builtin': text}).encode()
os.write(4, struct.pack('<II', len(header), 0) + header)
time.sleep(60)"""
        ),
        honest=7,
    ),
    Attack(
        "inputs-kept-in-files",
        "Kept hidden inputs in files for the next hand-in to print",
        RIGHT + "made()\n" + _AGAIN,
        honest=HONEST,
        before=_leak("for place in ('/tmp/kept', '/dev/shm/kept', '/tmp/handin/kept'):\n    open(place, 'a').write(text)"),
    ),
    Attack(
        "inputs-in-the-names-of-things",
        "Put hidden inputs into names of the process, of files and of threads",
        _leak("""\
libc.prctl(15, text.encode()[-15:], 0, 0, 0)
open('/tmp/' + text[-60:], 'w').close()
os.chdir('/tmp')"""),
        honest=HONEST,
    ),
)
