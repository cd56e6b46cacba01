"""What the site keeps of its reader, to take along."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from courseapp import zips
from courseapp.access import sender
from grading.queries import export


@login_required
@require_http_methods(["GET", "HEAD", "POST"])
def own(request: HttpRequest) -> HttpResponseBase:
    """The page, and on its button the file: each sender their own, there is no address of anybody else's."""
    if request.method != "POST":
        return page(request)
    name = f"my-data-{timezone.now():%Y-%m-%d}.zip"
    answer = StreamingHttpResponse(zips.stream(export.entries(sender(request))), content_type="application/zip")
    answer["Content-Disposition"] = f'attachment; filename="{name}"'
    return answer


def page(request: HttpRequest) -> HttpResponse:
    return render(request, "account/data.html")
