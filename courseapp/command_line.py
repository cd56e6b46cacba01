"""The program with which students hand in from the command line, as this site serves it."""

from functools import cache
from pathlib import Path

from django.conf import settings

PROGRAM = Path(__file__).with_name("programs") / "handin.py"
EXAMPLE = 'SITE = "http://127.0.0.1:8000"'


@cache
def script() -> str:
    """The program with this site's address in it."""
    source = PROGRAM.read_text()
    assert source.count(EXAMPLE) == 1
    return source.replace(EXAMPLE, f'SITE = "{settings.SITE_URL}"')
