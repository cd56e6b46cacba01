"""Pages of the course itself."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from courseapp import queries
from courseapp.access import member


@login_required
@require_safe
def people(request: HttpRequest, course: str) -> HttpResponse:
    reader = member(request, course)
    roster = queries.roster(reader, section=request.GET.get("section", ""))
    return render(request, "courseapp/people.html", {"roster": roster, "here": "people"})
