"""The doctor's command line, for `manage.py sandbox_doctor` and for `python -m grading.runner.doctor`."""

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing

from grading.runner.doctor import report
from grading.runner.doctor.attack import Attack
from grading.runner.doctor.attacks import BATTERY
from grading.runner.doctor.examining import Examiner, Finding, UnwellError
from grading.runner.doctor.report import Report
from grading.runner.host import Host
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused

Battery = Mapping[str, Sequence[Attack]]
Say = Callable[[str], object]


class UsageError(Exception):
    """A name that is none; the text is a sentence."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document on standard output")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="make these attacks only")
    parser.add_argument("--class", nargs="+", default=[], metavar="CLASS", dest="classes", help=f"one of: {', '.join(BATTERY)}")


def chosen(names: Sequence[str], classes: Sequence[str], battery: Battery = BATTERY) -> Battery:
    """The part of the battery that was asked for; all of it when nothing was. Raises UsageError."""
    known = {attack.name for attacks in battery.values() for attack in attacks}
    for wrong in [name for name in names if name not in known]:
        raise UsageError(f"There is no attack “{wrong}”; --json lists them all.")
    for wrong in [name for name in classes if name not in battery]:
        raise UsageError(f"There is no class “{wrong}”; the classes are {', '.join(battery)}.")
    if not names and not classes:
        return battery
    kept = {group: tuple(a for a in attacks if group in classes or a.name in names) for group, attacks in battery.items()}
    return {group: attacks for group, attacks in kept.items() if attacks}


def examine(runtime: Runtime, battery: Battery, say: Say) -> Report:
    """Probe this machine and make the attacks; `say` gets the lines for people, as they come."""
    began = time.monotonic()
    with closing(Host()) as host:
        tier = "" if isinstance(host.tier, Refused) else host.tier.name
        rows = report.tiers(host)
        say(report.heading(tier, rows))
        findings: list[Finding] = []
        alone = 0.0
        provenance: Mapping[str, object] = {}
        trouble = f"{host.tier.reason} {host.tier.fix}" if isinstance(host.tier, Refused) else host.warm(runtime, fully=True)
        if not trouble:
            try:
                with Examiner(host, runtime) as examiner:
                    for group, attacks in battery.items():
                        say(report.class_line(group))
                        for attack in attacks:
                            findings.append(examiner.examine(group, attack))
                            say(report.line(findings[-1]))
                    alone, provenance = examiner.alone_s, examiner.provenance
            except UnwellError as unwell:
                trouble = str(unwell)
    whole = Report(tier, rows, tuple(findings), time.monotonic() - began, alone, provenance, trouble)
    say(f"\n{report.verdict(whole)}")
    return whole


def run(
    runtime: Runtime, *, names: Sequence[str], classes: Sequence[str], as_json: bool, out: Say, log: Say, battery: Battery = BATTERY
) -> int:
    """Examine, print, and give the exit status: 0 when every attack was held, else 1. Raises UsageError."""
    part = chosen(names, classes, battery)
    found = examine(runtime, part, log if as_json else out)
    if as_json:
        out(json.dumps(found.to_json(), indent=1, ensure_ascii=False))
    return found.status
