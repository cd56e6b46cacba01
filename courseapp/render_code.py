"""A handed-in file as numbered, coloured lines, each with an anchor (#L12). What is in the file is only ever text."""

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from courseapp import formats, highlight

MOST_BYTES = 1024 * 1024
MOST_LINES = 5_000


def render_code(data: bytes, name: str, *, prefix: str = "L") -> SafeString:
    """HTML for the file `name`. `prefix` keeps line ids apart where a page shows several files."""
    if b"\0" in data[:8192]:
        return format_html(
            '<p class="note">{} is not text ({}), so it is not shown here. Download it to look into it.</p>',
            name,
            formats.filesize(len(data)),
        )
    source = highlight.visible(data[:MOST_BYTES].decode("utf-8-sig", "replace"))
    lines = source.removesuffix("\n").split("\n")
    if not source:
        return format_html('<p class="note">{} is empty.</p>', name)
    rows = highlight.lines("\n".join(lines[:MOST_LINES]), highlight.language_of(name))
    body = "".join(
        f'<tr id="{escape(prefix)}{n}"><td class="ln"><a href="#{escape(prefix)}{n}">{n}</a><td>{row}' for n, row in enumerate(rows, 1)
    )
    table = mark_safe(body)  # noqa: S308  # escaped line by line by the highlighter
    return format_html(
        '{}<div class="code hl" tabindex="0" role="region" aria-label="{}"><table>{}</table></div>', _cut(data, lines), name, table
    )


def _cut(data: bytes, lines: list[str]) -> str:
    """Says what is left out."""
    if len(lines) > MOST_LINES:
        return format_html(
            '<p class="note warn">Only the first {} of {} lines are shown. Download the file for the rest.</p>', MOST_LINES, len(lines)
        )
    if len(data) > MOST_BYTES:
        shown, whole = formats.filesize(MOST_BYTES), formats.filesize(len(data))
        return format_html('<p class="note warn">Only the first {} of {} are shown. Download the file for the rest.</p>', shown, whole)
    return ""
