"""What the doctor says, for programs and for people."""

import os
import platform
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from grading.runner.doctor.examining import Finding
from grading.runner.host import Host
from grading.runner.tiers import Refused

_NO_OTHER = "Never offered: as an ordinary user it needs the same user namespaces, and started by root it is no sandbox."
_KEPT = ("tier", "memory_guard", "host", "kernel", "runtime", "device")
_REFUSE = "Nothing runs where no other tier holds; there is no unsafe mode."


@dataclass(frozen=True)
class Report:
    """The whole examination. `trouble`: why there is no verdict on the attacks, when there is none."""

    tier: str
    tiers: tuple[Mapping[str, object], ...]
    findings: tuple[Finding, ...]
    seconds: float
    alone_s: float = 0.0
    provenance: Mapping[str, object] = field(default_factory=dict)
    trouble: str = ""

    @property
    def status(self) -> int:
        return 0 if self.findings and all(finding.held for finding in self.findings) and not self.trouble else 1

    def to_json(self) -> dict[str, Any]:
        return {
            "tier": self.tier,
            "tiers": list(self.tiers),
            "attacks": [_element(finding) for finding in self.findings],
            "held": sum(finding.held for finding in self.findings),
            "trouble": self.trouble,
            "provenance": {name: self.provenance[name] for name in _KEPT if name in self.provenance},
            "user": os.geteuid(),
            "machine": {"kernel": platform.release(), "processors": os.cpu_count(), "architecture": platform.machine()},
            "seconds": round(self.seconds, 1),
            "healthy_alone_s": round(self.alone_s, 3),
        }


def tiers(host: Host) -> tuple[Mapping[str, object], ...]:
    """Every tier with whether this machine has it, and why not."""
    found = host.tier
    refused = isinstance(found, Refused)
    why = f"{found.reason} {found.fix}" if isinstance(found, Refused) else found.why_not_better or "Every wall of a trial sandbox stood."
    return (
        {"name": "namespaces", "available": not refused, "why": why},
        {"name": "bubblewrap", "available": False, "why": _NO_OTHER},
        {"name": "refuse", "available": True, "why": _REFUSE},
    )


def _element(finding: Finding) -> dict[str, Any]:
    record = finding.record
    return {
        "name": finding.attack.name,
        "held": finding.held,
        "what": finding.what,
        "class": finding.group,
        "missed": [fault.criterion for fault in finding.faults],
        "outcome": record.kind,
        "points": float(record.points),
        "neighbour_times": round(record.slowest_s / record.alone_s, 2),
        "memory_mb": round(record.memory_mb),
        "memory_limit_mb": round(record.memory_limit_mb),
        "seconds": round(finding.seconds, 2),
        "again": finding.again,
    }


def heading(tier: str, tiers: Iterable[Mapping[str, object]]) -> str:
    lines = [f"tier: {tier or 'none'}"]
    lines += [f"  {row['name']:12} {'available' if row['available'] else 'not available':14} {row['why']}" for row in tiers]
    return "\n".join(lines)


def class_line(group: str) -> str:
    return f"\n{group:50} {'seconds':>7}  {'neighbour':>9}  {'memory':>7}"


def line(finding: Finding) -> str:
    """One attack; what happened is said only where it was not held."""
    record = finding.record
    figures = f"{finding.seconds:7.1f}  {record.slowest_s / record.alone_s:8.1f}×  {record.memory_mb:4.0f} MB"
    first = f"  {'held' if finding.held else 'NOT HELD':9} {finding.attack.name:38} {figures}{'  made twice' if finding.again else ''}"
    return first if finding.held else f"{first}\n      {finding.what}"


def verdict(report: Report) -> str:
    """The last line."""
    count, held = len(report.findings), sum(finding.held for finding in report.findings)
    if report.trouble:
        return f"Not examined: {report.trouble}"
    if held == count:
        return f"All {count} attacks were held, in {report.seconds:.0f} s."
    names = ", ".join(finding.attack.name for finding in report.findings if not finding.held)
    return f"{count - held} of {count} attacks were NOT held, in {report.seconds:.0f} s: {names}."
