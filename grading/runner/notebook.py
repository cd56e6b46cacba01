"""A notebook as a module. It is read as JSON and its cells are compiled one by one, in the student's process and nowhere else.

*run-all* executes every code cell in order. *definitions* takes what a module is made of, which are imports, functions, classes and
constants, and leaves out the training, the plots and the trying around them: seconds instead of minutes. In both, the homework's prelude
has run in the same namespace before. A cell's number is the one that Jupyter shows after "Restart and run all": code cells that hold
something, from 1.
"""

import __future__

import ast
import functools
import importlib.util
import json
import linecache
import operator
import re
import sys
import types
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from grading.runner import messages
from grading.runner.entry import NotebookMode

MOST_BYTES = 25 * 2**20
MOST_PARTS = 2_000_000  # of the JSON: each takes many times its bytes once it is read
MOST_CODE = 1_000_000  # characters, of all cells
MOST_LEFT = 12  # places that are listed as left out
_MOST_MAGICS = 200  # of one cell; each takes a look at the whole cell
_LINE = 70  # characters of a line that are shown

_FUTURE = functools.reduce(operator.or_, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names))
_HALVES = re.compile("[\ud800-\udfff]")
_MARKERS = re.compile(rb"^<{7}( |$)", re.MULTILINE)
_MAGIC = re.compile(r"\s*(?:[%!?]|[\w ,.]+=\s*[%!]|[\w.*%]+\?\??\s*$)")
_OF_PYTHON = ("%%time", "%%capture")  # cell magics whose cell is run in the notebook's own namespace

_WAITING = (ast.Await, ast.Yield, ast.YieldFrom)


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TAKEN = _words("Import ImportFrom FunctionDef AsyncFunctionDef ClassDef TypeAlias Pass")
# What a constant may be computed with: quick, and without effect on anything else.
_FUNCTIONS = _words(
    "abs all any bool bytes chr complex dict divmod enumerate filter float frozenset int isinstance iter len list map max min next ord"
    " pow range repr reversed round set slice sorted str sum tuple type zip namedtuple partial TypeVar NewType"
)
_METHODS = _words(
    "count endswith format index items join keys lower lstrip maketrans replace rstrip split splitlines startswith strip title upper values"
)
_DOTTED = _words(
    "torch.device torch.cuda.is_available torch.backends.mps.is_available torch.tensor torch.arange"
    " collections.namedtuple functools.partial"
)

_T = TypeVar("_T")


class UnreadableError(ValueError):
    """Why a file is no notebook that can be read: a sentence for its author."""


@dataclass(frozen=True)
class Cell:
    """`file` is what tracebacks call it: "/tmp/handin/hw2_rnn.ipynb, cell 4"."""

    number: int
    file: str
    source: str


@dataclass(frozen=True)
class Left:
    """What was not run: where it begins, its first line, and why if not for what it is. `names` it would have set."""

    cell: int
    line: int
    text: str
    why: str = ""
    names: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        return f"cell {self.cell}, line {self.line}"


def read(path: Path) -> list[Cell]:
    """The code cells of a notebook of format 3 or 4, without their output. Raises UnreadableError."""
    document = _parsed(path)
    cells = _cells(document)
    if cells is None:
        raise UnreadableError(messages.NOTEBOOK_NO_CELLS.format(file=path.name))
    language = _language(document)
    if language and "python" not in language.lower():
        raise UnreadableError(messages.NOTEBOOK_LANGUAGE.format(file=path.name, language=language[:40]))
    sources = [_text(cell.get("source", cell.get("input"))) for cell in cells if cell.get("cell_type") == "code"]
    sources = [source for source in sources if source.strip()]
    if not sources:
        raise UnreadableError(messages.NOTEBOOK_NO_CODE.format(file=path.name))
    size = sum(map(len, sources))
    if size > MOST_CODE:
        raise UnreadableError(messages.NOTEBOOK_LONG.format(file=path.name, size=f"{size:,}", most=f"{MOST_CODE:,}"))
    return [Cell(number, f"{path}, cell {number}", source) for number, source in enumerate(sources, 1)]


def _parsed(path: Path) -> dict[str, Any]:
    size = path.stat().st_size
    if size > MOST_BYTES:
        raise UnreadableError(messages.NOTEBOOK_LARGE.format(file=path.name, size=f"{size / 2**20:.0f}", most=MOST_BYTES // 2**20))
    data = path.read_bytes()
    if sum(map(data.count, (b"{", b"[", b","))) > MOST_PARTS:
        raise UnreadableError(messages.NOTEBOOK_PARTS.format(file=path.name))
    try:
        document = json.loads(data.decode("utf-8-sig", "replace"), parse_constant=str)
    except RecursionError:
        raise UnreadableError(messages.NOTEBOOK_DEEP.format(file=path.name)) from None
    except ValueError as error:
        marker = _MARKERS.search(data)
        if marker:
            line = data.count(b"\n", 0, marker.start()) + 1
            raise UnreadableError(messages.NOTEBOOK_CONFLICT.format(file=path.name, line=line)) from None
        where = f" (line {error.lineno})" if isinstance(error, json.JSONDecodeError) else ""
        raise UnreadableError(messages.NOTEBOOK_NOT_JSON.format(file=path.name, where=where)) from None
    if not isinstance(document, dict):
        raise UnreadableError(messages.NOTEBOOK_NO_CELLS.format(file=path.name))
    return document


def _cells(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The cells of format 4, or of the worksheets of format 3."""
    found = document.get("cells")
    if found is None and isinstance(document.get("worksheets"), list):
        sheets = [sheet.get("cells") for sheet in document["worksheets"] if isinstance(sheet, dict)]
        found = [cell for sheet in sheets if isinstance(sheet, list) for cell in sheet]
    return [cell for cell in found if isinstance(cell, dict)] if isinstance(found, list) else None


def _language(document: dict[str, Any]) -> str:
    found: Any = document.get("metadata")
    for name in ("kernelspec", "language"):
        found = found.get(name) if isinstance(found, dict) else None
    return found if isinstance(found, str) else ""


def _text(value: Any) -> str:
    """A source is one string or a list of lines. Halves of a character, which JSON can name, are in no Python source."""
    parts = value if isinstance(value, list) else [value]
    joined = "".join(part for part in parts if isinstance(part, str))
    return _HALVES.sub("\ufffd", joined.replace("\r\n", "\n").replace("\r", "\n"))


class Execution:
    """One notebook in its module. `left` is what was not run."""

    def __init__(self, module: types.ModuleType, mode: NotebookMode) -> None:
        self.left: list[Left] = []
        self._module = module
        self._mode = mode
        self._flags = 0  # of `from __future__ import`, which holds for the cells below too
        self._given: frozenset[str] = frozenset()

    def prelude(self, name: str, source: str) -> None:
        """Run the homework's own lines first. Constants of the same names do not change what they set."""
        before = set(vars(self._module))
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec", dont_inherit=True), vars(self._module))  # noqa: S102 - the sandbox is around us
        self._given = frozenset(vars(self._module)) - before

    def run(self, cells: list[Cell]) -> None:
        """Raises SyntaxError with the cell as its file name, and whatever the cells raise."""
        for cell in cells:
            source, magics = without_magics(cell)
            lines = cell.source.splitlines(keepends=True)
            linecache.cache[cell.file] = (len(cell.source), None, lines, cell.file)  # without a time it is never looked for on disk
            tree = _understood(cell, functools.partial(ast.parse, source, cell.file))
            before = len(self.left)
            self.left += magics
            try:
                if self._mode == "run-all":
                    self._execute(tree, cell)
                else:
                    self._definitions(cell, tree)
            finally:
                self.left[before:] = sorted(self.left[before:], key=lambda left: left.line)

    def _definitions(self, cell: Cell, tree: ast.Module) -> None:
        """Run the definitions of a cell; the rest is left, a stretch of statements as one."""
        stretch: list[ast.stmt] = []
        for node in [*tree.body, None]:
            if node is not None and not is_definition(node):
                stretch.append(node)
                continue
            if stretch:
                self.left.append(_left(cell, stretch))
                stretch = []
            if node is not None and (why := self._define(cell, node)):
                self.left.append(_left(cell, [node], why))

    def _define(self, cell: Cell, node: ast.stmt) -> str:
        """Run one definition; why it was left out, if it was."""
        names = set(_bound(node))
        imports = isinstance(node, ast.Import | ast.ImportFrom)
        makes = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if names and names <= self._given and not imports and not makes:
            return messages.NOTEBOOK_GIVEN
        try:
            self._execute(ast.Module([node], []), cell)
        except (ImportError, MemoryError, SyntaxError):
            raise
        except Exception as error:
            # What was left out before may be missing now.
            if imports or (makes and not isinstance(error, NameError)):
                raise
            return f"{type(error).__name__}: {error}"
        return ""

    def _execute(self, tree: ast.Module, cell: Cell) -> None:
        code = _understood(cell, lambda: compile(tree, cell.file, "exec", flags=self._flags, dont_inherit=True))
        self._flags |= code.co_flags & _FUTURE
        exec(code, vars(self._module))  # noqa: S102 - the sandbox is around us


def without_magics(cell: Cell) -> tuple[str, list[Left]]:
    """The cell's source as Python, its lines in their places, and the lines that only Jupyter understands."""
    lines = cell.source.split("\n")
    first = next(at for at, line in enumerate(lines) if line.strip())
    left: list[Left] = []

    def leave(at: int) -> None:
        line = lines[at]
        left.append(Left(cell.number, at + 1, line))
        lines[at] = f"{line[: len(line) - len(line.lstrip())]}pass"
        while line.endswith("\\") and at + 1 < len(lines):  # it goes on in the next line
            at += 1
            line, lines[at] = lines[at], ""

    if lines[first].startswith("%%"):
        leave(first)
        if left[0].text.split()[0] not in _OF_PYTHON:
            return "", left
    for _ in range(_MOST_MAGICS):
        try:
            ast.parse("\n".join(lines))
        except SyntaxError as error:
            at = min(error.lineno or 1, len(lines)) - 1
            if not _MAGIC.match(lines[at]):
                break
            while at < len(lines) and _MAGIC.match(lines[at]):
                leave(at)
                at += 1
        except (ValueError, RecursionError, MemoryError):
            break
        else:
            break
    return "\n".join(lines), sorted(left, key=lambda one: one.line)


def is_definition(node: ast.stmt) -> bool:
    """Whether a statement defines something without doing anything else that takes time or has an effect."""
    if type(node).__name__ in _TAKEN:
        return True
    if isinstance(node, ast.Expr):
        return isinstance(node.value, ast.Constant)  # a docstring
    if isinstance(node, ast.Assign):
        return all(map(_is_constant, [*node.targets, node.value]))
    if isinstance(node, ast.AnnAssign | ast.AugAssign):
        return _is_constant(node.target) and (node.value is None or _is_constant(node.value))
    if isinstance(node, ast.If):
        return _is_constant(node.test) and all(map(is_definition, [*node.body, *node.orelse]))
    if isinstance(node, ast.Try):
        handled = [one for handler in node.handlers for one in handler.body]
        return all(map(is_definition, [*node.body, *handled, *node.orelse, *node.finalbody]))
    return False


def _is_constant(expression: ast.expr) -> bool:
    waiting: list[ast.AST] = [expression]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Lambda):
            continue  # it is not called here
        if isinstance(node, _WAITING) or (isinstance(node, ast.Call) and not _is_harmless(node.func)):
            return False
        waiting += ast.iter_child_nodes(node)
    return True


def _is_harmless(function: ast.expr) -> bool:
    if isinstance(function, ast.Name):
        return function.id in _FUNCTIONS
    if not isinstance(function, ast.Attribute):
        return False
    owner = ast.unparse(function.value)
    if owner in ("nn", "torch.nn"):
        return function.attr.endswith("Loss")
    return function.attr in _METHODS or f"{owner}.{function.attr}" in _DOTTED or owner == "math"


def _bound(node: ast.stmt) -> Iterator[str]:
    """The names that a statement sets."""
    roots: list[ast.AST] = [node]
    if isinstance(node, ast.Assign):
        roots = list(node.targets)
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        roots = [node.target]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield node.name
        return
    for found in (found for root in roots for found in ast.walk(root)):
        if isinstance(found, ast.Name) and isinstance(found.ctx, ast.Store):
            yield found.id
        elif isinstance(found, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield found.name
        elif isinstance(found, ast.alias):
            yield found.asname or found.name.partition(".")[0]


def _left(cell: Cell, stretch: list[ast.stmt], why: str = "") -> Left:
    first = stretch[0]
    line = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", []))])
    more = " …" if (stretch[-1].end_lineno or line) > line else ""
    return Left(cell.number, line, cell.source.split("\n")[line - 1] + more, why, tuple(name for one in stretch for name in _bound(one)))


def _understood(cell: Cell, work: Callable[[], _T]) -> _T:
    """Every way in which Python refuses a source as a SyntaxError."""
    try:
        return work()
    except (RecursionError, MemoryError):
        raise SyntaxError(messages.CELL_DEEP, (cell.file, 1, 0, "")) from None
    except (SyntaxError, ValueError) as error:
        if isinstance(error, SyntaxError) and error.filename:
            raise
        raise SyntaxError(str(error), (cell.file, 1, 0, "")) from None  # a zero byte


def report(file: str, mode: NotebookMode, left: list[Left]) -> str:
    """What a student reads about what was not run; empty when that is nothing."""
    if not left:
        return ""
    head = messages.NOTEBOOK_DEFINITIONS if mode == "definitions" else messages.NOTEBOOK_RUN_ALL
    rows = [f"  {one.place}: {_short(one.text)}{f' ({_short(one.why)})' if one.why else ''}" for one in left[:MOST_LEFT]]
    more = [f"  and {len(left) - MOST_LEFT} more"] if len(left) > MOST_LEFT else []
    return "\n".join([head.format(file=file), *rows, *more])


def _short(text: str) -> str:
    plain = " ".join(text.split())
    return plain if len(plain) <= _LINE else f"{plain[: _LINE - 2].rstrip()} …"


# What a notebook finds in Jupyter and nowhere else. It does nothing here.


class _Nothing:
    """Jupyter's own object, or one that would show something: every method may be called."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Nothing()

    def __call__(self, *args: object, **kwargs: object) -> None:
        pass

    def __repr__(self) -> str:
        return "<not shown>"


def display(*shown: object, **_options: object) -> None:
    for one in shown:
        print(one)


def stand_in(module: types.ModuleType) -> None:
    """Give a module what a notebook takes for granted."""
    vars(module).update(display=display, get_ipython=_Nothing)
    warnings.filterwarnings("ignore", message=".*non-interactive, and thus cannot be shown")  # plt.show()
    if "IPython" in sys.modules or importlib.util.find_spec("IPython"):
        return
    shell, shown = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    vars(shell).update(display=shown, get_ipython=_Nothing, version_info=(99, 0), __path__=[])  # Matplotlib asks for its version
    vars(shown).update(display=display, clear_output=_Nothing, __getattr__=_class_of_nothing)
    sys.modules.update({"IPython": shell, "IPython.display": shown})


def _class_of_nothing(name: str) -> type[_Nothing]:
    if name.startswith("__"):
        raise AttributeError(name)
    return _Nothing
