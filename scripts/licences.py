"""Write docs/licences.md: what the site is made of and under which licences. `--check` writes nothing and holds the page to the pins.

A licence is accepted when it is permissive, or when the package stands below with a reason. Any other one, or none, stops the script.
"""

import importlib.metadata
import json
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"

PERMISSIVE = {"0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "OFL-1.1", "PSF-2.0", "Unlicense", "Zlib"}
"""SPDX identifiers; BSD for packages that do not say which of the two."""

COPYLEFT_ACCEPTED = {
    "certifi": ("MPL-2.0", "MPL-2.0 covers its own files, which are used as they come."),
    "fido2": ("BSD AND Apache-2.0 AND MPL-2.0", "MPL-2.0 covers its copy of the public suffix list, which is used as it comes."),
    "psycopg": ("LGPL-3.0-only", "LGPL-3.0 leaves the program that imports it free; it is installed beside the site and can be exchanged."),
    "psycopg-binary": ("LGPL-3.0-only", "As psycopg."),
}
"""The licence that was accepted, and why; another one of the same package is not."""

SPELLINGS = {
    "Apache Software License": "Apache-2.0",
    "BSD 3-Clause": "BSD-3-Clause",
    "BSD License": "BSD",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "New BSD": "BSD-3-Clause",
}
UNTOLD = {"Other/Proprietary License", "Dual License"}
"""Said beside others that tell more."""


@dataclass(frozen=True)
class Package:
    name: str
    version: str
    licence: str

    @property
    def accepted(self) -> bool:
        """Whether it may be used under permissive licences alone, or was accepted for a reason."""
        if self.licence == COPYLEFT_ACCEPTED.get(self.name, ("", ""))[0]:
            return True
        return any(all(one in PERMISSIVE for one in choice.split(" AND ")) for choice in self.licence.split(" OR "))


def from_pins() -> Iterator[Package]:
    for line in (ROOT / "requirements.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, version = line.strip().partition("==")
            yield Package(name, version, installed_licence(name, version))


def installed_licence(name: str, version: str) -> str:
    """As the installed package tells it. It must be the pinned one: another version may have another licence."""
    try:
        told = importlib.metadata.metadata(name)
    except importlib.metadata.PackageNotFoundError:
        sys.exit(f"{name} {version} is pinned and not installed. Run: python3 scripts/bootstrap.py --dev")
    if told["Version"] != version:
        sys.exit(f"{name} {version} is pinned and {told['Version']} is installed. Run: python3 scripts/bootstrap.py --dev")
    classifiers = [line.rpartition(" :: ")[2] for line in told.get_all("Classifier", []) if line.startswith("License ::")]
    written = next(iter(told.get_all("License", [])), "")
    short = written if len(written) < 40 and "\n" not in written and written not in UNTOLD else ""
    return stated(next(iter(told.get_all("License-Expression", [])), "") or short, classifiers)


def stated(written: str, classifiers: list[str]) -> str:
    """One expression from what a package says; several classifiers all count."""
    if written:
        return re.sub("|".join(map(re.escape, SPELLINGS)), lambda found: SPELLINGS[found[0]], written)
    told = [SPELLINGS.get(one, one) for one in classifiers if one not in UNTOLD]
    return " AND ".join(told) or "none stated"


def from_package_lock() -> Iterator[Package]:
    for path, entry in json.loads((ROOT / "package-lock.json").read_text())["packages"].items():
        if path and not entry.get("optional") and not entry.get("dev"):
            yield Package(path.removeprefix("node_modules/"), entry["version"], entry.get("license", "none stated"))


def page(python: list[Package], browser: list[Package]) -> str:
    def table(packages: list[Package]) -> list[str]:
        rows = [f"| {one.name} | {one.version} | {one.licence} |" for one in sorted(packages, key=lambda one: one.name.lower())]
        return ["| package | version | licence |", "|---|---|---|", *rows]

    lines = ["# Licences of what the site is made of", ""]
    lines += [
        "Written by `scripts/licences.py` from the installed packages and `package-lock.json`; `make check` holds it to the pins.",
        "",
    ]
    lines += ["## Python packages (requirements.txt)", "", *table(python), "", "## Browser packages (package-lock.json)", ""]
    lines += [*table(browser), "", "## Accepted although not permissive", ""]
    lines += [f"- **{name}** ({licence}): {reason}" for name, (licence, reason) in COPYLEFT_ACCEPTED.items()]
    return "\n".join(lines) + "\n"


def problems(packages: list[Package]) -> list[str]:
    return [
        f"{one.name} {one.version} is under {one.licence}, which is not permissive; "
        "accepted is another package, or a line with its reason in scripts/licences.py."
        for one in packages
        if not one.accepted
    ]


def main() -> int:
    python, browser = list(from_pins()), list(from_package_lock())
    wrong = problems([*python, *browser])
    text = page(python, browser)
    if "--check" not in sys.argv:
        PAGE.write_text(text)
    elif not PAGE.exists() or PAGE.read_text() != text:
        wrong.append("docs/licences.md is not what the pins say. Run: .venv/bin/python scripts/licences.py")
    print("\n".join(wrong) or f"{len(python)} Python and {len(browser)} browser packages, all under accepted licences.")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
