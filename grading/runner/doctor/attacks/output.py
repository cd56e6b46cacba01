"""Floods and oddities of output."""

from dataclasses import replace

from grading.runner.doctor.attack import HONEST, QUICK, RIGHT, Attack

_FLOODED = "Stopped after printing more than"
_PLENTY = replace(QUICK, wall_s=10, cpu_s=10)

ATTACKS = (
    Attack(
        "output-flood",
        "Printed lines without end",
        """\
made()
while True:
    print('a' * 100_000)
""",
        proof=_FLOODED,
        limits=_PLENTY,
    ),
    Attack(
        "output-flood-of-bytes",
        "Printed random bytes without end, without a line's end",
        """\
made()
data = os.urandom(1 << 16)
while True:
    os.write(2, data)
""",
        proof=_FLOODED,
        limits=_PLENTY,
    ),
    Attack(
        "output-flood-by-many",
        "Printed from eight processes at once",
        """\
made()
for _ in range(7):
    if not os.fork():
        break
data = b'b' * (1 << 16)
while True:
    os.write(1, data)
""",
        proof=_FLOODED,
        limits=_PLENTY,
    ),
    Attack(
        "output-in-drops",
        "Printed single bytes as fast as it could, to keep the host busy",
        """\
made()
while True:
    os.write(1, b'.')
""",
        proof="Stopped after",
        limits=replace(QUICK, wall_s=1.5),
    ),
    Attack(
        "output-of-odd-bytes",
        "Printed control sequences, NUL, halves of characters and markup",
        RIGHT
        + """\
made()
os.write(1, b'\\xff\\xfe\\0\\x1b[2J\\x1b]0;title\\x07\\r\\x08\\xed\\xa0\\x80<script>alert(1)</script>')
print('\\ud800', '\\u202e', '\\0')
""",
        honest=HONEST,
    ),
    Attack(
        "output-held-open",
        "Left a process that holds the output open, and one that fills it and waits",
        RIGHT
        + """\
made()
if not os.fork():
    if not os.fork():
        time.sleep(600)
    while True:
        os.write(1, b'c' * 4096)
        time.sleep(0.01)
""",
        honest=HONEST,
    ),
)
