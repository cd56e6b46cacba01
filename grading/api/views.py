"""The addresses of the API. Each finds its objects through access, calls one query or service, and answers by a shape."""

import json
import re
from datetime import UTC, datetime
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import Http404, HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from courseapp import access as course_access
from courseapp import uploads
from courseapp.access import sender
from courseapp.api import NOT_HERE, Json, may, problem, require
from courseapp.middleware import received
from courseapp.models import Enrollment
from courseapp.queries import courses_of
from grading import access
from grading.api import serializers as shapes
from grading.models import Submission
from grading.queries import api as queries
from grading.queries import homework as homework_queries
from grading.queries import submission as submission_queries
from grading.services import handin, receipts

KEY = re.compile(r"[A-Za-z0-9_.:-]{8,64}")
REFUSALS = {
    400: "The request is not as it should be.",
    401: "Nobody is signed in, or the token does not work.",
    403: "The token lacks a scope, or the browser's form its CSRF token.",
    404: "It does not exist, or it is not for you to see.",
    409: "It cannot be done now.",
    413: "The body is larger than any hand-in.",
    415: "The body is of another type.",
    422: "The Idempotency-Key was used for other files.",
    429: "Too many requests in this minute (`Retry-After` says in how many seconds to go on), or too many hand-ins today.",
    507: "The server could not keep the files.",
}
COURSE = OpenApiParameter("course", str, OpenApiParameter.PATH, description="The course's name in addresses.")
HOMEWORK = OpenApiParameter("homework", str, OpenApiParameter.PATH, description="The homework's name in addresses.")
COMPONENT = OpenApiParameter("component", str, OpenApiParameter.PATH, enum=["theory", "practice"], description="Which part of it.")
NUMBER = OpenApiParameter("id", OpenApiTypes.INT, OpenApiParameter.PATH, description="The `id` of the hand-in.")
IDEMPOTENCY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "pattern": f"^{KEY.pattern}$"},
    OpenApiParameter.HEADER,
    description="A name of your own for this hand-in. The same files sent again under it are the same hand-in, so a retry is safe.",
)


def answers(status: int, shape: object, *refused: int) -> dict[Any, Any]:
    """The answers of an operation: what it gives, and how it refuses."""
    return {status: shape} | {
        code: OpenApiResponse(shapes.Problem, description=REFUSALS[code]) for code in sorted({401, 403, 404, 429, *refused})
    }


class CourseView(APIView):
    """Of a course: staff need the staff scope for everything in it, since what they read is others' work."""

    scopes = {"GET": "read", "POST": "submit", "DELETE": "submit"}
    throttled_as = {"POST": "submit", "DELETE": "submit"}

    def handle_exception(self, exc: Exception) -> Response:
        if isinstance(exc, handin.Refused):
            return Response(problem(exc.error, exc.details, exc.kept), status=exc.status)
        return super().handle_exception(exc)

    def reader(self, request: Request, course: str) -> Enrollment:
        reader = course_access.member(request, course)
        if reader.is_staff:
            require(request, "staff")
        return reader

    def submission(self, request: Request, pk: int) -> tuple[Enrollment, Submission]:
        reader, submission = access.submission_and_reader(request, pk)
        if reader.is_staff:
            require(request, "staff")
        return reader, submission

    def own(self, request: Request, pk: int) -> Submission:
        reader, submission = self.submission(request, pk)
        return access.submission_own(reader, submission.pk)


class StaffView(APIView):
    scopes = {"GET": "staff"}
    throttled_as = {"GET": "staff"}


class Courses(APIView):
    scopes = {"GET": "read"}

    @extend_schema(
        operation_id="list_courses",
        tags=["Courses and homework"],
        summary="List my courses",
        description="The courses in which you have a place, the newest first.",
        responses={key: value for key, value in answers(200, shapes.CourseShape(many=True)).items() if key != 404},
    )
    def get(self, request: Request) -> Response:
        return Response(shapes.CourseShape(courses_of(sender(request).pk), many=True).data)


class Homeworks(CourseView):
    @extend_schema(
        operation_id="list_homeworks",
        tags=["Courses and homework"],
        summary="List the homework of a course",
        description="What is released, the newest first; staff see all of it.",
        parameters=[COURSE],
        responses=answers(200, shapes.HomeworkItem(many=True)),
    )
    def get(self, request: Request, course: str) -> Response:
        return Response(shapes.HomeworkItem(homework_queries.index(self.reader(request, course)), many=True).data)


class HomeworkDetail(CourseView):
    @extend_schema(
        operation_id="get_homework",
        tags=["Courses and homework"],
        summary="Read one homework",
        description="Its statement, and for each component when it is due for you, what late work costs, which files it takes, "
        "and the checks as far as you may see them.",
        parameters=[COURSE, HOMEWORK],
        responses=answers(200, shapes.HomeworkShape),
    )
    def get(self, request: Request, course: str, homework: str) -> Response:
        reader = self.reader(request, course)
        found = homework_queries.page(reader, access.homework(reader, homework))
        checks = queries.checks_of(reader, found["boxes"])
        components = [_component(reader, box, checks[box.component.pk]) for box in found["boxes"]]
        return Response(shapes.HomeworkShape({"homework": found["homework"], "components": components}).data)


def _component(reader: Enrollment, box: homework_queries.ComponentBox, checks: object) -> dict[str, Any]:
    rules = homework_queries.upload_box(reader, box.component, box.terms, again=False)
    segments = [
        {"kind": one.kind, "credit": one.credit, "start": one.start, "end": one.end, "days": one.days, "sentence": _sentence(box, one)}
        for one in box.segments
    ]
    return {
        "component": box.component,
        "autograded": box.autograded,
        "state": [chip.word for chip in box.chips],
        "due_at": box.due_at,
        "due_note": box.due_note,
        "open": box.upload is not None,
        "closed_note": box.closed_note,
        "late_now": box.upload.late if box.upload else None,
        "own_work": rules.own_work,
        "rules": rules,
        "timeline": segments,
        "checks": checks,
    }


def _sentence(box: homework_queries.ComponentBox, segment: Any) -> str:
    return "Not open yet." if segment.kind == "before" else box.terms.cost(segment.days).sentence


class Mine(CourseView):
    """One's own hand-ins of a component, and the way to another one."""

    parser_classes = (MultiPartParser,)

    @extend_schema(
        operation_id="list_my_submissions",
        tags=["Hand-ins"],
        summary="List my hand-ins of a component",
        description="The newest first.",
        parameters=[COURSE, HOMEWORK, COMPONENT],
        responses=answers(200, shapes.MineShape(many=True)),
    )
    def get(self, request: Request, course: str, homework: str, component: str) -> Response:
        reader = self.reader(request, course)
        found = access.homework(reader, homework)
        wanted = access.component(found, component)
        boxes = homework_queries.page(reader, found)["boxes"]
        history = next(box.history for box in boxes if box.component.pk == wanted.pk)
        return Response(shapes.MineShape(history, many=True).data)

    @extend_schema(
        operation_id="hand_in",
        tags=["Hand-ins"],
        summary="Hand in",
        description="Keeps the files, signs a receipt and has them judged, as the form on the homework page does. What counts is the time "
        "at which the server had read the request's headers. Read `state` of the answer: a late hand-in that names no agreed cost is "
        "`unconfirmed`, one that comes after the last late day `not_accepted`; both are kept.",
        parameters=[COURSE, HOMEWORK, COMPONENT, IDEMPOTENCY],
        request={"multipart/form-data": shapes.HandIn},
        responses=answers(201, shapes.SubmissionShape, 400, 409, 413, 415, 422, 507),
    )
    def post(self, request: Request, course: str, homework: str, component: str) -> Response:
        student = course_access.member(request, course)
        if student.is_staff:
            raise Http404
        wanted = access.component(access.homework(student, homework), component)
        sent = request.data
        if unwritten := uploads.problem(request._request):
            raise handin.Refused(unwritten, status=507)
        asked = _valid(shapes.HandIn, sent)
        made = _hand_in(request, wanted, student, asked)
        return Response(_shape(request, student, access.submission_own(student, made.pk)), status=201)


def _hand_in(request: Request, component: Any, student: Enrollment, asked: dict[str, Any]) -> Submission:
    key = request.headers.get("Idempotency-Key", "")
    if key and not KEY.fullmatch(key):
        raise ValidationError({"Idempotency-Key": "Accepted are 8 to 64 letters, digits and the signs - _ . :"})
    files: list[UploadedFile[Any]] = asked["files"]
    return handin.hand_in(
        component=component,
        enrollment=student,
        by=sender(request),
        files=files,
        received_at=received(request._request),
        completed_at=datetime.now(UTC),
        own_work=asked["own_work"],
        confirmed_days=asked.get("confirm_late"),
        idempotency_key=key,
    )


class SubmissionDetail(CourseView):
    @extend_schema(
        operation_id="get_submission",
        tags=["Hand-ins"],
        summary="Read one hand-in",
        description="Its state, its run, its receipt, and score and result as far as you may see them. Ask again every few seconds while "
        "`run.open` is true. Staff read all hand-ins of their course.",
        parameters=[NUMBER],
        responses=answers(200, shapes.SubmissionShape),
    )
    def get(self, request: Request, pk: int) -> Response:
        return Response(_shape(request, *self.submission(request, pk)))


class Receipt(CourseView):
    @extend_schema(
        operation_id="get_receipt",
        tags=["Hand-ins"],
        summary="Read the receipt of a hand-in",
        description="The signed text. Whoever has it can check it at /receipts/ without an account.",
        parameters=[NUMBER],
        responses={
            (code, "text/plain" if code == 200 else "application/json"): what for code, what in answers(200, OpenApiTypes.STR).items()
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponse:
        _, submission = self.submission(request, pk)
        return HttpResponse(receipts.document(submission), content_type="text/plain; charset=utf-8")


class Confirm(CourseView):
    parser_classes = (Json,)

    @extend_schema(
        operation_id="confirm_late",
        tags=["Hand-ins"],
        summary="Confirm a late hand-in",
        description="You agree to what it costs; its time of arrival stands. `days` and the cost are in `confirm` of the hand-in.",
        parameters=[NUMBER],
        request=shapes.ConfirmLate,
        responses=answers(200, shapes.SubmissionShape, 400, 409, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        submission = self.own(request, pk)
        asked = _valid(shapes.ConfirmLate, request.data)
        handin.confirm_late(submission=submission, days=asked["days"], choose=asked["choose"])
        return Response(_shape(request, *self.submission(request, pk)))


class Choose(CourseView):
    parser_classes = (Json,)

    @extend_schema(
        operation_id="choose_submission",
        tags=["Hand-ins"],
        summary="Let this hand-in count",
        description="Whatever the rule says; until the scores are published.",
        parameters=[NUMBER],
        request=None,
        responses=answers(200, shapes.SubmissionShape, 409, 415),
    )
    def post(self, request: Request, pk: int) -> Response:
        handin.choose(submission=self.own(request, pk))
        return Response(_shape(request, *self.submission(request, pk)))

    @extend_schema(
        operation_id="unchoose_submission",
        tags=["Hand-ins"],
        summary="Leave it to the rule which hand-in counts",
        description="Takes back the choice of this hand-in.",
        parameters=[NUMBER],
        responses=answers(200, shapes.SubmissionShape, 409),
    )
    def delete(self, request: Request, pk: int) -> Response:
        handin.unchoose(submission=self.own(request, pk))
        return Response(_shape(request, *self.submission(request, pk)))


class HomeworkSubmissions(StaffView):
    @extend_schema(
        operation_id="list_submissions",
        tags=["For staff"],
        summary="List the hand-ins of a homework",
        description="Everybody's, the newest first, page by page; follow `next` to its end. States, lateness and scores are today's.",
        parameters=[COURSE, HOMEWORK, shapes.SubmissionsRequest],
        responses=answers(200, shapes.StaffPage, 400),
    )
    def get(self, request: Request, course: str, homework: str) -> Response:
        reader = course_access.staff(request, course)
        found = access.homework(reader, homework)
        asked = _valid(shapes.SubmissionsRequest, request.query_params.dict())
        limit, cursor = asked.pop("limit"), asked.pop("cursor", None)
        after = access.submission_of(found, cursor) if cursor else None
        rows = queries.submissions(found, queries.Filters(**asked, after=after), limit + 1)
        link = _next(request, rows[limit - 1].submission.pk) if len(rows) > limit else None
        return Response(shapes.StaffPage({"results": rows[:limit], "next": link}).data)


class Roster(StaffView):
    @extend_schema(
        operation_id="list_roster",
        tags=["For staff"],
        summary="List the people of a course",
        description="By name, page by page; follow `next` to its end.",
        parameters=[COURSE, shapes.RosterRequest],
        responses=answers(200, shapes.RosterPage, 400),
    )
    def get(self, request: Request, course: str) -> Response:
        reader = course_access.staff(request, course)
        asked = {"section": "", "role": "", "state": ""} | _valid(shapes.RosterRequest, request.query_params.dict())
        limit, cursor = asked.pop("limit"), asked.pop("cursor", None)
        after = course_access.place(reader, cursor) if cursor else None
        rows = queries.roster(reader, **asked, after=after, limit=limit + 1)
        link = _next(request, rows[limit - 1].pk) if len(rows) > limit else None
        return Response(shapes.RosterPage({"results": rows[:limit], "next": link}).data)


@extend_schema(exclude=True)
class Nothing(APIView):
    """Whatever else is asked for below the API's address: said in JSON, as everything here."""

    permission_classes = (AllowAny,)
    authentication_classes = ()
    throttle_classes = ()

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002  # the library's signature
        return HttpResponse(json.dumps(problem(f"{NOT_HERE} Addresses end with a slash.")), status=404, content_type="application/json")


def _shape(request: Request, reader: Enrollment, submission: Submission) -> dict[str, Any]:
    """The hand-in's page, as JSON: what is left out there is left out here, because it is the page's own context."""
    found = submission_queries.page(reader, submission)
    if not found["autograded"]:
        found |= {"run": None, "card": None}
    if not may(request, "read"):  # what a change answers with is no way to read
        found |= {"card": None, "score": None, "counting_why": ""}
    found |= {
        "homework": submission.component.homework,
        "counts": any(chip.word == "counts" for chip in found["chips"]),
        "score_note": found["score_note"] or "",
        "run_shown": found if found["run"] else None,
        "result_shown": found if found["card"] else None,
    }
    return dict(shapes.SubmissionShape(found).data)


def _valid(kind: type[serializers.Serializer[Any]], data: Any) -> dict[str, Any]:
    form = kind(data=data)
    form.is_valid(raise_exception=True)
    return dict(form.validated_data)


def _next(request: Request, last: int) -> str:
    """The address of the page behind the row `last`."""
    return replace_query_param(request.build_absolute_uri(), "cursor", str(last))
