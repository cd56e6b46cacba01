"""The one gate: may this person see this now. Pages, mail, totals, ranks, CSV and API ask here and nowhere else.

Time and publishing only ever open, never close again.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Literal

from grading.policy.walltime import in_utc
from grading.policy.words import clock, count, number

Release = Literal["at_once", "after_due", "after_published"]
Visibility = Literal["visible", "hidden", "after_due", "after_published"]


@dataclass(frozen=True)
class Viewer:
    """Who asks: staff of the course, or the student whose work it is. A viewer who is neither sees nothing."""

    staff: bool
    owner: bool


@dataclass(frozen=True)
class Moment:
    """When, in the life of a component. `zone` is for printing.

    `due_end` is the end of the last section's due minute, or of the viewer's own where that is later.
    """

    now: datetime
    due_end: datetime
    published: bool
    zone: str = "UTC"

    @property
    def after_due(self) -> bool:
        return in_utc(self.now) >= in_utc(self.due_end)


@dataclass(frozen=True)
class Sight:
    """What is seen of one check. "full": points and message; "closed": counted in a group, `until` says when it opens; "none"."""

    detail: Literal["full", "closed", "none"]
    until: str = ""


def may_see_score(viewer: Viewer, moment: Moment, *, release: Release) -> bool:
    """Whether the component's score may be seen. Publishing opens it whatever `release` says."""
    if viewer.staff:
        return True
    if not viewer.owner:
        return False
    return moment.published or release == "at_once" or (release == "after_due" and moment.after_due)


def may_see_check(viewer: Viewer, moment: Moment, visibility: Visibility) -> Sight:
    """What may be seen of a check. Publishing does not open a check that waits for the due time: others may still be at work."""
    if viewer.staff:
        return Sight("full")
    if not viewer.owner:
        return Sight("none")
    if visibility == "visible":
        return Sight("full")
    if visibility == "after_due":
        last_minute = in_utc(moment.due_end) - timedelta(minutes=1)
        return Sight("full") if moment.after_due else Sight("closed", f"opens after {clock(last_minute, moment.zone)}")
    if visibility == "after_published":
        return Sight("full") if moment.published else Sight("closed", "opens when the scores are published")
    return Sight("closed", "stays hidden")


def closed_line(*, checks: int, points: Decimal, out_of: Decimal, score_seen: bool) -> str:
    """The group line for closed checks. Their points would give the score away, so they are named only where it is seen."""
    start = count(checks, "hidden check")
    return f"{start}, {number(points)} of {number(out_of)}" if score_seen else f"{start}, worth {number(out_of)}"
