"""What starts a lab run."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django import forms

from courseapp.formats import moment
from grading.forms.handin import ManyFilesField, ManyFilesInput
from grading.models import Component, Submission
from grading.queries.lab import limits_of
from grading.services.lab import MOST_CHARACTERS

if TYPE_CHECKING:
    ComponentChoiceField = forms.ModelChoiceField[Component]
    SubmissionChoiceField = forms.ModelChoiceField[Submission]
else:
    ComponentChoiceField = SubmissionChoiceField = forms.ModelChoiceField


class EnvironmentField(ComponentChoiceField):
    def label_from_instance(self, obj: Component) -> str:
        return f"Homework {obj.homework.number} {obj.kind}: {limits_of(obj)}"


class HandInField(SubmissionChoiceField):
    def label_from_instance(self, obj: Submission) -> str:
        homework = obj.component.homework
        return f"Homework {homework.number} #{obj.number}, {moment(obj.received_at, homework.course.zone)}"


class LabForm(forms.Form):
    """Names, sizes and what can be run are the service's business."""

    component = EnvironmentField(
        Component.objects.none(), label="Environment", empty_label=None, help_text="The packages, the queue and the limits of a homework."
    )
    submission = HandInField(
        Submission.objects.none(),
        label="Files of a hand-in",
        required=False,
        empty_label="none",
        help_text="A file that you send takes the place of one of the same name.",
    )
    script = forms.CharField(
        label="File to run", required=False, max_length=255, help_text="Such as train.py. Not needed where only one can be run."
    )
    arguments = forms.CharField(
        label="Arguments", required=False, max_length=MOST_CHARACTERS, help_text='As in a terminal: --lr 0.1 --name "two words"'
    )

    def __init__(self, *args: Any, environments: Iterable[Component], hand_ins: Iterable[Submission], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        component, submission = self.fields["component"], self.fields["submission"]
        assert isinstance(component, forms.ModelChoiceField)
        assert isinstance(submission, forms.ModelChoiceField)
        rows = Component.objects.filter(pk__in=[row.pk for row in environments]).select_related("homework__course")
        component.queryset = rows.order_by("-homework__number", "kind")
        own = Submission.objects.filter(pk__in=[row.pk for row in hand_ins]).select_related("component__homework__course")
        submission.queryset = own.defer("receipt_text")
        self.fields["files"] = ManyFilesField(
            label="Files",
            required=False,
            widget=ManyFilesInput(attrs={"multiple": True}),
            help_text="A Python file or a notebook, with what it reads; or a zip file of them.",
        )
        self.order_fields(["component", "files", "submission", "script", "arguments"])
