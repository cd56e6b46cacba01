"""What staff fill in about the queue."""

from typing import Any

from django import forms

from courseapp.models import Course, Enrollment, Role
from grading.forms.handin import StudentField
from grading.services.queue import MOST_MINUTES


class PauseForm(forms.Form):
    reason = forms.CharField(
        label="Reason", max_length=300, help_text="Whoever waits reads it. Such as: the driver is updated until 15:00."
    )


class GrantForm(forms.Form):
    student = StudentField(Enrollment.objects.none(), label="Student", empty_label="Choose a student")
    minutes = forms.IntegerField(label="Minutes", min_value=1, max_value=MOST_MINUTES, help_text="For this week, beyond what there is.")
    reason = forms.CharField(label="Reason", max_length=300, help_text="The student reads it.")

    def __init__(self, *args: Any, course: Course, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["student"]
        assert isinstance(field, StudentField)
        field.queryset = course.enrollments.filter(role=Role.STUDENT, state=Enrollment.State.ACTIVE)
