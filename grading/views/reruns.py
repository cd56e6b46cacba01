"""Have hand-ins judged again, look at what would change, and accept it or not."""

import csv
from collections.abc import Callable

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from courseapp.access import manager, staff
from courseapp.models import Enrollment
from grading import access
from grading.forms.reruns import RerunForm
from grading.models import Rerun
from grading.policy.words import count
from grading.queries import reruns as queries
from grading.services import reruns as services

_MOST_DIGITS = 18


@login_required
@require_safe
def index(request: HttpRequest, course: str, slug: str, kind: str) -> HttpResponse:
    reader = staff(request, course)
    component = access.component(access.homework(reader, slug), kind)
    found = {"component": component, "homework": component.homework, "rows": queries.listing(component), "here": "homework"}
    return render(request, "grading/reruns/index.html", found)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def new(request: HttpRequest, course: str, slug: str, kind: str) -> HttpResponse:
    """TAs and instructors. `hand_in`: what is ticked at first."""
    by = manager(request, course)
    component = access.component(access.homework(by, slug), kind)
    choices = queries.choices(component)
    ticked = set(request.GET.getlist("hand_in"))
    initial = {"scope": "chosen" if ticked else "earlier" if any(one.earlier for one in choices) else "counting"}
    form = RerunForm(request.POST or None, request.FILES or None, choices=choices, initial=initial)
    if form.is_bound and form.is_valid():
        values = form.cleaned_data
        try:
            rerun = services.start(
                component=component,
                submissions=form.submissions,
                by=by,
                reason=values["reason"],
                files=form.replaced,
                repair_percent=values["repair_percent"],
            )
        except services.RerunError as problem:
            form.add_error(problem.field or None, str(problem))
        else:
            return redirect("rerun", course, rerun.pk)
    context = {
        "component": component,
        "homework": component.homework,
        "form": form,
        "choices": choices,
        "ticked": form.ticked if form.is_bound else ticked,
        "here": "homework",
    }
    return render(request, "grading/reruns/new.html", context, status=400 if form.is_bound else 200)


@login_required
@require_safe
def page(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    reader = staff(request, course)
    return render(request, "grading/reruns/page.html", queries.page(access.rerun(reader, pk)) | {"here": "homework"})


@login_required
@require_safe
def live(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The part of the page that changes while runs go; 204 when the reader has seen it as it is."""
    reader = staff(request, course)
    rerun = access.rerun(reader, pk)
    if queries.pulse(rerun) == request.GET.get("seen"):
        return HttpResponse(status=204)
    return render(request, "grading/reruns/_live.html", queries.page(rerun))


@login_required
@require_safe
def table(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The table as CSV; a cell that a spreadsheet would take for a formula is quoted by an apostrophe."""
    reader = staff(request, course)
    rerun = access.rerun(reader, pk)
    answer = HttpResponse(content_type="text/csv; charset=utf-8")
    answer["Content-Disposition"] = f'attachment; filename="rerun-{rerun.pk}.csv"'
    csv.writer(answer).writerows([_plain(cell) for cell in line] for line in queries.lines(rerun))
    return answer


def _plain(cell: str) -> str:
    """Numbers below 0 are numbers; whatever else begins like a formula is a text."""
    number = cell.removeprefix("-").replace(".", "", 1).isdigit()
    return f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") and not number else cell


@login_required
@require_POST
def go_on(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    def act(rerun: Rerun, by: Enrollment) -> str:
        return f"{count(services.go_on(rerun=rerun, by=by), 'more hand-in')} queued."

    return _done(request, course, pk, act)


@login_required
@require_POST
def stop(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    def act(rerun: Rerun, by: Enrollment) -> str:
        return f"{count(services.stop(rerun=rerun, by=by), 'run')} stopped. What has been judged can be accepted."

    return _done(request, course, pk, act)


@login_required
@require_POST
def discard(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    def act(rerun: Rerun, by: Enrollment) -> str:
        services.discard(rerun=rerun, by=by)
        return "The rerun is discarded. Every score stays as it was."

    return _done(request, course, pk, act)


@login_required
@require_POST
def accept(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """`item`: the ticked rows; `unlisted=yes`, `same=yes`: also those that are advised of the rest, those without a difference.

    `seen`: the table that they were ticked in.
    """
    keys = {int(key) for key in request.POST.getlist("item") if key.isascii() and key.isdecimal() and len(key) <= _MOST_DIGITS}

    def act(rerun: Rerun, by: Enrollment) -> str:
        same, unlisted = (request.POST.get(name) == "yes" for name in ("same", "unlisted"))
        done = services.accept(rerun=rerun, by=by, items=keys, seen=request.POST.get("seen", ""), same=same, unlisted=unlisted)
        return f"{count(done.applied, 'new result')} {'counts' if done.applied == 1 else 'count'} now; {count(done.told, 'student')} told."

    return _done(request, course, pk, act)


def _done(request: HttpRequest, course: str, pk: int, act: Callable[[Rerun, Enrollment], str]) -> HttpResponse:
    """TAs and instructors decide; what could not be done is said on the rerun's page."""
    by = manager(request, course)
    rerun = access.rerun(by, pk)
    try:
        messages.success(request, act(rerun, by))
    except services.RerunError as problem:
        messages.warning(request, str(problem))
    return redirect("rerun", course, pk)
