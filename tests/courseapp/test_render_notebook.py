import base64
import json
import re
import time
from typing import Any

import pytest

from courseapp.render_notebook import MOST_BYTES, MOST_CELLS, MOST_CHARACTERS, render_notebook, sources

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 20).decode()


def notebook(*cells: Any, **more: Any) -> bytes:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more}).encode()


def code(source: Any = "x = 1", *outputs: Any) -> dict[str, Any]:
    return {"cell_type": "code", "execution_count": 3, "source": source, "outputs": list(outputs), "metadata": {}}


def data(**kinds: Any) -> dict[str, Any]:
    return {
        "output_type": "display_data",
        "metadata": {},
        "data": {kind.replace("__", "+").replace("_", "/", 1): value for kind, value in kinds.items()},
    }


def test_code_and_its_number_are_shown() -> None:
    html = render_notebook(notebook(code(["x = 1\n", "y = 2"])))
    assert '<span class="in">[3]</span>' in html
    assert '<pre class="code hl" tabindex="0">x = <span class="mi">1</span>\ny = <span class="mi">2</span></pre>' in html


def test_text_cells_go_through_our_markdown() -> None:
    html = render_notebook(
        notebook({"cell_type": "markdown", "source": ["# Title\n", "$a<b$ <script>alert(1)</script> ![x](attachment:a.png)"]})
    )
    assert "<h2>Title</h2>" in html
    assert '<span class="math inline">a&lt;b</span>' in html
    assert "<script" not in html
    assert "<img" not in html


def test_streams_and_results_are_text() -> None:
    html = render_notebook(
        notebook(code("x", {"output_type": "stream", "name": "stdout", "text": ["a <b>\n", "c"]}, data(text_plain="array([1])")))
    )
    assert '<pre class="log" tabindex="0">a &lt;b&gt;\nc</pre>' in html
    assert '<pre class="log" tabindex="0">array([1])</pre>' in html


def test_progress_bars_show_only_their_end_and_colours_are_dropped() -> None:
    html = render_notebook(
        notebook(code("x", {"output_type": "stream", "name": "stderr", "text": " 10%\r 50%\r\x1b[32m100%\x1b[0m\r\nok"}))
    )
    assert '<pre class="log bad" tabindex="0">100%\nok</pre>' in html


def test_a_traceback_is_plain_text() -> None:
    html = render_notebook(
        notebook(code("x", {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["\x1b[0;31mE\x1b[0m: <v>", "line 2"]}))
    )
    assert '<pre class="log bad" tabindex="0">E: &lt;v&gt;\nline 2</pre>' in html


def test_png_and_jpeg_are_shown() -> None:
    html = render_notebook(notebook(code("x", data(image_png=PNG, text_plain="<Figure>"))))
    assert f'<img src="data:image/png;base64,{PNG}" alt="Output of this cell">' in html
    assert "Figure" not in html


@pytest.mark.parametrize(
    "picture", ["", "%%%", base64.b64encode(b"<svg onload=alert(1)>").decode(), 'x" onerror="alert(1)', 7, None, {"a": 1}]
)
def test_what_only_claims_to_be_a_picture_is_not_shown(picture: Any) -> None:
    html = render_notebook(notebook(code("x", data(image_png=picture))))
    assert "<img" not in html
    assert "Picture not shown: it is damaged" in html


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ({"text_html": "<script>alert(1)</script>"}, "HTML output not shown"),
        ({"image_svg__xml": "<svg onload=alert(1)>"}, "SVG output not shown"),
        ({"application_javascript": "alert(1)"}, "JavaScript output not shown"),
        ({"application_<script>": "x"}, "application/&lt;script&gt; output not shown"),
    ],
)
def test_outputs_that_could_run_are_never_passed_on(kinds: dict[str, str], said: str) -> None:
    html = render_notebook(notebook(code("x", data(**kinds))))
    assert said in html
    assert not re.search(r"<script|<svg|alert\(1\)", html)


def test_the_text_beside_an_html_table_is_shown_and_the_table_named() -> None:
    html = render_notebook(notebook(code("x", data(text_html="<table>", text_plain="  a  b"))))
    assert "  a  b" in html
    assert "HTML output not shown" in html


def test_format_three_is_read_too() -> None:
    old = {
        "nbformat": 3,
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": "print 1",
                        "prompt_number": 2,
                        "outputs": [{"output_type": "pyout", "text": "1", "html": "<b>"}],
                    }
                ]
            }
        ],
    }
    html = render_notebook(json.dumps(old).encode())
    assert '<span class="in">[2]</span>' in html
    assert '<pre class="log" tabindex="0">1</pre>' in html
    assert "HTML output not shown" in html


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "This notebook is not valid JSON, line 1, so no program can open it."),
        (b"{", "This notebook is not valid JSON, line 1, so no program can open it."),
        (
            b'{\n<<<<<<< HEAD\n"a": 1\n=======\n>>>>>>> x\n}',
            "This notebook has unresolved merge conflicts (first “&lt;&lt;&lt;&lt;&lt;&lt;&lt;” in line 2)",
        ),
        (b"[]", "This file is JSON, but not a notebook."),
        (b"7", "This file is JSON, but not a notebook."),
        (b"{}", "This file is JSON, but not a notebook: it has no cells."),
        (b'{"cells": 3}', "This file is JSON, but not a notebook: it has no cells."),
        (b"[" * 200_000, "This notebook is nested too deeply to be read."),
        (b'{"cells":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_001, "This notebook is nested too deeply to be read."),
        (b"1" * 10_000, "This notebook is not valid JSON"),
        (b" " * (2 * MOST_BYTES), "This notebook has 50 MB; up to 25 MB are shown here."),
        (b"\xff\xfe{\x00}\x00", "This notebook is not valid JSON"),
    ],
)
def test_what_cannot_be_read_is_said_in_a_sentence(content: bytes, sentence: str) -> None:
    html = render_notebook(content)
    assert sentence in html
    assert html.endswith("The file itself is kept as it was handed in: download it to look into it.</p>")


@pytest.mark.parametrize(
    "cell",
    [
        *(None, 3, "x", [], {}),
        {"cell_type": "code"},
        {"cell_type": 5, "source": 7},
        {"cell_type": "code", "source": "x", "outputs": 7, "execution_count": "<b>"},
        code(None),
        code({"a": 1}),
        code("x", None, 3, [], {}, {"output_type": "stream"}),
        code("x", {"output_type": "display_data", "data": None}),
        code("x", {"output_type": "error", "traceback": 3}),
        code("x", {"output_type": "stream", "text": 3}),
    ],
)
def test_odd_cells_break_nothing(cell: Any) -> None:
    html = render_notebook(notebook(cell, code("fine = 1")))
    assert "fine" in html
    assert "<b>" not in html


def test_long_outputs_are_cut_and_said() -> None:
    html = render_notebook(notebook(code("x", {"output_type": "stream", "name": "stdout", "text": "a" * (MOST_CHARACTERS + 5)})))
    assert "… 5 more characters are not shown" in html


def test_the_whole_page_has_a_cap() -> None:
    many = code("x", *({"output_type": "stream", "name": "stdout", "text": "a" * 19_000} for _ in range(300)))
    assert len(render_notebook(notebook(many))) < 2_000_000
    pictures = base64.b64encode(b"\x89PNG\r\n\x1a\n" + b"\0" * 3_000_000).decode()
    html = render_notebook(notebook(code("x", *(data(image_png=pictures) for _ in range(4)))))
    assert (html.count("<img"), html.count("this page has too many already")) == (2, 2)


def test_too_many_cells_are_cut_and_said() -> None:
    html = render_notebook(notebook(*(code("x") for _ in range(MOST_CELLS + 2))))
    assert "Only the first 1000 of 1002 cells are shown." in html


def test_an_empty_notebook_says_so() -> None:
    assert render_notebook(notebook()) == '<p class="note">This notebook has no cells.</p>'


def test_markup_made_to_take_long_is_shown_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("courseapp.render_notebook.MOST_SECONDS", 0.2)
    slow = [{"cell_type": "markdown", "source": f"{number} **bold** " + "![" * 9_000} for number in range(20)]
    began = time.thread_time()
    html = render_notebook(notebook({"cell_type": "markdown", "source": "**first**"}, *slow, code("x = 1")))
    assert time.thread_time() - began < 5
    assert "<strong>first</strong>" in html
    assert "19 **bold** ![![" in html
    assert '<pre class="code hl" tabindex="0">x = 1</pre>' in html


def test_a_notebook_of_millions_of_parts_is_not_read() -> None:
    assert "too many parts" in render_notebook(b'{"cells":[' + b"{}," * 1_000_001 + b"{}]}")
    assert "too many parts" not in render_notebook(notebook(*[code()] * 100))


@pytest.mark.parametrize("kind", ["markdown", "code", "raw"])
def test_half_a_character_does_not_keep_the_page_from_being_sent(kind: str) -> None:
    half = "a\ud800b"
    outputs = [data(**{"text_plain": half}), {"output_type": "error", "ename": half, "evalue": half}, {"data": {half: ""}}]
    html = render_notebook(notebook({"cell_type": kind, "source": half, "outputs": outputs}))
    assert "a\ufffdb" in html
    html.encode()
    assert sources(notebook(code(half)), most_parts=100) == [("code", "a\ufffdb")]


def test_a_kind_that_is_no_text_is_shown_plain() -> None:
    html = render_notebook(notebook({"cell_type": ["code"], "source": "x = 1"}, code("y", {"output_type": {}, "text": "z"})))
    assert "x = 1" in html
    assert "z</pre>" in html
