"""Addresses of the API."""

from django.urls import path, re_path

from grading.api import views

urlpatterns = [
    path("courses/", views.Courses.as_view(), name="api-courses"),
    path("courses/<slug:course>/homeworks/", views.Homeworks.as_view(), name="api-homeworks"),
    path("courses/<slug:course>/homeworks/<slug:homework>/", views.HomeworkDetail.as_view(), name="api-homework"),
    path("courses/<slug:course>/homeworks/<slug:homework>/submissions/", views.HomeworkSubmissions.as_view(), name="api-staff-submissions"),
    path("courses/<slug:course>/homeworks/<slug:homework>/<slug:component>/submissions/", views.Mine.as_view(), name="api-submissions"),
    path("courses/<slug:course>/roster/", views.Roster.as_view(), name="api-roster"),
    path("submissions/<int:pk>/", views.SubmissionDetail.as_view(), name="api-submission"),
    path("submissions/<int:pk>/receipt/", views.Receipt.as_view(), name="api-receipt"),
    path("submissions/<int:pk>/confirm/", views.Confirm.as_view(), name="api-confirm"),
    path("submissions/<int:pk>/choose/", views.Choose.as_view(), name="api-choose"),
    re_path(r"^", views.Nothing.as_view(), name="api-nothing"),
]
