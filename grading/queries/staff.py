"""A homework for its graders: who handed in, how late, how far the runs are, and the scores as a picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from statistics import median
from typing import Any

from django.core.paginator import Paginator
from django.urls import reverse

from courseapp.models import Enrollment, Role
from grading.models import Component, Homework, Rerun
from grading.queries.homework import Chip, components_of
from grading.queries.runs import state_word
from grading.queries.standing import Standing, standings

PER_PAGE = 100
BINS = 10


@dataclass(frozen=True)
class Cell:
    url: str
    label: str
    chips: list[Chip]
    autograded: bool
    score: Decimal | None
    earlier: bool = False


@dataclass(frozen=True)
class Part:
    """A component in numbers. `earlier`: how many of the scores are of an earlier version of the autograder."""

    component: Component
    autograded: bool
    students: int
    handed_in: int
    late: int
    open_runs: int
    earlier: int
    median: Decimal | None
    bins: list[int]
    high: str
    due_at: Any


def page(homework: Homework, *, section: str, page: str) -> dict[str, Any]:
    """Everything on the staff page, in a constant number of statements; `section` is a name or empty for all."""
    course = homework.course
    everyone = list(
        Enrollment.objects.filter(course=course, role=Role.STUDENT, state=Enrollment.State.ACTIVE).select_related("section", "course")
    )
    sections = sorted({member.section.name for member in everyone if member.section})
    students = [member for member in everyone if not section or (member.section and member.section.name == section)]
    components = components_of(course, homework=homework)
    standing = standings(components, students)
    shown = Paginator(students, PER_PAGE).get_page(page)
    return {
        "homework": homework,
        "open_reruns": list(Rerun.objects.filter(component__in=components, state__in=Rerun.OPEN).select_related("component", "asked_by")),
        "parts": [_part(component, [standing[component.pk, member.pk] for member in students]) for component in components],
        "rows": [
            {"student": member, "cells": [_cell(standing[component.pk, member.pk], course.slug) for component in components]}
            for member in shown
        ],
        "page": shown,
        "tabs": [{"value": "", "label": "All", "here": not section}]
        + [{"value": name, "label": f"Section {name}", "here": name == section} for name in sections],
    }


def _part(component: Component, standing: Sequence[Standing]) -> Part:
    handed_in = [one for one in standing if any(entry.accepted for entry in one.entries)]
    scores = [one.score.final for one in standing if one.score]
    autograded = any(one.autograded for one in standing)
    return Part(
        component=component,
        autograded=autograded,
        students=len(standing),
        handed_in=len(handed_in),
        late=sum(bool(one.counting and one.counting.lateness.late) for one in handed_in),
        open_runs=sum(one.open_run is not None for one in standing),
        earlier=sum(one.earlier for one in standing),
        median=median(scores) if scores else None,
        bins=bins(scores, component.points),
        high=f"{component.points.normalize():f}",
        due_at=max((one.terms.due.due.instant for one in standing), default=None),
    )


def bins(scores: Sequence[Decimal], most: Decimal) -> list[int]:
    """How many scores lie in each tenth of 0..most; a full score lies in the last."""
    counts = [0] * BINS
    for score in scores:
        counts[min(BINS - 1, max(0, int(score * BINS / most)))] += 1
    return counts


def _cell(standing: Standing, slug: str) -> Cell:
    entry = standing.counting or (standing.entries[0] if standing.entries else None)
    if entry is None:
        return Cell("", "nothing yet", [], standing.autograded, None)
    chips = []
    if not entry.accepted:
        chips.append(Chip(entry.state.label, "warn"))
    if entry.lateness.late and entry.accepted:
        chips.append(Chip(entry.lateness.label, "warn"))
    run = standing.open_run
    if run:
        chips.append(Chip(state_word(run), "info"))
    elif entry.run and entry.run.state == "failed":
        chips.append(Chip("not judged", "bad"))
    url = reverse("submission", args=[slug, entry.submission.pk])
    score = standing.score.final if standing.score else None
    return Cell(url, f"#{entry.submission.number}", chips, standing.autograded, score, standing.earlier)
