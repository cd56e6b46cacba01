"""What staff choose when they have hand-ins judged again."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict

from grading.forms.handin import ManyFilesField
from grading.models import Submission
from grading.policy.words import count
from grading.queries.reruns import Choice

SCOPES = {
    "earlier": "Those whose score is of an earlier version of the autograder",
    "counting": "All that count",
    "all": "All that were judged, also those that do not count",
    "chosen": "Those ticked below",
}


class RerunForm(forms.Form):
    """`choices` are the hand-ins that can be run again."""

    scope = forms.ChoiceField(label="Which hand-ins", widget=forms.RadioSelect)
    reason = forms.CharField(label="Reason", max_length=300, help_text="Students whose score changes read it.")
    repaired = ManyFilesField(
        label="Files to use instead",
        required=False,
        help_text="Each stands in the place of the hand-in's own file of the same name, in this rerun only. The hand-ins stay as they are.",
    )
    repair_percent = forms.DecimalField(
        label="Taken off for the repair, percent of the possible points",
        required=False,
        min_value=0,
        max_value=100,
        decimal_places=2,
        help_text="Only where files are replaced, and only from results that are accepted.",
    )

    def __init__(self, *args: Any, choices: Sequence[Choice], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._free = [choice for choice in choices if not choice.open]
        self.ticked = frozenset(self.data.getlist("hand_in")) if isinstance(self.data, QueryDict) else frozenset[str]()
        counted = {scope: len(self._of(scope)) for scope in ("earlier", "counting", "all")}
        field = self.fields["scope"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [
            (scope, f"{words} ({counted[scope]})" if scope in counted else words)
            for scope, words in SCOPES.items()
            if scope == "chosen" or counted[scope]
        ]

    def _of(self, scope: str) -> list[Submission]:
        def wanted(one: Choice) -> bool:
            if scope == "chosen":
                return str(one.submission.pk) in self.ticked
            return one.earlier if scope == "earlier" else one.counts if scope == "counting" else True

        return [one.submission for one in self._free if wanted(one)]

    def clean_scope(self) -> str:
        scope: str = self.cleaned_data["scope"]
        if scope != "chosen" and (ticked := len(self._of("chosen"))):
            are, them = ("is", "it") if ticked == 1 else ("are", "them")
            raise ValidationError(
                f"{count(ticked, 'hand-in')} {are} ticked, but “{SCOPES[scope]}” is chosen: choose “{SCOPES['chosen']}”, or untick {them}."
            )
        return scope

    @property
    def submissions(self) -> list[Submission]:
        """Of a valid form."""
        return self._of(self.cleaned_data["scope"])

    @property
    def replaced(self) -> dict[str, bytes]:
        files: list[UploadedFile[Any]] = self.cleaned_data["repaired"]
        return {file.name or "": file.read() for file in files}

    def clean_repair_percent(self) -> Decimal:
        return self.cleaned_data["repair_percent"] or Decimal(0)
