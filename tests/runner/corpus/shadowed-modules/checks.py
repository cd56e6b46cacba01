"""Pretends to be the instructor's."""

registered = {}
