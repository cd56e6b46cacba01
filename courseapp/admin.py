"""The course and its people in the administration. Nothing here deletes: people leave by being dropped."""

from collections.abc import Callable

from allauth.account.decorators import secure_admin_login
from allauth.mfa import admin as _factors  # noqa: F401  # registered before it is unregistered below
from allauth.mfa.models import Authenticator
from allauth.socialaccount import admin as _connections  # noqa: F401  # as above
from allauth.socialaccount.models import SocialAccount, SocialApp, SocialToken
from allauth.usersessions import admin as _sessions  # noqa: F401  # as above
from allauth.usersessions.models import UserSession
from django.contrib import admin, messages
from django.contrib.auth.admin import UserAdmin
from django.db.models import Model, QuerySet
from django.http import HttpRequest

from courseapp.models import Course, Enrollment, Identity, OutboxMail, Section, User
from courseapp.services import people

admin.site.site_header = "Administration"
admin.site.site_title = "Administration"
admin.site.index_title = "Course and people"
admin.site.login = secure_admin_login(admin.site.login)  # type: ignore[method-assign]  # one sign-in, which counts wrong tries


class KeptAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # Django's class takes no parameter at run time
    """Rows that stay."""

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ReadOnlyAdmin(KeptAdmin):
    """Rows that the site writes, to look at."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


@admin.register(User)
class AccountAdmin(UserAdmin):  # type: ignore[type-arg]  # as above
    list_display = ("email", "username", "first_name", "last_name", "institutional_id", "is_active", "is_staff", "last_login")
    search_fields = ("email", "username", "first_name", "last_name", "institutional_id")
    ordering = ("email",)
    fieldsets = (*(UserAdmin.fieldsets or ()), ("Course", {"fields": ("institutional_id", "vouched")}))
    add_fieldsets = ((None, {"classes": ("wide",), "fields": ("username", "email", "usable_password", "password1", "password2")}),)

    def save_model(self, request: HttpRequest, obj: User, form: object, change: bool) -> None:
        if not change:
            obj.vouched = True  # an account made here was made by staff
        super().save_model(request, obj, form, change)


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    """Removed when a provider was wrong: its name then opens nothing any more."""

    list_display = ("kind", "value", "user", "provider", "created_at")
    list_filter = ("kind", "provider")
    search_fields = ("value", "user__email")

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("courseapp.delete_identity")


# Identity providers come from the environment, and a session is its owner's to end.
for _model in (SocialApp, SocialToken, UserSession, Authenticator, SocialAccount):
    admin.site.unregister(_model)


@admin.register(Authenticator)
class AuthenticatorAdmin(ReadOnlyAdmin):
    """A second factor that its owner has lost is deleted here; the secret in it is not shown."""

    list_display = ("user", "type", "created_at", "last_used_at")
    list_filter = ("type",)
    search_fields = ("user__email",)
    exclude = ("data",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("mfa.delete_authenticator")


@admin.register(SocialAccount)
class ConnectionAdmin(ReadOnlyAdmin):
    """Which account of an identity provider opens which account here; deleted when it is the wrong one."""

    list_display = ("user", "provider", "uid", "date_joined", "last_login")
    list_filter = ("provider",)
    search_fields = ("user__email", "uid")
    exclude = ("extra_data",)

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return request.user.has_perm("socialaccount.delete_socialaccount")


class SectionInline(admin.TabularInline):  # type: ignore[type-arg]  # as above
    model = Section
    extra = 0


@admin.register(Course)
class CourseAdmin(KeptAdmin):
    list_display = ("slug", "code", "title", "term", "timezone", "starts_on")
    inlines = (SectionInline,)


@admin.register(Enrollment)
class EnrollmentAdmin(KeptAdmin):
    list_display = ("sort_name", "email", "username", "course", "role", "section", "track", "state", "has_account")
    list_filter = ("course", "role", "section", "track", "state")
    list_select_related = ("course", "section", "user")
    search_fields = ("first_name", "last_name", "email", "username", "institutional_id")
    autocomplete_fields = ("user",)
    readonly_fields = ("state",)
    actions = ("drop", "enroll_again")

    def save_model(self, request: HttpRequest, obj: Enrollment, form: object, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if obj.user is None and (user := people.seat(enrollment=obj)):
            messages.info(request, f"{user} has an account already and takes the place.")

    @admin.display(boolean=True, description="account")
    def has_account(self, row: Enrollment) -> bool:
        return row.user is not None

    @admin.action(description="Drop: access ends, runs are cancelled, the record stays")
    def drop(self, request: HttpRequest, chosen: QuerySet[Enrollment]) -> None:
        self._each(request, chosen, lambda row: people.drop(enrollment=row), "dropped")

    @admin.action(description="Enroll again")
    def enroll_again(self, request: HttpRequest, chosen: QuerySet[Enrollment]) -> None:
        self._each(request, chosen, lambda row: people.enroll_again(enrollment=row), "enrolled again")

    @staticmethod
    def _each(request: HttpRequest, chosen: QuerySet[Enrollment], change: Callable[[Enrollment], bool], done: str) -> None:
        changed = sum(change(row) for row in chosen)
        messages.success(request, f"{changed} {'person' if changed == 1 else 'people'} {done}.")


@admin.register(OutboxMail)
class OutboxMailAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "to", "subject", "sent_at", "attempts", "last_error")
    list_filter = (("sent_at", admin.EmptyFieldListFilter),)
    search_fields = ("to", "subject")
