"""A homework as its graders see it."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST, require_safe

from courseapp.access import instructor, staff
from grading import access
from grading.queries import staff as queries
from grading.services import publish as publishing


@login_required
@require_safe
def page(request: HttpRequest, course: str, slug: str) -> HttpResponse:
    reader = staff(request, course)
    homework = access.homework(reader, slug)
    found = queries.page(homework, section=request.GET.get("section", ""), page=request.GET.get("page", "1"))
    return render(request, "grading/staff/page.html", found | {"here": "homework"})


@login_required
@require_POST
def publish(request: HttpRequest, course: str, slug: str, kind: str) -> HttpResponse:
    by = instructor(request, course)
    component = access.component(access.homework(by, slug), kind)
    if publishing.publish(component=component, by=by):
        messages.success(request, f"The {component.kind} scores of {component.homework} are published.")
    return redirect("homework-staff", course, slug)
