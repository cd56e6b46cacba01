"""What the API asks for and no page does: hand-ins of a homework and the roster, page by page for staff, by what follows a cursor."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from django.db.models import Q, QuerySet

from courseapp.models import Enrollment
from grading.models import Check, Component, Homework, Run, Submission
from grading.policy.visibility import Viewer
from grading.queries.due import all_terms
from grading.queries.homework import ComponentBox, components_of, moment_of
from grading.queries.results import CheckLine, check_lines
from grading.queries.standing import Entry, standings


@dataclass(frozen=True)
class Row:
    """A hand-in in a list for staff."""

    submission: Submission
    entry: Entry
    counts: bool

    @property
    def run(self) -> Run | None:
        return self.entry.run


@dataclass(frozen=True)
class Filters:
    """Empty fields filter nothing. `after` is the last row of the page before."""

    component: str = ""
    state: str = ""
    student: str = ""
    section: str = ""
    since: datetime | None = None
    after: Submission | None = None


def checks_of(reader: Enrollment, boxes: Sequence[ComponentBox]) -> dict[int, list[CheckLine]]:
    """By component: what the reader may know of its checks. One statement."""
    viewer = Viewer(staff=reader.is_staff, owner=not reader.is_staff)
    rows: dict[int, list[Check]] = {}
    for check in Check.objects.filter(component__in=[box.component for box in boxes]).order_by("component", "position"):
        rows.setdefault(check.component_id, []).append(check)
    return {box.component.pk: check_lines(rows.get(box.component.pk, []), viewer, moment_of(box.component, box.terms)) for box in boxes}


def submissions(homework: Homework, filters: Filters, limit: int) -> list[Row]:
    """The newest hand-ins after the cursor, at most `limit`, in a constant number of statements."""
    components = components_of(homework.course, homework=homework)
    found = _filtered(homework, filters)
    found = _in_state(found, components, filters, limit) if filters.state else _after(found, filters)
    rows = list(found.select_related("component", "enrollment__section").order_by("-received_at", "-pk")[:limit])
    students = list({row.enrollment_id: row.enrollment for row in rows}.values())
    standing = standings(components, students) if rows else {}
    entries = {entry.submission.pk: (entry, entry is one.counting) for one in standing.values() for entry in one.entries}
    return [Row(row, *entries[row.pk]) for row in rows if row.pk in entries]


def _filtered(homework: Homework, filters: Filters) -> QuerySet[Submission]:
    found = Submission.objects.filter(component__homework=homework)
    if filters.component:
        found = found.filter(component__kind=filters.component)
    if filters.student:
        found = found.filter(enrollment__in=_named(homework, filters.student))
    if filters.section:
        found = found.filter(enrollment__section__name=filters.section)
    if filters.since:
        found = found.filter(received_at__gte=filters.since)
    return found


def _named(homework: Homework, student: str) -> QuerySet[Enrollment]:
    by = Q(username__iexact=student)
    if student.isdecimal():
        by |= Q(pk=int(student))
    return Enrollment.objects.filter(by, course=homework.course_id)


def _after(found: QuerySet[Submission], filters: Filters) -> QuerySet[Submission]:
    if filters.after is None:
        return found
    last = filters.after
    return found.filter(Q(received_at__lt=last.received_at) | Q(received_at=last.received_at, pk__lt=last.pk))


def _in_state(found: QuerySet[Submission], components: Sequence[Component], filters: Filters, limit: int) -> QuerySet[Submission]:
    """The state is today's, which an extension changes: it is computed, not stored."""
    light = _after(found, filters).only("component", "enrollment", "received_at", "stated_at", "state", "body_late")
    rows = list(light.order_by("-received_at", "-pk"))
    students = list(Enrollment.objects.filter(pk__in=found.values("enrollment")).select_related("course", "section"))
    terms = all_terms(components, students)
    fitting = (row.pk for row in rows if terms[row.component_id, row.enrollment_id].state_now(row) == filters.state)
    return Submission.objects.filter(pk__in=list(islice(fitting, limit)))


def roster(reader: Enrollment, *, section: str, role: str, state: str, after: Enrollment | None, limit: int) -> list[Enrollment]:
    """The people of the course by name, after the cursor. One statement."""
    wanted: dict[str, Any] = {"section__name": section, "role": role, "state": state}
    found = Enrollment.objects.filter(course=reader.course_id, **{name: value for name, value in wanted.items() if value})
    if after is not None:
        last, first = after.last_name, after.first_name
        later = Q(last_name__gt=last) | Q(last_name=last, first_name__gt=first) | Q(last_name=last, first_name=first, pk__gt=after.pk)
        found = found.filter(later)
    return list(found.select_related("section").order_by("last_name", "first_name", "pk")[:limit])
