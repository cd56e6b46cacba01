"""More time for one student and component. Receipts do not change; lateness is reckoned anew wherever it is shown."""

from django.conf import settings
from django.db import transaction
from django.urls import reverse

from courseapp.formats import moment
from courseapp.models import Enrollment
from courseapp.services import outbox
from grading.models import Component, Extension
from grading.policy.late import Due
from grading.queries.due import due_for, released_now
from grading.services import handin


class ExtensionError(ValueError):
    """An extension that cannot be granted; `field` is what is wrong with it."""

    def __init__(self, field: str, message: str) -> None:
        self.field = field
        super().__init__(message)


def check(*, component: Component, enrollment: Enrollment, due_wall: str, reason: str, by: Enrollment) -> str:
    """The due time as it will be kept. ExtensionError when `by` may not grant it or it would shorten what the student has."""
    course = component.homework.course
    if by.course_id != course.pk or not by.may_manage or by.state != Enrollment.State.ACTIVE:
        raise ExtensionError("component", f"Extensions in {course} are granted by its TAs and instructors.")
    if enrollment.course_id != course.pk:
        raise ExtensionError("enrollment", f"{enrollment.display_name} is not in {course}.")
    if not reason.strip():
        raise ExtensionError("reason", "Say why: the next person who looks at it has only this.")
    try:
        due = Due.parse(due_wall, course.timezone)
    except ValueError as error:
        raise ExtensionError("due_wall", f"{error}.".replace("..", ".")) from None
    now = due_for(component, enrollment).due
    if due.instant < now.instant:
        raise ExtensionError("due_wall", f"{due} is earlier than the due time that holds now, {now}; an extension only gives more time.")
    return f"{due.wall:%Y-%m-%d %H:%M}"


@transaction.atomic
def grant(*, component: Component, enrollment: Enrollment, due_wall: str, reason: str, by: Enrollment) -> Extension:
    """The newest extension counts; earlier ones stay as they were granted. What came too late before and is in time now is judged."""
    kept = check(component=component, enrollment=enrollment, due_wall=due_wall, reason=reason, by=by)
    extension = Extension.objects.create(component=component, enrollment=enrollment, due_wall=kept, reason=reason.strip(), granted_by=by)
    take_effect(extension)
    return extension


@transaction.atomic
def take_effect(extension: Extension) -> None:
    """Judge what came too late before and is in time now, and tell the student by mail. The reason is for staff and not in it."""
    component, student = extension.component, extension.enrollment
    homework = component.homework
    handin.judge_accepted(course=homework.course, enrollment=student)
    if student.state != Enrollment.State.ACTIVE:
        return
    due = moment(due_for(component, student).due.instant, homework.course.zone)
    what = f"Homework {homework.number}, {component.kind}"
    page = f"{settings.SITE_URL}{reverse('homework', args=[homework.course.slug, homework.slug])}" if released_now(homework) else ""
    outbox.post(
        student.user.email if student.user else student.email,
        f"{what}: yours is due {due}",
        f"Hello {student.display_name},\n\nYou were granted an extension: {what} in {homework.course.code} is due {due} for you.\n"
        f"What you handed in before is reckoned by it, too; its receipts stay as they are.\n\n{page}".rstrip()
        + "\n",
    )
