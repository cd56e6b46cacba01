"""What people fill in about themselves."""

from typing import Any

from django import forms

from courseapp.models import ApiToken, Enrollment, Role, User
from courseapp.services import tokens


class TokenForm(forms.Form):
    """A new API token. The staff scope is offered to those who have something to use it for."""

    name = forms.CharField(label="What it is for", max_length=60, help_text="Such as: laptop.")
    scopes = forms.MultipleChoiceField(label="What it may do", widget=forms.CheckboxSelectMultiple, initial=["read", "submit"])
    days = forms.IntegerField(
        label="Days that it works",
        min_value=1,
        max_value=tokens.MOST_DAYS,
        initial=tokens.DEFAULT_DAYS,
        help_text=f"1 to {tokens.MOST_DAYS}.",
    )

    def __init__(self, *args: Any, user: User, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        teaches = Enrollment.objects.filter(user=user, state=Enrollment.State.ACTIVE).exclude(role=Role.STUDENT).exists()
        field = self.fields["scopes"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [scope for scope in ApiToken.Scope.choices if teaches or scope[0] != ApiToken.Scope.STAFF]
