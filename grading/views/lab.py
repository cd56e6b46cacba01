"""Lab runs: start one, watch it, take along what it wrote."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from courseapp import uploads
from courseapp.access import member
from courseapp.models import Enrollment
from grading import access
from grading.forms.lab import LabForm
from grading.models import LabRun
from grading.queries import lab as queries
from grading.services import lab as services
from grading.services import runs
from grading.views.submission import download


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def page(request: HttpRequest, course: str) -> HttpResponse:
    """The form, and the lab runs there are; a POST starts one. `component` and `hand_in` of the query are chosen beforehand."""
    reader = member(request, course)
    environments = queries.environments(reader)
    chosen = {"component": request.GET.get("component", ""), "submission": request.GET.get("hand_in", "")}
    sent = (request.POST, request.FILES) if request.method == "POST" else (None, None)
    form = LabForm(*sent, environments=environments, hand_ins=queries.hand_ins(reader), initial=chosen)
    if problem := uploads.problem(request) if request.method == "POST" else "":
        form.add_error(None, problem)
    if form.is_bound and form.is_valid() and (made := _start(reader, form)) is not None:
        return redirect("lab-run", course, made.pk)
    context = queries.page(reader, environments, request.GET.get("page", "1"))
    context |= {"form": form, "most_open": services.MOST_OPEN, "most_a_day": services.MOST_A_DAY, "keep_days": settings.RETENTION_LAB_DAYS}
    return render(request, "grading/lab/page.html", context, status=400 if form.is_bound else 200)


def _start(reader: Enrollment, form: LabForm) -> LabRun | None:
    values: dict[str, Any] = form.cleaned_data
    try:
        return services.start(enrollment=reader, **values)
    except services.LabError as problem:
        form.add_error(problem.field or None, list(problem.sentences))
        return None


@login_required
@require_safe
def run(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    reader = member(request, course)
    lab = access.lab_read(reader, pk)
    beside = access.run_beside(reader, lab.component_id, request.GET.get("beside", ""))
    return render(request, "grading/lab/run.html", queries.run_page(reader, lab, beside))


@login_required
@require_safe
def live(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The part of the page that changes while it runs; 204 when the reader has seen it as it is."""
    reader = member(request, course)
    found = queries.unseen(reader, access.lab_read(reader, pk), request.GET.get("seen", ""))
    return HttpResponse(status=204) if found is None else render(request, "grading/lab/_live.html", found)


@login_required
@require_POST
def cancel(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    by = member(request, course)
    lab = access.lab_read(by, pk)
    if runs.cancel(run=lab.run, by=by):
        messages.success(request, f"Lab run #{lab.number} was stopped. Its log is kept; what it had written is not.")
    else:
        messages.info(request, "There was nothing to stop: it had ended already.")
    return redirect("lab-run", course, pk)


@login_required
@require_POST
def again(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The same once more; only one's own."""
    lab = access.lab_own(member(request, course), pk)
    try:
        made = services.again(lab=lab)
    except services.LabError as problem:
        messages.error(request, str(problem))
        return redirect("lab-run", course, pk)
    return redirect("lab-run", course, made.pk)


@login_required
@require_safe
def file_raw(request: HttpRequest, course: str, pk: int, file_pk: int) -> HttpResponseBase:
    row = access.lab_file(access.lab_read(member(request, course), pk), file_pk)
    return download(row.sha256, row.path.rsplit("/", 1)[-1])


@login_required
@require_safe
def output_raw(request: HttpRequest, course: str, pk: int, file_pk: int) -> HttpResponseBase:
    row = access.lab_output(access.lab_read(member(request, course), pk), file_pk)
    return download(row.sha256, row.name)
