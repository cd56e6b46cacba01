"""Handing in, and deciding about what was handed in."""

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from courseapp import uploads
from courseapp.access import manager, member, sender
from courseapp.middleware import received
from grading import access
from grading.forms.handin import HandInForm, OnBehalfForm
from grading.models import Submission
from grading.queries import homework as queries
from grading.services import handin


def wants_json(request: HttpRequest) -> bool:
    return request.headers.get("Accept", "").startswith("application/json")


@login_required
@require_POST
def submit(request: HttpRequest, course: str, slug: str, kind: str) -> HttpResponse:
    """A student's upload. Answers with the hand-in's page, or says what is wrong and keeps the form."""
    student = member(request, course)
    if student.is_staff:
        raise Http404
    component = access.component(access.homework(student, slug), kind)
    form = HandInForm(request.POST)
    form.full_clean()
    try:
        done = handin.hand_in(
            component=component,
            enrollment=student,
            by=sender(request),
            files=_files(request),
            received_at=received(request),
            completed_at=datetime.now(UTC),
            own_work=form.cleaned_data.get("own_work") or False,
            confirmed_days=form.cleaned_data.get("confirm_late"),
        )
    except handin.Refused as refusal:
        return _refused(request, refusal, course, slug, kind)
    return _accepted(request, done, course)


def _files(request: HttpRequest) -> "list[UploadedFile[Any]]":
    if problem := uploads.problem(request):
        raise handin.Refused(problem, status=507)
    return request.FILES.getlist("files")


def _accepted(request: HttpRequest, done: Submission, course: str) -> HttpResponse:
    url = reverse("submission", args=[course, done.pk])
    return JsonResponse({"redirect": url}, status=201) if wants_json(request) else redirect(url)


def _refused(request: HttpRequest, refusal: handin.Refused, course: str, slug: str, kind: str) -> HttpResponse:
    """The same sentences for a script and for a page; without JavaScript the form is shown again with them."""
    problem = {"error": refusal.error, "details": refusal.details, "kept": refusal.kept}
    if wants_json(request):
        return JsonResponse(problem, status=refusal.status)
    reader = member(request, course)
    context = queries.page(reader, access.homework(reader, slug), problem=problem, problem_kind=kind) | {"here": "homework"}
    return render(request, "grading/homework/page.html", context, status=refusal.status)


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def on_behalf(request: HttpRequest, course: str, slug: str, kind: str) -> HttpResponse:
    by = manager(request, course)
    component = access.component(access.homework(by, slug), kind)
    form = OnBehalfForm(request.POST or None, request.FILES or None, component=component)
    problem = None
    with timezone.override(by.course.zone):  # the stated time is course time
        valid = form.is_bound and form.is_valid()
    if valid:
        try:
            done = handin.hand_in(
                component=component,
                enrollment=form.cleaned_data["student"],
                by=sender(request),
                files=_files(request),
                received_at=received(request),
                completed_at=datetime.now(UTC),
                own_work=True,
                confirmed_days=None,
                on_behalf_reason=form.cleaned_data["reason"],
                stated_at=form.cleaned_data["stated_at"],
            )
        except handin.Refused as refusal:
            problem = {"error": refusal.error, "details": refusal.details, "kept": refusal.kept}
        else:
            return redirect("submission", course, done.pk)
    context = {"homework": component.homework, "component": component, "form": form, "problem": problem, "here": "homework"}
    return render(request, "grading/staff/on_behalf.html", context, status=400 if form.is_bound else 200)


@login_required
@require_POST
def confirm(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The student agrees to what a late hand-in costs."""
    submission = access.submission_own(member(request, course), pk)
    agreed = request.POST.get("days", "")
    try:
        handin.confirm_late(
            submission=submission, days=int(agreed) if agreed.isdecimal() and len(agreed) <= 3 else 0, choose="choose" in request.POST
        )
    except handin.Refused as refusal:
        messages.error(request, f"{refusal.error} {refusal.kept}")
    return redirect("submission", course, pk)


@login_required
@require_POST
def choose(request: HttpRequest, course: str, pk: int) -> HttpResponse:
    """The student says which hand-in counts, or leaves it to the rule again."""
    submission = access.submission_own(member(request, course), pk)
    try:
        if "undo" in request.POST:
            handin.unchoose(submission=submission)
            messages.success(request, "The rule decides again which hand-in counts.")
        else:
            handin.choose(submission=submission)
            messages.success(request, f"Hand-in #{submission.number} counts now, by your choice.")
    except handin.Refused as refusal:
        messages.error(request, refusal.error)
    return redirect("homework", course, submission.component.homework.slug)
