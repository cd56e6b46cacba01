"""What every template may use."""

from django.http import HttpRequest


def site(request: HttpRequest) -> dict[str, object]:
    """The course and the reader's place in it, on pages that have them (set by `access.member`)."""
    enrollment = getattr(request, "enrollment", None)
    return {"enrollment": enrollment, "course": enrollment.course if enrollment else None}
