"""Homework as its students see it; staff see the same pages, without a place to hand in."""

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from courseapp import downloads
from courseapp.access import member
from courseapp.markdown import render as markdown
from grading import access
from grading.queries import homework as queries


@login_required
@require_safe
def index(request: HttpRequest, course: str) -> HttpResponse:
    reader = member(request, course)
    return render(request, "grading/homework/index.html", {"rows": queries.index(reader), "here": "homework"})


@login_required
@require_safe
def page(request: HttpRequest, course: str, slug: str) -> HttpResponse:
    reader = member(request, course)
    homework = access.homework(reader, slug)
    return render(request, "grading/homework/page.html", queries.page(reader, homework) | {"here": "homework"})


@login_required
@require_safe
def statement(request: HttpRequest, course: str, slug: str) -> HttpResponse:
    reader = member(request, course)
    homework = access.homework(reader, slug)
    context = {
        "homework": homework,
        "statement": markdown(homework.statement),
        "here": "homework",
    }
    return render(request, "grading/homework/statement.html", context)


@login_required
@require_safe
def starter(request: HttpRequest, course: str, slug: str) -> HttpResponseBase:
    reader = member(request, course)
    homework = access.starter(reader, slug)
    return downloads.attachment(homework.starter_sha256, filename=f"{homework.slug}-starter.zip", content_type="application/zip")
