"""Kept files on their way out: who may have one is decided before it is asked for here."""

import re

from django.conf import settings
from django.http import FileResponse, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.http import content_disposition_header

from courseapp import blobs


def attachment(sha256: str, *, filename: str, content_type: str) -> HttpResponseBase:
    """The kept file as a download. With X_ACCEL_REDIRECT the proxy in front is told which one, and sends the bytes itself."""
    if not settings.X_ACCEL_REDIRECT:
        return FileResponse(blobs.open(sha256), as_attachment=True, filename=filename, content_type=content_type)
    headers = {"X-Accel-Redirect": f"{settings.X_ACCEL_REDIRECT}{blobs.name(sha256)}"}
    if disposition := content_disposition_header(True, re.sub(r"[\x00-\x1f\x7f]", " ", filename)):
        headers["Content-Disposition"] = disposition
    return HttpResponse(content_type=content_type, headers=headers)
