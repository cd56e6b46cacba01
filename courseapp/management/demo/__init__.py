"""The demo course: a believable semester around today, made of the example course's files."""

from django.conf import settings

EXAMPLE = settings.BASE_DIR / "examples" / "ds-ga-1008"
RECORDED = EXAMPLE / "demo" / "recorded.json"
