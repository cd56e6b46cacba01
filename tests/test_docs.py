"""The pages of docs/ name what there is."""

import ast
import inspect
import re
from dataclasses import fields
from pathlib import Path

from django.core.management import get_commands

from courseapp import metrics as web_metrics
from grading.policy.late import SETTINGS
from grading.queries import metrics
from grading.runner import manifest
from grading.runner.limits import Limits
from grading.services import monitoring

ROOT = Path(__file__).resolve().parent.parent


def test_every_environment_variable_is_on_the_operations_page() -> None:
    settings = (ROOT / "courseapp" / "settings.py").read_text()
    read = set(re.findall(r'(?:env\.\w+|environ\.get)\(\s*"([A-Z_]+)"', settings)) | {"SECRET_KEY"}
    page = (ROOT / "docs" / "operations.md").read_text()
    assert {"DATA_DIR", "DATABASE_URL", "REDIS_URL"} <= read
    assert sorted(name for name in read if f"`{name}`" not in page) == []


def test_every_variable_of_an_identity_provider_is_on_the_sign_on_page() -> None:
    source = (ROOT / "courseapp" / "providers.py").read_text()
    read = set(re.findall(r'"((?:OIDC|GOOGLE|SAML|NETID)_[A-Z_]+)"', source))
    page = (ROOT / "docs" / "sign-on.md").read_text()
    assert {"OIDC_ISSUER", "GOOGLE_CLIENT_ID", "SAML_METADATA_URL", "NETID_DOMAINS"} <= read
    assert sorted(name for name in read if f"`{name}`" not in page) == []


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"make ([a-z-]+)", (ROOT / "README.md").read_text()))
    assert {"demo", "test", "check", "install", "help"} <= named
    assert named <= targets


def test_every_command_of_the_pages_exists() -> None:
    text = "\n".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    named = set(re.findall(r"(?:(?:`|^|/)manage\.py|^manage) ([a-z_]+)", text, re.MULTILINE))
    assert {"workers", "runner_host", "install_runtime", "backup"} <= named
    assert sorted(named - set(get_commands())) == []


def test_every_number_of_the_operations_page_is_one_that_the_site_has() -> None:
    sources = "".join(inspect.getsource(module) for module in (metrics, web_metrics, monitoring))
    named = set(re.findall(r"\bcourseapp_[a-z_]+", (ROOT / "docs" / "operations.md").read_text()))
    assert {"courseapp_gpu_slots", "courseapp_runner_host_seen_seconds"} <= named
    assert sorted(name for name in named if f'"{name.removesuffix("_total")}' not in sources) == []


def test_every_key_of_a_homework_is_on_its_page() -> None:
    page = (ROOT / "docs" / "homework-files.md").read_text()
    read = set(re.findall(r'\.(?:text|number|whole|flag|texts|choice|table|tables|mapping)\(\s*"(\w+)"', inspect.getsource(manifest)))
    read |= {limit.name for limit in fields(Limits)} | set(manifest.VISIBILITIES) | set(manifest.SCORE_RELEASES) | set(SETTINGS)
    assert {"title", "points", "visibility", "wall_s", "hand_ins_per_day"} <= read
    assert sorted(name for name in read if not re.search(rf"`\[*{name}\]*`", page)) == []


def test_every_verb_of_a_check_is_on_its_page() -> None:
    page = (ROOT / "docs" / "homework-files.md").read_text()
    source = (ROOT / "grading" / "runner" / "checks.py").read_text()
    classes = [node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name in {"Student", "Trial"}]
    verbs = {item.name for node in classes for item in node.body if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")}
    assert {"new", "argument", "close", "true"} <= verbs
    assert sorted(verb for verb in verbs if f"`{verb}(" not in page) == []


def test_links_between_pages_lead_somewhere() -> None:
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    dead = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert dead == []
