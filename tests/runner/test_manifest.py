"""homework.toml: what is read, and what every mistake is answered with."""

from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.entry import NotebookSpec
from grading.runner.limits import Limits
from grading.runner.manifest import ManifestError, load_manifest

COURSE = 'timezone = "America/New_York"\n'
TOML = """\
number = 1
title = "Backpropagation"
weight = 1
release = "2023-10-09 09:00"
due = "2023-10-29 23:59"

[sections]
"002" = "2023-10-22 23:59"

[late]
percent_per_day = 10
days = 4

[theory]
points = 50
required = ["theory.pdf"]

[practice]
title = "Backpropagation by hand"
points = 50
required = ["mlp.py"]
allowed = ["*.py", "notes-*.txt"]
hand_ins_per_day = 12

[practice.limits]
wall_s = 30
memory_mb = 1024

[[check]]
id = "forward"
title = "Forward pass"
points = 30
visibility = "visible"

[[check]]
id = "backward"
title = "Backward pass"
points = 20.0
visibility = "hidden"
fresh = true
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "course.toml").write_text(COURSE)
    homework = tmp_path / "hw1-backprop"
    homework.mkdir()
    (homework / "homework.toml").write_text(TOML)
    (homework / "statement.md").write_text("# Backpropagation\n")
    (homework / "checks.py").write_text("import reference\n")
    return homework


def test_a_homework_is_read_with_its_components_checks_and_limits(folder: Path) -> None:
    homework = load_manifest(folder)
    assert (homework.slug, homework.number, homework.title, homework.weight) == ("hw1-backprop", 1, "Backpropagation", Decimal(1))
    assert (homework.release, homework.due) == ("2023-10-09 09:00", "2023-10-29 23:59")
    assert homework.late == {"percent_per_day": 10, "days": 4}
    theory, practice = homework.components
    assert (theory.kind, theory.title, theory.points, theory.checks) == ("theory", "Theory", Decimal(50), ())
    assert theory.score_release == "after_published"
    assert (practice.kind, practice.title, practice.score_release) == ("practice", "Backpropagation by hand", "at_once")
    assert (practice.due, practice.sections) == ("2023-10-29 23:59", {"002": "2023-10-22 23:59"})
    assert practice.limits == Limits(wall_s=30, memory_mb=1024)
    assert (practice.entry, practice.hand_ins_per_day) == (("mlp.py",), 12)
    assert [(check.id, check.points, check.visibility, check.fresh) for check in practice.checks] == [
        ("forward", Decimal(30), "visible", False),
        ("backward", Decimal(20), "hidden", True),
    ]


def test_a_practice_may_ask_for_files_that_runs_leave_behind(folder: Path) -> None:
    assert (load_manifest(folder).components[1].outputs, load_manifest(folder).components[1].outputs_mb) == ((), 10)
    (folder / "homework.toml").write_text(TOML.replace("hand_ins_per_day = 12", 'outputs = ["*.png"]\noutputs_mb = 3'))
    assert (load_manifest(folder).components[1].outputs, load_manifest(folder).components[1].outputs_mb) == (("*.png",), 3)


def test_a_check_may_name_the_group_whose_process_it_shares(folder: Path) -> None:
    (folder / "homework.toml").write_text(TOML.replace("fresh = true", 'fresh = "training"'))
    assert [check.fresh for check in load_manifest(folder).components[1].checks] == [False, "training"]


def test_a_component_may_have_due_times_of_its_own(folder: Path) -> None:
    text = TOML.replace(
        'required = ["theory.pdf"]', 'required = ["theory.pdf"]\ndue = "2023-10-27 17:00"\nsections = { "001" = "2023-10-28 17:00" }'
    )
    (folder / "homework.toml").write_text(text)
    theory, practice = load_manifest(folder).components
    assert (theory.due, theory.sections) == ("2023-10-27 17:00", {"002": "2023-10-22 23:59", "001": "2023-10-28 17:00"})
    assert practice.due == "2023-10-29 23:59"


def test_a_gpus_memory_can_be_limited_where_there_is_one(folder: Path) -> None:
    def limit(value: str) -> int:
        gpu = TOML.replace("hand_ins_per_day = 12", 'queue = "gpu.a100"').replace("wall_s = 30", value)
        (folder / "homework.toml").write_text(gpu)
        practice = load_manifest(folder).component("practice")
        assert practice is not None
        return practice.limits.gpu_memory_mb

    assert (limit("gpu_memory_mb = 4096"), limit("")) == (4096, 0)
    with pytest.raises(ManifestError, match=r"gpu_memory_mb = 0 is refused; it must be a whole number from 256 to 1048576\."):
        limit("gpu_memory_mb = 0")


MISTAKES = [
    (
        "weight = 1",
        "wieght = 1",
        "wieght is not a known key (did you mean weight?)",
        "check, due, late, number, practice, release, sections, slug, theory, title or weight.",
    ),
    ('title = "Forward pass"', 'titel = "Forward pass"', "titel is not a known key (did you mean title?), and title is missing.", ""),
    ('points = 50\nrequired = ["m', 'points = 40\nrequired = ["m', "points = 40, but the 2 checks sum to 50.0; the two must be equal.", ""),
    ('id = "backward"', 'id = "forward"', 'id = "forward" is used twice; every check needs an id of its own.', ""),
    ('id = "backward"', 'id = "Back!"', 'id = "Back!" is refused; use small letters, digits and single - _ . between them.', ""),
    (
        'visibility = "hidden"',
        'visibility = "after-due"',
        'visibility = "after-due" is not known (did you mean after_due?)',
        "visible, hidden, after_due or after_published.",
    ),
    ("points = 30", "seeds = 21\npoints = 30", "seeds = 21 is refused; it must be a whole number from 1 to 20.", ""),
    ("points = 30", "seeds = 0\npoints = 30", "seeds = 0 is refused; it must be a whole number from 1 to 20.", ""),
    ("points = 30", "tolerance = 31\npoints = 30", "tolerance = 31 is refused; it must be a number from 0 to 30.", ""),
    ("points = 30", "points = -30", "points = -30 is refused; it must be a number from 0 to 99999.", ""),
    ("points = 30", "points = nan", "points = NaN is refused; it must be a number from 0 to 99999.", ""),
    ("points = 30", 'points = "30"', 'points = "30" is text; it must be a number.', ""),
    (
        "hand_ins_per_day = 12",
        'outputs = ["plots/*.png"]',
        'outputs holds "plots/*.png"; give file names without folders, such as "mlp.py".',
        "",
    ),
    (
        "hand_ins_per_day = 12",
        "max_total_mb = 200",
        "max_total_mb = 200 is refused; where there are checks, at most 180 MB can be run.",
        "",
    ),
    (
        "hand_ins_per_day = 12",
        "max_file_mb = 90\nmax_total_mb = 100",
        "max_file_mb = 90 needs a limits.file_mb of as much, and it is 64.",
        "",
    ),
    ("hand_ins_per_day = 12", "outputs_mb = 60", "outputs_mb = 60 is refused; it must be a whole number from 1 to 50.", ""),
    (
        'required = ["theory.pdf"]',
        'outputs = ["*.png"]\nrequired = ["theory.pdf"]',
        "outputs come of visible checks, and there is none; leave the line out.",
        "",
    ),
    ("fresh = true", "fresh = 1", "fresh = 1 is a whole number; it must be true, false or a name.", ""),
    ("fresh = true", 'fresh = " "', "fresh is empty; write it, or leave the line out.", ""),
    ("points = 30", "points = 29.995", "points = 29.995 is refused; it must have at most 2 decimals.", ""),
    ("number = 1", "number = 70000", "number = 70000 is refused; it must be a whole number from 0 to 32767.", ""),
    ('id = "backward"', f'id = "{"b" * 81}"', "id is refused; it must be one line of at most 80 characters, and it has 81.", ""),
    ("number = 1", "number = 1.5", "number = 1.5 is a number; it must be a whole number.", ""),
    ("number = 1", "number = true", "number = true is true or false; it must be a whole number.", ""),
    ('due = "2023-10-29 23:59"', 'due = "Sunday"', 'due = "Sunday" is not a date and time; write it as "2023-10-22 23:59".', ""),
    ('due = "2023-10-29 23:59"', 'due = "2023-10-08 23:59"', 'due = "2023-10-08 23:59" is not after the release, "2023-10-09 09:00".', ""),
    (
        '"002" = "2023-10-22 23:59"',
        '"002" = "2024-03-10 02:30"',
        '002 = "2024-03-10 02:30" does not exist in America/New_York: the clocks skip that hour; choose another time.',
        "",
    ),
    (
        "days = 4",
        "dyas = 4",
        "dyas is not a known key (did you mean days?)",
        "after_last, base, day_rule, days, grace_minutes, percent_per_day, scope or steps.",
    ),
    (
        'required = ["mlp.py"]',
        'required = ["src/mlp.py"]',
        'required holds "src/mlp.py"; give file names without folders, such as "mlp.py".',
        "",
    ),
    ('required = ["mlp.py"]', "required = [3]", 'required holds 3; it must be a list of texts, such as ["mlp.py"].', ""),
    ('required = ["mlp.py"]', 'required = ["mlp.txt"]', "checks need a required .py or .ipynb file to run; add its name to required.", ""),
    ("wall_s = 30", "wall_s = 0", "wall_s = 0 is refused; it must be a number from 1 to 1048576.", ""),
    (
        "memory_mb = 1024",
        "memory = 1024",
        "memory is not a known key (did you mean memory_mb?)",
        "call_s, cpu_s, file_mb, files, gpu_memory_mb, memory_mb, output_kb, processes, threads, tmp_mb or wall_s.",
    ),
    ("hand_ins_per_day = 12", 'queue = "fast"', 'queue = "fast" is not known; accepted: cpu, gpu or gpu.<kind>.', ""),
    ("memory_mb = 1024", "memory_mb = 32", "memory_mb = 32 is refused; it must be a whole number from 64 to 1048576.", ""),
    (
        "memory_mb = 1024",
        "gpu_memory_mb = 4096",
        'gpu_memory_mb = 4096 is without effect, since queue = "cpu" has no GPU; leave the line out.',
        "",
    ),
    ("[practice.limits]", "[practice.limits", "not valid TOML: Expected ']' at the end of a table declaration.", ""),
]


@pytest.mark.parametrize(("old", "new", "message", "accepted"), MISTAKES)
def test_a_mistake_is_named_with_its_line_and_what_is_accepted(folder: Path, old: str, new: str, message: str, accepted: str) -> None:
    assert TOML.count(old) == 1
    text = TOML.replace(old, new)
    (folder / "homework.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    line = text[: text.rindex(new)].count("\n") + 1
    assert (caught.value.file.name, caught.value.line) == ("homework.toml", line)
    assert caught.value.message == (f"{message}; accepted: {accepted}" if accepted else message)


def test_lines_are_right_behind_texts_and_lists_of_several_lines(folder: Path) -> None:
    text = TOML.replace('title = "Backpropagation"', 'title = """\nBack # not a comment\n[not a table]\nweight = 2"""')
    text = text.replace('allowed = ["*.py", "notes-*.txt"]', 'allowed = [\n  "*.py",  # ]\n]').replace("fresh = true", "frsh = true")
    (folder / "homework.toml").write_text(text)
    with pytest.raises(ManifestError, match=r"line 45: frsh is not a known key \(did you mean fresh\?\)"):
        load_manifest(folder)


@pytest.mark.parametrize(
    ("name", "content", "file", "message"),
    [
        ("homework.toml", None, "homework.toml", "the file is missing."),
        ("homework.toml", b'title = "\xff"', "homework.toml", "byte 9 is not UTF-8 text; save the file as UTF-8."),
        ("statement.md", b"caf\xe9", "statement.md", "byte 3 is not UTF-8 text; save the file as UTF-8."),
        ("statement.md", None, "statement.md", "the file is missing; it is the page that students read."),
        ("checks.py", None, "homework.toml", "checks are declared, but there is no checks.py beside this file."),
        ("checks.py", b"import x\ndef f(:\n", "checks.py", "not valid Python: invalid syntax."),
        (
            "../course.toml",
            b"timezone = 'NY'",
            "course.toml",
            'timezone = "NY" is not a time zone; write one such as "America/New_York".',
        ),
    ],
)
def test_a_missing_or_broken_file_is_named(folder: Path, name: str, content: bytes | None, file: str, message: str) -> None:
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    assert (caught.value.file.name, caught.value.message) == (file, message)


def test_checks_without_a_practice_and_a_homework_without_components_are_refused(folder: Path) -> None:
    theory_only = TOML[: TOML.index("[practice]")] + TOML[TOML.index("[[check]]") :]
    (folder / "homework.toml").write_text(theory_only)
    with pytest.raises(ManifestError, match=r"\[\[check\]\] rows belong to the practice"):
        load_manifest(folder)
    (folder / "homework.toml").write_text(TOML[: TOML.index("[theory]")])
    with pytest.raises(ManifestError, match="there is nothing to hand in"):
        load_manifest(folder)


NOTEBOOK = TOML.replace('required = ["mlp.py"]', 'required = ["mlp.py", "hw2_rnn.ipynb"]').replace(
    "[practice.limits]", '[practice.notebook]\nmode = "run-all"\nprelude = "prelude.py"\n\n[practice.limits]'
)


def test_a_notebook_is_a_module_and_says_how_it_is_run(folder: Path) -> None:
    (folder / "prelude.py").write_text("device = 'cpu'\n")
    (folder / "homework.toml").write_text(NOTEBOOK)
    theory, practice = load_manifest(folder).components
    assert practice.entry == ("mlp.py", "hw2_rnn.ipynb")
    assert practice.notebook == NotebookSpec("run-all", "prelude.py")
    assert theory.notebook == NotebookSpec("definitions", "")


@pytest.mark.parametrize(
    ("old", "new", "at", "message"),
    [
        (
            'mode = "run-all"',
            'mode = "all"',
            "mode",
            'mode = "all" is not known (did you mean run-all?); accepted: definitions or run-all.',
        ),
        ('prelude = "', 'preluded = "', "preluded", "preluded is not a known key (did you mean prelude?); accepted: mode or prelude."),
        ('"prelude.py"', '"other.py"', "prelude", 'prelude = "other.py", but there is no such file beside this one.'),
        *(
            (
                '"prelude.py"',
                f'"{name}"',
                "prelude",
                f'prelude = "{name}" is refused; name a .py file beside this one, such as "prelude.py". '
                "Students can read it, so it cannot be checks.py or reference.py.",
            )
            for name in ("checks.py", "reference.py", "../prelude.py", "prelude.txt")
        ),
        (
            'required = ["mlp.py", "hw2_rnn.ipynb"]',
            'required = ["mlp.py"]',
            "[practice.notebook]",
            "there are no checks with a required .ipynb file, so these settings would be without effect.",
        ),
        (
            '"mlp.py", "hw2_rnn.ipynb"',
            '"mlp.py", "mlp.ipynb"',
            'required = ["mlp',
            "required holds mlp.py and mlp.ipynb; checks would call both “mlp”, so rename one.",
        ),
    ],
)
def test_a_mistake_in_a_notebooks_settings_is_named(folder: Path, old: str, new: str, at: str, message: str) -> None:
    assert NOTEBOOK.count(old) == 1
    (folder / "prelude.py").write_text("device = 'cpu'\n")
    text = NOTEBOOK.replace(old, new)
    (folder / "homework.toml").write_text(text)
    with pytest.raises(ManifestError) as caught:
        load_manifest(folder)
    assert (caught.value.line, caught.value.message) == (text[: text.index(f"\n{at}") + 1].count("\n") + 1, message)
