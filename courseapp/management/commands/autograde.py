"""`manage.py autograde HOMEWORK_DIR PATH…`: judge hand-ins on local files, without uploading them and without a database."""

import hashlib
import json
import threading
from argparse import ArgumentParser
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from courseapp.management.local_handin import read_hand_in
from grading.runner import runtimes
from grading.runner.bundle import Bundle, pack
from grading.runner.host import Host
from grading.runner.job import Cancelled, Job
from grading.runner.manifest import ComponentSpec, ManifestError, load_manifest
from grading.runner.outcome import CheckResult, Outcome
from grading.services.archives import RefusedError

OURS = {"assignment", "system"}  # failures that are not the student's


class Command(BaseCommand):
    help = "Judge hand-ins (folders, zip files or single files) by the checks of a homework folder, in the sandbox."
    requires_system_checks = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("homework", type=Path, help="the folder of homework.toml")
        parser.add_argument("paths", type=Path, nargs="+", metavar="path", help="a folder, a zip or a single file")
        parser.add_argument("--json", action="store_true", help="print one JSON array, one element for each path, in their order")
        parser.add_argument("--jobs", type=_positive, default=1, metavar="N", help="how many to judge at the same time (default: 1)")
        parser.add_argument("--seed", type=int, metavar="N", help="draw the inputs from this seed; by default from the files")

    def handle(self, *args: Any, homework: Path, paths: list[Path], json: bool, jobs: int, seed: int | None, **options: Any) -> None:
        for path in paths:
            if not path.exists():
                raise CommandError(f"{path} does not exist; give a folder, a zip or a single file.", returncode=2)
        component, bundle = self._homework(homework)
        self._seed, self._component, self._bundle = seed, component, bundle
        self._runtime = self._find_runtime(component.runtime)
        self._cancelled = threading.Event()
        with closing(Host()) as self._host:
            outcomes = self._judge_all(paths, jobs)
        if json:
            self.stdout.write(as_json(paths, outcomes))
        else:
            self.stdout.write(as_table(paths, outcomes, every_check=len(paths) == 1 or options["verbosity"] > 1))
        if any(outcome.kind in OURS for outcome in outcomes):
            raise SystemExit(1)

    def _homework(self, folder: Path) -> tuple[ComponentSpec, Bundle]:
        if not (folder / "homework.toml").is_file():
            raise CommandError(f"{folder} has no homework.toml; give the folder of a homework.", returncode=2)
        try:
            component = load_manifest(folder).component("practice")
            bundle = pack(folder)
        except ManifestError as error:
            raise CommandError(str(error)) from None
        if component is None or not component.checks:
            raise CommandError(f"{folder} declares no checks; people grade this homework.", returncode=2)
        return component, bundle

    def _find_runtime(self, name: str) -> runtimes.Runtime:
        found = runtimes.find(settings.DATA_DIR, name)
        if not isinstance(found, runtimes.Ready):
            raise CommandError(f"{found.status.message} Install it with: manage.py install_runtime {name}")
        return found.runtime

    def _judge_all(self, paths: list[Path], jobs: int) -> list[Outcome]:
        with ThreadPoolExecutor(jobs) as pool:
            waiting = [pool.submit(self._judge, path) for path in paths]
            try:
                outcomes = []
                for path, result in zip(paths, waiting, strict=True):
                    outcomes.append(result.result())
                    self.stderr.write(f"{path}: {outcomes[-1].kind}, {outcomes[-1].points} of {outcomes[-1].max_points}")
            except KeyboardInterrupt:
                self._cancelled.set()
                pool.shutdown(cancel_futures=True)
                raise CommandError("Stopped; no results are printed.", returncode=130) from None
        return outcomes

    def _judge(self, path: Path) -> Outcome:
        component = self._component
        try:
            files = read_hand_in(path, component)
        except RefusedError as refused:
            return not_taken(component, refused.reason)
        seed = seed_of(self._bundle, files) if self._seed is None else self._seed
        job = Job(
            bundle=self._bundle.data,
            files=files,
            checks=component.checks,
            limits=component.limits,
            runtime=self._runtime,
            seed=seed,
            entry=component.entry,
        )
        try:
            return self._host.run(job, cancelled=self._cancelled)
        except Cancelled:
            return replace(not_taken(component, "It was cancelled."), kind="system")


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def seed_of(bundle: Bundle, files: Mapping[str, bytes]) -> int:
    """The same hand-in gets the same inputs each time, another one gets others."""
    digest = hashlib.sha256(bundle.digest.encode())
    for name, content in sorted(files.items()):
        digest.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(content).digest())
    return int.from_bytes(digest.digest()[:6])


def not_taken(component: ComponentSpec, reason: str) -> Outcome:
    checks = tuple(CheckResult(spec.id, spec.title, Decimal(0), spec.points, False, False, spec.visibility) for spec in component.checks)
    return Outcome("student", Decimal(0), component.points, 0.0, checks, message=reason)


def as_json(paths: list[Path], outcomes: list[Outcome]) -> str:
    return json.dumps([element(path, outcome) for path, outcome in zip(paths, outcomes, strict=True)], indent=2, ensure_ascii=False)


def element(path: Path, outcome: Outcome) -> dict[str, object]:
    """What interfaces promise of one hand-in, and the messages that say why."""
    return {
        "path": str(path),
        "outcome": outcome.kind,
        "points": plain(outcome.points),
        "max_points": plain(outcome.max_points),
        "seconds": round(outcome.seconds, 3),
        "message": outcome.message,
        "staff_message": outcome.staff_message,
        "checks": [
            {
                "id": check.id,
                "points": plain(check.points),
                "max_points": plain(check.max_points),
                "passed": check.passed,
                "judged": check.judged,
                "visibility": check.visibility,
                "message": check.message,
                "staff_message": check.staff_message,
            }
            for check in outcome.checks
        ],
        "output": outcome.output,
    }


def plain(points: Decimal) -> int | float:
    return int(points) if points == points.to_integral_value() else float(points)


def as_table(paths: list[Path], outcomes: list[Outcome], *, every_check: bool) -> str:
    """One line for each hand-in, and with `every_check` one for each of its checks; staff's messages, because it is for staff."""
    width = max(len(str(path)) for path in paths)
    lines = [f"{'hand-in':{width}}  {'outcome':10}  {'points':>9}  {'seconds':>7}"]
    for path, outcome in zip(paths, outcomes, strict=True):
        points = f"{plain(outcome.points):g}/{plain(outcome.max_points):g}"
        lines.append(f"{path!s:{width}}  {outcome.kind:10}  {points:>9}  {outcome.seconds:7.1f}")
        lines += [f"    {text}" for text in (outcome.message, outcome.staff_message) if text]
        if every_check:
            lines += [line for check in outcome.checks for line in check_lines(check)]
            lines += ["    printed:", *(f"      {line}" for line in outcome.output.splitlines())] if outcome.output else []
    return "\n".join(lines)


def check_lines(check: CheckResult) -> list[str]:
    state = "passed" if check.passed else "failed" if check.judged else "not judged"
    message = check.staff_message or check.message
    lines = [f"    {plain(check.points):>4g}/{plain(check.max_points):<4g} {state:10}  {check.id} ({check.visibility})"]
    return [*lines, *(f"          {line}" for line in message.splitlines())]
