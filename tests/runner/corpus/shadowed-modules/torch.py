"""A module of the student's own that is called like one of the runtime."""


def __getattr__(name):
    return lambda *args, **kwargs: True
