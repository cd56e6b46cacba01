"""Set a hand-in's points by hand where the checks cannot judge it, and take them back."""

import logging
from decimal import Decimal

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from courseapp.clock import database_now
from courseapp.models import Enrollment
from courseapp.services import outbox
from grading.models import Component, PointsByHand, Submission
from grading.policy.visibility import Viewer
from grading.policy.words import number
from grading.queries.due import terms_for
from grading.queries.homework import moment_of, score_seen

log = logging.getLogger(__name__)


class ByHandError(ValueError):
    """What cannot be set, for staff; `field` is that of the form."""

    def __init__(self, message: str, field: str) -> None:
        super().__init__(message)
        self.field = field


@transaction.atomic
def set_points(*, submission: Submission, points: Decimal | None, reason: str, by: Enrollment) -> PointsByHand:
    """The points before lateness; None gives the checks' result its place again. The row stays, and a newer one holds instead."""
    Component.objects.select_for_update().get(pk=submission.component_id)  # a rerun is not accepted meanwhile
    reason = " ".join(reason.split())
    most = submission.component.points
    if not reason:
        raise ByHandError("Say why; the student reads it.", "reason")
    if points is not None and not 0 <= points <= most:
        raise ByHandError(f"{number(points)} points are refused; accepted are 0 to {number(most)}.", "points")
    before = current(submission)
    if points is None and before is None:
        raise ByHandError("No points are set by hand here, so there is nothing to take back.", "points")
    row = PointsByHand.objects.create(submission=submission, points=points, reason=reason, set_by=by, created_at=database_now())
    _tell(row)
    log.info("Hand-in %s: points by hand %s by %s.", submission.pk, "taken back" if points is None else "set", by.pk)
    return row


def current(submission: Submission) -> PointsByHand | None:
    """What holds now; None when nothing was set, or it was taken back."""
    row = submission.points_by_hand.last()
    return row if row is not None and row.points is not None else None


def _tell(row: PointsByHand) -> None:
    """A mail, without points, if the student may see the score."""
    submission, student = row.submission, row.submission.enrollment
    component = submission.component
    if student.state != Enrollment.State.ACTIVE:
        return
    if not score_seen(Viewer(staff=False, owner=True), component, moment_of(component, terms_for(component, student))):
        return
    what = "The points that were set by hand were taken back" if row.points is None else "The staff set its points by hand"
    page = settings.SITE_URL + reverse("submission", args=[student.course.slug, submission.pk])
    outbox.post(
        student.user.email if student.user else student.email,
        f"Homework {component.homework.number}, {component.kind}: hand-in #{submission.number} was graded by hand",
        f"{what}: {row.reason}\n\nIts score is on its page: {page}\n",
    )
