import zipfile
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from grading.models import Component
from grading.services.uploads import MB, Prepared, Problems, prepare

PRACTICE = Component(
    kind="practice", files_required=["mlp.py"], files_allowed=["*.py", "*.md", "*.ipynb"], max_file_mb=1, max_total_mb=2, max_files=3
)
THEORY = Component(kind="theory", files_required=["theory.pdf"], max_file_mb=1, max_total_mb=2, max_files=3)
PDF = b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n"


def upload(name: str, content: bytes = b"x = 1\n") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def zipped(**files: bytes) -> SimpleUploadedFile:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return upload("hw1.zip", out.getvalue())


def taken(component: Component, *files: SimpleUploadedFile) -> dict[str, bytes]:
    found = prepare(component, files)
    assert isinstance(found, Prepared), found
    return {file.path: b"".join(file.chunks()) for file in found.files}


def problems(component: Component, *files: SimpleUploadedFile) -> tuple[str, ...]:
    found = prepare(component, files)
    assert isinstance(found, Problems)
    return found.sentences


def test_what_is_asked_for_is_taken_as_it_is() -> None:
    assert taken(PRACTICE, upload("mlp.py"), upload("notes.md", b"hello")) == {"mlp.py": b"x = 1\n", "notes.md": b"hello"}
    assert taken(THEORY, upload("theory.pdf", PDF)) == {"theory.pdf": PDF}


def test_chunks_can_be_read_again() -> None:
    found = prepare(PRACTICE, [upload("mlp.py")])
    assert isinstance(found, Prepared)
    assert [b"".join(found.files[0].chunks()) for _ in range(2)] == [b"x = 1\n"] * 2


def test_a_zip_of_the_practice_is_unpacked() -> None:
    found = prepare(PRACTICE, [zipped(**{"ab1/mlp.py": b"pass\n", "ab1/pkg/__init__.py": b"", "ab1/.DS_Store": b"\0"})])
    assert isinstance(found, Prepared)
    assert ([file.path for file in found.files], found.dropped, found.folder) == (
        ["mlp.py", "pkg/__init__.py"],
        ("ab1/.DS_Store",),
        "ab1",
    )


def test_a_refused_entry_of_a_zip_is_named() -> None:
    assert problems(PRACTICE, zipped(**{"mlp.py": b"", "../evil.py": b""})) == (
        "“../evil.py” in “hw1.zip” leads out of the hand-in with ..; accepted are paths inside it.",
    )


def test_a_zip_is_held_to_the_components_sizes() -> None:
    assert problems(PRACTICE, zipped(**{"mlp.py": b"x" * (MB + 1)})) == ("“mlp.py” in “hw1.zip” has 1 MB; accepted are 1 MB a file.",)


def test_a_zip_is_no_theory() -> None:
    assert problems(THEORY, zipped(**{"theory.pdf": PDF})) == (
        "theory.pdf is missing; asked for is theory.pdf.",
        "“hw1.zip” is not part of this hand-in; accepted are theory.pdf.",
    )


def test_a_zip_comes_alone() -> None:
    assert problems(PRACTICE, zipped(**{"mlp.py": b""}), upload("a.py")) == (
        "A zip file came with other files; send either one zip file or single files.",
    )


def test_nothing_chosen() -> None:
    assert problems(THEORY) == ("No file was chosen; asked for is theory.pdf.",)
    assert problems(PRACTICE) == ("No file was chosen; asked for is mlp.py, or a zip file of it.",)


def test_what_a_computer_adds_is_left_out_of_single_files_too() -> None:
    found = prepare(PRACTICE, [upload("mlp.py"), upload(".DS_Store", b"\0"), upload("._mlp.py", b"\0")])
    assert isinstance(found, Prepared)
    assert found.dropped == (".DS_Store", "._mlp.py")
    assert problems(PRACTICE, upload(".DS_Store", b"\0")) == (
        "Only files that a computer adds by itself were sent (.DS_Store); asked for is mlp.py, or a zip file of it.",
    )


@pytest.mark.parametrize("name", ["mlp (1).py", "MLP.py", "mlp-2.py", "mlp copy.py", "mlp.py.txt", "Mlp_3.py"])
def test_a_file_that_was_renamed_on_its_way_is_recognised(name: str) -> None:
    assert problems(PRACTICE, upload(name)) == (f"mlp.py is missing; “{name}” was sent: rename it to mlp.py.",)


def test_a_required_file_in_a_folder_is_recognised() -> None:
    assert problems(PRACTICE, zipped(**{"src/mlp.py": b"pass\n", "readme.md": b""})) == (
        "mlp.py is missing; “src/mlp.py” was sent: take it out of its folder.",
    )


def test_missing_and_extra_files_are_named_with_what_is_accepted() -> None:
    assert problems(PRACTICE, upload("data.csv"), upload("model.pt")) == (
        "mlp.py is missing; asked for is mlp.py, or a zip file of it.",
        "“data.csv”, “model.pt” are not part of this hand-in; accepted are mlp.py, *.py, *.md, *.ipynb.",
    )


def test_size_and_number_at_their_limits() -> None:
    assert set(taken(PRACTICE, upload("mlp.py", b"#" * MB), upload("a.md", b"x" * MB))) == {"mlp.py", "a.md"}
    assert problems(PRACTICE, upload("mlp.py", b"#" * (MB + 1))) == ("mlp.py has 1 MB; accepted are 1 MB a file.",)
    assert problems(PRACTICE, upload("mlp.py", b"#" * MB), upload("a.py", b"#" * (MB + 1))) == (
        "Together the files have 2 MB; accepted are 2 MB in all.",
    )
    assert problems(PRACTICE, upload("mlp.py"), upload("a.py"), upload("b.py"), upload("c.py")) == ("4 files were sent; accepted are 3.",)


def test_an_empty_required_file_is_a_mistake_and_an_empty_extra_one_is_not() -> None:
    assert problems(PRACTICE, upload("mlp.py", b"")) == ("mlp.py is empty (0 bytes).",)
    assert taken(PRACTICE, upload("mlp.py"), upload("__init__.py", b""))["__init__.py"] == b""


def test_names_that_differ_only_in_case_are_refused() -> None:
    assert "“A.py” and “a.py” differ only in case or spelling of the same letters. Rename one." in problems(
        PRACTICE, upload("mlp.py"), upload("A.py"), upload("a.py")
    )


def test_letters_of_a_mac_are_put_together() -> None:
    assert set(taken(PRACTICE, upload("mlp.py"), upload("re\u0301sume\u0301.md"))) == {"mlp.py", "résumé.md"}


def test_a_pdf_starts_like_one() -> None:
    assert problems(THEORY, upload("theory.pdf", b"PK\3\4 a word file")) == (
        "theory.pdf is not a PDF: it does not start with %PDF-. Export it as PDF again.",
    )


@pytest.mark.parametrize("name", ["mlp.py", "a.ipynb"])
def test_code_is_text(name: str) -> None:
    files = [upload("mlp.py"), upload(name, "é".encode("latin-1"))] if name != "mlp.py" else [upload(name, "é".encode("latin-1"))]
    kind = "notebooks" if name.endswith("ipynb") else "Python files"
    assert problems(PRACTICE, *files) == (f"{name} is not text in UTF-8 (byte 0xe9 at position 0); accepted are {kind} in UTF-8.",)


def test_a_zero_byte_is_no_text() -> None:
    assert problems(PRACTICE, upload("mlp.py", b"x\0")) == ("mlp.py is not text: it holds a zero byte at position 1.",)


def test_a_notebook_that_is_broken_is_taken_for_people_to_read() -> None:
    broken = b'{"cells": [\n<<<<<<< HEAD\n'
    assert taken(PRACTICE, upload("mlp.py"), upload("a.ipynb", broken))["a.ipynb"] == broken


def test_many_problems_are_shortened() -> None:
    many = Component(kind="practice", files_required=[f"part{letter}.py" for letter in "abcdefghijklmn"], max_total_mb=1, max_files=20)
    found = problems(many, upload("x.txt"))
    assert len(found) == 11
    assert found[-1] == "And 5 more of the kind."
