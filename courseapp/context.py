"""What every template may use."""

from dataclasses import dataclass

from django.http import HttpRequest
from django.urls import reverse

from courseapp.models import Enrollment


@dataclass(frozen=True)
class RailEntry:
    """A place of the course; `name` is what a page calls itself in `here`, and the icon's."""

    name: str
    label: str
    url: str

    @property
    def icon(self) -> str:
        return self.name


RAIL = (
    ("today", "Today", "course"),
    ("homework", "Homework", "homework-list"),
    ("lab", "Lab", "lab"),
    ("queue", "Queue", "queue"),
    ("people", "People", "people"),
)


def rail(enrollment: Enrollment) -> tuple[RailEntry, ...]:
    return tuple(RailEntry(name, label, reverse(view, args=[enrollment.course.slug])) for name, label, view in RAIL)


def site(request: HttpRequest) -> dict[str, object]:
    """The course, the reader's place in it and the ways through it, on pages that have them (set by `access.member`)."""
    enrollment: Enrollment | None = getattr(request, "enrollment", None)
    if enrollment is None:
        return {"enrollment": None, "course": None}
    return {"enrollment": enrollment, "course": enrollment.course, "rail": rail(enrollment)}
