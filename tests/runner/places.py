"""Every place in a value of JSON, to put something else there."""

from collections.abc import Callable
from typing import Any


def places(value: Any) -> list[Callable[[Any], None]]:
    """A setter for each item of each list and dict in it, the outer ones first."""
    found: list[Callable[[Any], None]] = []
    keys = list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        found.append(lambda new, key=key: value.__setitem__(key, new))  # type: ignore[misc]  # bound now, not when called
        found += places(value[key])
    return found
