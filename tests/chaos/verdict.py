"""What must hold when everything has ended, asked of the database."""

from collections.abc import Mapping, Sequence
from decimal import Decimal

from django.db.models import Count

from courseapp.models import Enrollment
from grading.models import Component, Run, RunResult, Submission
from grading.queries.runs import JUDGED
from grading.queries.standing import standings


def problems(component: Component, students: Sequence[Enrollment], handed_in: Mapping[int, Decimal]) -> list[str]:
    """One sentence for each thing that is not as it must be. `handed_in`: the acknowledged hand-ins, with what each must score."""
    stored = set(Submission.objects.filter(component=component).values_list("pk", flat=True))
    found = [f"Hand-in {pk} was acknowledged and is not there." for pk in sorted(set(handed_in) - stored)]
    found += [f"Hand-in {pk} is there and was never acknowledged." for pk in sorted(stored - set(handed_in))]
    runs = Run.objects.filter(submission__component=component).annotate(results=Count("result")).order_by("pk")
    for run in runs:
        if run.is_open:
            found.append(f"Run {run.pk} has not ended: {run.state}, {run.note or 'no note'}")
        elif run.results != 1:
            found.append(f"Run {run.pk} is {run.state} and has {run.results} results.")
        elif run.state != Run.State.DONE:
            found.append(f"Run {run.pk} is {run.state}: {run.note}")
    counting: dict[int, list[Decimal]] = {pk: [] for pk in handed_in}
    judged = RunResult.objects.filter(run__submission__component=component, run__state=Run.State.DONE, kind__in=JUDGED)
    for pk, points in judged.order_by("pk").values_list("run__submission", "points"):
        counting.setdefault(pk, []).append(points)
    found += [f"Hand-in {pk} has {len(points)} counting results." for pk, points in counting.items() if len(points) != 1]
    found += [
        f"Hand-in {pk} has {points[0]} points; right are {handed_in[pk]}."
        for pk, points in counting.items()
        if len(points) == 1 and pk in handed_in and points[0] != handed_in[pk]
    ]
    return found + _standing_wrong(component, students, handed_in)


def _standing_wrong(component: Component, students: Sequence[Enrollment], handed_in: Mapping[int, Decimal]) -> list[str]:
    """What the pages would say: for each student the best hand-in counts."""
    found = []
    for standing in standings([component], students).values():
        best = max((handed_in.get(entry.submission.pk, Decimal(0)) for entry in standing.entries), default=None)
        counts = standing.counting
        result = counts.result.points if counts and counts.result else None
        if result != best:
            found.append(f"A student's best hand-in has {best} points, and {result} count.")
    return found
