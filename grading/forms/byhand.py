"""Points that staff set by hand."""

from django import forms


class PointsForm(forms.Form):
    points = forms.DecimalField(
        label="Points",
        required=False,
        max_digits=7,
        decimal_places=2,
        help_text="In the place of what the checks give, before what lateness costs. Empty takes them back: the checks' points hold again.",
    )
    reason = forms.CharField(label="Reason", max_length=300, help_text="The student reads it, with your name.")
