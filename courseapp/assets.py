"""Serves what the browser needs from npm, and nothing else of it.

`npm ci` fills node_modules; this finder shows the listed files to Django's staticfiles under `npm/`, so that
`{% static "npm/htmx/htmx.min.js" %}`, runserver and collectstatic work as for any app and no minified file lies in the repository.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import BaseFinder
from django.contrib.staticfiles.utils import matches_patterns
from django.core.checks import CheckMessage, Warning
from django.core.files.storage import FileSystemStorage


@dataclass(frozen=True)
class Package:
    prefix: str  # below npm/ in the static URL
    folder: str  # below node_modules
    files: tuple[str, ...]  # globs below the folder


PACKAGES = (
    Package("htmx", "htmx.org/dist", ("htmx.min.js",)),
    Package(
        "inter",
        "@fontsource-variable/inter/files",
        ("inter-latin-wght-normal.woff2", "inter-latin-ext-wght-normal.woff2", "inter-greek-wght-normal.woff2"),
    ),
    Package(
        "jetbrains-mono",
        "@fontsource-variable/jetbrains-mono/files",
        ("jetbrains-mono-latin-wght-normal.woff2", "jetbrains-mono-latin-ext-wght-normal.woff2", "jetbrains-mono-greek-wght-normal.woff2"),
    ),
    # katex.min.css names its fonts in three formats, and a hashing storage wants every file that a stylesheet names
    Package("katex", "katex/dist", ("katex.min.css", "katex.min.js", "fonts/*")),
    Package("uplot", "uplot/dist", ("uPlot.iife.min.js", "uPlot.min.css")),
    Package("pdfjs", "pdfjs-dist/legacy/build", ("pdf.min.mjs", "pdf.worker.min.mjs")),
    Package("pdfjs", "pdfjs-dist", ("cmaps/*.bcmap", "standard_fonts/*", "wasm/*.js")),
)


def node_modules() -> Path:
    return Path(settings.BASE_DIR) / "node_modules"


def served(root: Path) -> dict[str, tuple[Package, str]]:
    """Static path → (package, path in its folder) for every allowed file that is installed below `root`."""
    found: dict[str, tuple[Package, str]] = {}
    for package in PACKAGES:
        folder = root / package.folder
        for pattern in package.files:
            for file in sorted(folder.glob(pattern)):
                name = file.relative_to(folder).as_posix()
                found[f"npm/{package.prefix}/{name}"] = (package, name)
    return found


class PackageStorage(FileSystemStorage):
    """The folder of a package; collectstatic puts its files below `prefix`."""

    def __init__(self, folder: Path, prefix: str) -> None:
        super().__init__(location=folder)
        self.prefix = prefix


class NpmFinder(BaseFinder):
    """The allow-list above as a staticfiles finder."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = root or node_modules()
        self.files = served(self.root)

    def check(self, **_: Any) -> list[CheckMessage]:
        if self.files or (settings.STATIC_ROOT / "npm").is_dir():  # once collected, nobody needs the packages
            return []
        message = f"{self.root} holds none of the browser packages, so pages have no fonts, math or live updates."
        return [Warning(message, hint="Run: npm ci", id="courseapp.W001")]

    def find(self, path: str, find_all: bool = False, **_: Any) -> Any:
        entry = self.files.get(path.replace("\\", "/"))
        if entry is None:
            return []
        package, name = entry
        full = str(self.root / package.folder / name)
        return [full] if find_all else full

    def list(self, ignore_patterns: Iterable[str] | None) -> Iterator[tuple[str, PackageStorage]]:
        ignored = list(ignore_patterns or ())
        for package, name in self.files.values():
            if matches_patterns(name, ignored):
                continue
            yield name, PackageStorage(self.root / package.folder, f"npm/{package.prefix}")
