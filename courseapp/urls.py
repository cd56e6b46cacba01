"""All addresses of the site."""

from django.contrib import admin
from django.urls import include, path

from courseapp import views
from grading.views import operation, today

urlpatterns = [
    path("", today.home, name="today"),
    path("c/<slug:course>/", today.course, name="course"),
    path("c/<slug:course>/people/", views.people, name="people"),
    path("healthz", operation.healthz, name="healthz"),
    path("readyz", operation.readyz, name="readyz"),
    path("metrics", operation.metrics, name="metrics"),
    path("accounts/tokens/", views.tokens, name="tokens"),
    path("accounts/tokens/new/", views.token_new, name="token-new"),
    path("accounts/tokens/<int:pk>/revoke/", views.token_revoke, name="token-revoke"),
    path("api/schema/", views.api_schema, name="api-schema"),
    path("api/docs/", views.api_page, name="api-docs"),
    path("handin.py", views.handin_script, name="handin-script"),
    path("accounts/email/", views.Addresses.as_view(), name="account_email"),
    path("accounts/", include("allauth.urls")),
    path("admin/", admin.site.urls),
    path("", include("grading.urls")),
]
