"""Addresses of everything that ends in a number."""

from django.urls import include, path

from grading.views import export, handin, homework, queue, receipts, staff, submission

urlpatterns = [
    path("c/<slug:course>/homework/", homework.index, name="homework-list"),
    path("c/<slug:course>/homework/<slug:slug>/", homework.page, name="homework"),
    path("c/<slug:course>/homework/<slug:slug>/statement/", homework.statement, name="statement"),
    path("c/<slug:course>/homework/<slug:slug>/starter/", homework.starter, name="starter"),
    path("c/<slug:course>/homework/<slug:slug>/staff/", staff.page, name="homework-staff"),
    path("c/<slug:course>/homework/<slug:slug>/<slug:kind>/submit/", handin.submit, name="submit"),
    path("c/<slug:course>/homework/<slug:slug>/<slug:kind>/on-behalf/", handin.on_behalf, name="submit-on-behalf"),
    path("c/<slug:course>/homework/<slug:slug>/<slug:kind>/publish/", staff.publish, name="publish"),
    path("c/<slug:course>/submissions/<int:pk>/", submission.page, name="submission"),
    path("c/<slug:course>/submissions/<int:pk>/live/", submission.live, name="submission-live"),
    path("c/<slug:course>/submissions/<int:pk>/confirm/", handin.confirm, name="submission-confirm"),
    path("c/<slug:course>/submissions/<int:pk>/choose/", handin.choose, name="submission-choose"),
    path("c/<slug:course>/submissions/<int:pk>/rerun/", submission.rerun, name="submission-rerun"),
    path("c/<slug:course>/submissions/<int:pk>/cancel/", submission.cancel, name="submission-cancel"),
    path("c/<slug:course>/submissions/<int:pk>/diff/", submission.diff, name="submission-diff"),
    path("c/<slug:course>/submissions/<int:pk>/files/<int:file_pk>/", submission.file, name="submission-file"),
    path("c/<slug:course>/submissions/<int:pk>/files/<int:file_pk>/raw/", submission.file_raw, name="submission-file-raw"),
    path("c/<slug:course>/submissions/<int:pk>/outputs/<int:file_pk>/raw/", submission.output_raw, name="submission-output-raw"),
    path("c/<slug:course>/runs/<int:pk>/stream/", submission.stream, name="run-stream"),
    path("c/<slug:course>/queue/", queue.page, name="queue"),
    path("c/<slug:course>/queue/live/", queue.live, name="queue-live"),
    path("c/<slug:course>/queue/minutes/", queue.minutes, name="queue-minutes"),
    path("c/<slug:course>/queue/pools/<slug:pool>/pause/", queue.pause, name="queue-pause"),
    path("c/<slug:course>/queue/pools/<slug:pool>/resume/", queue.resume, name="queue-resume"),
    path("c/<slug:course>/queue/slots/<int:pk>/", queue.slot, name="queue-slot"),
    path("c/<slug:course>/queue/runs/<int:pk>/cancel/", queue.cancel, name="queue-cancel"),
    path("api/v1/", include("grading.api.urls")),
    path("your-data/", export.own, name="your-data"),
    path("receipts/", receipts.verify, name="receipts"),
    path("receipts/<str:code>/", receipts.page, name="receipt"),
]
