"""What waits, what runs, and on which machines."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from courseapp.access import instructor, manager, member, staff
from grading import access
from grading.forms.queue import GrantForm, PauseForm
from grading.models import Run
from grading.queries import queue as queries
from grading.services import queue as services
from grading.services import runs


@login_required
@require_safe
def page(request: HttpRequest, course: str) -> HttpResponse:
    reader = member(request, course)
    found = queries.page(reader, request.GET.get("page", "1"))
    return render(request, f"grading/queue/{'staff' if reader.is_staff else 'student'}.html", found | {"here": "queue"})


@login_required
@require_safe
def live(request: HttpRequest, course: str) -> HttpResponse:
    """The part of the page that changes by itself; 204 when the reader has seen it as it is."""
    reader = member(request, course)
    found = queries.live(reader, request.GET.get("page", "1"))
    if found["version"] == request.GET.get("seen"):
        return HttpResponse(status=204)
    return render(request, f"grading/queue/_{'staff' if reader.is_staff else 'student'}_live.html", found)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def minutes(request: HttpRequest, course: str) -> HttpResponse:
    """Grant GPU minutes: TAs and instructors, as with more time."""
    by = manager(request, course)
    form = GrantForm(request.POST or None, course=by.course, initial={"student": request.GET.get("student")})
    if form.is_bound and form.is_valid():
        values = form.cleaned_data
        try:
            grant = services.grant_minutes(enrollment=values["student"], minutes=values["minutes"], reason=values["reason"], by=by)
        except services.QueueError as problem:
            form.add_error(problem.field if problem.field in form.fields else None, str(problem))
        else:
            messages.success(request, f"{grant.enrollment.display_name} has {grant.minutes} GPU minutes more in this week.")
            return redirect("queue", course)
    return render(request, "grading/queue/minutes.html", {"form": form, "here": "queue"}, status=400 if form.is_bound else 200)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def pause(request: HttpRequest, course: str, pool: str) -> HttpResponse:
    """Instructors only: the machines are every course's."""
    by = instructor(request, course)
    name = access.pool(pool)
    form = PauseForm(request.POST or None)
    if form.is_bound and form.is_valid():
        try:
            services.pause(pool=name, reason=form.cleaned_data["reason"], by=by)
        except services.QueueError as problem:
            form.add_error(problem.field, str(problem))
        else:
            messages.success(request, f"The {name.upper()} queue is paused. What runs goes on; nothing new begins.")
            return redirect("queue", course)
    context = {"form": form, "pool": name, "here": "queue"} | queries.numbers(name)
    return render(request, "grading/queue/pause.html", context, status=400 if form.is_bound else 200)


@login_required
@require_POST
def resume(request: HttpRequest, course: str, pool: str) -> HttpResponse:
    by = instructor(request, course)
    name = access.pool(pool)
    if services.resume(pool=name, by=by):
        messages.success(request, f"The {name.upper()} queue goes on.")
    return redirect("queue", course)


@login_required
@require_POST
def slot(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """Drain a slot (`drained=yes`), or give it out again (`drained=no`). Instructors only."""
    by = instructor(request, course)
    row = access.slot(by, pk)
    drained = request.POST.get("drained") == "yes"
    services.drain(slot=row, drained=drained, by=by)
    messages.success(request, f"{row.uuid} is {'given out no more; what runs on it ends' if drained else 'given out again'}.")
    return redirect("queue", course)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def cancel(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """Staff stop a run of their course, after they have read what that means."""
    by = staff(request, course)
    run = access.run(by, pk)
    if request.method != "POST":
        return render(request, "grading/queue/cancel.html", {"run": run, "running": run.state == Run.State.RUNNING, "here": "queue"})
    if runs.cancel(run=run, by=by):
        messages.success(
            request,
            f"Run {run.pk} of {run.owner.display_name} is cancelled. {'Its files are' if run.lab_id else 'Its hand-in is'} kept.",
        )
    else:
        messages.warning(request, f"Run {run.pk} had already ended; nothing was changed.")
    return redirect("queue", course)
