import subprocess
import sys


def test_the_runner_imports_neither_django_nor_celery_nor_torch() -> None:
    program = """
import importlib, pkgutil, sys
import grading.runner
in_the_runtime = {"answering", "checkpoints", "checks", "rehearsal", "values"}
names = {module.name for module in pkgutil.iter_modules(grading.runner.__path__)}
assert in_the_runtime < names
for name in sorted(names - in_the_runtime):
    importlib.import_module(f"grading.runner.{name}")
print(sorted({"django", "celery", "redis", "torch", "numpy"} & set(sys.modules)))
"""
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
