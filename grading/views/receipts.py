"""Receipts: one's own, and checking anybody's."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_safe

from courseapp.access import member
from grading import access
from grading.forms.receipts import VerifyForm
from grading.services import receipts


@login_required
@require_safe
def page(request: HttpRequest, code: str) -> HttpResponse:
    submission = access.receipt_read(request.user.pk, code)
    text = receipts.document(submission)
    if "download" in request.GET:
        return HttpResponse(
            text,
            content_type="text/plain; charset=utf-8",
            headers={"Content-Disposition": f'attachment; filename="receipt-{submission.receipt_code}.txt"'},
        )
    component = submission.component
    member(request, component.homework.course.slug)
    valid = receipts.verify(submission.receipt_text, submission.receipt_signature)
    return render(request, "grading/receipts/page.html", {"submission": submission, "component": component, "text": text, "valid": valid})


@require_http_methods(["GET", "HEAD", "POST"])
def verify(request: HttpRequest) -> HttpResponse:
    """Open to everybody: it says only whether a text that the reader already has was signed here."""
    form = VerifyForm(request.POST or None, request.FILES or None)
    verdict = receipts.judge(form.cleaned_data["text"], form.cleaned_data["files"]) if form.is_bound and form.is_valid() else None
    return render(request, "grading/receipts/verify.html", {"form": form, "verdict": verdict})
