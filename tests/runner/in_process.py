"""Judge hand-ins without a sandbox, for trying a homework on many seeds: python -m tests.runner.in_process HOMEWORK SEEDS FILE…

Runs under the runtime's Python. The student's code is imported here, so only code of ours may be given. On the first seed values go
through the wire's encoding, so that a check sees what it would see in a real run; on the others they are copied, which is quicker.
Prints {file: {check: [passed, times, message]}}.
"""

import builtins
import importlib
import importlib.util
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import torch

from grading.runner import checkpoints, checks, notebook
from grading.runner.entry import NOTEBOOK, notebook_spec
from grading.runner.protocol import Ref
from grading.runner.values import pack, unpack


class InProcess:
    """Answers like the student's process, in this one."""

    def __init__(self, module: ModuleType, carry: Callable[[Any], Any]) -> None:
        assert module.__file__
        self.module = module
        self.folder = Path(module.__file__).parent
        self.carry = carry
        self.objects: list[Any] = []
        self.arguments: list[Any] = []

    def file(self, name: str) -> memoryview | None:
        path = self.folder / name
        return memoryview(path.read_bytes()) if path.is_file() else None

    def ask(self, operation: str, **arguments: Any) -> Any:
        there = self.carry(arguments)
        try:
            found = getattr(self, f"do_{operation}")(**there)
            return self.carry(self.hold(found) if operation == "new" else found)
        except checks.Failed:
            raise
        except Exception as error:  # noqa: BLE001 - whatever the student's code raises is an answer
            kind = next(base.__name__ for base in type(error).__mro__ if base.__module__ == builtins.__name__)
            raise checks.Raised(f"{kind}: {error}", kind) from None

    def hold(self, found: Any) -> Ref:
        self.objects.append(found)
        return Ref(len(self.objects) - 1, type(found).__name__)

    def find(self, name: str) -> Any:
        return getattr(self.module, name.partition(".")[2])

    def do_new(self, name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
        return self.do_call(name, args, kwargs)

    def do_call(self, name: str, args: list[Any], kwargs: dict[str, Any], ref: Ref | None = None) -> Any:
        self.arguments = [self.objects[value.number] if isinstance(value, Ref) else value for value in args]
        target = self.find(name) if ref is None else getattr(self.objects[ref.number], name)
        return target(*self.arguments, **kwargs)

    def do_get(self, ref: Ref, name: str) -> Any:
        return getattr(self.objects[ref.number], name)

    def do_set(self, ref: Ref, name: str, value: Any) -> None:
        there = getattr(self.objects[ref.number], name)
        for key, tensor in value.items():
            there[key].copy_(tensor)

    def do_load_state(self, ref: Ref, file: str) -> None:
        try:
            checkpoints.load_state(self.objects[ref.number], ref.kind, self.folder / file)
        except checkpoints.CheckpointError as error:
            raise checks.Failed(str(error)) from None

    def do_argument(self, index: int) -> Any:
        return self.arguments[index]


def copied(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    if isinstance(value, list | tuple):  # a named tuple is a tuple, as after the wire
        return (list if isinstance(value, list) else tuple)(map(copied, value))
    return {key: copied(item) for key, item in value.items()} if isinstance(value, dict) else value


def across(value: Any) -> Any:
    data, payload = pack(value)
    return unpack(json.loads(json.dumps(data)), memoryview(payload))


def load(path: Path, homework: Path) -> ModuleType:
    if path.suffix == NOTEBOOK:
        return load_notebook(path, homework)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_notebook(path: Path, homework: Path) -> ModuleType:
    settings = notebook_spec(homework)
    module = ModuleType(path.stem)
    module.__file__ = str(path)
    notebook.stand_in(module)
    execution = notebook.Execution(module, settings.mode)
    if settings.prelude:
        execution.prelude(settings.prelude, (homework / settings.prelude).read_text())
    execution.run(notebook.read(path))
    return module


def judge(check_id: str, run: Callable[[checks.Student, checks.Trial], None], module: ModuleType, seed: int) -> str:
    """The message of the failed check; empty when it passed."""
    trial = checks.Trial(seed=seed, check_id=check_id)
    torch.manual_seed(seed)  # as the student's process is seeded by the run's
    try:
        run(checks.Student(InProcess(module, across if seed == 0 else copied)), trial)
    except checks.Failed as failed:
        return str(failed)
    assert trial.comparisons, f"{check_id} compared nothing"
    return ""


def main(homework: str, seeds: int, *files: str) -> dict[str, dict[str, tuple[int, int, str]]]:
    torch.set_num_threads(1)
    folder = Path(homework)
    sys.path.insert(0, str(folder))
    importlib.import_module("checks")
    declared = {row["id"] for row in tomllib.loads((folder / "homework.toml").read_text())["check"]}
    assert declared == set(checks.registered), declared ^ set(checks.registered)
    report = {}
    for file in files:
        module = load(Path(file), folder)
        results = {}
        for check_id, run in checks.registered.items():
            messages = [judge(check_id, run, module, seed) for seed in range(seeds)]
            results[check_id] = (messages.count(""), seeds, next(filter(None, messages), ""))
        report[file] = results
    return report


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])))
