"""Publishing a component's scores."""

from django.db import transaction
from django.utils import timezone

from courseapp.models import Enrollment
from grading.models import Component


@transaction.atomic
def publish(*, component: Component, by: Enrollment) -> bool:
    """Open the scores and freeze which hand-ins count. False when that had been done before; the first time stands."""
    row = Component.objects.select_for_update().get(pk=component.pk)
    if row.published_at is not None:
        return False
    row.published_at, row.published_by = timezone.now(), by
    row.save(update_fields=["published_at", "published_by"])
    return True
