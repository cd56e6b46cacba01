"""Waiting for what other processes and threads do."""

import time
from collections.abc import Callable

# For what is broken, not for what is slow: the machine may have much else to do, and a test that passes never waits for it.
PATIENCE_S = 120.0


def eventually(condition: Callable[[], object], what: str | Callable[[], str] = "that") -> None:
    """Wait until `condition` holds; fail with `what` it was when it does not within `PATIENCE_S`."""
    end = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < end, f"after {PATIENCE_S:.0f} s still not: {what if isinstance(what, str) else what()}"
        time.sleep(0.02)
