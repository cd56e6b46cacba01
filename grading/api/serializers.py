"""The shapes of the API: what the queries found, field by field, as it is sent and as the schema describes it."""

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.urls import reverse
from drf_spectacular.drainage import set_override
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from courseapp.formats import points as points_text
from courseapp.models import Enrollment, Role
from grading.models import Component, Run, Submission

POINTS = {"type": "string", "pattern": r"^-?\d+(\.\d{1,2})?$", "examples": ["41.5"]}
SEGMENTS = ["before", "on_time", "late", "closed"]
HAND_IN_STATES = Submission.State.choices
RUN_STATES = Run.State.choices
PLACE_STATES = Enrollment.State.choices
EARLIER = "The score is of an earlier version of the homework's autograder."
CHECK_STATES = ["passed", "passed in part", "failed", "not judged", "hidden"]


class Shape(serializers.Serializer[Any]):
    def __init_subclass__(cls, **kwargs: Any) -> None:
        """In the schema it is called by its plain name: Course, not CourseShape."""
        super().__init_subclass__(**kwargs)
        set_override(cls, "component_name", cls.__name__.removesuffix("Shape"))


@extend_schema_field(POINTS)
class Points(serializers.Field[Decimal, Any, str, Any]):
    """A decimal as text, rounded to two places as on the pages: 41.5"""

    def to_representation(self, value: Decimal) -> str:
        return points_text(value).replace("−", "-")


def site_url(name: str, *arguments: object) -> str:
    return settings.SITE_URL + reverse(name, args=arguments)


class Problem(Shape):
    """Why a request was refused, in the sentences of the pages."""

    error = serializers.CharField(help_text="What is wrong, in one sentence.")
    details = serializers.ListField(child=serializers.CharField(), help_text="The single faults, one sentence each; often empty.")
    kept = serializers.CharField(allow_blank=True, help_text="What became of the request, and of what was there before.")


class CourseShape(Shape):
    """A course of yours."""

    course = serializers.SlugField(source="course.slug", help_text="Its name in addresses.")
    code = serializers.CharField(source="course.code")
    title = serializers.CharField(source="course.title")
    term = serializers.CharField(source="course.term")
    timezone = serializers.CharField(source="course.timezone", help_text="The zone in which due times are said.")
    role = serializers.ChoiceField(choices=Role.choices, help_text="What you are in it.")


class ComponentItem(Shape):
    component = serializers.ChoiceField(source="component.kind", choices=Component.Kind.choices)
    points = Points(source="component.points", help_text="The points that can be reached.")
    due_at = serializers.DateTimeField(help_text="Your own due time; for staff, that of the last section.")
    state = serializers.CharField(source="chip.word", default="", help_text="Where you stand, in words; empty for staff.")
    score = Points(allow_null=True, help_text="Your score, once you may see it.")
    earlier_version = serializers.BooleanField(source="earlier", help_text=EARLIER)


class HomeworkItem(Shape):
    """A homework in the list."""

    homework = serializers.SlugField(source="homework.slug", help_text="Its name in addresses.")
    number = serializers.IntegerField(source="homework.number")
    title = serializers.CharField(source="homework.title")
    counts = serializers.SerializerMethodField(help_text="False when it is for practice only.")
    release_at = serializers.DateTimeField(source="release")
    components = ComponentItem(source="boxes", many=True)

    def get_counts(self, row: Any) -> bool:
        return bool(row.homework.weight)


class SegmentShape(Shape):
    """A stretch of time in which a hand-in is treated alike."""

    kind = serializers.ChoiceField(choices=SEGMENTS)
    credit_percent = Points(source="credit", help_text="How much of the points can still be reached.")
    starts_at = serializers.DateTimeField(source="start", allow_null=True)
    ends_at = serializers.DateTimeField(source="end", allow_null=True, help_text="The first moment that is no longer in it.")
    days_late = serializers.IntegerField(source="days")
    sentence = serializers.CharField(help_text="What it costs to hand in then.")


class FileRules(Shape):
    required_files = serializers.ListField(source="required", child=serializers.CharField())
    allowed_files = serializers.ListField(
        source="allowed", child=serializers.CharField(), help_text="Patterns of what may come beside them."
    )
    max_file_bytes = serializers.IntegerField()
    max_total_bytes = serializers.IntegerField()
    max_files = serializers.IntegerField()


class LateNow(Shape):
    """What handing in now costs; send `days` as `confirm_late` if you agree."""

    days = serializers.IntegerField()
    percent = serializers.CharField()
    sentence = serializers.CharField()


class CheckBefore(Shape):
    """A check, or a group of hidden ones."""

    title = serializers.CharField()
    points = Points()
    checks = serializers.IntegerField(help_text="How many it stands for.")
    opens = serializers.CharField(allow_blank=True, help_text="When a hidden group opens; empty for a visible check.")


class ComponentShape(Shape):
    """A component of a homework, as it binds you."""

    component = serializers.ChoiceField(source="component.kind", choices=Component.Kind.choices)
    points = Points(source="component.points")
    autograded = serializers.BooleanField(help_text="Judged by checks; otherwise read by the staff.")
    state = serializers.ListField(child=serializers.CharField(), help_text="Where you stand, in words, the most telling first.")
    due_at = serializers.DateTimeField(help_text="When it is due for you.")
    due_note = serializers.CharField(allow_blank=True, help_text="Says so when it is your own due time.")
    open = serializers.BooleanField(help_text="You can hand in now.")
    closed_note = serializers.CharField(allow_blank=True)
    late_now = LateNow(allow_null=True, help_text="null while it is on time.")
    own_work = serializers.CharField(help_text="The statement that `own_work=yes` makes.")
    files = FileRules(source="rules")
    timeline = SegmentShape(many=True, help_text="What the work is worth when.")
    checks = CheckBefore(many=True, help_text="What you may know of the checks beforehand.")


class HomeworkShape(Shape):
    """One homework with its components."""

    homework = serializers.SlugField(source="homework.slug")
    number = serializers.IntegerField(source="homework.number")
    title = serializers.CharField(source="homework.title")
    statement = serializers.CharField(source="homework.statement", allow_blank=True, help_text="Markdown with TeX.")
    components = ComponentShape(many=True)
    page = serializers.SerializerMethodField(help_text="The page in the browser.")

    def get_page(self, found: dict[str, Any]) -> str:
        return site_url("homework", found["homework"].course.slug, found["homework"].slug)


class FileShape(Shape):
    path = serializers.CharField()
    size = serializers.IntegerField(help_text="Bytes.")
    sha256 = serializers.CharField()


class ReceiptShape(Shape):
    code = serializers.CharField(source="receipt_code")
    text = serializers.SerializerMethodField(help_text="Where the signed text is; the token that you use here opens it.")
    page = serializers.SerializerMethodField(help_text="The page in the browser.")

    def get_text(self, submission: Submission) -> str:
        return site_url("api-receipt", submission.pk)

    def get_page(self, submission: Submission) -> str:
        return site_url("receipt", submission.receipt_code)


class StudentShape(Shape):
    id = serializers.IntegerField(source="pk", help_text="The number of the place in the course.")
    name = serializers.CharField(source="display_name")
    username = serializers.CharField(allow_blank=True)
    section = serializers.CharField(source="section.name", default="", help_text="Empty without a section.")


class RunShape(Shape):
    """The newest run of the hand-in."""

    id = serializers.IntegerField(source="run.pk")
    state = serializers.ChoiceField(source="run.state", choices=RUN_STATES)
    open = serializers.BooleanField(source="run.is_open", help_text="True while it waits or runs.")
    queue = serializers.CharField(source="run.queue")
    created_at = serializers.DateTimeField(source="run.created_at")
    finished_at = serializers.DateTimeField(source="run.ended_at", allow_null=True, help_text="In whole seconds.")
    sentence = serializers.CharField(source="running.sentence", default="", help_text="Why it waits, or how far it is.")
    checks_done = serializers.IntegerField(source="running.done", default=0, help_text="Hidden ones are counted when all are through.")
    checks_total = serializers.IntegerField(source="running.total", default=0)


class CheckShape(Shape):
    """A check's outcome, or that of a group of hidden ones."""

    title = serializers.CharField()
    state = serializers.ChoiceField(source="word", choices=CHECK_STATES)
    points = Points(allow_null=True, help_text="null where you may not see them.")
    out_of = Points()
    message = serializers.CharField(source="why", allow_blank=True)
    note = serializers.CharField(allow_blank=True, help_text="For staff: that students do not see it like this.")


class ProvenanceShape(Shape):
    """How the result came about. What stands for staff alone is empty for students: it could tell of hidden checks, or of the machine."""

    runtime = serializers.CharField(source="values.runtime", default="", help_text="The Python environment.")
    runtime_digest = serializers.CharField(source="values.runtime_digest", default="", help_text="Of all that is installed in it.")
    bundle_digest = serializers.CharField(source="values.bundle_digest", default="", help_text="SHA-256 of the homework's files.")
    autograder_digest = serializers.CharField(help_text="SHA-256 of what of them decides a score.")
    tier = serializers.CharField(source="values.tier", default="", help_text="The kind of sandbox.")
    device = serializers.CharField(source="values.device", default="")
    seconds = serializers.FloatField(help_text="How long it took; for students in whole seconds, rounded up.")
    seed = serializers.IntegerField(source="values.seed", default=None, allow_null=True, help_text="For staff: it draws the hidden inputs.")
    memory_guard = serializers.CharField(source="values.memory_guard", default="", help_text="For staff.")
    host = serializers.CharField(source="values.host", default="", help_text="For staff: the machine.")
    kernel = serializers.CharField(source="values.kernel", default="", help_text="For staff.")
    durations = serializers.DictField(
        child=serializers.FloatField(),
        help_text="For staff: seconds from the start of the run to each of its moments.",
    )


class ResultShape(Shape):
    """What the newest run that counts found, as far as you may see it."""

    outcome = serializers.CharField(source="card.outcome")
    fault = serializers.CharField(source="card.fault", allow_blank=True, help_text="Whose fault it is when it could not be judged.")
    message = serializers.SerializerMethodField()
    points = serializers.SerializerMethodField(help_text="From the checks, before anything is taken off; null where you may not see them.")
    max_points = Points(source="result.max_points")
    checks = CheckShape(source="card.rows", many=True)
    output = serializers.CharField(
        source="card.output", allow_blank=True, help_text="What was printed in the visible checks; of a notebook, also what was not run."
    )
    staff_message = serializers.CharField(source="card.staff_message", allow_blank=True, help_text="Empty for students.")
    recorded = serializers.BooleanField(source="card.recorded", help_text="A real run of the demonstration, made beforehand.")
    earlier_version = serializers.BooleanField(source="earlier", help_text=EARLIER)
    provenance = ProvenanceShape(source="how")

    def get_message(self, found: dict[str, Any]) -> str:
        return str(found["card"].message).strip()

    @extend_schema_field({**POINTS, "type": ["string", "null"]})
    def get_points(self, found: dict[str, Any]) -> str | None:
        return Points().to_representation(found["result"].points) if found["raw_seen"] else None


class LineShape(Shape):
    item = serializers.CharField()
    points = Points(allow_null=True)
    out_of = Points(allow_null=True)
    why = serializers.CharField(allow_blank=True)


class ScoreShape(Shape):
    """The score with the lines that explain it; the last one is the score."""

    final = Points()
    possible = Points()
    days_late = serializers.IntegerField()
    lines = LineShape(many=True)


class ConfirmShape(Shape):
    """What you would agree to; send `days` to the confirm address."""

    days = serializers.IntegerField()
    sentence = serializers.CharField()
    displaces = serializers.CharField(allow_blank=True, help_text="The hand-in that this one would displace.")


class SubmissionShape(Shape):
    """One hand-in with everything that you may see of it."""

    id = serializers.IntegerField(source="submission.pk")
    course = serializers.SlugField(source="homework.course.slug")
    homework = serializers.SlugField(source="homework.slug")
    component = serializers.ChoiceField(source="component.kind", choices=Component.Kind.choices)
    number = serializers.IntegerField(source="submission.number", help_text="1, 2, … for each student and component.")
    student = StudentShape(source="submission.enrollment")
    state = serializers.ChoiceField(choices=HAND_IN_STATES)
    refusal = serializers.CharField(source="submission.refusal", allow_blank=True, help_text="Why it is not accepted.")
    received_at = serializers.DateTimeField(source="submission.received_at")
    due_at = serializers.DateTimeField()
    lateness = serializers.CharField()
    counts = serializers.BooleanField(help_text="It is the one that counts now.")
    counting_why = serializers.CharField(allow_blank=True)
    may_choose = serializers.BooleanField(help_text="You can make it the one that counts.")
    confirm = ConfirmShape(allow_null=True, help_text="null unless it is late and waits for your agreement.")
    files = FileShape(many=True)
    left_out = serializers.ListField(source="submission.dropped", child=serializers.CharField(), help_text="Files that computers add.")
    receipt = ReceiptShape(source="submission")
    run = RunShape(source="run_shown", allow_null=True)
    result = ResultShape(source="result_shown", allow_null=True)
    score = ScoreShape(allow_null=True, help_text="null while there is none, or you may not see it.")
    score_note = serializers.CharField(allow_blank=True, help_text="When a hidden score is shown.")
    page = serializers.SerializerMethodField(help_text="The page in the browser.")

    def get_page(self, found: dict[str, Any]) -> str:
        return site_url("submission", found["homework"].course.slug, found["submission"].pk)


class MineShape(Shape):
    """A hand-in of yours in the list."""

    id = serializers.IntegerField(source="submission.pk")
    number = serializers.IntegerField(source="submission.number")
    state = serializers.ChoiceField(choices=HAND_IN_STATES)
    received_at = serializers.DateTimeField(source="submission.received_at")
    lateness = serializers.CharField()
    counts = serializers.BooleanField()
    score = Points(source="score.final", default=None, allow_null=True, help_text="null while there is none, or you may not see it.")
    earlier_version = serializers.BooleanField(source="earlier", help_text=EARLIER)
    run = serializers.CharField(source="run_words", allow_blank=True, help_text="How its newest run stands, in words.")
    receipt_code = serializers.CharField(source="submission.receipt_code")


class StaffRow(Shape):
    """A hand-in in the list for staff."""

    id = serializers.IntegerField(source="submission.pk")
    component = serializers.ChoiceField(source="submission.component.kind", choices=Component.Kind.choices)
    number = serializers.IntegerField(source="submission.number")
    student = StudentShape(source="submission.enrollment")
    state = serializers.ChoiceField(source="entry.state", choices=HAND_IN_STATES)
    received_at = serializers.DateTimeField(source="submission.received_at")
    lateness = serializers.CharField(source="entry.lateness.label")
    counts = serializers.BooleanField()
    score = Points(source="entry.score.final", default=None, allow_null=True)
    earlier_version = serializers.BooleanField(source="entry.earlier", help_text=EARLIER)
    run = serializers.ChoiceField(source="run.state", choices=RUN_STATES, default=None, allow_null=True, help_text="null without a run.")
    receipt_code = serializers.CharField(source="submission.receipt_code")


class StaffPage(Shape):
    results = StaffRow(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null on the last.")


class PersonRow(StudentShape):
    """A place in the course."""

    role = serializers.ChoiceField(choices=Role.choices)
    state = serializers.ChoiceField(choices=PLACE_STATES)
    has_account = serializers.SerializerMethodField()

    def get_has_account(self, person: Enrollment) -> bool:
        return person.user_id is not None


class RosterPage(Shape):
    results = PersonRow(many=True)
    next = serializers.CharField(allow_null=True, help_text="The address of the next page; null on the last.")


@extend_schema_field({"type": "boolean", "enum": [True]})
class OwnWork(serializers.BooleanField):
    """A statement that cannot be made by saying no."""


class HandIn(serializers.Serializer[Any]):
    """The same fields as the page's form."""

    files = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True), min_length=1, help_text="Each as a field “files”; or one zip."
    )
    own_work = OwnWork(help_text="yes: I state that this is my own work.")
    confirm_late = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=365,
        help_text="The days late whose cost you agree to. Without it a late hand-in is kept, and waits for your confirmation.",
    )

    def validate_own_work(self, value: bool) -> bool:
        if not value:
            raise serializers.ValidationError("State that the work is your own: send own_work=yes.")
        return value


class ConfirmLate(serializers.Serializer[Any]):
    days = serializers.IntegerField(min_value=1, max_value=365, help_text="The days late whose cost you agree to.")
    choose = serializers.BooleanField(default=False, help_text="Let it count, whatever the rule says.")


class Name(serializers.RegexField):
    """Printed text as it is, blanks and all: what is named is not guessed at."""

    def __init__(self, max_length: int, **kwargs: Any) -> None:
        super().__init__(r"^[^\x00-\x1f\x7f]+\Z", required=False, trim_whitespace=False, max_length=max_length, **kwargs)


class PageRequest(serializers.Serializer[Any]):
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=100, help_text="Rows of a page.")
    cursor = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1, help_text="The `id` of the last row seen.")


class SubmissionsRequest(PageRequest):
    component = serializers.ChoiceField(required=False, choices=Component.Kind.choices)
    state = serializers.ChoiceField(required=False, choices=HAND_IN_STATES)
    student = Name(60, help_text="A username, or the `id` of the roster.")
    section = Name(20)
    since = serializers.DateTimeField(required=False, help_text="Received at this time or later.")


class RosterRequest(PageRequest):
    section = Name(20)
    role = serializers.ChoiceField(required=False, choices=Role.choices)
    state = serializers.ChoiceField(required=False, choices=PLACE_STATES)
