"""A homework folder becomes the same bytes wherever it lies."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from grading.runner.bundle import autograder_digest, pack
from grading.runner.manifest import ManifestError

FILES = {
    "homework.toml": "number = 1\n",
    "statement.md": "# One\n",
    "checks.py": "import reference\n",
    "reference.py": "answer = 42\n",
    "starter/mlp.py": "class MLP: ...\n",
    "data/words.txt": "alpha\n",
}
LEFT_OUT = {
    "samples/good.py": "",
    "checks.py~": "",
    ".checks.py.swp": "",
    "__pycache__/checks.pyc": "",
    "starter/__pycache__/mlp.pyc": "",
    "starter/.DS_Store": "",
}


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    return folder


def test_the_same_files_give_the_same_digest_whatever_their_order_times_and_neighbours(tmp_path: Path) -> None:
    one = write(tmp_path / "one", FILES)
    two = write(tmp_path / "elsewhere" / "two", dict(reversed(FILES.items())) | LEFT_OUT)
    for path in two.rglob("*"):
        os.utime(path, (1, 1))
        path.chmod(0o700)
    assert pack(one) == pack(two)


def test_the_bundle_holds_the_files_of_a_run_and_its_digest_is_their_sha256(tmp_path: Path) -> None:
    bundle = pack(write(tmp_path, FILES | LEFT_OUT))
    with zipfile.ZipFile(io.BytesIO(bundle.data)) as archive:
        assert {name: archive.read(name).decode() for name in archive.namelist()} == FILES
        assert archive.namelist() == sorted(FILES)
    assert bundle.digest == hashlib.sha256(bundle.data).hexdigest()


def test_a_changed_byte_changes_the_digest(tmp_path: Path) -> None:
    before = pack(write(tmp_path, FILES)).digest
    (tmp_path / "reference.py").write_text("answer = 43\n")
    assert pack(tmp_path).digest != before


@pytest.mark.parametrize("link", ["starter/passwd", "data", "reference.py"])
def test_a_link_is_refused(tmp_path: Path, link: str) -> None:
    folder = write(tmp_path / "hw", {name: text for name, text in FILES.items() if not name.startswith(link)})
    (folder / link).symlink_to("/etc")
    with pytest.raises(ManifestError, match="only plain files belong in a homework folder"):
        pack(folder)


HOMEWORK = """\
number = 1
title = "Plus one"
release = "2023-09-01 00:00"
due = "2023-10-01 23:59"

[theory]
points = 50
required = ["theory.pdf"]

[practice]
points = 10
required = ["answer.py"]

[practice.limits]
wall_s = 30

[[check]]
id = "plus-one"
title = "x + 1"
points = 4
visibility = "visible"

[[check]]
id = "plus-one-hidden"
title = "x + 1, more often"
points = 6
visibility = "hidden"
"""


def autograder(folder: Path, *changes: tuple[str, str], **files: str) -> str:
    """The digest of the homework above with `changes` made to its homework.toml, and other files besides."""
    text = HOMEWORK
    for before, after in changes:
        assert text.count(before) == 1
        text = text.replace(before, after)
    names = {name.replace("__", "/").replace("_py", ".py").replace("_md", ".md"): content for name, content in files.items()}
    return autograder_digest(pack(write(folder, FILES | {"homework.toml": text} | names)).data)


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        pytest.param([], {"statement_md": "# Two\n"}, id="the statement"),
        pytest.param([], {"starter__mlp_py": "# other\n", "starter__more_py": ""}, id="the starter"),
        pytest.param(
            [("number = 1\n", "number = 2\nslug = 'other'\nweight = 3\n"), ('"Plus one"', '"One more"')], {}, id="number and title"
        ),
        pytest.param(
            [('"2023-10-01 23:59"', '"2023-10-08 23:59"\n[sections]\n001 = "2023-10-05 12:00"\n[late]\ndays = 2')], {}, id="dates"
        ),
        pytest.param([("points = 50", "points = 40")], {}, id="the theory"),
        pytest.param(
            [('["answer.py"]', '["answer.py"]\nallowed = ["*.py"]\nmax_files = 9\nscore_release = "after_due"')], {}, id="uploads"
        ),
        pytest.param([('"x + 1"', '"x and 1"')], {}, id="a check's title"),
        pytest.param([('"hidden"', '"after_due"')], {}, id="when a hidden check opens"),
        pytest.param(
            [
                ("points = 4", "points = 4.0\nfresh = false\nseeds = 1\ntolerance = 0.5"),
                ('["answer.py"]', '["answer.py"]\nruntime = "torch"'),
            ],
            {},
            id="defaults",
        ),
        pytest.param(
            [("[practice.limits]", '[practice.notebook]\nmode = "definitions"\n[practice.limits]')], {}, id="the notebook's default"
        ),
        pytest.param([("wall_s = 30", "wall_s = 30.0\ncpu_s = 60 # as ever")], {}, id="a comment, a number's form"),
    ],
)
def test_what_decides_no_score_leaves_the_autograder_as_it_is(
    tmp_path: Path, changes: list[tuple[str, str]], files: dict[str, str]
) -> None:
    assert autograder(tmp_path / "after", *changes, **files) == autograder(tmp_path / "before")


@pytest.mark.parametrize(
    ("changes", "files"),
    [
        pytest.param([], {"checks_py": "import reference  # better\n"}, id="checks.py"),
        pytest.param([], {"reference_py": "answer = 43\n"}, id="reference.py"),
        pytest.param([], {"helper_py": ""}, id="one more module"),
        pytest.param([], {"data__words.txt": "beta\n"}, id="data"),
        pytest.param([("wall_s = 30", "wall_s = 31")], {}, id="a limit"),
        pytest.param([("[practice.limits]\nwall_s = 30", "")], {}, id="a limit back to its default"),
        pytest.param([('["answer.py"]', '["answer.py"]\nruntime = "other"')], {}, id="the runtime"),
        pytest.param([('["answer.py"]', '["answer.py", "more.py"]')], {}, id="what is imported"),
        pytest.param([("points = 4", "points = 5"), ("points = 6", "points = 5")], {}, id="points"),
        pytest.param([('"plus-one"', '"plus-two"')], {}, id="a check's id"),
        pytest.param([('"visible"', '"visible"\nfresh = true')], {}, id="a fresh process"),
        pytest.param([('"visible"', '"visible"\nseeds = 3')], {}, id="more seeds"),
        pytest.param([("[practice.limits]", '[practice.notebook]\nmode = "run-all"\n[practice.limits]')], {}, id="the notebook's mode"),
        pytest.param([('"hidden"', '"visible"')], {}, id="hidden or not"),
        pytest.param([("[practice.limits]", "[practice.to_come]\nkey = [1, true]\n[practice.limits]")], {}, id="a setting of later days"),
    ],
)
def test_what_may_decide_a_score_changes_the_autograder(tmp_path: Path, changes: list[tuple[str, str]], files: dict[str, str]) -> None:
    assert autograder(tmp_path / "after", *changes, **files) != autograder(tmp_path / "before")


@pytest.mark.parametrize("data", [b"", b"PK", b"\0" * 100])
def test_what_is_no_bundle_has_no_autograder(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a homework's bundle"):
        autograder_digest(data)
