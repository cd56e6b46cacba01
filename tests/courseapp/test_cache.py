"""The cache that the web workers share: with a real server, without one, and while it goes away."""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.cache import cache

from courseapp import cache as module
from courseapp.cache import SharedCache
from tests.valkey import Valkey


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    module._rests_until.clear()


def shared(url: str) -> SharedCache:
    return SharedCache(url, {"KEY_PREFIX": "courseapp"})


def test_workers_see_each_others_counts_as_json(valkey: Valkey) -> None:
    one, other = shared(valkey.url), shared(valkey.url)
    assert one.add("tries", [1.5, 2.5], 60)
    assert not other.add("tries", [], 60)
    assert other.get("tries") == [1.5, 2.5]
    one.set("hits", 1, 60)
    assert other.incr("hits") == 2
    other.clear()
    with redis.Redis(port=valkey.port) as client:
        assert client.get("courseapp:1:tries") == b"[1.5, 2.5]"
    assert one.delete("tries")
    assert one.get("tries", "none") == "none"


def test_a_dead_server_locks_nobody_out_and_costs_no_time(valkey: Valkey, caplog: pytest.LogCaptureFixture) -> None:
    counts = shared(valkey.url)
    counts.set("tries", [1.0])
    valkey.kill()
    began = time.monotonic()
    assert counts.add("lock", True, 10)
    assert not counts.add("lock", True, 10)
    assert counts.get("tries", []) == []
    for _ in range(200):
        counts.set("tries", [2.0], 60)
    assert time.monotonic() - began < 20  # and not 0.3 s for each
    assert counts.get("tries") == [2.0]
    assert [record.message for record in caplog.records] == [
        "The shared cache does not answer (ConnectionError); this process counts for itself."
    ]


def test_the_server_is_used_again_when_it_is_back(valkey: Valkey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REST_SECONDS", 0.05)
    counts = shared(valkey.url)
    valkey.kill()
    counts.set("tries", [2.0], 60)
    valkey.start()
    time.sleep(0.06)
    assert counts.get("tries", []) == []
    counts.set("tries", [3.0], 60)
    assert shared(valkey.url).get("tries") == [3.0]


def test_a_socket_file_is_understood(tmp_path: Path) -> None:
    counts = shared(f"unix://{tmp_path}/none.sock?db=0")
    counts.set("tries", 1)
    assert counts.get("tries") == 1


def test_the_site_uses_it() -> None:
    assert isinstance(cache._connections["default"], SharedCache)  # type: ignore[attr-defined]  # what the proxy stands for
