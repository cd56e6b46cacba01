"""Pages of the course itself, and of the programs that use it: tokens, the API's description, the command line."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.views import EmailView
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from courseapp import access, api_docs, command_line, queries
from courseapp.access import member, sender
from courseapp.forms import TokenForm
from courseapp.models import User
from courseapp.services import tokens as token_services


@login_required
@require_safe
def people(request: HttpRequest, course: str) -> HttpResponse:
    reader = member(request, course)
    roster = queries.roster(reader, section=request.GET.get("section", ""))
    return render(request, "courseapp/people.html", {"roster": roster, "here": "people"})


class Addresses(EmailView):  # type: ignore[misc]  # allauth ships no types
    """As the library's, but the account's own address is always one that was shown to be its owner's, or that staff gave it."""

    def _action_primary(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse | None:
        address = self._get_email_address(request)
        if address is not None and not address.verified:
            messages.error(request, "Confirm the address first: only then can it be primary.")
        elif address is not None and User.objects.filter(email__iexact=address.email).exclude(pk=address.user_id).exists():
            messages.error(request, "Another account has this address. Ask the staff which of the two is yours.")
        else:
            return super()._action_primary(request, *args, **kwargs)  # type: ignore[no-any-return]  # as above
        return None


@login_required
@require_safe
def tokens(request: HttpRequest) -> HttpResponse:
    return render(request, "account/tokens.html", {"rows": queries.tokens_of(sender(request).pk)})


@login_required
@reauthentication_required  # type: ignore[untyped-decorator]  # allauth ships no types
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def token_new(request: HttpRequest) -> HttpResponse:
    """Make a token. Its key is on the page that answers, and nowhere else."""
    form = TokenForm(request.POST or None, user=sender(request))
    if form.is_bound and form.is_valid():
        try:
            token, key = token_services.make(user=sender(request), **form.cleaned_data)
        except token_services.TooMany as refusal:
            form.add_error(None, str(refusal))
        else:
            return render(request, "account/token_made.html", {"token": token, "key": key})
    return render(request, "account/token_new.html", {"form": form}, status=400 if form.is_bound else 200)


@login_required
@require_POST
def token_revoke(request: HttpRequest, pk: int) -> HttpResponse:
    token = access.token(request, pk)
    token_services.revoke(token=token)
    messages.success(request, f"The token “{token.name}” is revoked; it works nowhere any more.")
    return redirect("tokens")


@require_safe
def api_schema(_request: HttpRequest) -> JsonResponse:
    return JsonResponse(api_docs.schema())


@require_safe
def api_page(request: HttpRequest) -> HttpResponse:
    context = {
        "groups": api_docs.groups(),
        "shapes": api_docs.shapes(),
        "site_url": settings.SITE_URL,
        "limits": settings.API_REQUESTS_PER_MINUTE,
    }
    return render(request, "courseapp/api.html", context)


@require_safe
def handin_script(_request: HttpRequest) -> HttpResponse:
    """The students' command line, with this site's address in it."""
    return HttpResponse(
        command_line.script(),
        content_type="text/x-python; charset=utf-8",
        headers={"Content-Disposition": 'attachment; filename="handin.py"'},
    )
