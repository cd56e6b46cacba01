import json
import re
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles import finders

from courseapp.assets import PACKAGES, NpmFinder

STATIC = Path(settings.BASE_DIR) / "courseapp" / "static" / "courseapp"


def installed(root: Path, *names: str) -> None:
    for name in names:
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)


def test_only_listed_files_are_served(tmp_path: Path) -> None:
    installed(
        tmp_path, "htmx.org/dist/htmx.min.js", "htmx.org/dist/htmx.js", "htmx.org/package.json", "katex/dist/fonts/a.woff2", "other/x.js"
    )
    finder = NpmFinder(tmp_path)
    assert {f"{storage.prefix}/{name}" for name, storage in finder.list(None)} == {"npm/htmx/htmx.min.js", "npm/katex/fonts/a.woff2"}
    assert finder.find("npm/htmx/htmx.min.js") == str(tmp_path / "htmx.org/dist/htmx.min.js")
    assert finder.find("npm/htmx/htmx.min.js", find_all=True) == [str(tmp_path / "htmx.org/dist/htmx.min.js")]
    for path in ("npm/htmx/htmx.js", "npm/htmx/../package.json", "htmx.min.js", "npm/other/x.js"):
        assert finder.find(path) == []


def test_a_missing_npm_ci_is_said(tmp_path: Path) -> None:
    installed(tmp_path, "htmx.org/dist/htmx.min.js")
    assert NpmFinder(tmp_path).check() == []
    (problem,) = NpmFinder(tmp_path / "none").check()
    assert problem.hint == "Run: npm ci"


def test_lock_file_names_no_registry_and_every_listed_package() -> None:
    text = (Path(settings.BASE_DIR) / "package-lock.json").read_text()
    lock = json.loads(text)
    assert '"resolved"' not in text
    names = {package.folder.split("/")[0] if package.folder[0] != "@" else "/".join(package.folder.split("/")[:2]) for package in PACKAGES}
    assert names == set(lock["packages"][""]["dependencies"])
    assert all("integrity" in entry for path, entry in lock["packages"].items() if path)


def test_stylesheet_is_small_and_names_only_files_that_are_listed() -> None:
    css = (STATIC / "theme.css").read_text()
    assert len(css.encode()) <= 40 * 1024
    listed = {f"../npm/{package.prefix}/{name}" for package in PACKAGES for name in package.files}
    assert set(re.findall(r"url\(([^)]*)\)", css)) <= listed


def test_own_files_are_found() -> None:
    for name in ("theme.css", "time.js", "math.js", "upload.js"):
        assert finders.find(f"courseapp/{name}") == str(STATIC / name)
