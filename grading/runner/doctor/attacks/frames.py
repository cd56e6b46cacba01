"""Bytes that are written where the checker listens: forged, early, huge, malformed, slow."""

from grading.runner.doctor.attack import HANGS, HONEST, RIGHT, Attack, right_but, wrong

_NOT_AN_ANSWER = "something other than an answer"

_FRAMES = """
import json
def frame(header, payload=b"", claimed=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<II", len(text), len(payload) if claimed is None else claimed) + text + payload
def forge(data):
    made()
    for fd in range(256):
        try:
            os.set_blocking(fd, False)
            os.write(fd, data)
        except OSError:
            pass
def value(value, payload=b""):
    return frame({"id": asked(), "value": value}, payload)
def asked():
    place = sys._getframe()
    while type(place.f_locals.get("number")) is not int:
        place = place.f_back
    return place.f_locals["number"]
"""


def _forge(visible: str, first: str, second: str, third: str) -> str:
    """A hand-in that writes other bytes to every descriptor in each of its calls: a visible one and three hidden ones."""
    return f"""{_FRAMES}
def twice(x):
    forge({visible} if len(x) == 4 else {first})
    return x
class Scale:
    def __init__(self, size):
        forge({second})
def answer(question):
    forge({third})
"""


def _tell(name: str, tries: str, first: str, second: str, third: str) -> Attack:
    """A hand-in that answers the visible request rightly, and each hidden one by a frame of its own, after which it does not go on."""
    code = f"""{_FRAMES}
def tell(frame):
    os.write(4, frame)
    time.sleep(60)
def twice(x):
    return 2 * x if len(x) == 4 else tell({first})
class Scale:
    def __init__(self, size):
        tell({second})
def answer(question):
    tell({third})
"""
    return Attack(name, tries, code, honest=2, proof=_NOT_AN_ANSWER)


_TRICKLE = _FRAMES + right_but("""
for byte in frame({"id": asked(), "value": True}):
    os.write(4, bytes([byte]))
    time.sleep(0.1)
""")

_FLOOD = _FRAMES + right_but("""
os.set_blocking(4, True)
while True:
    os.write(4, frame({"id": 0, "value": True}) * 1000)
""")

_AT_IMPORT = f"""{_FRAMES}
made()
os.write(4, frame({{"id": asked(), **HEADER}}))
time.sleep(60)
"""

_DESYNC = f"""{_FRAMES}{RIGHT}
def twice(x):
    made()
    os.write(4, frame({{"id": asked(), "value": {{"tensor": ["float32", [0]]}}}}))
    return 2 * x
"""

_AHEAD = (
    _FRAMES
    + wrong("ahead(x)")
    + """
def later():
    for _ in range(20):
        time.sleep(0.002)
        os.write(4, frame({"id": 2, "value": True}) + frame({"id": -1, "value": ""}))
def ahead(x):
    threading.Thread(target=later).start()
    time.sleep(0.05)
    return x
"""
)

_PASSED = "{'event': 'result', 'check': 'twice', 'passed': True, 'judged': True, 'assignment': False, 'message': '', 'staff': ''}"

ATTACKS = (
    Attack(
        "forged-frames",
        "Wrote the checker's “passed”, “done” and “ready”, and answers to requests to come, to every descriptor",
        _forge(
            f"frame({_PASSED})",
            "frame({'event': 'done', 'waited': 0})",
            "frame({'id': 0, 'ready': True})",
            "frame({'id': 1, 'value': True})",
        ),
        proof=_NOT_AN_ANSWER,
    ),
    Attack(
        "bytes-that-are-no-frame",
        "Wrote HTTP, bytes without a meaning, and lengths of gigabytes to every descriptor",
        _forge(
            "b'GET / HTTP/1.0\\r\\n\\r\\n'",
            "b'\\xff' * 100",
            "struct.pack('<II', 2, 2**31) + b'{}'",
            "struct.pack('<II', 2**32 - 1, 0)",
        ),
        proof=_NOT_AN_ANSWER,
    ),
    _tell(
        "headers-malformed",
        "Sent JSON that is a list, JSON of thirty thousand brackets, and an integer of a thousand digits",
        "frame(b'[1, 2]')",
        "frame(b'[' * 30_000)",
        "value({'list': [float('nan'), 10 ** 1000]})",
    ),
    _tell(
        "shapes-malformed",
        "Sent tensors of negative size, of more elements than bytes, and of 0 × 2⁶² elements, whose strides overflow",
        "value({'tensor': ['float32', [-4, -3]]}, b'0' * 48)",
        "value({'tensor': ['float32', [4096, 4096]]}, b'0' * 48)",
        "value({'tensor': ['float32', [0, 2**62, 2**62]]})",
    ),
    _tell(
        "values-malformed",
        "Sent a tensor of dtype “object”, a true value with bytes that belong to no tensor, and a pickle",
        "value({'tensor': ['object', [1]]}, b'0' * 8)",
        "value(True, b'0' * 64)",
        "value({'pickle': 'Y29zCnN5c3RlbQ=='})",
    ),
    Attack("answer-then-more", "Sent a false answer of its own and then the right one, to be a step ahead", _DESYNC, honest=5),
    Attack("answers-ahead", "Sent answers from a thread while the checker compares", _AHEAD),
    Attack(
        "trickle",
        "Sent an answer byte by byte, slower than any deadline",
        _TRICKLE,
        honest=HONEST,
        proof="no answer after 1 s",
        limits=HANGS,
    ),
    Attack("flood-of-frames", "Sent frames without end", _FLOOD, honest=HONEST, proof=_NOT_AN_ANSWER),
    Attack(
        "payload-that-never-comes",
        "Announced 64 MB and sent none",
        _FRAMES + right_but("os.write(4, frame({'id': asked(), 'value': True}, b'', 64 << 20))\ntime.sleep(60)"),
        honest=HONEST,
        proof="no answer after 1 s",
        limits=HANGS,
    ),
    Attack(
        "loading-answered-falsely",
        "Answered the request to load the hand-in with a value that is none",
        _AT_IMPORT.replace("HEADER", '{"value": {"dict": [["mlp", 5]]}}'),
        proof=_NOT_AN_ANSWER,
    ),
    Attack(
        "loading-answered-by-a-missing-module",
        "Said in the checker's own words that the hand-in does not load, and lived on",
        _AT_IMPORT.replace("HEADER", '{"problem": "load", "message": "mine", "builtin": "ValueError"}'),
        proof=_NOT_AN_ANSWER,
    ),
)
