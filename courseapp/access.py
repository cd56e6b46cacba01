"""The only way to a course object from a request. What one may not see looks like what is not there: 404."""

from ipaddress import ip_address

from django.conf import settings
from django.http import Http404, HttpRequest
from django.utils.crypto import constant_time_compare

from courseapp.models import ApiToken, Enrollment, User


class MemberRequest(HttpRequest):
    """A request whose sender was found to belong to the course."""

    user: User
    enrollment: Enrollment


def sender(request: HttpRequest) -> User:
    """Who sent a request that got past `login_required`."""
    assert isinstance(request.user, User)
    return request.user


def member(request: HttpRequest, slug: str) -> Enrollment:
    """The sender's active enrollment in the course `slug`; 404 for everybody else. Views that call it are behind `login_required`."""
    found = (
        Enrollment.objects.select_related("course", "section", "user")
        .filter(course__slug=slug, user=request.user.pk, state=Enrollment.State.ACTIVE)
        .first()
    )
    if found is None:
        raise Http404
    request.enrollment = found  # type: ignore[attr-defined]  # read by the context processor
    return found


def staff(request: HttpRequest, slug: str) -> Enrollment:
    """Grader, TA or instructor of the course."""
    found = member(request, slug)
    if not found.is_staff:
        raise Http404
    return found


def manager(request: HttpRequest, slug: str) -> Enrollment:
    """TA or instructor of the course."""
    found = member(request, slug)
    if not found.may_manage:
        raise Http404
    return found


def instructor(request: HttpRequest, slug: str) -> Enrollment:
    found = member(request, slug)
    if not found.is_instructor:
        raise Http404
    return found


FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Real-IP", "Via")


def may_watch(request: HttpRequest, *, staff: bool = True) -> bool:
    """Whether the sender runs the site: this machine itself, the bearer of METRICS_TOKEN, or (`staff`) an account of the administration.

    A proxy on this machine also asks from it, so a request that was passed on does not count as the machine's own.
    """
    sent = request.headers.get("Authorization", "")
    if settings.METRICS_TOKEN and constant_time_compare(sent, f"Bearer {settings.METRICS_TOKEN}"):
        return True
    if _of_this_machine(request.META.get("REMOTE_ADDR", "")) and not any(name in request.headers for name in FORWARDED):
        return True
    return staff and request.user.is_active and getattr(request.user, "is_staff", False)


def _of_this_machine(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:  # a socket in the file system has no address
        return False


def place(reader: Enrollment, pk: int) -> Enrollment:
    """Anybody's place in the course, for its staff."""
    found = Enrollment.objects.filter(pk=pk, course=reader.course_id).first()
    if found is None or not reader.is_staff:
        raise Http404
    return found


def token(request: HttpRequest, pk: int) -> ApiToken:
    """One of the sender's own tokens."""
    found = ApiToken.objects.filter(pk=pk, user=sender(request)).first()
    if found is None:
        raise Http404
    return found
