import re

import pytest

from courseapp.render_code import MOST_BYTES, MOST_LINES, render_code


def rows(html: str) -> list[str]:
    return re.findall(r'<tr id="L\d+"><td class="ln"><a href="#L\d+">\d+</a><td>(.*?)(?=<tr|</table>)', html, re.DOTALL)


def plain(html: str) -> list[str]:
    return [re.sub(r"<[^>]*>", "", row) for row in rows(html)]


def test_every_line_has_its_number_and_anchor() -> None:
    html = render_code(b"a = 1\n\nb = 2\n", "x.py")
    assert re.findall(r'<tr id="L(\d+)"><td class="ln"><a href="#L(\d+)">(\d+)</a>', html) == [(n, n, n) for n in "123"]
    assert plain(html) == ["a = 1", "", "b = 2"]


def test_a_string_over_several_lines_is_coloured_on_each() -> None:
    assert rows(render_code(b"'''a\nb'''\n", "x.py")) == [
        "<span class=\"sd\">'''a</span>",
        "<span class=\"sd\">b'''</span>",
    ]


@pytest.mark.parametrize("name", ["x.py", "x.html", "x.md", "x.js", "x.unknown", "noending"])
def test_markup_in_a_file_is_text(name: str) -> None:
    html = render_code(b"<script>alert(1)</script><img src=x onerror=alert(1)>\n", name)
    assert plain(html) == ["&lt;script&gt;alert(1)&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;"]
    assert "<script" not in html
    assert "<img" not in html


def test_a_name_cannot_leave_its_attribute() -> None:
    assert 'aria-label="&quot;&gt;&lt;b&gt;.py"' in render_code(b"x", '"><b>.py')


def test_line_numbers_do_not_depend_on_the_kind_of_line_end_or_leading_blank_lines() -> None:
    for data in (b"\n\na\nb", b"\r\n\r\na\r\nb\r\n", b"\r\ra\rb\r"):
        assert plain(render_code(data, "x.py")) == ["", "", "a", "b"]


def test_characters_that_hide_or_reorder_code_are_shown() -> None:
    assert plain(render_code("a = 1 # \u202e }\x0c\x1b".encode(), "x.txt")) == ["a = 1 # ⟨U+202E⟩ }⟨U+000C⟩⟨U+001B⟩"]


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert plain(render_code(b"caf\xe9", "x.txt")) == ["caf\N{REPLACEMENT CHARACTER}"]


def test_a_byte_order_mark_is_not_part_of_the_first_line() -> None:
    assert plain(render_code(b"\xef\xbb\xbfx", "x.txt")) == ["x"]


def test_a_binary_file_is_not_shown() -> None:
    assert (
        render_code(b"PK\0\0", "w.pt")
        == '<p class="note">w.pt is not text (4 B), so it is not shown here. Download it to look into it.</p>'
    )


def test_an_empty_file_says_so() -> None:
    assert render_code(b"", "x.py") == '<p class="note">x.py is empty.</p>'


def test_too_many_lines_are_cut_and_said() -> None:
    html = render_code(b"x\n" * (MOST_LINES + 7), "x.py")
    assert len(rows(html)) == MOST_LINES
    assert "Only the first 5000 of 5007 lines are shown." in html


def test_a_large_file_is_cut_and_said() -> None:
    html = render_code(b"x" * 1000 + b"\n" + b"y" * MOST_BYTES, "x.py")
    assert "Only the first 1 MB of 1 MB are shown." in html
    assert len(html) < 10_000


def test_two_files_of_a_page_have_ids_of_their_own() -> None:
    assert 'id="f2-L1"' in render_code(b"x", "x.py", prefix="f2-L")
