"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path

from courseapp.views import people
from grading.views import operation, today

urlpatterns = [
    path("", today.home, name="today"),
    path("c/<slug:course>/", today.course, name="course"),
    path("c/<slug:course>/people/", people, name="people"),
    path("healthz", operation.healthz, name="healthz"),
    path("readyz", operation.readyz, name="readyz"),
    path("metrics", operation.metrics, name="metrics"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("grading.urls")),
]
