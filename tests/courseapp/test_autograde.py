"""`manage.py autograde`: the instructor's tool on local files. No test here may touch the database."""

import io
import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from courseapp.management.commands.autograde import seed_of
from courseapp.management.local_handin import read_hand_in
from grading.runner.bundle import Bundle
from grading.runner.manifest import ComponentSpec, load_manifest
from grading.runner.runtimes import Runtime
from grading.services.archives import RefusedError

COURSE = Path(__file__).resolve().parents[2] / "examples" / "ds-ga-1008"
HW0, HW1 = COURSE / "hw0-warmup", COURSE / "hw1-backprop"
DEMO = COURSE / "demo" / "hw1-backprop"


def autograde(*arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output, standard error."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command("autograde", *map(str, arguments), stdout=out, stderr=err)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    except CommandError as refused:
        return refused.returncode, out.getvalue(), f"{err.getvalue()}{refused}"
    return 0, out.getvalue(), err.getvalue()


@pytest.fixture
def component() -> ComponentSpec:
    found = load_manifest(HW1).component("practice")
    assert found is not None
    return found


@pytest.fixture
def warmup(tmp_path: Path) -> Path:
    """A copy of homework 0 to spoil."""
    return shutil.copytree(HW0, tmp_path / "hw0-warmup")


def test_a_path_that_is_not_there_is_a_usage_error(tmp_path: Path) -> None:
    status, out, err = autograde(HW1, tmp_path / "nobody.zip", "--json")
    assert (status, out, err) == (2, "", f"{tmp_path / 'nobody.zip'} does not exist; give a folder, a zip or a single file.")


def test_a_folder_that_is_no_homework_is_a_usage_error(tmp_path: Path) -> None:
    status, _, err = autograde(tmp_path, DEMO / "correct-plain")
    assert (status, err) == (2, f"{tmp_path} has no homework.toml; give the folder of a homework.")


def test_a_homework_without_checks_is_a_usage_error(warmup: Path) -> None:
    text = (warmup / "homework.toml").read_text()
    (warmup / "homework.toml").write_text(text[: text.index("[[check]]")])
    status, _, err = autograde(warmup, DEMO / "correct-plain")
    assert (status, err) == (2, f"{warmup} declares no checks; people grade this homework.")


def test_a_mistake_in_homework_toml_is_named_with_its_line(warmup: Path) -> None:
    text = (warmup / "homework.toml").read_text()
    (warmup / "homework.toml").write_text(text.replace("points = 10\n", "points = 11\n"))
    status, out, err = autograde(warmup, DEMO / "correct-plain")
    line = text[: text.index("points = 10")].count("\n") + 1
    assert (status, out) == (1, "")
    assert err == f"{warmup}/homework.toml, line {line}: points = 11, but the 7 checks sum to 10; the two must be equal."


def test_a_folder_is_read_without_what_computers_leave_in_it(tmp_path: Path, component: ComponentSpec) -> None:
    for name in ("mlp.py", "helpers/__init__.py", "__pycache__/mlp.pyc", ".git/config", ".DS_Store", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "link.py").symlink_to("/etc/passwd")
    assert read_hand_in(tmp_path, component) == {name: name.encode() for name in ("helpers/__init__.py", "mlp.py", "notes.txt")}


def test_a_zip_is_read_as_the_site_would_read_it(tmp_path: Path, component: ComponentSpec) -> None:
    with zipfile.ZipFile(tmp_path / "ab1234.zip", "w") as archive:
        archive.writestr("ab1234/mlp.py", "x = 1")
        archive.writestr("__MACOSX/._mlp.py", "")
    assert read_hand_in(tmp_path / "ab1234.zip", component) == {"mlp.py": b"x = 1"}
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 no")
    with pytest.raises(RefusedError, match=r"“broken\.zip”"):
        read_hand_in(tmp_path / "broken.zip", component)


def test_a_single_file_stands_for_the_required_one(tmp_path: Path, component: ComponentSpec) -> None:
    (tmp_path / "ab1234_late_mlp.py").write_text("x = 1")
    assert read_hand_in(tmp_path / "ab1234_late_mlp.py", component) == {"mlp.py": b"x = 1"}
    (tmp_path / "notes.txt").write_text("x = 1")
    assert read_hand_in(tmp_path / "notes.txt", component) == {"notes.txt": b"x = 1"}


def test_too_many_or_too_large_files_are_refused(tmp_path: Path, component: ComponentSpec) -> None:
    for number in range(201):
        (tmp_path / f"{number}.py").touch()
    with pytest.raises(RefusedError, match="There are 201 files; accepted are 200"):
        read_hand_in(tmp_path, component)
    large = tmp_path / "mlp.py"
    with large.open("wb") as file:
        file.truncate(21 * 2**20)
    with pytest.raises(RefusedError, match=r"“mlp\.py” has 21 MB; accepted are 20 MB"):
        read_hand_in(large, component)


def test_the_seed_depends_on_the_files_and_the_homework_only() -> None:
    one = Bundle(b"", "a" * 64)
    assert seed_of(one, {"a.py": b"1", "b.py": b"2"}) == seed_of(one, {"b.py": b"2", "a.py": b"1"})
    assert seed_of(one, {"a.py": b"1"}) != seed_of(one, {"a.py": b"2"})
    assert seed_of(one, {"a.py": b"1"}) != seed_of(Bundle(b"", "b" * 64), {"a.py": b"1"})


def points_of(elements: list[dict[str, Any]]) -> list[tuple[str, str, float]]:
    return [(Path(element["path"]).name, element["outcome"], element["points"]) for element in elements]


@pytest.mark.sandbox
def test_hand_ins_are_judged_in_the_order_of_their_paths(torch_runtime: Runtime, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "ab1234.zip", "w") as archive:
        archive.write(DEMO / "correct-einsum" / "mlp.py", "ab1234/mlp.py")
    shutil.copy(DEMO / "partial-bias-row" / "mlp.py", tmp_path / "cd5678.py")
    (tmp_path / "empty.zip").write_bytes(b"")
    paths = [tmp_path / "cd5678.py", DEMO / "correct-plain", tmp_path / "ab1234.zip", tmp_path / "empty.zip", DEMO / "broken-no-class"]
    status, out, _ = autograde(HW1, *paths, "--json", "--jobs", "2")
    elements = json.loads(out)
    assert status == 0
    assert [element["path"] for element in elements] == list(map(str, paths))
    assert points_of(elements) == [
        ("cd5678.py", "ok", 19),
        ("correct-plain", "ok", 50),
        ("ab1234.zip", "ok", 50),
        ("empty.zip", "student", 0),
        ("broken-no-class", "ok", 10),
    ]
    for element in elements:
        assert element.keys() >= {"path", "outcome", "points", "max_points", "seconds", "checks"}
        assert element["max_points"] == 50
        assert len(element["checks"]) == 27
        assert sum(check["points"] for check in element["checks"]) == element["points"]
        assert all(check.keys() >= {"id", "points", "max_points", "passed", "visibility", "message"} for check in element["checks"])


@pytest.mark.sandbox
@pytest.mark.parametrize(
    ("name", "outcome", "message"),
    [
        ("broken-untouched", "ok", "NotImplementedError: forward is yours to write (in mlp.py line 42)"),
        ("broken-syntax", "student", "mlp.py has a syntax error on line 39: expected ':'"),
        ("broken-import", "student", "mlp.py imports the module `foo`, which is not in this runtime."),
    ],
)
def test_a_hand_in_that_cannot_run_reads_why(torch_runtime: Runtime, name: str, outcome: str, message: str) -> None:
    status, out, _ = autograde(HW1, DEMO / name, "--json")
    (element,) = json.loads(out)
    assert (status, element["outcome"], element["points"]) == (0, outcome, 0)
    assert message in [element["message"], element["checks"][0]["message"]]


@pytest.mark.sandbox
def test_a_mistake_in_the_checks_is_the_assignments_and_ends_with_status_1(torch_runtime: Runtime, warmup: Path) -> None:
    text = (warmup / "checks.py").read_text()
    (warmup / "checks.py").write_text(text.replace("reference.affine(", "reference.afine("))
    status, out, _ = autograde(warmup, COURSE / "demo" / "hw0-warmup" / "correct-plain", "--json")
    (element,) = json.loads(out)
    assert (status, element["outcome"]) == (1, "assignment")
    assert "afine" in element["staff_message"]


@pytest.mark.sandbox
def test_the_table_names_points_and_the_checks_that_failed(torch_runtime: Runtime) -> None:
    hand_in = COURSE / "demo" / "hw0-warmup" / "partial-torch-std"
    status, out, err = autograde(HW0, hand_in)
    assert status == 0
    assert err == f"{hand_in}: ok, 7 of 10\n"
    header, first, *rest = out.splitlines()
    assert header.split() == ["hand-in", "outcome", "points", "seconds"]
    assert first.split()[:3] == [str(hand_in), "ok", "7/10"]
    assert "       0/2    failed      standardize (visible)" in rest
    assert "       2/2    passed      affine (visible)" in rest
