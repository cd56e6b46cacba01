"""Property tests search; how long an example takes on a busy machine says nothing about the policy."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
