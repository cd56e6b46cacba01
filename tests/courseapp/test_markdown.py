import re
from html.parser import HTMLParser

import pytest

from courseapp.markdown import MOST_CHARACTERS, TAGS, render

ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<iframe src='https://example.edu'></iframe>",
    "<style>*{display:none}</style>",
    "<a href='javascript:alert(1)'>x</a>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:msgbox)",
    "<javascript:alert(1)>",
    '[x](https://example.edu "a\\" onmouseover=alert(1)")',
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](javascript:alert(1))",
    '![" onerror="alert(1)](https://example.edu/x.png)',
    "$</span><script>alert(1)</script>$",
    "$$\n</div><script>alert(1)</script>\n$$",
    "a $$</span><img src=x onerror=alert(1)>$$ b",
    "```html\n</code></pre><script>alert(1)</script>\n```",
    '```"><script>alert(1)</script>\nx\n```',
    "    <script>alert(1)</script>",
    "# <script>alert(1)</script>",
    '# " id="main" onclick="alert(1)',
    "| <script>alert(1)</script> |\n|---|\n| <img src=x onerror=alert(1)> |",
    "<!-- --><script>alert(1)</script>-->",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
]


class Elements(HTMLParser):
    """What a browser would make of it."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, set[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, set()).add(value or "")


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_that_runs_gets_through(text: str) -> None:
    found = Elements(render(text))
    assert found.tags <= TAGS
    assert set(found.attributes) <= {"href", "title", "rel", "class", "id", "tabindex", "aria-hidden"}
    assert all(re.match(r"https?:|#h-", link) for link in found.attributes.get("href", ()))
    assert all(name.startswith("h-") for name in found.attributes.get("id", ()))


def test_prose() -> None:
    assert render("A *b* **c** ~~d~~ `e<f`\n\n- x\n- y\n") == (
        "<p>A <em>b</em> <strong>c</strong> <s>d</s> <code>e&lt;f</code></p>\n<ul>\n<li>x</li>\n<li>y</li>\n</ul>\n"
    )


def test_math_stays_readable_tex() -> None:
    assert render("Let $x_1 < y$.\n") == '<p>Let <span class="math inline">x_1 &lt; y</span>.</p>\n'
    assert render("$$\n\\frac{1}{2}\n$$\n") == '<div class="math block">\n\\frac{1}{2}\n</div>\n'
    assert render("so $$a\\\\b$$ holds") == '<p>so <span class="math block">a\\\\b</span> holds</p>\n'


def test_money_is_no_math() -> None:
    assert render("It costs $5 or $6.") == "<p>It costs $5 or $6.</p>\n"


def test_markup_inside_math_is_left_alone() -> None:
    assert render("$a_1 * b * c_2$") == '<p><span class="math inline">a_1 * b * c_2</span></p>\n'


def test_headings_start_at_the_second_level_and_can_be_linked_to() -> None:
    html = render("# The main *part*\n\n## Part\n\n## Part\n\n###### Deep\n")
    assert re.findall(r'<(h\d) id="([^"]*)"', html) == [("h2", "h-the-main-part"), ("h3", "h-part"), ("h3", "h-part-2"), ("h6", "h-deep")]
    assert 'href="#h-part-2"' in html


def test_headings_without_anchors_have_no_ids() -> None:
    assert render("# Part", anchors=False) == "<h2>Part</h2>\n"


def test_no_heading_takes_an_id_of_the_page() -> None:
    assert 'id="main"' not in render("# main")


def test_links_vouch_for_nothing() -> None:
    assert render("[x](https://example.edu/a?b=c&d)") == '<p><a href="https://example.edu/a?b=c&amp;d" rel="nofollow noopener">x</a></p>\n'


def test_a_picture_from_elsewhere_becomes_a_link() -> None:
    assert render("![plot](https://example.edu/p.png)") == '<p><a href="https://example.edu/p.png" rel="nofollow noopener">plot</a></p>\n'


def test_code_is_coloured_by_class() -> None:
    html = render("```python\ndef f(x):\n    return x < 1\n```\n")
    assert html == (
        '<pre class="hl" tabindex="0"><code><span class="k">def</span> <span class="nf">f</span>(x):\n'
        '    <span class="k">return</span> x &lt; <span class="mi">1</span></code></pre>\n'
    )


def test_code_of_an_unknown_language_is_plain() -> None:
    assert render("```brainfuck\n<+>\n```\n") == '<pre class="hl" tabindex="0"><code>&lt;+&gt;</code></pre>\n'


def test_numbers_of_a_table_are_aligned_by_class() -> None:
    html = render("| a | b |\n|---|--:|\n| x | 2 |\n")
    assert '<td class="num">2</td>' in html
    assert "style" not in html


def test_an_empty_corner_of_a_table_is_no_heading() -> None:
    assert "<tr>\n<td></td>\n<th>a</th>\n</tr>" in render("| | a |\n|---|---|\n| x | 2 |\n")


def test_very_long_texts_are_cut_and_say_so() -> None:
    assert render("a" * (MOST_CHARACTERS + 1)).endswith("<p>Only the first 100,000 characters are shown.</p>")
