"""A handed-in notebook as a page: text, code, text outputs and pictures.

It is only read; HTML, SVG and scripts in it never reach a browser.
"""

import base64
import binascii
import json
import re
import time
from collections.abc import Iterator
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from courseapp import formats, highlight, markdown

MOST_BYTES = 25 * 1024 * 1024
MOST_CELLS = 1_000
MOST_CHARACTERS = 20_000  # of one cell, and of one output
MOST_TEXT = 1_500_000  # of the whole page, before markup
MOST_PARTS = 2_000_000  # of the JSON: each takes many times its bytes once it is read
MOST_SECONDS = 3.0  # of processor time for a page's colours and markup; what is left is shown plain
MOST_PICTURES = 8 * 1024 * 1024  # of the whole page, in base64

_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_HALVES = re.compile("[\ud800-\udfff]")
_MARKERS = re.compile(rb"^<{7}( |$)", re.MULTILINE)
_NOT_SHOWN = {
    "text/html": "HTML",
    "image/svg+xml": "SVG",
    "application/javascript": "JavaScript",
    "text/latex": "LaTeX",
    "application/pdf": "PDF",
}
_SIGNATURES = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class UnreadableError(ValueError):
    """Why a notebook cannot be shown, as a sentence."""


def render_notebook(data: bytes) -> SafeString:
    """HTML for the notebook `data`, or a sentence that says why it cannot be shown."""
    try:
        cells = _cells(_parsed(data))
    except UnreadableError as reason:
        return format_html(
            '<p class="note warn">{} The file itself is kept as it was handed in: download it to look into it.</p>', str(reason)
        )
    if not cells:
        return mark_safe('<p class="note">This notebook has no cells.</p>')
    page = _Page()
    shown = [page.cell(cell) for cell in cells[:MOST_CELLS]]
    if len(cells) > MOST_CELLS:
        shown.append(format_html('<p class="note warn">Only the first {} of {} cells are shown.</p>', MOST_CELLS, len(cells)))
    return format_html('<div class="stack">{}</div>', format_html_join("", "{}", ((part,) for part in shown)))


def sources(data: bytes, *, most_parts: int) -> list[tuple[str, str]]:
    """The kind (`code`, `markdown`, …) and the source of each cell, without outputs. UnreadableError when there are none to be had."""
    cells = _cells(_parsed(data, most_parts))
    if len(cells) > MOST_CELLS:
        raise UnreadableError(f"This notebook has {len(cells)} cells; up to {MOST_CELLS} are compared.")
    return [
        (kind if isinstance(kind := cell.get("cell_type"), str) else "", _text(cell.get("source", cell.get("input")))) for cell in cells
    ]


def _parsed(data: bytes, most_parts: int = MOST_PARTS) -> dict[str, Any]:
    if len(data) > MOST_BYTES:
        raise UnreadableError(f"This notebook has {formats.filesize(len(data))}; up to {formats.filesize(MOST_BYTES)} are shown here.")
    if sum(map(data.count, (b"{", b"[", b","))) > most_parts:
        raise UnreadableError("This notebook has too many parts to be shown here.")
    try:
        found = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=str)
    except RecursionError as error:
        raise UnreadableError("This notebook is nested too deeply to be read.") from error
    except ValueError as error:
        marker = _MARKERS.search(data)
        if marker:
            line = data.count(b"\n", 0, marker.start()) + 1
            raise UnreadableError(
                f"This notebook has unresolved merge conflicts (first “<<<<<<<” in line {line}), so it is not valid JSON."
            ) from error
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError(f"This notebook is not valid JSON{where}, so no program can open it.") from error
    if not isinstance(found, dict):
        raise UnreadableError("This file is JSON, but not a notebook.")
    return found


def _cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """The cells of format 4, or of the worksheets of format 3."""
    found = notebook.get("cells")
    if found is None and isinstance(notebook.get("worksheets"), list):
        found = [cell for sheet in notebook["worksheets"] if isinstance(sheet, dict) for cell in _list(sheet.get("cells"))]
    if not isinstance(found, list):
        raise UnreadableError("This file is JSON, but not a notebook: it has no cells.")
    return [cell for cell in found if isinstance(cell, dict)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: Any) -> str:
    """Notebook strings are one string or a list of lines. Halves of a character, which JSON can name, fit into no page."""
    parts = value if isinstance(value, list) else [value]
    return _HALVES.sub("\ufffd", "".join(part for part in parts if isinstance(part, str)))


def _plain(text: str) -> str:
    """Without terminal colours; a line that was drawn over (progress bars) only as it ended."""
    stripped = _ANSI.sub("", text).replace("\r\n", "\n")
    return highlight.visible("\n".join(line.rstrip("\r").rsplit("\r", 1)[-1] for line in stripped.split("\n")))


class _Page:
    """Counts what was shown, so that the page stays one that a browser can hold."""

    def __init__(self) -> None:
        self.text_left = MOST_TEXT
        self.pictures_left = MOST_PICTURES
        self.end = time.thread_time() + MOST_SECONDS

    def cell(self, cell: dict[str, Any]) -> SafeString:
        source = self._take(_text(cell.get("source", cell.get("input"))))
        kind = cell.get("cell_type")
        plain = time.thread_time() > self.end
        if kind in ("markdown", "heading") and not plain:
            return format_html(
                '<div class="cell"><span class="in"></span><div class="prose">{}</div></div>', markdown.render(source, anchors=False)
            )
        if kind != "code":
            return format_html('<div class="cell"><span class="in"></span><pre class="log">{}</pre></div>', highlight.visible(source))
        number = cell.get("execution_count", cell.get("prompt_number"))
        label = f"[{number}]" if isinstance(number, int) else "[ ]"
        outputs = format_html_join("", "{}", ((part,) for output in _list(cell.get("outputs")) for part in self.output(output)))
        return format_html(
            '<div class="cell"><span class="in">{}</span><div>{}{}</div></div>', label, _code(source, "" if plain else "python"), outputs
        )

    def output(self, output: Any) -> Iterator[SafeString]:
        if not isinstance(output, dict):
            return
        if output.get("output_type") in ("error", "pyerr"):
            trace = _text([f"{line}\n" for line in _list(output.get("traceback")) if isinstance(line, str)])
            yield self._log(trace or _text(f"{output.get('ename')}: {output.get('evalue')}"), "log bad")
            return
        bundle = output.get("data") if isinstance(output.get("data"), dict) else _format_3(output)
        assert isinstance(bundle, dict)
        if "text" in output and not bundle:
            yield self._log(_text(output["text"]), "log bad" if output.get("name") == "stderr" else "log")
            return
        picture = next((kind for kind in _SIGNATURES if kind in bundle), None)
        if picture:
            yield self._picture(picture, _text(bundle[picture]))
        elif "text/plain" in bundle:
            yield self._log(_text(bundle["text/plain"]), "log")
        hidden = [_NOT_SHOWN.get(kind, kind) for kind in bundle if kind not in _SIGNATURES and kind != "text/plain"]
        if hidden and not picture:
            yield format_html('<p class="muted small">{} output not shown</p>', ", ".join(_text(kind)[:60] for kind in hidden))

    def _log(self, text: str, classes: str) -> SafeString:
        return format_html('<pre class="{}" tabindex="0">{}</pre>', classes, self._take(_plain(text).rstrip("\n")))

    def _take(self, text: str) -> str:
        most = min(MOST_CHARACTERS, self.text_left)
        self.text_left -= min(len(text), most)
        return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most:,} more characters are not shown"

    def _picture(self, kind: str, encoded: str) -> SafeString:
        packed = re.sub(r"\s+", "", encoded)
        if len(packed) > self.pictures_left:
            return mark_safe('<p class="muted small">Picture not shown: this page has too many already</p>')
        try:
            whole = base64.b64decode(packed, validate=True)
        except (binascii.Error, ValueError):
            whole = b""
        if not whole.startswith(_SIGNATURES[kind]):
            return mark_safe('<p class="muted small">Picture not shown: it is damaged</p>')
        self.pictures_left -= len(packed)
        return format_html('<img src="data:{};base64,{}" alt="Output of this cell">', kind, packed)


def _format_3(output: dict[str, Any]) -> dict[str, Any]:
    """Format 3 has the kinds as keys of the output itself."""
    kinds = {"png": "image/png", "jpeg": "image/jpeg", "html": "text/html", "svg": "image/svg+xml", "javascript": "application/javascript"}
    found = {kind: output[key] for key, kind in kinds.items() if key in output}
    if output.get("output_type") in ("pyout", "display_data", "execute_result") and "text" in output:
        found["text/plain"] = output["text"]
    return found


def _code(source: str, language: str) -> SafeString:
    rows = highlight.lines(highlight.visible(source), language)
    if not source:
        return mark_safe("")
    body = mark_safe("\n".join(rows))  # noqa: S308  # escaped line by line by the highlighter
    return format_html('<pre class="code hl" tabindex="0">{}</pre>', body)
