"""The policy is plain Python: importing it brings in nothing of the web."""

import pkgutil
import subprocess
import sys

import grading.policy


def test_importing_every_policy_module_leaves_django_out() -> None:
    names = [f"grading.policy.{module.name}" for module in pkgutil.iter_modules(grading.policy.__path__)]
    assert "grading.policy.late" in names
    imports = "; ".join(f"import {name}" for name in names)
    program = f"import sys; {imports}; print(sorted({{module.split('.')[0] for module in sys.modules}}))"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    for package in ("django", "celery", "redis", "courseapp", "forum"):
        assert f"'{package}'" not in loaded
