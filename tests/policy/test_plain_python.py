"""The policy is plain Python: importing it brings in nothing of the web."""

import dataclasses
import importlib
import pkgutil
import subprocess
import sys

import grading.policy

MODULES = [f"grading.policy.{module.name}" for module in pkgutil.iter_modules(grading.policy.__path__)]


def test_every_value_is_frozen() -> None:
    found = [value for name in MODULES for value in vars(importlib.import_module(name)).values()]
    kinds = {kind for kind in found if isinstance(kind, type) and dataclasses.is_dataclass(kind)}
    assert len(kinds) > 10
    assert [kind for kind in kinds if not vars(kind)["__dataclass_params__"].frozen] == []


def test_importing_every_policy_module_leaves_django_out() -> None:
    assert "grading.policy.late" in MODULES
    imports = "; ".join(f"import {name}" for name in MODULES)
    program = f"import sys; {imports}; print(sorted({{module.split('.')[0] for module in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for package in ("django", "celery", "redis", "courseapp", "forum"):
        assert f"'{package}'" not in loaded
