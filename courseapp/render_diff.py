"""What changed in a file, as a page: numbered lines of both sides, removed ones before added ones, the words that differ marked.

What is in the files is only ever text. The caps hold for a whole page, so that no hand-in makes it slow; what they leave out is said.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from courseapp import formats, highlight
from courseapp.diff import Budget, Change, Hunk, Span, compare, hunks, pairs, words
from courseapp.diff_notebook import Cell, CellChange, compare_cells
from courseapp.render_notebook import UnreadableError, sources

MOST_BYTES = 1024 * 1024  # of one side of a file
MOST_LINES = 20_000  # of one side of a file
MOST_PAGE_BYTES = 4 * 1024 * 1024
MOST_PAGE_LINES = 80_000
MOST_NOTEBOOK_BYTES = 8 * 1024 * 1024
MOST_NOTEBOOK_PARTS = 200_000
MOST_ROWS = 2_000  # of the page; a long line counts as several
MOST_COLOURED = 40_000  # characters of one side of a file
MOST_SECONDS = 0.3  # of processor time for a page's colours; what is left is shown plain
MOST_IN_A_LINE = 600
FOLD = 40  # unchanged lines that can be unfolded; longer stretches are only counted

NOTHING = SafeString("")
_PIECE = re.compile(r"<[^>]*>|&[^;]+;|[^<&]+")


@dataclass
class Page:
    """What may still be spent on one page."""

    lines: Budget = field(default_factory=Budget)
    words: Budget = field(default_factory=lambda: Budget(100_000))
    rows: int = MOST_ROWS
    colour_left: float = MOST_SECONDS
    bytes_left: int = MOST_PAGE_BYTES
    lines_left: int = MOST_PAGE_LINES


@dataclass(frozen=True)
class Rendered:
    """`added` and `removed` count lines. `html` is empty when the file is not compared by lines; `note` then says why."""

    html: SafeString = NOTHING
    added: int = 0
    removed: int = 0
    note: str = ""


class NotComparedError(ValueError):
    """Why a file is not compared line by line, as a sentence."""


def render_diff(old: bytes | None, new: bytes | None, name: str, page: Page) -> Rendered:
    """What made `new` of `old`; None where the file is not on that side."""
    if name.lower().endswith(".ipynb"):
        try:
            return _notebook(_cells(old), _cells(new), page)
        except UnreadableError as reason:
            found = _text_or_note(old, new, "", page)
            said = f"{reason} It is compared as text." if found.html else str(reason)
            return Rendered(found.html, found.added, found.removed, " ".join(filter(None, [said, found.note])))
    return _text_or_note(old, new, highlight.language_of(name), page)


def is_text(data: bytes) -> bool:
    return b"\0" not in data[:8192] and not data.startswith(b"%PDF-")


def _text_or_note(old: bytes | None, new: bytes | None, language: str, page: Page) -> Rendered:
    try:
        before, after = _lines(old, page), _lines(new, page)
    except NotComparedError as reason:
        return Rendered(note=str(reason))
    notes = []
    if not (_is_utf8(old) and _is_utf8(new)):
        notes.append("Not all of it is UTF-8: other bytes are shown as \\xe9.")
    exact = page.lines.exact
    changes = compare(before, after, page.lines)
    if exact and not page.lines.exact:
        notes.append("There are too many differences to look for the smallest set, so some are shown as whole blocks.")
    if not changes:
        notes.append(_why_no_change(old, new))
    html = _hunks(before, after, changes, language, page)
    return Rendered(html, _count(changes, "new"), _count(changes, "old"), " ".join(notes))


def _why_no_change(old: bytes | None, new: bytes | None) -> str:
    if not (old or new):
        return "It is empty."
    return "No line differs; only line ends, a byte order mark, or the end of the last line do."


def _lines(data: bytes | None, page: Page) -> list[str]:
    if not data:
        return []
    if not is_text(data):
        raise NotComparedError("It is not text, so it is not compared line by line.")
    if len(data) > MOST_BYTES:
        raise NotComparedError(f"It has {formats.filesize(len(data))}; up to {formats.filesize(MOST_BYTES)} are compared line by line.")
    count = data.count(b"\n") + data.count(b"\r") + 1
    if count > MOST_LINES:
        raise NotComparedError(f"It has about {count:,} lines; up to {MOST_LINES:,} are compared line by line.")
    if len(data) > page.bytes_left or count > page.lines_left:
        raise NotComparedError("The files before it were as much as one page compares. Look into this one by itself.")
    page.bytes_left -= len(data)
    page.lines_left -= count
    return highlight.visible(data.decode("utf-8-sig", "backslashreplace")).removesuffix("\n").split("\n")


def _is_utf8(data: bytes | None) -> bool:
    try:
        (data or b"").decode()
    except UnicodeDecodeError:
        return False
    return True


def _count(changes: Sequence[Change], side: str) -> int:
    return sum(one.new_to - one.new_from if side == "new" else one.old_to - one.old_from for one in changes)


class _Side:
    """The lines of one side, coloured where that is not too much."""

    def __init__(self, lines: Sequence[str], language: str, page: Page) -> None:
        self.lines = lines
        self._coloured: list[str] | None = None
        if language and page.colour_left > 0 and sum(map(len, lines)) + len(lines) <= MOST_COLOURED:
            began = time.thread_time()
            coloured = highlight.lines("\n".join(lines), language)
            page.colour_left -= time.thread_time() - began
            self._coloured = coloured if len(coloured) == len(lines) else None

    def html(self, at: int, spans: Sequence[Span] = ()) -> str:
        line = self.lines[at]
        if len(line) > MOST_IN_A_LINE:
            return _clipped(line, spans)
        return marked(self._coloured[at] if self._coloured else escape(line), spans)


def _clipped(line: str, spans: Sequence[Span]) -> str:
    """A long line around the first difference in it."""
    begin = max(0, spans[0][0] - 80) if spans else 0
    end = begin + MOST_IN_A_LINE
    inside = [(max(a, begin) - begin, min(b, end) - begin) for a, b in spans if a < end and b > begin]
    cut = f"{'… ' if begin else ''}{marked(escape(line[begin:end]), inside)}{' …' if end < len(line) else ''}"
    return f'{cut}<i class="muted"> ({len(line):,} characters)</i>'


def marked(html: str, spans: Sequence[Span]) -> str:
    """Puts <mark> around spans of characters of a line that is HTML already, inside the elements that they cross."""
    if not spans:
        return html
    made: list[str] = []
    at = 0
    for piece in _PIECE.findall(html):
        if piece[0] == "<":
            made.append(piece)
            continue
        length = 1 if piece[0] == "&" else len(piece)
        cuts = sorted({0, length, *(edge - at for span in spans for edge in span if at < edge < at + length)})
        for begin, end in pairwise(cuts):
            text = piece if length == 1 else piece[begin:end]
            inside = any(span[0] <= at + begin < span[1] for span in spans)
            made.append(f"<mark>{text}</mark>" if inside else text)
        at += length
    return "".join(made).replace("</mark><mark>", "")


def _hunks(old: Sequence[str], new: Sequence[str], changes: Sequence[Change], language: str, page: Page) -> SafeString:
    """The changed stretches with three lines around each; what lies between is folded, or counted where it is long."""
    if not changes:
        return NOTHING
    sides = _Side(old, language, page), _Side(new, language, page)
    parts: list[str] = []
    at = (0, 0)
    for hunk in hunks(changes, len(old), len(new)):
        parts.append(_fold(sides, at, (hunk.old_from, hunk.new_from), page))
        if page.rows <= 0:
            left = sum(change.old_to - change.old_from + change.new_to - change.new_from for change in changes if change.old_from >= at[0])
            parts.append(f'<p class="note warn">{left:,} more changed lines are not shown. Open both files for the rest.</p>')
            return mark_safe("".join(parts))  # noqa: S308  # every line was escaped
        parts.append(_table(list(_hunk(sides, hunk, page)), _range(hunk)))
        at = hunk.old_to, hunk.new_to
    parts.append(_fold(sides, at, (len(old), len(new)), page))
    return mark_safe("".join(parts))  # noqa: S308  # every line was escaped


def _table(rows: Sequence[str], caption: str) -> str:
    head = '<thead><tr><th scope="col">Before<th scope="col">Now<th scope="col">Line</thead>'
    return f"<table><caption>{caption}</caption>{head}<tbody>{''.join(rows)}</tbody></table>"


def _range(hunk: Hunk) -> str:
    def said(begin: int, end: int) -> str:
        return "" if begin == end else f"line {end}" if end - begin == 1 else f"lines {begin + 1}–{end}"

    old, new = said(hunk.old_from, hunk.old_to), said(hunk.new_from, hunk.new_to)
    return f"Before: {old}. Now: {new}." if old and new and old != new else (new or old).capitalize()


def _fold(sides: tuple[_Side, _Side], begin: tuple[int, int], end: tuple[int, int], page: Page) -> str:
    count = end[0] - begin[0]
    if count == 0:
        return ""
    said = f"{count:,} unchanged {'line' if count == 1 else 'lines'}"
    if count > FOLD or page.rows < count:
        return f'<p class="fold">{said}</p>'
    page.rows -= count
    rows = [_same(sides, begin[0] + n, begin[1] + n) for n in range(count)]
    return f'<details class="fold"><summary>{said}</summary>{_table(rows, said.capitalize())}</details>'


def _hunk(sides: tuple[_Side, _Side], hunk: Hunk, page: Page) -> Iterator[str]:
    i, j = hunk.old_from, hunk.new_from
    for change in hunk.changes:
        yield from (_same(sides, i + n, j + n) for n in range(change.old_from - i))
        page.rows -= change.old_from - i
        yield from _change(sides, change, page)
        i, j = change.old_to, change.new_to
        if page.rows <= 0:
            return
    yield from (_same(sides, i + n, j + n) for n in range(hunk.old_to - i))
    page.rows -= hunk.old_to - i


def _same(sides: tuple[_Side, _Side], i: int, j: int) -> str:
    return f"<tr><td>{i + 1}<td>{j + 1}<td>{sides[1].html(j)}"


def _change(sides: tuple[_Side, _Side], change: Change, page: Page) -> Iterator[str]:
    old, new = (side.lines for side in sides)
    gone, came = old[change.old_from : change.old_to], new[change.new_from : change.new_to]
    spans: dict[tuple[int, int], list[Span]] = {}
    for a, b in pairs(gone[: page.rows], came[: page.rows], page.words):
        spans[0, a], spans[1, b] = words(gone[a], came[b], page.words)
    for at, (side, lines) in enumerate(((sides[0], gone), (sides[1], came))):
        first = change.new_from if at else change.old_from
        for n, line in enumerate(lines):
            if page.rows <= 0:
                yield _cut(len(lines) - n, "added" if at else "removed")
                break
            page.rows -= 1 + min(len(line), MOST_IN_A_LINE) // 120
            text = side.html(first + n, spans.get((at, n), ()))
            if at:
                yield f'<tr class="came"><td><td>{first + n + 1}<td><ins><span class="sr-only">added: </span>{text}</ins>'
            else:
                yield f'<tr class="gone"><td>{first + n + 1}<td><td><del><span class="sr-only">removed: </span>{text}</del>'


def _cut(count: int, what: str) -> str:
    return f'<tr class="cut"><td><td><td>{count:,} more {what} {"line is" if count == 1 else "lines are"} not shown.'


def _cells(data: bytes | None) -> list[Cell]:
    if data is None:
        return []
    if len(data) > MOST_NOTEBOOK_BYTES:
        most = formats.filesize(MOST_NOTEBOOK_BYTES)
        raise UnreadableError(f"This notebook has {formats.filesize(len(data))}; up to {most} are compared cell by cell.")
    return [(kind, highlight.visible(source)) for kind, source in sources(data, most_parts=MOST_NOTEBOOK_PARTS)]


def _notebook(old: list[Cell], new: list[Cell], page: Page) -> Rendered:
    if sum(len(source) for _, source in (*old, *new)) > 2 * MOST_BYTES:
        raise UnreadableError(f"The cells of this notebook have more than {formats.filesize(2 * MOST_BYTES)} of text.")
    found = compare_cells(old, new, page.lines)
    shown: list[str] = []
    added = removed = 0
    for run in _runs(found):
        if run[0].kind == "same":
            shown.append(_same_cells(run))
            continue
        for one in run:
            html, came, gone = _cell(one, old, new, page)
            shown.append(html)
            added, removed = added + came, removed + gone
    note = "Compared cell by cell, by what was written into them: outputs and execution counts are left out."
    if all(one.kind == "same" for one in found):
        note = "No cell differs: only outputs, execution counts or details of the notebook format do."
        shown = []
    return Rendered(mark_safe("".join(shown)), added, removed, note)  # noqa: S308  # every line was escaped


def _runs(found: Sequence[CellChange]) -> Iterator[list[CellChange]]:
    """Unchanged cells that follow one another together, every other cell by itself."""
    run: list[CellChange] = []
    for one in found:
        if run and not (run[-1].kind == one.kind == "same"):
            yield run
            run = []
        run.append(one)
    if run:
        yield run


def _same_cells(run: Sequence[CellChange]) -> str:
    count = len(run)
    return format_html('<p class="fold">{} unchanged {}</p>', count, "cell" if count == 1 else "cells")


WORDS = {"changed": ("changed", "info"), "added": ("added", "good"), "removed": ("removed", "bad"), "moved": ("moved", "info")}


def _cell(one: CellChange, old: list[Cell], new: list[Cell], page: Page) -> tuple[str, int, int]:
    kind, source = new[one.new] if one.new is not None else old[one.old or 0]
    word, tone = WORDS[one.kind]
    place = f"Cell {(one.new if one.new is not None else one.old or 0) + 1}"
    if one.kind in {"moved", "changed"} and one.old != one.new and one.old is not None:
        place += f" (was cell {one.old + 1})"
    head = format_html('<h3>{} <span class="muted small">{}</span> <span class="chip {}">{}</span></h3>', place, kind, tone, word)
    if one.kind == "moved":
        first = next((line for line in source.split("\n") if line.strip()), "")
        return format_html('{}<p class="fold">{}</p>', head, first[:120]), 0, 0
    before = old[one.old][1].split("\n") if one.old is not None else []
    after = new[one.new][1].split("\n") if one.new is not None else []
    changes = compare(before, after, page.lines)
    body = _hunks(before, after, changes, "python" if kind == "code" else "markdown", page)
    return f"{head}{body}", _count(changes, "new"), _count(changes, "old")
