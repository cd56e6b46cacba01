"""Nothing that is asked about can hold up who asks."""

import threading
import time

from courseapp.probes import Finding, Probe, ask


def test_what_hangs_is_not_waited_for_and_not_started_again() -> None:
    release = threading.Event()
    started: list[int] = []

    def hang() -> Finding:
        started.append(1)
        release.wait(120)
        return Finding("ok")

    dead, well = Probe("dead", hang, worst="down"), Probe("well", lambda: Finding("ok", "fine"), worst="down")
    began = time.monotonic()
    for _ in range(2):
        found = ask([dead, well], 2)
        assert (found["dead"].state, found["dead"].detail) == ("down", "No answer in time.")
        assert (found["well"].state, found["well"].detail) == ("ok", "fine")
    assert time.monotonic() - began < 60
    assert len(started) == 1
    release.set()
    assert ask([dead], 5)["dead"].state == "ok"
    assert ask([dead], 5)["dead"].state == "ok"
    assert len(started) == 2


def test_what_fails_is_said_by_its_name() -> None:
    def fail() -> Finding:
        raise ConnectionRefusedError("nobody listens")

    found = ask([Probe("broker", fail, worst="degraded")], 5)["broker"]
    assert (found.state, found.detail) == ("degraded", "ConnectionRefusedError: nobody listens")
