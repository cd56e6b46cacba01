"""A homework folder becomes the same bytes wherever it lies."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from grading.runner.bundle import pack
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
