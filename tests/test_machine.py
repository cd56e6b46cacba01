"""The suite's own helpers: the database that was asked for, and a broker that keeps what it was told."""

import os

import pytest
import redis
from django.db import connection

from tests.valkey import Valkey


@pytest.mark.django_db
def test_the_suite_runs_on_the_database_that_was_asked_for() -> None:
    wanted = {"sqlite": "sqlite", "postgres": "postgresql"}[os.environ.get("TEST_DATABASE") or "sqlite"]
    assert connection.vendor == wanted


def test_a_killed_broker_comes_back_with_what_it_held(valkey: Valkey) -> None:
    with redis.Redis(port=valkey.port) as client:
        client.rpush("queue", "bell")
        client.execute_command("WAITAOF", 1, 0, 2000)
    valkey.kill()
    valkey.start()
    with redis.Redis(port=valkey.port) as client:
        assert client.lrange("queue", 0, -1) == [b"bell"]
