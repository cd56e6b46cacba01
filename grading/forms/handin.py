"""What comes with the files of a hand-in."""

from typing import TYPE_CHECKING, Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from courseapp.models import Enrollment, Role
from grading.models import Component

if TYPE_CHECKING:
    EnrollmentChoiceField = forms.ModelChoiceField[Enrollment]
else:
    EnrollmentChoiceField = forms.ModelChoiceField


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several files of one name; cleaned to a list."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> "list[UploadedFile[Any]]":
        chosen = data if isinstance(data, list | tuple) else [data] if data else []
        if self.required and not chosen:
            raise forms.ValidationError("Choose at least one file.", code="required")
        return [super(ManyFilesField, self).clean(one, initial) for one in chosen]


class HandInForm(forms.Form):
    """The student's own upload. Names and sizes are the service's business: it has the component's rules."""

    own_work = forms.BooleanField(required=False)
    confirm_late = forms.IntegerField(required=False, min_value=0, max_value=365)


class StudentField(EnrollmentChoiceField):
    def label_from_instance(self, obj: Enrollment) -> str:
        return f"{obj.sort_name} ({obj.username})" if obj.username else obj.sort_name


class OnBehalfForm(forms.Form):
    """TA or instructor hands in for a student: with a reason, and when the work was ready."""

    student = StudentField(Enrollment.objects.none(), label="Student", empty_label="Choose a student")
    reason = forms.CharField(label="Reason", widget=forms.Textarea(attrs={"rows": 2}), help_text="The student reads it.", max_length=1000)
    stated_at = forms.DateTimeField(
        label="Ready since",
        required=False,
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
        help_text="Course time. Lateness is reckoned from it; empty means now.",
    )

    def __init__(self, *args: Any, component: Component, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["files"] = ManyFilesField(label="Files", help_text="The same rules hold as for the student's own upload.")
        self.order_fields(["student", "files", "reason", "stated_at"])
        students = Enrollment.objects.filter(course=component.homework.course, role=Role.STUDENT, state=Enrollment.State.ACTIVE)
        field = self.fields["student"]
        assert isinstance(field, forms.ModelChoiceField)
        field.queryset = students
