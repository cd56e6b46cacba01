"""All text that people write, from Markdown to HTML that is safe to show: no raw HTML, no pictures from elsewhere, math kept as TeX.

Markdown-it never passes HTML through, and nh3 lets only what is listed here leave: either of the two would do.
"""

import re
from collections.abc import MutableMapping, Sequence
from functools import lru_cache
from itertools import pairwise
from typing import Any

import nh3
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_core import StateCore
from markdown_it.token import Token
from markdown_it.utils import OptionsDict
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments.token import STANDARD_TYPES

from courseapp import highlight

MOST_CHARACTERS = 100_000

TAGS = {"a", "blockquote", "br", "code", "div", "em", "hr", "li", "ol", "p", "pre", "s", "span", "strong", "ul"}
TAGS |= {"h2", "h3", "h4", "h5", "h6", "table", "tbody", "td", "th", "thead", "tr"}
ATTRIBUTES = {"a": {"href", "title", "aria-hidden", "tabindex"}, "ol": {"start"}, "pre": {"tabindex"}} | {
    f"h{level}": {"id"} for level in range(2, 7)
}
_COLOURS = {name for name in STANDARD_TYPES.values() if name}
CLASSES = {
    "span": {"math", "inline", "block", *_COLOURS},
    "div": {"math", "block"},
    "pre": {"hl"},
    "a": {"anchor"},
    "th": {"num"},
    "td": {"num"},
}


@lru_cache(maxsize=64)
def render(text: str, *, anchors: bool = True) -> SafeString:
    """HTML for `text`. With `anchors` headings can be linked to; leave them out where several texts share a page."""
    cut = ""
    if len(text) > MOST_CHARACTERS:
        text, cut = text[:MOST_CHARACTERS], f"<p>Only the first {MOST_CHARACTERS:,} characters are shown.</p>"
    html = (_LINKED if anchors else _PLAIN).render(text) + cut
    clean = nh3.clean(
        html,
        tags=TAGS,
        attributes=ATTRIBUTES,
        allowed_classes=CLASSES,
        url_schemes={"http", "https", "mailto"},
        link_rel="nofollow noopener",
    )
    return mark_safe(clean)  # noqa: S308  # sanitised in the line above


def _colour(code: str, language: str, _attributes: str) -> str:
    rows = highlight.lines(highlight.visible(code.removesuffix("\n")), language)
    return f'<pre class="hl" tabindex="0"><code>{chr(10).join(rows)}</code></pre>'


def _image_as_link(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: MutableMapping[str, Any]) -> str:
    """A picture from elsewhere would tell its server who reads; it becomes a link."""
    token = tokens[index]
    return f'<a href="{escape(str(token.attrGet("src") or ""))}">{escape(token.content or "picture")}</a>'


def _math_in_line(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: MutableMapping[str, Any]) -> str:
    """$$…$$ within a sentence; the plugin's own <div> would end the paragraph."""
    return f'<span class="math block">{escape(tokens[index].content.strip())}</span>'


def _code_block(_self: RendererHTML, tokens: Sequence[Token], index: int, _options: OptionsDict, _env: MutableMapping[str, Any]) -> str:
    return _colour(tokens[index].content, "", "")


def _lower_headings(state: StateCore) -> None:
    """The page has the first heading; those of a text start at the second."""
    for token in state.tokens:
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(int(token.tag[1]) + 1, 6)}"


def _tidy_tables(state: StateCore) -> None:
    """Numbers are aligned by class, and an empty corner is no heading."""
    for token, content in pairwise(state.tokens):
        if token.type in {"th_open", "td_open"} and "right" in str(token.attrs.pop("style", "")):
            token.attrSet("class", "num")
        if token.type == "th_open":
            token.tag = "th" if content.content else "td"
        if content.type == "th_close":
            content.tag = "th" if token.content else "td"


def _anchor_headings(state: StateCore) -> None:
    """Give each heading an id of its own, behind `h-` so that no text can take an id of the page."""
    seen: dict[str, int] = {}
    for token, content in pairwise(state.tokens):
        if token.type != "heading_open":
            continue
        slug = re.sub(r"[^\w]+", "-", content.content.lower()).strip("-") or "section"
        seen[slug] = seen.get(slug, 0) + 1
        name = f"h-{slug}" if seen[slug] == 1 else f"h-{slug}-{seen[slug]}"
        token.attrSet("id", name)
        mark = Token("html_inline", "", 0, content=f'<a class="anchor" href="#{name}" aria-hidden="true" tabindex="-1">#</a>')
        content.children = [mark, *(content.children or [])]


def _parser(*, anchors: bool) -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False, "highlight": _colour}).enable(["table", "strikethrough"])
    dollarmath_plugin(parser, allow_labels=False, allow_space=False, allow_digits=False, double_inline=True)
    parser.add_render_rule("image", _image_as_link)
    parser.add_render_rule("math_inline_double", _math_in_line)
    parser.add_render_rule("code_block", _code_block)
    parser.core.ruler.push("lower_headings", _lower_headings)
    parser.core.ruler.push("tidy_tables", _tidy_tables)
    if anchors:
        parser.core.ruler.push("anchor_headings", _anchor_headings)
    return parser


_PLAIN = _parser(anchors=False)
_LINKED = _parser(anchors=True)
