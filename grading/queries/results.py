"""A run's result as one reader may see it. Every decision is the visibility gate's."""

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from grading.models import Check, RunResult
from grading.policy.visibility import Moment, Viewer, closed_line, may_see_check

FAULTS = {
    RunResult.Kind.STUDENT: ("stopped by the code", "warn", "In your code:"),
    RunResult.Kind.ASSIGNMENT: ("the assignment’s fault", "bad", "Not your fault: the assignment’s checks failed. Staff can see this."),
    RunResult.Kind.SYSTEM: ("our fault", "bad", "Our fault, not yours: nothing was graded."),
}

CLOSED_WORDS = {"hidden": "hidden", "after_due": "hidden until due", "after_published": "hidden until published"}


@dataclass(frozen=True)
class CheckRow:
    """`note` tells staff that students do not see this check like this."""

    title: str
    icon: str
    tone: str
    word: str
    points: Decimal | None
    out_of: Decimal
    why: str = ""
    note: str = ""


@dataclass(frozen=True)
class ResultCard:
    outcome: str
    outcome_tone: str
    fault: str
    message: str
    tone: str
    rows: tuple[CheckRow, ...]
    output: str
    staff_message: str
    recorded: bool

    @property
    def brief(self) -> list[CheckRow]:
        """The rows with those that passed, or were never judged, taken together: what is left to do stands out."""
        rows = []
        for word, title in (("passed", "pass"), ("not judged", "not judged")):
            alike = [row for row in self.rows if row.word == word]
            if len(alike) > 1:
                points = sum((row.points or Decimal(0) for row in alike), Decimal(0))
                out_of = sum((row.out_of for row in alike), Decimal(0))
                rows.append(CheckRow(f"{len(alike)} checks {title}", alike[0].icon, alike[0].tone, word, points, out_of))
            else:
                rows += alike
        return rows + [row for row in self.rows if row.word not in {"passed", "not judged"}]


_WITHOUT_FAULT = {RunResult.Kind.OK, RunResult.Kind.STUDENT, RunResult.Kind.SMOKE}


def result_card(result: RunResult, viewer: Viewer, moment: Moment, *, score_seen: bool) -> ResultCard:
    """What `viewer` sees of the result. Closed checks become one line per time of opening; their points only if the score is seen."""
    rows: list[CheckRow] = []
    closed: dict[str, list[dict[str, Any]]] = {}
    for check in result.check_results:
        sight = may_see_check(viewer, moment, check["visibility"])
        if sight.detail == "full":
            rows.append(_row(check, staff=viewer.staff, said=result.message))
        elif sight.detail == "closed":
            closed.setdefault(sight.until, []).append(check)
    rows += [_closed(checks, until, score_seen=score_seen) for until, checks in closed.items()]
    outcome, outcome_tone, fault = FAULTS.get(RunResult.Kind(result.kind), ("", "", ""))
    if result.kind == RunResult.Kind.OK:
        shown = [
            check for check in result.check_results if may_see_check(viewer, moment, check["visibility"]).detail == "full" or score_seen
        ]
        passed = sum(bool(check["passed"]) for check in shown)
        outcome, outcome_tone = (f"{passed} of {len(shown)} checks pass", "good" if passed == len(shown) else "info")
    if result.kind == RunResult.Kind.SMOKE:
        outcome, outcome_tone = "passed", "good"
    return ResultCard(
        outcome=outcome,
        outcome_tone=outcome_tone,
        fault=fault if result.message or result.kind in {RunResult.Kind.ASSIGNMENT, RunResult.Kind.SYSTEM} else "",
        message=result.message or ("" if result.kind in _WITHOUT_FAULT else " "),
        tone="warn" if result.kind == RunResult.Kind.STUDENT else "bad",
        rows=tuple(rows),
        output=result.output,
        staff_message=result.staff_message if viewer.staff else "",
        recorded=result.recorded,
    )


@dataclass(frozen=True)
class CheckLine:
    """A check, or a group of closed ones, before anything ran. `opens` says when a closed group does."""

    title: str
    points: Decimal
    checks: int
    opens: str


def check_lines(checks: Iterable[Check], viewer: Viewer, moment: Moment) -> list[CheckLine]:
    """What `viewer` may know of a component's checks beforehand."""
    lines: list[CheckLine] = []
    closed: dict[str, list[Check]] = {}
    for check in checks:
        sight = may_see_check(viewer, moment, check.visibility)  # type: ignore[arg-type]  # the column holds the gate's words
        if sight.detail == "full":
            lines.append(CheckLine(check.title, check.points, 1, ""))
        elif sight.detail == "closed":
            closed.setdefault(sight.until, []).append(check)
    for until, group in closed.items():
        points = sum((check.points for check in group), Decimal(0))
        title = closed_line(checks=len(group), points=points, out_of=points, score_seen=False).split(",")[0]
        lines.append(CheckLine(title, points, len(group), until))
    return lines


def _row(check: dict[str, Any], *, staff: bool, said: str) -> CheckRow:
    """`said` is what stands above all checks, so that it is not repeated at each."""
    icon, tone, word = ("check", "ok", "passed") if check["passed"] else ("cross", "no", "failed")
    if not check["passed"] and Decimal(check["points"]):
        word = "passed in part"
    if not check["judged"]:
        icon, tone, word = "open", "no", "not judged"
    why = (check.get("staff_message") if staff else "") or check["message"]
    why = "" if why == said else why
    note = "" if check["visibility"] == "visible" or not staff else CLOSED_WORDS[check["visibility"]]
    return CheckRow(check["title"], icon, tone, word, Decimal(check["points"]), Decimal(check["max_points"]), why, note)


def _closed(checks: list[dict[str, Any]], until: str, *, score_seen: bool) -> CheckRow:
    points = sum((Decimal(check["points"]) for check in checks), Decimal(0))
    out_of = sum((Decimal(check["max_points"]) for check in checks), Decimal(0))
    title = closed_line(checks=len(checks), points=points, out_of=out_of, score_seen=score_seen).split(",")[0]
    return CheckRow(
        title, "hidden", "hid", "hidden", points if score_seen else None, out_of, f"{until[:1].upper()}{until[1:]}." if until else ""
    )
