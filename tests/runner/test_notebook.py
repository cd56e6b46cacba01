"""Notebooks as hand-ins: what is read, what is run, and what is said of the rest."""

import json
import linecache
import sys
import types
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grading.runner import notebook
from grading.runner.entry import MODES, NotebookMode, NotebookSpec, entry_files, module_name, notebook_spec
from grading.runner.limits import Limits
from grading.runner.notebook import Cell, Execution, UnreadableError, read, report, without_magics
from grading.runner.runtimes import Runtime
from tests.runner.conftest import Judge
from tests.runner.homework import ALL_VISIBLE, SCALE, SPECS, job


def document(*sources: str | list[str], **more: Any) -> bytes:
    cells: list[dict[str, Any]] = [{"cell_type": "code", "metadata": {}, "outputs": [], "source": source} for source in sources]
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": cells, **more}).encode()


@pytest.fixture
def written(tmp_path: Path) -> Callable[[bytes], Path]:
    def write(data: bytes) -> Path:
        path = tmp_path / "work.ipynb"
        path.write_bytes(data)
        return path

    return write


# Reading


@pytest.mark.parametrize(
    "data",
    [
        document("a = 1\nb = 2"),
        document(["a = 1\n", "b = 2"]),
        document(["a = 1\r\n", 7, "b = 2"]),  # type: ignore[list-item]  # a damaged file
        b"\xef\xbb\xbf" + document("a = 1\nb = 2"),
        document("", "  \n", "a = 1\nb = 2"),
        json.dumps(
            {"nbformat": 3, "worksheets": [{"cells": [{"cell_type": "code", "language": "python", "input": ["a = 1\n", "b = 2"]}]}, 3]}
        ).encode(),
        json.dumps(
            {
                "cells": [{"cell_type": "markdown", "source": "# a"}, "?", {"cell_type": "code", "source": "a = 1\nb = 2"}],
                "metadata": {"kernelspec": {"language": "python"}},
            }
        ).encode(),
    ],
)
def test_code_cells_are_read_whatever_the_format(written: Callable[[bytes], Path], data: bytes) -> None:
    path = written(data)
    assert read(path) == [Cell(1, f"{path}, cell 1", "a = 1\nb = 2")]


def test_halves_of_a_character_are_replaced(written: Callable[[bytes], Path]) -> None:
    (cell,) = read(written(b'{"cells": [{"cell_type": "code", "source": "s = \'\\ud83d\\ude00 \\ud83d \\udc00\'"}]}'))
    assert cell.source == "s = '\U0001f600 \ufffd \ufffd'"


SAVED = "Hand in the notebook as Jupyter or Colab saves it."
UNREADABLE = {
    "not JSON": (b'{"cells": [\n}', f"work.ipynb is not valid JSON (line 2), so no program can open it. {SAVED}"),
    "a Python file": (b"import torch\n", f"work.ipynb is not valid JSON (line 1), so no program can open it. {SAVED}"),
    "nothing": (b"", f"work.ipynb is not valid JSON (line 1), so no program can open it. {SAVED}"),
    "bytes": (b"\x80\x02\xff\x00" * 9, f"work.ipynb is not valid JSON (line 1), so no program can open it. {SAVED}"),
    "a number of 5000 digits": (b"1" * 5000, f"work.ipynb is not valid JSON, so no program can open it. {SAVED}"),
    "merge conflicts": (
        b'{\n"cells": [\n<<<<<<< HEAD\n{},\n=======\n{}\n>>>>>>> main\n]}',
        "work.ipynb has unresolved merge conflicts (first “<<<<<<<” in line 3), so it is not valid JSON. "
        "Resolve them until Jupyter opens it again.",
    ),
    "a list": (b"[1, 2]", f"work.ipynb is JSON, but not a notebook: it has no cells. {SAVED}"),
    "no cells": (b'{"a": NaN}', f"work.ipynb is JSON, but not a notebook: it has no cells. {SAVED}"),
    "cells that are none": (b'{"cells": {"a": 1}}', f"work.ipynb is JSON, but not a notebook: it has no cells. {SAVED}"),
    "no code cells": (
        b'{"cells": [{"cell_type": "markdown", "source": "# a"}, {"cell_type": "code", "source": " \\n"}, {"cell_type": ["code"]}]}',
        "work.ipynb has no code cells, or only empty ones, so there is nothing to run.",
    ),
    "nested lists": (b'{"cells": ' + b"[" * 100_000, f"work.ipynb is nested too deeply to be read. {SAVED}"),
    "nested objects": (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, f"work.ipynb is nested too deeply to be read. {SAVED}"),
    "another language": (
        document("x <- 1", metadata={"kernelspec": {"name": "ir", "language": "R"}}),
        "work.ipynb is a notebook in R; accepted are notebooks in Python.",
    ),
    "50 MB": (
        b" " * (50 * 2**20),
        "work.ipynb has 50 MB; notebooks of up to 25 MB are read. Clear its outputs and save it again.",
    ),
    "many parts": (
        b'{"cells": [' + b"0," * 2_000_000,
        "work.ipynb has too many parts to be read. Clear its outputs and save it again.",
    ),
    "long code": (
        document("x" * 1_000_001),
        "work.ipynb has 1,000,001 characters of code; up to 1,000,000 are read. Keep data in files of their own.",
    ),
}


@pytest.mark.parametrize(("data", "sentence"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_is_no_notebook_is_said_in_a_sentence(written: Callable[[bytes], Path], data: bytes, sentence: str) -> None:
    with pytest.raises(UnreadableError) as refused:
        read(written(data))
    assert str(refused.value) == sentence


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5) | st.sampled_from(["code", "x = 1", "python"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["cells", "worksheets", "cell_type", "source", "input", "metadata", "kernelspec", "language"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=25,
)


@given(st.dictionaries(st.sampled_from(["cells", "worksheets", "metadata"]), JSON) | JSON)
@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_the_json_it_is_cells_or_a_sentence(written: Callable[[bytes], Path], value: Any) -> None:
    path = written(json.dumps(value).encode())
    try:
        found = [cell.source for cell in read(path)]
    except UnreadableError as refused:
        found = [str(refused)]
    assert found
    assert all(source.strip() for source in found)


# Jupyter's own lines


def python(source: str) -> tuple[str, list[int]]:
    """The source without Jupyter's lines, and which lines those were."""
    found, left = without_magics(Cell(1, "work.ipynb, cell 1", source))
    return found, [one.line for one in left]


MAGICS = {
    "lines": ("%matplotlib inline\n!pip install 'x (\nx = 1\n?len\nx.real?\nlen??", "pass\npass\nx = 1\npass\npass\npass", [1, 2, 4, 5, 6]),
    "in a block": ("if x:\n    !ls\nelse:\n    %cd /\n    y = 1", "if x:\n    pass\nelse:\n    pass\n    y = 1", [2, 4]),
    "going on": ("!cp a \\\n   b\nx = 1", "pass\n\nx = 1", [1]),
    "assigned": ("files = !ls\nt, u = %timeit -o x\ny = 1", "pass\npass\ny = 1", [1, 2]),
    "in a text": ("s = '''\n%d\n!ls\n'''\n", "s = '''\n%d\n!ls\n'''\n", []),
    "beside a text": ("%cd a\ns = '''\n%d\n!ls\n'''\n", "pass\ns = '''\n%d\n!ls\n'''\n", [1]),
    "an operator": ("x = (7\n% 4\n!= 3)", "x = (7\n% 4\n!= 3)", []),
    "a cell in Python": ("\n%%time\nx = 1\n%cd a", "\npass\nx = 1\npass", [2, 4]),
    "a cell in something else": ("%%bash\nrm -rf /\n", "", [1]),
    "a mistake": ("x = 1\ny = = 2\n%cd a", "x = 1\ny = = 2\n%cd a", []),
    "a mistake below": ("%cd a\nprint('what?)", "%cd a\nprint('what?)", []),
}


@pytest.mark.parametrize(("source", "expected", "lines"), MAGICS.values(), ids=MAGICS)
def test_only_jupyters_lines_are_taken_out_and_the_others_keep_their_numbers(source: str, expected: str, lines: list[int]) -> None:
    assert python(source) == (expected, lines)


LINES = [
    "%cd a",
    "!ls (",
    "x = , ",
    "if x:",
    "    y = 1",
    "    %cd \\",
    "f(",
    ")",
    "len?",
    "y = !ls",
    "%%time",
    "%%bash",
    "x = 1",
    "\0",
    "",
]


@given(st.lists(st.sampled_from(LINES) | st.text(max_size=8), min_size=1, max_size=8).map("\n".join).filter(str.strip))
@settings(max_examples=300)
def test_whatever_a_cell_holds_lines_stay_where_they_are(source: str) -> None:
    found, left = python(source)
    before, after = source.split("\n"), found.split("\n")
    assert found == "" or len(after) == len(before)
    assert left == sorted(set(left))
    changed = {at for at, (one, other) in enumerate(zip(before, after, strict=False), 1) if one != other}
    assert found == "" or changed - set(left) <= {at for at in changed if before[at - 2].endswith("\\")}


# Definitions


@pytest.fixture(autouse=True)
def _undone() -> Iterator[None]:
    """What a notebook changes in its process."""
    before = dict(sys.modules)
    yield
    sys.modules.clear()
    sys.modules.update(before)
    linecache.clearcache()


def ran(*sources: str, mode: NotebookMode = "definitions", prelude: str = "") -> tuple[dict[str, Any], list[str]]:
    """The names that a notebook made, and what of it was left out: "place: line"."""
    module = types.ModuleType("work")
    notebook.stand_in(module)
    execution = Execution(module, mode)
    if prelude:
        execution.prelude("prelude.py", prelude)
    before = dict(vars(module))
    execution.run([Cell(number, f"work.ipynb, cell {number}", source) for number, source in enumerate(sources, 1)])
    made = {name: value for name, value in vars(module).items() if name != "__builtins__" and before.get(name, ...) is not value}
    return made, [f"{left.cell}:{left.line} {left.text}{f' ({left.why})' if left.why else ''}" for left in execution.left]


CONSTANTS = [
    "vocab = ' ' + string.ascii_lowercase",
    "index = {letter: at for at, letter in enumerate(string.ascii_lowercase)}",
    "back = {at: letter for letter, at in {'a': 1}.items()}",
    "size, *rest = len('abc'), 2, 3",
    "rate: float = 3e-4 * 2 ** 5",
    "rate = 1; rate /= 2",
    "half = lambda x: x / 2",
    "root = math.sqrt(2) if math.pi > 3 else None",
    "words = sorted(f'{n:03}' for n in range(3) if n % 2)",
    "Pair = collections.namedtuple('Pair', 'a b')",
    "settings = {'a': [1, (2, {3})]}; settings['b'] = settings['a'][0]",
    "if math.pi > 3:\n    big = True\nelse:\n    big = False",
    "try:\n    import not_there\n    found = True\nexcept ImportError:\n    found = False\nfinally:\n    pass",
    "import os.path as p, json",
    "def f(): return g()",
    "async def f(): pass",
    "class nn:\n    BCELoss = dict\nloss = nn.BCELoss()",
    "class A:\n    made = [len('x') for _ in range(3)]\n    print('a class body is run')",
    "@staticmethod\ndef f(): pass",
    "def f(x=len('a')): pass",
    "'a docstring'",
]
OTHER = [
    "model = GRUMemory(64)",
    "layer = nn.Linear(3, 4)",
    "losses = [step() for _ in range(3)]",
    "print('hello')",
    "size",
    "for n in range(3):\n    pass",
    "while False:\n    pass",
    "with open('x'):\n    pass",
    "assert True",
    "del math",
    "raise ValueError",
    "data = open('x').read().split()",
    "x = train(model) if math.pi > 3 else 0",
    "if math.pi > 3:\n    print('x')",
    "try:\n    drive.mount('x')\nexcept NameError:\n    pass",
    "x[f()] = 1",
    "lock: int = acquire()",
    "x = await f()",
]
HEAD = "import collections, math, string"


@pytest.mark.parametrize("source", CONSTANTS)
def test_definitions_are_run(source: str) -> None:
    made, left = ran(HEAD, source)
    assert left == []
    assert made.keys() > {"collections", "math", "string"} or source == "'a docstring'"


@pytest.mark.parametrize("source", OTHER)
def test_everything_else_is_left_out_and_named(source: str) -> None:
    made, left = ran(HEAD, source)
    first, *more = source.split("\n")
    assert left == [f"2:1 {first} …" if more else f"2:1 {first}"]
    assert made.keys() == {"collections", "math", "string"}


def test_a_stretch_of_other_statements_is_one_place() -> None:
    made, left = ran("a = 1\nmodel = make()\nfor x in []:\n    f(x)\nb = 2\n%cd x\nshow(a)\n", "\n\nplot()")
    assert left == ["1:2 model = make() …", "1:6 %cd x", "1:7 show(a)", "2:3 plot()"]
    assert made == {"a": 1, "b": 2}


def test_what_needs_something_left_out_is_left_out_too() -> None:
    made, left = ran(
        "data = load()",
        "size = len(data)\nfirst = [][0]",
        "@decorate(data)\ndef f(): pass\ndef g(x=size): pass\ndef h(): return data",
        "class A(data.Base): pass",
    )
    assert left == [
        "1:1 data = load()",
        "2:1 size = len(data) (NameError: name 'data' is not defined)",
        "2:2 first = [][0] (IndexError: list index out of range)",
        "3:1 @decorate(data) … (NameError: name 'decorate' is not defined)",
        "3:3 def g(x=size): pass (NameError: name 'size' is not defined)",
        "4:1 class A(data.Base): pass (NameError: name 'data' is not defined)",
    ]
    assert list(made) == ["h"]


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("import not_there", ModuleNotFoundError),
        ("from math import not_there", ImportError),
        ("def f(x=1/0): pass", ZeroDivisionError),
        ("class A:\n    raise SystemExit", SystemExit),
        ("x = 'a' * 2**62", MemoryError),
    ],
)
def test_what_fails_by_itself_fails_the_notebook(source: str, error: type[BaseException]) -> None:
    with pytest.raises(error):
        ran(source)


def test_constants_do_not_change_what_the_prelude_set() -> None:
    prelude = "device = 'cpu'\ndata = [1]\ndef show(): pass"
    made, left = ran("device = 'cuda'\nother = device\n(data, more) = 1, 2\ndevice += 'x'\ndef show(): return 1", prelude=prelude)
    assert left == ["1:1 device = 'cuda' (this homework sets it)", "1:4 device += 'x' (this homework sets it)"]
    assert (made["other"], made["data"], made["more"], made["show"]()) == ("cpu", 1, 2, 1)
    assert "device" not in made


def test_a_prelude_may_stand_in_for_a_module() -> None:
    prelude = "import sys, types\nsys.modules['google.colab'] = types.SimpleNamespace(drive=None, files=None)"
    made, left = ran("from google.colab import drive\ndrive.mount('/content')", prelude=prelude)
    assert (made, left) == ({"drive": None}, ["1:2 drive.mount('/content')"])


def test_a_future_import_holds_for_the_cells_below() -> None:
    for mode in MODES:
        made, left = ran("from __future__ import annotations", "def f(x: not_there): pass", mode=mode)
        assert left == []
        assert made["f"].__annotations__ == {"x": "not_there"}


# Run all


def test_run_all_runs_every_cell_in_order(capsys: pytest.CaptureFixture[str]) -> None:
    made, left = ran(
        "%matplotlib inline\nfrom IPython.display import HTML, clear_output\nimport IPython\ntotal = 0",
        "for n in range(4):\n    total += n\nclear_output(wait=True)\nIPython.display.display(HTML('<b>'), total)",
        "get_ipython().run_line_magic('cd', '/')\ndevice = 'cuda'\nassert get_ipython().kernel.anything is not None\ndisplay(total)",
        mode="run-all",
        prelude="device = 'cpu'",
    )
    assert left == ["1:1 %matplotlib inline"]
    assert (made["total"], made["device"]) == (6, "cuda")
    assert capsys.readouterr().out == "<not shown>\n6\n6\n"


def test_an_error_names_its_cell_and_shows_its_line() -> None:
    with pytest.raises(ZeroDivisionError) as raised:
        ran("x = 1", "\ny = x / 0", mode="run-all")
    last = raised.traceback[-1]
    assert (str(last.frame.code.raw.co_filename), last.lineno + 1) == ("work.ipynb, cell 2", 2)
    assert linecache.getline("work.ipynb, cell 2", 2) == "y = x / 0"


BROKEN = {
    "a mistake": ("x = 1\ny = = 2", 2, "invalid syntax"),
    "parentheses": ("(" * 300, 1, "too many nested parentheses"),
    "operators": ("-" * 100_000 + "1", 1, "it is nested too deeply"),
    "a zero byte": ("x = '\0'", 1, "source code string cannot contain null bytes"),
}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("source", "line", "what"), BROKEN.values(), ids=BROKEN)
def test_a_syntax_error_names_its_cell(mode: NotebookMode, source: str, line: int, what: str) -> None:
    with pytest.raises(SyntaxError) as raised:
        ran("x = 1", source, mode=mode)
    assert (raised.value.filename, raised.value.lineno, raised.value.msg) == ("work.ipynb, cell 2", line, what)


def test_the_list_of_what_was_left_out_is_short() -> None:
    _, left = ran(*(f"show({n})" for n in range(5)), f"show('{'x' * 200}')")
    assert len(left) == 6
    module = types.ModuleType("work")
    execution = Execution(module, "definitions")
    execution.run([Cell(n, "", f"show({n}, '{'x' * 200}')" if n == 1 else f"show({n})") for n in range(1, 16)])
    lines = report("work.ipynb", "definitions", execution.left).split("\n")
    assert lines[:3] == [
        "In work.ipynb the imports, functions, classes and constants were run. These lines were not:",
        f"  cell 1, line 1: show(1, '{'x' * 59} …",
        "  cell 2, line 1: show(2)",
    ]
    assert lines[-2:] == ["  cell 12, line 1: show(12)", "  and 3 more"]
    assert len(lines) == 14
    assert report("work.ipynb", "run-all", []) == ""


# Settings


def test_required_modules_and_their_names() -> None:
    assert entry_files(("theory.pdf", "mlp.py", "hw2_rnn.ipynb", "w.safetensors")) == ("mlp.py", "hw2_rnn.ipynb")
    assert [module_name(name) for name in ("mlp.py", "hw2_rnn.ipynb", "08-seq.ipynb")] == ["mlp", "hw2_rnn", "08-seq"]


def test_the_settings_are_read_from_the_bundle(tmp_path: Path) -> None:
    assert notebook_spec(tmp_path) == NotebookSpec("definitions", "")
    (tmp_path / "homework.toml").write_text('[practice]\n[practice.notebook]\nmode = "run-all"\nprelude = "before.py"\n')
    assert notebook_spec(tmp_path) == NotebookSpec("run-all", "before.py")


# In the sandbox

TWICE = "def twice(x):\n    return FACTOR * x"
CHECKS = """
from grading.runner.checks import Student, Trial, check
import torch


@check("twice")
def twice(student: Student, trial: Trial) -> None:
    x = torch.randn(4, 3, generator=trial.generator)
    trial.close("y", student.call("work.twice", x), 2 * x)


@check("twice-hidden")
def twice_hidden(student: Student, trial: Trial) -> None:
    twice(student, trial)


@check("scale-hidden")
def scale_hidden(student: Student, trial: Trial) -> None:
    scale = student.new("work.Scale", 3)
    trial.close("y", student.call(scale, "forward", torch.ones(3)), torch.zeros(3))
"""
RUN_ALL = {"homework.toml": '[practice.notebook]\nmode = "run-all"\n'}
WITH_PRELUDE = {
    "homework.toml": '[practice.notebook]\nprelude = "prelude.py"\n',
    "prelude.py": "import torch\n\ndevice = torch.device('cpu')\nFACTOR = 2\n",
}


def judged(judge: Judge, runtime: Runtime, data: bytes, **more: Any) -> Any:
    more = {"checks": CHECKS, "specs": ALL_VISIBLE, **more}
    return judge(job({"work.ipynb": data}, runtime, entry=("work.ipynb",), **more))


@pytest.mark.sandbox
def test_a_notebook_is_judged_by_its_definitions(judge: Judge, runtime: Runtime) -> None:
    """With a prelude, hidden checks, and training that would fail if it were run."""
    cells = ["%matplotlib inline\nimport matplotlib.pyplot as plt\nfrom IPython import display", "device = 'cuda'\n" + SCALE, TWICE]
    outcome = judged(judge, runtime, document(*cells, "train(Scale(3).to(device))"), specs=SPECS, more=WITH_PRELUDE)
    assert [(check.id, check.passed, check.message) for check in outcome.checks] == [(spec.id, True, "") for spec in SPECS]
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10))
    assert outcome.output.split("\n") == [
        "In work.ipynb the imports, functions, classes and constants were run. These lines were not:",
        "  cell 1, line 1: %matplotlib inline",
        "  cell 2, line 1: device = 'cuda' (this homework sets it)",
        "  cell 4, line 1: train(Scale(3).to(device))",
        "",
    ]


@pytest.mark.sandbox
def test_a_notebook_is_run_as_a_whole(judge_here: Judge, runtime: Runtime) -> None:
    cells = [
        "%matplotlib inline\nimport matplotlib.pyplot as plt, pickle",
        SCALE + "\nassert __name__ == '__main__' and pickle.loads(pickle.dumps(Scale(3))).parameters",
        "FACTOR = 0\nfor _ in range(2):\n    FACTOR += 1\nplt.plot([1, 2])\nplt.show()\nprint('trained')\n" + TWICE,
    ]
    outcome = judged(judge_here, runtime, document(*cells), more=RUN_ALL)
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10))
    assert outcome.output.split("\n") == [
        "trained",
        "In work.ipynb every cell was run. These lines were not, because only Jupyter understands them:",
        "  cell 1, line 1: %matplotlib inline",
        "",
    ]


@pytest.mark.sandbox
def test_messages_name_the_cell(judge_here: Judge, runtime: Runtime) -> None:
    """Of an exception in a call, of a name that was left out, and of a definition that was."""
    cells = ["x = 1", "FACTOR = load()", "\n" + TWICE, "class Scale(not_there.Base):\n    pass"]
    outcome = judged(judge_here, runtime, document(*cells))
    assert outcome.kind == "ok"
    assert [check.message for check in outcome.checks] == [
        *["NameError: name 'FACTOR' is not defined (in work.ipynb, cell 3, line 3). It is set in cell 2, line 1, which was not run."] * 2,
        "work.ipynb has no class Scale. It is set in cell 4, line 1, which was not run (NameError: name 'not_there' is not defined).",
    ]


UNJUDGED: dict[str, tuple[bytes, dict[str, str], str]] = {
    "not a notebook": (b"{}", {}, f"work.ipynb is JSON, but not a notebook: it has no cells. {SAVED}"),
    "a module that is not there": (
        document("x = 1", "import foo.bar"),
        {},
        "work.ipynb imports the module `foo`, which is not in this runtime.",
    ),
    "a syntax error": (
        document("x = 1", "\ndef twice(x:\n"),
        {},
        "work.ipynb has a syntax error in cell 2, line 2: '(' was never closed",
    ),
    "a cell that fails": (
        document("x = 1", "\nraise ValueError('no data')"),
        RUN_ALL,
        "work.ipynb could not be run: ValueError: no data (in work.ipynb, cell 2, line 2)",
    ),
    "a prelude that works outside only": (
        document("x = 1"),
        {**WITH_PRELUDE, "prelude.py": "open('checks.py')"},
        "prelude.py of this homework failed before work.ipynb was run: FileNotFoundError: [Errno 2] No such file or directory: "
        "'checks.py'. That is not your code's doing; tell the course staff.",
    ),
}


@pytest.mark.sandbox
@pytest.mark.parametrize(("data", "more", "message"), UNJUDGED.values(), ids=UNJUDGED)
def test_a_notebook_that_does_not_load(judge_here: Judge, runtime: Runtime, data: bytes, more: dict[str, str], message: str) -> None:
    outcome = judged(judge_here, runtime, data, more=more)
    assert (outcome.kind, outcome.points, outcome.message) == ("student", Decimal(0), message)
    assert {check.judged for check in outcome.checks} == {False}


@pytest.mark.sandbox
def test_the_required_notebook_goes_before_a_file_of_its_name(judge_here: Judge, runtime: Runtime) -> None:
    """What else was handed in can be imported, and a check finds a notebook in it too."""
    checks = CHECKS.replace('"work.Scale"', '"more.Scale"')
    files = {
        "work.ipynb": document("from helper import FACTOR\n" + TWICE),
        "work.py": b"raise ValueError('the wrong one')",
        "helper.py": b"FACTOR = 2",
        "more.ipynb": document(SCALE),
    }
    outcome = judge_here(job(files, runtime, checks=checks, specs=ALL_VISIBLE, entry=("work.ipynb",)))
    assert [(check.passed, check.message) for check in outcome.checks] == [(True, "")] * 3


@pytest.mark.sandbox
def test_a_local_variable_is_not_one_that_was_left_out(judge_here: Judge, runtime: Runtime) -> None:
    code = "FACTOR = load()\ndef twice(x):\n    FACTOR += 1\n    return x"
    outcome = judged(
        judge_here, runtime, document(code, SCALE), specs=ALL_VISIBLE[:1], checks=CHECKS[: CHECKS.index('@check("twice-hidden")')]
    )
    assert outcome.checks[0].message.startswith("UnboundLocalError: ")
    assert outcome.checks[0].message.endswith(" (in work.ipynb, cell 1, line 3)")


@pytest.mark.sandbox
def test_a_missing_notebook_is_named(judge_here: Judge, runtime: Runtime) -> None:
    outcome = judge_here(job({"other.py": b""}, runtime, checks=CHECKS, specs=ALL_VISIBLE, entry=("work.ipynb",)))
    assert (outcome.kind, outcome.message) == ("student", "work.ipynb was not handed in.")


@pytest.mark.sandbox
def test_cells_that_do_not_end_are_stopped(judge_here: Judge, runtime: Runtime) -> None:
    limits = Limits(wall_s=2, cpu_s=30, memory_mb=512)
    outcome = judged(judge_here, runtime, document("x = 1", "while x:\n    pass"), more=RUN_ALL, limits=limits)
    message = "Stopped after 2 s of wall time, while the hand-in was loaded. Do less outside of functions."
    assert (outcome.kind, outcome.message) == ("student", message)


@pytest.mark.sandbox
def test_a_prelude_that_fails_is_the_assignments_turn(judge_here: Judge, runtime: Runtime) -> None:
    more = {**WITH_PRELUDE, "prelude.py": "import torch\ndevice = torch.devise('cpu')\n"}
    outcome = judged(judge_here, runtime, document("x = 1"), more=more)
    assert outcome.kind == "assignment"
    assert outcome.staff_message.split("\n") == [
        "prelude.py fails: AttributeError: module 'torch' has no attribute 'devise'",
        "prelude.py line 2: device = torch.devise('cpu')",
    ]
