"""How gunicorn serves the site when it is started in this folder; options on the command line come first.

A setting that is wrong stops it here, with one sentence, instead of in each worker.
"""

import os
import sys

from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "courseapp.settings")

try:
    from courseapp import settings
except ImproperlyConfigured as problem:
    sys.exit(str(problem))

from courseapp import metrics

wsgi_app = "courseapp.wsgi:application"
worker_class = "gthread"
# No access log: the site writes one line per request by itself, without addresses and queries.
logconfig_dict = {**settings.LOGGING, "loggers": {"gunicorn.error": {"propagate": True}}}


def on_starting(_server: object) -> None:
    metrics.forget()
