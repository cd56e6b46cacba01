"""The pages of docs/ name what there is."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_environment_variable_is_on_the_operations_page() -> None:
    settings = (ROOT / "courseapp" / "settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|environ\.get)\(\s*"([A-Z_]+)"', settings)) | {"SECRET_KEY"}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert {"DATA_DIR", "DATABASE_URL", "REDIS_URL"} <= read
    assert sorted(name for name in read if f"`{name}`" not in page) == []


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "check", "install", "help"} <= named
    assert named <= targets
