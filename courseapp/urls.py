"""All addresses of the site."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from courseapp.views import people
from grading.views import today


def healthz(_request: HttpRequest) -> HttpResponse:
    """The process answers; it says nothing about the database or the broker."""
    return HttpResponse("ok", content_type="text/plain")


urlpatterns = [
    path("", today.home, name="today"),
    path("c/<slug:course>/", today.course, name="course"),
    path("c/<slug:course>/people/", people, name="people"),
    path("healthz", healthz, name="healthz"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("grading.urls")),
]
