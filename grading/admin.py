"""Grading in the administration: due times and their exceptions can be changed, what happened can be looked at."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import ValidationError
from django.db.models import Model
from django.http import HttpRequest
from django.utils.html import format_html
from django.utils.safestring import SafeString

from courseapp.admin import KeptAdmin, ReadOnlyAdmin
from courseapp.models import Enrollment
from grading.models import (
    Accommodation,
    Check,
    Component,
    CoursePolicy,
    Extension,
    Homework,
    LabFile,
    LabRun,
    Run,
    RunnerHost,
    RunResult,
    SectionDue,
    Submission,
    SubmissionFile,
)
from grading.policy import due as rules
from grading.policy.late import LatePolicy
from grading.queries.budget import too_long
from grading.services import extensions, handin, queue


class FixedInline(admin.TabularInline):  # type: ignore[type-arg]  # Django's class takes no parameter at run time
    """Rows that come with their parent and are only looked at."""

    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class ComponentInline(FixedInline):
    model = Component
    fields = ("kind", "points", "due_wall", "score_release", "published_at")
    show_change_link = True


class CheckInline(FixedInline):
    model = Check
    fields = ("position", "check_id", "title", "points", "visibility", "seeds", "tolerance")


class SectionDueInline(FixedInline):
    model = SectionDue


class FileInline(FixedInline):
    model = SubmissionFile


class RunInline(FixedInline):
    model = Run
    fields = ("state", "stage", "rerun", "proposed", "created_at", "finished_at", "note")
    show_change_link = True


class ResultInline(FixedInline):
    model = RunResult


class PolicyForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
    def clean_late(self) -> Any:
        try:
            LatePolicy.from_settings(self.cleaned_data["late"] or {})
        except ValueError as error:
            raise ValidationError(f"{error}.") from None
        return self.cleaned_data["late"]


@admin.register(CoursePolicy)
class CoursePolicyAdmin(KeptAdmin):
    form = PolicyForm
    list_display = ("course", "late", "gpu_minutes_per_week")

    def save_model(self, request: HttpRequest, obj: CoursePolicy, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        handin.judge_accepted(course=obj.course)  # more late days may be taken than before
        queue.week_changed(course=obj.course)
        for sentence in too_long(obj.course):
            messages.warning(request, sentence)


@admin.register(Homework)
class HomeworkAdmin(ReadOnlyAdmin):
    """Changed by its files: manage.py load_course."""

    list_display = ("__str__", "course", "slug", "weight", "release_wall", "bundle")
    list_filter = ("course",)
    list_select_related = ("course", "bundle")
    inlines = (ComponentInline,)


@admin.register(Component)
class ComponentAdmin(ReadOnlyAdmin):
    """Changed by its files: manage.py load_course."""

    list_display = ("homework", "kind", "points", "due_wall", "score_release", "published_at")
    list_filter = ("homework__course", "kind")
    list_select_related = ("homework__course",)
    search_fields = ("homework__title", "homework__slug", "kind")
    inlines = (SectionDueInline, CheckInline)


class ExtensionForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
    """`sender` is who fills it in; set by the administration."""

    sender: Any = None

    class Meta:
        labels = {"enrollment": "Student", "due_wall": "Due"}
        help_texts = {
            "due_wall": "A time of the course's zone such as 2023-10-29 23:59; never earlier than the due time that holds now.",
            "reason": "Read by other staff, not by the student.",
        }

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        component, enrollment = data.get("component"), data.get("enrollment")
        if not (component and enrollment and data.get("due_wall")):
            return data
        by = Enrollment.objects.filter(course=component.homework.course_id, user=self.sender).first()
        if by is None:
            raise ValidationError(
                f"Extensions in {component.homework.course} are granted by its TAs and instructors; you are not enrolled."
            )
        try:
            data["due_wall"] = extensions.check(
                component=component, enrollment=enrollment, due_wall=data["due_wall"], reason=data.get("reason", ""), by=by
            )
        except extensions.ExtensionError as error:
            self.add_error(error.field, str(error))
        self.instance.granted_by = by
        return data


@admin.register(Extension)
class ExtensionAdmin(KeptAdmin):
    """Append-only: a new one takes the place of the former."""

    form = ExtensionForm
    fields = ("component", "enrollment", "due_wall", "reason")
    list_display = ("enrollment", "component", "due_wall", "granted_by", "created_at")
    list_filter = ("component__homework",)
    list_select_related = ("enrollment__course", "component__homework", "granted_by__course")
    search_fields = ("enrollment__last_name", "enrollment__email", "enrollment__username")
    autocomplete_fields = ("component", "enrollment")

    def get_form(self, request: HttpRequest, obj: Model | None = None, change: bool = False, **options: Any) -> Any:
        made = super().get_form(request, obj, change, **options)
        return type(made.__name__, (made,), {"sender": request.user})

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Extension, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        extensions.take_effect(obj)


class AccommodationForm(forms.ModelForm):  # type: ignore[type-arg]  # as above
    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("days") is not None and data.get("factor") is not None:
            try:
                rules.Accommodation(days=data["days"], factor=data["factor"], stacks=data["stacks"])
            except ValueError as error:
                raise ValidationError(f"{error}.") from None
        return data


@admin.register(Accommodation)
class AccommodationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]  # as above
    form = AccommodationForm
    list_display = ("enrollment", "days", "factor", "stacks")
    list_select_related = ("enrollment__course",)
    search_fields = ("enrollment__last_name", "enrollment__email", "enrollment__username")
    autocomplete_fields = ("enrollment",)

    def save_model(self, request: HttpRequest, obj: Accommodation, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        handin.judge_accepted(course=obj.enrollment.course, enrollment=obj.enrollment)


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    list_display = ("receipt_code", "enrollment", "component", "number", "state", "received_at", "days_late", "chosen")
    list_filter = ("component__homework__course", "component__homework", "component__kind", "state")
    list_select_related = ("enrollment__course", "component__homework__course")
    search_fields = ("receipt_code", "enrollment__last_name", "enrollment__email", "enrollment__username")
    date_hierarchy = "received_at"
    fields = (
        ("component", "enrollment", "number"),
        ("state", "chosen", "days_late"),
        ("received_at", "completed_at"),
        "refusal",
        "dropped",
        ("handed_in_by", "on_behalf_reason", "stated_at"),
        "receipt",
        "receipt_signature",
    )
    inlines = (FileInline, RunInline)

    @admin.display(description="receipt")
    def receipt(self, row: Submission) -> SafeString:
        return format_html("<pre>{}</pre>", row.receipt_text)


@admin.register(Run)
class RunAdmin(ReadOnlyAdmin):
    list_display = (
        "pk",
        "submission",
        "lab",
        "state",
        "rerun",
        "proposed",
        "queue",
        "purpose",
        "attempts",
        "worker",
        "created_at",
        "finished_at",
        "note",
    )
    list_filter = ("state", "proposed", "queue", "component__homework")
    list_select_related = (
        "submission__enrollment__course",
        "submission__component__homework",
        "lab__enrollment__course",
        "rerun__component__homework__course",
    )
    search_fields = ("submission__receipt_code", "enrollment__last_name", "enrollment__email")
    inlines = (ResultInline,)


class LabFileInline(FixedInline):
    model = LabFile


@admin.register(LabRun)
class LabRunAdmin(ReadOnlyAdmin):
    list_display = ("enrollment", "number", "component", "script", "arguments", "created_at")
    list_filter = ("component__homework__course",)
    list_select_related = ("enrollment__course", "component__homework__course")
    search_fields = ("enrollment__last_name", "enrollment__email", "script")
    inlines = (LabFileInline,)


@admin.register(RunnerHost)
class RunnerHostAdmin(ReadOnlyAdmin):
    list_display = ("name", "queues", "tier", "memory_guard", "refusal", "started_at", "seen_at")
