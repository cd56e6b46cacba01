"""The page one lands on."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from courseapp.access import member
from courseapp.models import Enrollment, User
from courseapp.queries import courses_of
from grading.queries.today import staff_today, student_today


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Today of the one course; with several, or none, the list to choose from."""
    assert isinstance(request.user, User)
    places = courses_of(request.user.pk)
    if len(places) != 1:
        return render(request, "grading/today/courses.html", {"places": places})
    return _page(request, member(request, places[0].course.slug))


@login_required
@require_safe
def course(request: HttpRequest, course: str) -> HttpResponse:
    return _page(request, member(request, course))


def _page(request: HttpRequest, reader: Enrollment) -> HttpResponse:
    if reader.is_staff:
        return render(request, "grading/today/staff.html", {"today": staff_today(reader.course), "here": "today"})
    return render(request, "grading/today/student.html", {"today": student_today(reader), "here": "today"})
