"""Who belongs to the course: taking up a place that waits, leaving, coming back."""

from allauth.account.models import EmailAddress
from django.db import transaction
from django.db.models import Q
from django.dispatch import Signal

from courseapp.models import Enrollment, User

dropped = Signal()
"""Sent in the transaction of a drop, with `enrollment`: other apps end there what the person still has going."""


@transaction.atomic
def take_up(*, user: User) -> list[Enrollment]:
    """Give the user the places that wait for them: by an address that they have verified, else by their username or institutional id.

    The last two are believed only of accounts that staff made: nobody may choose a classmate's NetID and get the classmate's place.
    """
    taken = set(Enrollment.objects.filter(user=user).values_list("course_id", flat=True))
    found: list[Enrollment] = []
    for key in _keys(user):
        waiting = Enrollment.objects.select_for_update().filter(key, user=None).exclude(course__in=taken)
        for enrollment in waiting.order_by("course_id", "pk"):
            if enrollment.course_id in taken:
                continue
            enrollment.user = user
            enrollment.save(update_fields=["user"])
            taken.add(enrollment.course_id)
            found.append(enrollment)
    return found


@transaction.atomic
def seat(*, enrollment: Enrollment) -> User | None:
    """Give a place that waits to somebody who has an account already, by the same rules as at their sign-in."""
    known = Q(emailaddress__verified=True, emailaddress__email__iexact=enrollment.email)
    for key in ("username", "institutional_id"):
        if value := getattr(enrollment, key):
            known |= Q(("vouched", True), (f"{key}__iexact", value))
    for user in User.objects.filter(known).distinct().order_by("pk"):
        if enrollment in take_up(user=user):
            return user
    return None


def _keys(user: User) -> list[Q]:
    """What the person may be known by, in the order in which it is believed."""
    verified = EmailAddress.objects.filter(user=user, verified=True).values_list("email", flat=True)
    keys = [Q(email__iexact=address) for address in verified]
    if user.vouched:
        keys.append(Q(username__iexact=user.username))
        if user.institutional_id:
            keys.append(Q(institutional_id__iexact=user.institutional_id))
    return keys


@transaction.atomic
def drop(*, enrollment: Enrollment) -> bool:
    """End the person's access at once; everything that they handed in is kept. False: they had left before."""
    row = Enrollment.objects.select_for_update().get(pk=enrollment.pk)
    if row.state == Enrollment.State.DROPPED:
        return False
    row.state = enrollment.state = Enrollment.State.DROPPED
    row.save(update_fields=["state"])
    dropped.send(Enrollment, enrollment=row)
    return True


@transaction.atomic
def enroll_again(*, enrollment: Enrollment) -> bool:
    """The same place as before, with everything in it. False: they had not left."""
    row = Enrollment.objects.select_for_update().get(pk=enrollment.pk)
    if row.state == Enrollment.State.ACTIVE:
        return False
    row.state = enrollment.state = Enrollment.State.ACTIVE
    row.save(update_fields=["state"])
    return True
