"""What changed in a file, as its reader sees it."""

import json
import re
import time
from html import unescape
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from courseapp.render_diff import MOST_BYTES, MOST_IN_A_LINE, MOST_LINES, MOST_ROWS, Page, marked, render_diff

ROW = re.compile(r'<tr(?: class="(\w+)")?><td>(\d*)<td>(\d*)<td>(.*?)(?=<tr|</tbody>)', re.DOTALL)


def plain(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", re.sub(r'<span class="sr-only">[^<]*</span>', "", html)))


def rows(old: bytes | None, new: bytes | None, name: str = "x.py") -> list[tuple[str, str, str, str]]:
    """Kind, both numbers and the text of every line."""
    return [(kind, i, j, plain(text)) for kind, i, j, text in ROW.findall(render_diff(old, new, name, Page()).html)]


def test_lines_carry_the_numbers_of_both_sides() -> None:
    assert rows(b"a\nb\nc\n", b"a\nx\ny\nc\n") == [
        ("", "1", "1", "a"),
        ("gone", "2", "", "b"),
        ("came", "", "2", "x"),
        ("came", "", "3", "y"),
        ("", "3", "4", "c"),
    ]
    shown = render_diff(b"a\nb\nc\n", b"a\nx\ny\nc\n", "x.py", Page())
    assert (shown.added, shown.removed, shown.note) == (2, 1, "")


LINES = st.lists(st.sampled_from(["", "a", "b", "def f(x): return x", "<b>&amp;</b>", "'''"]), max_size=30)


@given(LINES, LINES)
def test_both_files_can_be_read_from_what_is_shown(old: list[str], new: list[str]) -> None:
    """Up to 40 unchanged lines can be unfolded, so that every line of these files is there."""
    found = rows("\n".join([*old, "end"]).encode(), "\n".join([*new, "end"]).encode())
    if old == new:
        assert found == []
        return
    assert [text for kind, _, _, text in found if kind != "came"] == [*old, "end"]
    assert [text for kind, _, _, text in found if kind != "gone"] == [*new, "end"]
    assert [int(i) for _, i, _, _ in found if i] == list(range(1, len(old) + 2))
    assert [int(j) for _, _, j, _ in found if j] == list(range(1, len(new) + 2))


def test_a_line_that_changed_says_so_without_colour_and_marks_the_words() -> None:
    html = render_diff(b"x = relu(a)\n", b"x = tanh(a)\n", "x.txt", Page()).html
    assert '<del><span class="sr-only">removed: </span>x = <mark>relu</mark>(a)</del>' in html
    assert '<ins><span class="sr-only">added: </span>x = <mark>tanh</mark>(a)</ins>' in html


def test_marks_go_inside_the_colours() -> None:
    html = render_diff(b"return 1\n", b"return None\n", "x.py", Page()).html
    assert '<span class="k">return</span> <mark><span' not in html
    assert '<span class="mi"><mark>1</mark></span>' in html
    assert '<span class="kc"><mark>None</mark></span>' in html


@given(st.text("ab<>&'\"", max_size=20), st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), max_size=2))
def test_marks_leave_the_text_as_it_is(text: str, spans: list[tuple[int, int]]) -> None:
    from django.utils.html import escape

    html = marked(escape(text), spans)
    assert plain(html) == text
    inside = {at for begin, end in spans for at in range(begin, min(end, len(text)))}
    assert plain("".join(re.findall(r"<mark>(.*?)</mark>", html))) == "".join(letter for at, letter in enumerate(text) if at in inside)


def test_markup_in_a_file_is_text() -> None:
    html = render_diff(b"<script>alert(1)</script>\n", b"<img src=x onerror=alert(1)>\n", "x.html", Page()).html
    assert "<script" not in html
    assert "<img" not in html


def test_short_unchanged_stretches_unfold_and_long_ones_are_counted() -> None:
    lines = [f"line {n}" for n in range(200)]
    changed = ["first", *lines[1:30], "middle", *lines[31:]]
    html = render_diff("\n".join(lines).encode(), "\n".join(changed).encode(), "x.txt", Page()).html
    assert "<summary>23 unchanged lines</summary>" in html
    assert '<p class="fold">166 unchanged lines</p>' in html
    assert "<caption>Lines 1–4</caption>" in html


@pytest.mark.parametrize(
    ("old", "new", "note"),
    [
        (b"a\n", b"a\r\n", "No line differs; only line ends, a byte order mark, or the end of the last line do."),
        (b"a\n", b"a", "No line differs; only line ends, a byte order mark, or the end of the last line do."),
        (None, b"", "It is empty."),
        (b"PK\0", b"x", "It is not text, so it is not compared line by line."),
        (b"%PDF-1.7", b"%PDF-1.7\n", "It is not text, so it is not compared line by line."),
        (b"a" * (MOST_BYTES + 1), b"x", "It has 1 MB; up to 1 MB are compared line by line."),
        (b"a\n" * MOST_LINES, b"x", "It has about 20,001 lines; up to 20,000 are compared line by line."),
    ],
)
def test_what_is_not_compared_says_why(old: bytes | None, new: bytes, note: str) -> None:
    shown = render_diff(old, new, "x.txt", Page())
    assert (shown.html, shown.note) == ("", note)


def test_bytes_that_are_no_utf8_are_said_and_compared() -> None:
    shown = render_diff(b"caf\xe9\n", b"caf\xe8\n", "x.txt", Page())
    assert shown.note == "Not all of it is UTF-8: other bytes are shown as \\xe9."
    assert [row[3] for row in rows(b"caf\xe9\n", b"caf\xe8\n", "x.txt")] == ["caf\\xe9", "caf\\xe8"]


def test_a_long_line_is_shown_around_its_first_difference() -> None:
    old, new = "a " * 5000 + "old" + " b" * 5000, "a " * 5000 + "new" + " b" * 5000
    html = render_diff(old.encode(), new.encode(), "x.json", Page()).html
    gone, came = (plain(text) for _, _, _, text in ROW.findall(html))
    assert (gone.startswith("… a a"), "old" in gone, "new" in came) == (True, True, True)
    assert gone.endswith(" … (20,003 characters)")
    assert len(gone) < MOST_IN_A_LINE + 40


def test_more_lines_than_a_page_holds_are_counted() -> None:
    html = render_diff(b"", "\n".join(map(str, range(5_000))).encode(), "x.txt", Page()).html
    assert html.count("<tr") == MOST_ROWS + 2  # the head, and the line that says it
    assert "3,000 more added lines are not shown." in html


def notebook(*cells: Any, **more: Any) -> bytes:
    return json.dumps({"cells": list(cells), "nbformat": 4, **more}).encode()


def code(source: str, count: int | None = None, *outputs: Any) -> dict[str, Any]:
    return {"cell_type": "code", "source": source, "execution_count": count, "outputs": list(outputs)}


def headings(html: str) -> list[str]:
    return [plain(found) for found in re.findall(r"<h3>(.*?)</h3>", html)]


def test_a_notebook_is_compared_by_its_cells() -> None:
    end = {"cell_type": "markdown", "source": "# End"}
    old = notebook(code("import torch", 1), code("a = 0", 2), code("x = 1\ny = f(x)", 3), code("print(x)", 4), end)
    new = notebook(end, code("import torch", 7), code("a = 0", 8), code("x = 2\ny = f(x)", 9), code("z = 3 + 4", 10))
    shown = render_diff(old, new, "work.ipynb", Page())
    assert headings(shown.html) == [
        "Cell 1 (was cell 5) markdown moved",
        "Cell 4 (was cell 3) code changed",
        "Cell 4 code removed",
        "Cell 5 code added",
    ]
    assert (shown.added, shown.removed) == (2, 2)
    assert shown.note == "Compared cell by cell, by what was written into them: outputs and execution counts are left out."
    assert "2 unchanged cells<" in shown.html


def test_a_notebook_that_was_only_run_again_says_so() -> None:
    output = {"output_type": "stream", "text": "1"}
    shown = render_diff(notebook(code("x", 1)), notebook(code("x", 2, output), metadata={}), "a.ipynb", Page())
    assert shown.html == ""
    assert shown.note == "No cell differs: only outputs, execution counts or details of the notebook format do."


def test_an_invalid_notebook_is_compared_as_text() -> None:
    shown = render_diff(notebook(code("x")), b"{\n", "a.ipynb", Page())
    assert shown.note == "This notebook is not valid JSON, line 2, so no program can open it. It is compared as text."
    assert (shown.added, shown.removed) == (1, 1)


NOISE = "".join(f"{n * 7919 % 11} {n * 104729 % 13}\n" for n in range(19_000))
HOSTILE = {
    "lines of one letter": (b"a\n" * 9_999 + b"b\n" * 9_999, b"b\n" * 9_999 + b"a\n" * 9_999),
    "noise": (NOISE.encode(), NOISE[::-1].encode()),
    "one long line": (b"ab " * 340_000, b"ba " * 340_000),
    "long lines": ((b"x, " * 3_000 + b"\n") * 100, (b"y, " * 3_000 + b"\n") * 100),
    "words": ("\n".join(f"{n} " + "a b c d e f g h " * 5 for n in range(9_000)).encode(), b"h g f e d c b a\n" * 9_000),
    "code": (b"def f(x): return '''\n" * 5_000, b"def g(x): return '''\n" * 5_000),
    "brackets": (b"<" * 100_000 + b"\n" * 9_000, b"&" * 100_000 + b"\n" * 9_500),
}


@pytest.mark.parametrize(("old", "new"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_cost_a_bounded_time_and_page(old: bytes, new: bytes) -> None:
    began = time.process_time()
    html = render_diff(old, new, "x.py", Page()).html
    took = time.process_time() - began
    assert took < 3, f"{took:.2f} s"  # at most 0.6 s on the machine it was written on; room for a busy one
    assert len(html) < 1_200_000


def test_one_page_of_many_hostile_files_is_bounded_too() -> None:
    page = Page()
    began = time.process_time()
    shown = [render_diff(old, new, f"{name}.py", page) for _ in range(5) for name, (old, new) in HOSTILE.items()]
    took = time.process_time() - began
    assert took < 5, f"{took:.2f} s"
    assert sum(len(one.html) for one in shown) < 2_000_000
    assert shown[-1].note == "The files before it were as much as one page compares. Look into this one by itself."


def test_a_hostile_notebook_is_bounded() -> None:
    old = notebook(*(code(f"a{n} " * 150) for n in range(1_000)))
    new = notebook(*(code(f"b{n} " * 150) for n in range(1_000)))
    began = time.process_time()
    shown = render_diff(old, new, "x.ipynb", Page())
    assert time.process_time() - began < 4
    assert headings(shown.html)[0] == "Cell 1 code removed"
    assert len(shown.html) < 1_500_000
    assert "too many parts" in render_diff(b'{"cells":[' + b"{}," * 300_000 + b"{}]}", b"{}", "x.ipynb", Page()).note
