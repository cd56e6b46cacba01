"""Real processes of the site on the test's database: workers, a runner host, or a few lines of Python."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from django.conf import settings
from django.db import connection

from grading.runner.parent import die_with_parent

REPOSITORY = Path(__file__).resolve().parents[2]


def environment(**values: str) -> dict[str, str]:
    """What a process needs to open the database and the store of the running test."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "courseapp.settings",
        "DATABASE_URL": url,
        "DATA_DIR": str(settings.DATA_DIR),
        "PYTHONPATH": str(REPOSITORY),
        **values,
    }


def python(code: str, **values: str) -> "subprocess.Popen[str]":
    """Start `code` in a process with Django set up; it dies with the test."""
    command = [sys.executable, "-c", f"import django; django.setup()\n{code}"]
    return subprocess.Popen(
        command, env=environment(**values), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent()
    )


def eventually(condition: Callable[[], bool], seconds: float, what: str) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"after {seconds:.0f} s still not: {what}"
        time.sleep(0.05)
