"""One hand-in: its run as it goes, its result, its files."""

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from courseapp import downloads
from courseapp.access import manager, member, staff
from grading import access
from grading.forms.byhand import PointsForm
from grading.queries import comparing
from grading.queries import stream as streams
from grading.queries import submission as queries
from grading.queries.runs import has_score, latest
from grading.services import byhand, runs

_DIGITS = 9  # of a place in a log


@login_required
@require_safe
def page(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    reader = member(request, course)
    submission = access.submission_read(reader, pk)
    beside = access.run_beside(reader, submission.component_id, request.GET.get("beside", ""))
    return render(request, "grading/submission/page.html", queries.page(reader, submission, beside))


@login_required
@require_safe
def live(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The part of the page that changes while a run goes; 204 when the reader has seen it as it is."""
    reader = member(request, course)
    found = queries.unseen(reader, access.submission_read(reader, pk), request.GET.get("seen", ""))
    return HttpResponse(status=204) if found is None else render(request, "grading/submission/_live.html", found)


@login_required
@require_safe
def stream(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """What a run printed from character `after` on, and its curves unless the reader has `seen` them, as JSON."""
    run = access.run_read(member(request, course), pk)
    token, after = (_number(request.GET.get(name, "")) for name in ("token", "after"))
    return JsonResponse(streams.followed(run, token=token, after=after, seen=request.GET.get("seen", "")))


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= _DIGITS else 0


@login_required
@require_POST
def rerun(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """At once where there is no score yet. Where there is one, the new result is a proposal: TAs and instructors accept it or not."""
    by = staff(request, course)
    submission = access.submission_read(by, pk)
    if has_score(submission):
        by = manager(request, course)
        component = submission.component
        return redirect(f"{reverse('rerun-new', args=[course, component.homework.slug, component.kind])}?hand_in={submission.pk}")
    run = runs.rerun(submission=submission, by=by)
    messages.success(request, f"Run {run.pk} is queued.")
    return redirect("submission", course, pk)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def points(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """Set a judged part's points by hand, or take them back. TAs and instructors."""
    by = manager(request, course)
    submission = access.submission_judged(by, pk)
    before = byhand.current(submission)
    form = PointsForm(request.POST or None, initial={"points": before.points if before else None})
    if form.is_bound and form.is_valid():
        try:
            row = byhand.set_points(submission=submission, by=by, **form.cleaned_data)
        except byhand.ByHandError as problem:
            form.add_error(problem.field, str(problem))
        else:
            said = "The checks' points hold again." if row.points is None else "The points are set; no run changes them."
            messages.success(request, said)
            return redirect("submission", course, pk)
    rows = submission.points_by_hand.select_related("set_by").order_by("-pk")
    context = {"form": form, "submission": submission, "rows": rows, "here": "homework"}
    return render(request, "grading/submission/points.html", context, status=400 if form.is_bound else 200)


@login_required
@require_POST
def cancel(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    by = member(request, course)
    submission = access.submission_read(by, pk)
    run = latest(submission)
    if run is not None and runs.cancel(run=run, by=by):
        again = "" if by.is_staff else " It has no result: hand in again, or ask the staff to run it."
        messages.success(request, f"Run {run.pk} was stopped.{again}")
    else:
        messages.info(request, "There was nothing to stop: the run had ended already.")
    return redirect("submission", course, pk)


@login_required
@require_safe
def diff(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """What changed since another hand-in, or since the starter files."""
    reader = member(request, course)
    submission = access.submission_read(reader, pk)
    before = access.comparison(reader, submission, request.GET.get("with", ""))
    return render(request, "grading/submission/diff.html", comparing.page(submission, before))


@login_required
@require_safe
def file(request: HttpRequest, course: str, pk: int, file_pk: int) -> HttpResponse:
    reader = member(request, course)
    submission = access.submission_read(reader, pk)
    row = access.submission_file(submission, file_pk)
    raw_url = reverse("submission-file-raw", args=[course, pk, file_pk])
    return render(request, "grading/submission/file.html", queries.file_view(submission, row) | {"raw_url": raw_url})


@login_required
@require_safe
def file_raw(request: HttpRequest, course: str, pk: int, file_pk: int) -> HttpResponseBase:
    """The bytes as they were handed in: always a download, so that nothing in them can run on this site."""
    reader = member(request, course)
    row = access.submission_file(access.submission_read(reader, pk), file_pk)
    return download(row.sha256, row.path.rsplit("/", 1)[-1])


@login_required
@require_safe
def output_raw(request: HttpRequest, course: str, pk: int, file_pk: int) -> HttpResponseBase:
    """The bytes as the run left them: a student's code wrote them, so they are a download as well."""
    reader = member(request, course)
    row = access.output_file(access.submission_read(reader, pk), file_pk)
    return download(row.sha256, row.name)


def download(sha256: str, name: str) -> HttpResponseBase:
    response = downloads.attachment(sha256, filename=name, content_type="application/octet-stream")
    response["Content-Security-Policy"] = "sandbox; default-src 'none'"
    response["X-Content-Type-Options"] = "nosniff"
    return response
