"""Pages that hold nothing but our parts, for the browser tests: two upload boxes, a text with math, a PDF, times."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from zoneinfo import ZoneInfo

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template import engines
from django.urls import include, path

from courseapp.markdown import render
from courseapp.render_code import render_code
from courseapp.upload_box import LateCost, UploadBox

COURSE = SimpleNamespace(mark="DL", title="Deep Learning", code="DS-GA 1008", term="Fall 2023", zone=ZoneInfo("America/New_York"))
RAIL = [{"name": name, "url": "#", "icon": name, "label": name.title(), "count": ""} for name in ("today", "homework", "people")]
COMMON = {"max_file_bytes": 1024**2, "max_total_bytes": 2 * 1024**2, "max_files": 5, "own_work": "This is my own work."}
THEORY = UploadBox(action="/post/", component="theory", required=("theory.pdf",), allowed=(), on_time="On time.", **COMMON)  # type: ignore[arg-type]
PRACTICE = UploadBox(
    action="/post/?late", component="practice", required=("mlp.py",), allowed=("*.py", "*.zip"), on_time="", again=True,
    late=LateCost(1, "10 %", "Handed in now it is 1 day late and loses 5 of 50 points."), **COMMON,  # type: ignore[arg-type]
)  # fmt: skip
NOW_LATE = {"days": 2, "percent": "20 %", "sentence": "It is 2 days late now and loses 10 of 50 points."}
ROWS = [
    {"state": "passed", "title": "forward", "points": Decimal(6), "max_points": Decimal(6)},
    {"state": "failed", "title": "gradient", "points": Decimal(0), "max_points": Decimal(5), "message": "Shape (1, 20), expected (20,)."},
    {
        "state": "closed",
        "title": "four hidden checks",
        "points": Decimal(20),
        "max_points": Decimal(24),
        "message": "They open after the due date.",
    },
]
TEXT = "# Part\n\nLet $x_1 < y$.\n\n$$\n\\frac{1}{2}\n$$\n\n| a | b |\n|---|--:|\n| x | 2 |\n\n```python\nx = 1\n```\n"
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R 6 0 R]/Count 2>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>endobj
4 0 obj<</Length 42>>stream
BT /F 24 Tf 40 300 Td (Softmax) Tj ET     \nendstream endobj
6 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 400]>>endobj
5 0 obj<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>endobj
trailer<</Root 1 0 R>>
"""


def show(request: HttpRequest, body: str, **context: object) -> HttpResponse:
    page = (
        '{% extends "base.html" %}{% load look %}{% block title %}Parts{% endblock %}{% block main %}<h1>Parts</h1>'
        + body
        + "{% endblock %}"
    )
    return HttpResponse(
        engines["django"].from_string(page).render({"course": COURSE, "rail": RAIL, "here": "homework", **context}, request)
    )


def upload(request: HttpRequest) -> HttpResponse:
    boxes = "".join(
        f'<section class="card"><h2>{{{{ {name}.component }}}}</h2>{{% include "components/_upload.html" with box={name} %}}</section>'
        for name in ("a", "b")
    )
    return show(request, boxes, a=THEORY, b=PRACTICE)


def post(request: HttpRequest) -> HttpResponse:
    names = [file.name for file in request.FILES.getlist("files")]
    if "late" in request.GET and request.POST["confirm_late"] != "2":
        return JsonResponse({"error": "It is later than you saw.", "late": NOW_LATE}, status=409)
    if names == ["theory.pdf"]:
        return JsonResponse(
            {"error": "theory.pdf is not a PDF.", "details": ["It begins with x."], "kept": "Hand-in #1 stays active."}, status=400
        )
    return JsonResponse({"redirect": f"/reading/?{','.join(map(str, names))}"}, status=201)


def reading(request: HttpRequest) -> HttpResponse:
    body = (
        '<div class="prose">{{ text }}</div><section class="card flush">{{ code }}</section>'
        '<section class="card">{% include "components/_checks.html" %}{% when at %}{% histogram counts mine=2 %}</section>'
    )
    at = datetime.now(UTC) + timedelta(hours=2, minutes=30)
    return show(
        request, body, text=render(TEXT), code=render_code(b"def f():\n    return 1\n", "f.py"), rows=ROWS, at=at, counts=[1, 4, 9, 3]
    )


def pdf(request: HttpRequest) -> HttpResponse:
    return show(request, '{% include "components/_pdf.html" with url="/file.pdf" name="theory.pdf" %}')


def pdf_file(_request: HttpRequest) -> HttpResponse:
    return HttpResponse(PDF, content_type="application/pdf")


urlpatterns = [
    path("upload/", upload),
    path("post/", post),
    path("reading/", reading),
    path("pdf/", pdf),
    path("file.pdf", pdf_file),
    path("accounts/", include("allauth.urls")),
]
