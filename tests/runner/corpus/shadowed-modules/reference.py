"""Pretends to be the instructor's."""


def problem(*args, **kwargs):
    raise SystemExit(0)
