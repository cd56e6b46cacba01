"""Checking a receipt."""

from typing import Any

from django import forms

from grading.forms.handin import ManyFilesField


class VerifyForm(forms.Form):
    text = forms.CharField(
        label="The receipt's text",
        widget=forms.Textarea(attrs={"rows": 14, "class": "mono", "spellcheck": "false"}),
        strip=False,
        max_length=100_000,
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["files"] = ManyFilesField(
            label="Files to compare", required=False, help_text="Only their SHA-256 is computed; they are not kept."
        )
