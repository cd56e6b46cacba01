"""What machines ask that watch the site. Nothing here needs an account, and nothing waits for what is dead."""

from django.contrib.auth.models import AnonymousUser
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from courseapp import logs
from courseapp.access import may_watch
from grading.services import monitoring, readiness


@require_safe
def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; it says nothing about the database or the broker."""
    return HttpResponse("ok", content_type="text/plain")


@never_cache
@require_safe
def readyz(request: HttpRequest) -> JsonResponse:
    """200 while pages and uploads work (“ready” or “degraded”), 503 when not. Details are for those who run the site."""
    found = readiness.look()
    if found["database"].state != "ok":
        request.user = AnonymousUser()  # who it is would be asked of the database
    told = may_watch(request)
    checks = {
        name: {"state": one.state} | ({"detail": logs.redacted(one.detail), "seconds": one.seconds} if told else {})
        for name, one in found.items()
    }
    word = readiness.verdict(found)
    status = 503 if word == "unready" else 200
    return JsonResponse({"status": word, "checks": checks}, status=status, json_dumps_params={"indent": 1})


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_watch(request, staff=False):
        raise Http404
    request.user = AnonymousUser()  # nobody's page, and a dead database must not be asked whose
    return HttpResponse(monitoring.exposition(), content_type=monitoring.CONTENT_TYPE)
