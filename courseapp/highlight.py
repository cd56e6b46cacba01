"""Colours source code: one <span class> per token, a closed list of languages, and nothing slow on hostile input."""

import re
from pathlib import PurePosixPath

from django.utils.html import escape
from pygments import highlight as pygmentize
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

# Lexers are regular expressions over what students write; only these are worth their time.
ENDINGS = {
    "bash": ("sh", "bash"), "c": ("c", "h"), "cpp": ("cc", "cpp", "hpp"), "css": ("css",), "cuda": ("cu", "cuh"), "diff": ("diff", "patch"),
    "html": ("html",), "ini": ("ini", "cfg"), "java": ("java",), "javascript": ("js", "mjs"), "json": ("json",), "julia": ("jl",),
    "latex": ("tex",), "markdown": ("md",), "matlab": ("m",), "python": ("py", "pyi"), "r": ("r",), "rust": ("rs",), "sql": ("sql",),
    "toml": ("toml",), "typescript": ("ts",), "yaml": ("yaml", "yml"),
}  # fmt: skip
LANGUAGES = {*ENDINGS, "console", "makefile", "pycon", "pytb"}
NAMES = {"ipython": "python", "ipython3": "python", "python3": "python", "shell": "bash"}
NAMES |= {ending: language for language, endings in ENDINGS.items() for ending in endings}
MOST_CHARACTERS = 200_000
MOST_IN_A_LINE = 2_000

# Invisible characters that reorder or hide code are shown by their number.
_HIDDEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]")
_FORMATTER = HtmlFormatter(nowrap=True)
# Names, operators and blanks have no colour of their own: without their marks a page is half as large.
_UNCOLOURED = re.compile(r'<span class="(?:n|o|p|w|x|na|nl|nt|nv|nx|py|vi)">([^<]*)</span>')


def language_of(name: str) -> str:
    """By the file's ending; empty when it is none of ours."""
    return NAMES.get(PurePosixPath(name).suffix.lower().lstrip("."), "")


def visible(text: str) -> str:
    """One kind of line end, and nothing that a reader cannot see."""
    return _HIDDEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n").replace("\r", "\n"))


def lines(source: str, language: str) -> list[str]:
    """Each line of `source` as HTML that opens and closes its own tags. `source` is as `visible` leaves it."""
    short = [line if len(line) <= MOST_IN_A_LINE else f"{line[:MOST_IN_A_LINE]} … (line cut)" for line in source.split("\n")]
    lexer = _lexer(language) if sum(map(len, short)) <= MOST_CHARACTERS else None
    if lexer is None:
        return [escape(line) for line in short]
    coloured = pygmentize("\n".join(short), lexer, _FORMATTER)
    return _UNCOLOURED.sub(r"\1", coloured).removesuffix("\n").split("\n")


def _lexer(language: str) -> Lexer | None:
    known = NAMES.get(language.lower(), language.lower())
    if known not in LANGUAGES:
        return None
    try:
        return get_lexer_by_name(known, stripnl=False, ensurenl=True)
    except ClassNotFound:
        return None
