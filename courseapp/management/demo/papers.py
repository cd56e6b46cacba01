"""Theory hand-ins of the demo's invented students: short typeset PDFs, the same bytes for the same student on every machine."""

import textwrap
from collections.abc import Sequence
from typing import Literal

Kind = Literal["full", "brief", "slip"]
KINDS: tuple[Kind, ...] = ("full", "brief", "slip")

LINES_PER_PAGE, WIDTH = 46, 104
_LEFT, _TOP, _LEADING = 64, 770, 15

_COUNT = """\
1.1 Parameters
W1 has m n numbers, b1 has m, W2 has k m and b2 has k: m (n + 1) + k (m + 1) in all.
One forward pass of one sample takes m n multiplications for W1 x and k m for W2 h.
"""
_DERIVE = """\
1.2 Gradients for one sample
Let e = y^ - y and d2 = dJ/ds2. With g = identity, d2 = dJ/dy^ = (2 / k) e.
  dJ/dW2 = d2 h'          (k x 1 times 1 x m)
  dJ/db2 = d2
Going back through W2, dJ/dh = W2' d2, and relu lets through what was positive:
  d1 = dJ/ds1 = (W2' d2) * [s1 > 0]     (elementwise)
  dJ/dW1 = d1 x'          (m x 1 times 1 x n)
  dJ/db1 = d1
d2 is used three times and d1 twice; nothing else has to be kept but x, s1 and h.
"""
_NUMBERS = """\
1.3 Numbers
s1 = (1 - 4 + 1, 3 + 2 - 1) = (-2, 4), so h = (0, 4).
y^ = 2 * 0 - 1 * 4 + 3 = -1 and J = (-1 - 1)^2 = 4.
d2 = 2 (-1 - 1) = -4.
  dJ/dW2 = (0, -16)       dJ/db2 = -4
dJ/dh = (-8, 4), and the first unit is off: d1 = (0, 4).
  dJ/dW1 = (0 0; 4 8)     dJ/db1 = (0, 4)
A small step leaves the first row of W1, the first number of b1 and the first number of W2 as they are:
the first hidden unit is off for this sample, so it neither contributes nor learns.
"""
_SLIP = """\
1.3 Numbers
s1 = (1 - 4 + 1, 3 + 2 - 1) = (-2, 4), so h = (0, 4).
y^ = 2 * 0 - 1 * 4 + 3 = -1 and J = (-1 - 1)^2 = 4.
d2 = 2 (1 - (-1)) = 4.
  dJ/dW2 = (0, 16)        dJ/db2 = 4
dJ/dh = (8, -4), and the first unit is off: d1 = (0, -4).
  dJ/dW1 = (0 0; -4 -8)   dJ/db1 = (0, -4)
A small step leaves the first row of W1 as it is, because its unit is off.
"""
_CLASSIFY = """\
2.1 The derivative of sigmoid
Write q = 1 / (1 + exp(-s)). Then q' = exp(-s) / (1 + exp(-s))^2 = q (1 - q), since exp(-s) / (1 + exp(-s)) = 1 - q.
Sigmoid rises from 0 to 1 through 1/2 at 0; its derivative is a bump of height 1/4 there.

2.2 dJ/ds2
dJ/dy^ = (y^ - y) / (B k y^ (1 - y^)), and dy^/ds2 = y^ (1 - y^). The product is (y^ - y) / (B k).
For the squared error it is 2 (y^ - y) y^ (1 - y^) / (B k).

2.3 Confidently wrong
With y = 1 and y^ = 0.01 the first is -0.99, the second 2 (-0.99) (0.01) (0.99) = -0.0196, both over B k.
The squared error hardly corrects the sample that needs it most: I would train with cross-entropy.
"""
_BATCH = """\
3.1 Products over the batch
  dJ/dW2 = D2' H          (k x B times B x m)
  dJ/db2 = sum over the rows of D2
  D1 = (D2 W2) * f'(S1)   (B x k times k x m, elementwise with B x m)
  dJ/dW1 = D1' X          (m x B times B x n)
  dJ/db1 = sum over the rows of D1

3.2 The factor 1/B
It is inside D2, through dJ/dy^ of the loss. With a sum over the batch only the loss functions change; backward stays as it is.
"""
_QUESTIONS = """\
4.1 With f = identity, W2 (W1 x + b1) + b2 is again one linear map. If m is smaller than n and k its rank is at most m,
so it represents less than one layer, never more.

4.2 Each layer multiplies by at most 1/4 times its weights. Twenty of them give a factor of about 1e-12 unless the weights are large:
the first layers hardly move.

4.3 backward needs x, h and what f' and g' are taken at; computing them again would double the work. The loss itself is not needed.
"""
_TEXTS: dict[Kind, tuple[str, ...]] = {
    "full": (_COUNT, _DERIVE, _NUMBERS, _CLASSIFY, _BATCH, _QUESTIONS),
    "brief": (_COUNT, _NUMBERS, _CLASSIFY),
    "slip": (_COUNT, _DERIVE, _SLIP, _CLASSIFY, _BATCH),
}


def theory_paper(author: str, kind: Kind) -> bytes:
    """Homework 1's theory part as a PDF of one or two pages."""
    lines = [f"DS-GA 1008, Homework 1: theory ({author})", ""]
    for text in _TEXTS[kind]:
        for line in text.rstrip().split("\n"):
            lines += textwrap.wrap(line, WIDTH, drop_whitespace=False) or [""]
        lines.append("")
    return pdf([lines[start : start + LINES_PER_PAGE] for start in range(0, len(lines), LINES_PER_PAGE)])


def pdf(pages: Sequence[Sequence[str]]) -> bytes:
    """Lines of text on A4 pages, in a font that every viewer has; the first line is set as the title."""
    objects: list[bytes] = [b"<< /Type /Catalog /Pages 2 0 R >>", b"", b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>"]
    kids: list[int] = []
    for number, page in enumerate(pages):
        stream = _content(page, titled=number == 0)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(stream), stream))
        objects.append(
            b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Resources << /Font << /F1 3 0 R >> >> /Contents %d 0 R >>"
            % len(objects)
        )
        kids.append(len(objects))
    objects[1] = b"<< /Type /Pages /Kids [%b] /Count %d >>" % (b" ".join(b"%d 0 R" % kid for kid in kids), len(kids))
    out = bytearray(b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n")
    places: list[int] = []
    for number, body in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, body)
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    out += b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)


def _content(lines: Sequence[str], *, titled: bool) -> bytes:
    shown = [b"BT %d TL %d %d Td" % (_LEADING, _LEFT, _TOP)]
    for number, line in enumerate(lines):
        size = 14 if titled and number == 0 else 9
        escaped = line.replace("\\", "\\\\").replace("(", "\\(").replace(")", "\\)").encode("latin-1", "replace")
        shown.append(b"/F1 %d Tf (%b) Tj T*" % (size, escaped))
    return b"\n".join([*shown, b"ET"])
