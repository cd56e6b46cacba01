"""Several processes on one queue, and a broker that is not there."""

import json
import signal
import socket
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from django.db import connection, transaction

from courseapp import bell, clock
from grading import claims, slots
from grading.models import CoursePolicy, GpuSlot, Run, RunResult, Submission
from grading.runner.devices import Device
from grading.services import runs as services
from tests.grading import making
from tests.grading.site import python
from tests.patience import eventually
from tests.valkey import Valkey

CLAIM_ALL = """
import json, sys
from decimal import Decimal
from grading import claims, execution
from grading.runner.outcome import Outcome
sys.stdin.readline()
taken = []
while claimed := claims.claim("cpu", "racer"):
    taken.append(claimed.run.pk)
    execution.finish(claimed.run, claimed.token, Outcome("ok", Decimal(1), Decimal(10), 0.1))
print(json.dumps(taken))
"""

CLAIM_SLOT = """
import json, sys, time
from decimal import Decimal
from grading import claims, execution, slots
from grading.models import GpuUse, Run
from grading.runner.outcome import Outcome
slot, end = sys.stdin.readline().strip(), time.monotonic() + 60
taken = []
while Run.objects.filter(state="queued").exists() and time.monotonic() < end:
    claimed = claims.claim("gpu", slot, slot=slot)
    if claimed is None:
        time.sleep(0.01)
        continue
    assert GpuUse.objects.filter(enrollment=claimed.run.enrollment_id, charged_s=None).count() == 1
    taken.append(claimed.run.pk)
    time.sleep(0.02)
    execution.finish(claimed.run, claimed.token, Outcome("ok", Decimal(1), Decimal(10), 0.1))
    slots.release(slot, claimed.run)
print(json.dumps(taken))
"""

CLAIM_AND_STOP = """
import sys
from django.db import DatabaseError, transaction
from grading import claims
try:
    with transaction.atomic():
        print(claims.claim("cpu", "stopped").run.pk, flush=True)
        sys.stdin.readline()
except DatabaseError:
    print("lost", flush=True)
"""

FINISH_ONE = """
import json, sys
from decimal import Decimal
from grading import claims, execution
from grading.models import Run
from grading.runner.outcome import Outcome
run = Run.objects.get()
sys.stdin.readline()
print(json.dumps(execution.finish(run, run.token, Outcome("ok", Decimal(1), Decimal(10), 0.1))))
"""


@pytest.mark.django_db(transaction=True)
def test_no_slot_and_no_budget_is_exceeded_by_four_claimants(tmp_path: Path) -> None:
    """Of each person's 15 minutes only one run of 10 can be reserved at a time, though four slots are free for three people."""
    component = making.homework(tmp_path / "plus-one", queue="gpu", limits={"wall_s": 600})
    CoursePolicy.objects.update_or_create(course=component.homework.course, defaults={"gpu_minutes_per_week": 15})
    submissions = [making.submission(component, name) for name in ("ada", "bob", "cyd")]
    runs = [making.run(submission, queue="gpu") for submission in submissions for _ in range(8)]
    gpus = [Device(f"fake-here-{number}", "fake") for number in range(4)]
    slots.report("here", gpus, in_use=frozenset(), faults={})
    racers = [python(CLAIM_SLOT) for _ in gpus]
    for racer, gpu in zip(racers, gpus, strict=True):
        assert racer.stdin is not None
        racer.stdin.write(f"{gpu.uuid}\n")
        racer.stdin.flush()
    taken = [json.loads(racer.communicate(timeout=90)[0]) for racer in racers]
    assert sorted(pk for part in taken for pk in part) == [run.pk for run in runs]
    assert set(Run.objects.values_list("state", "token")) == {("done", 1)}
    assert set(GpuSlot.objects.values_list("state", flat=True)) == {"free"}


@pytest.mark.django_db(transaction=True)
def test_four_processes_never_claim_a_run_twice(tmp_path: Path) -> None:
    component = making.homework(tmp_path / "plus-one")
    submission = making.submission(component)
    runs = [making.run(submission) for _ in range(60)]
    racers = [python(CLAIM_ALL) for _ in range(4)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    taken = [json.loads(racer.communicate(timeout=60)[0]) for racer in racers]
    assert sorted(pk for part in taken for pk in part) == [run.pk for run in runs]
    assert RunResult.objects.count() == 60
    assert set(Run.objects.values_list("state", "token")) == {("done", 1)}


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_what_a_claim_asks_is_planned_once_for_a_connection(tmp_path: Path) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    runs = [making.run(submission) for _ in range(7)]  # PostgreSQL goes on planning for the first five, if it is let
    connection.close()
    assert [claimed.run for _ in runs if (claimed := claims.claim("cpu", "w"))] == runs
    with connection.cursor() as cursor:
        cursor.execute("SELECT left(ltrim(statement, E'\n'), 4), generic_plans, custom_plans FROM pg_prepared_statements")
        plans = {verb: numbers for verb, *numbers in cursor.fetchall()}
    assert (plans["WITH"], plans["UPDA"]) == ([7, 0], [7, 0])


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_claimant_that_stops_in_the_middle_holds_nobody_up_for_long(tmp_path: Path) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    run = making.run(submission)
    stuck = python(CLAIM_AND_STOP, RUN_LEASE_SECONDS="2")
    assert stuck.stdout is not None
    assert stuck.stdout.readline() == f"{run.pk}\n"
    asked = clock.database_now()
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert (claimed.run.pk, claimed.token) == (run.pk, 1)
    assert claimed.run.claimed_at is not None
    assert timedelta(seconds=0.5) < claimed.run.claimed_at - asked < timedelta(minutes=1)  # from when it was given, not asked for
    assert stuck.communicate("go on\n", timeout=30)[0] == "lost\n"
    run.refresh_from_db()
    assert (run.worker, run.token) == ("w", 1)


@pytest.mark.django_db(transaction=True)
def test_a_result_that_two_write_at_once_is_written_once(tmp_path: Path) -> None:
    making.run(making.submission(making.homework(tmp_path / "plus-one")), state="running", token=3)
    racers = [python(FINISH_ONE) for _ in range(2)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    assert sorted(json.loads(racer.communicate(timeout=60)[0]) for racer in racers) == [False, True]
    assert RunResult.objects.count() == 1


def seconds_to_enqueue(submission: Submission) -> float:
    began = time.monotonic()
    with transaction.atomic():
        services.enqueue(submission=submission)
    return time.monotonic() - began


@pytest.mark.django_db(transaction=True)
def test_a_commit_rings_the_runs_queue_once(tmp_path: Path, valkey: Valkey, broker_at: Callable[[str], None]) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    broker_at(valkey.url)
    with redis.Redis(port=valkey.port) as client:
        with transaction.atomic():
            services.enqueue(submission=submission)
            assert bell.drain(0.5)
            assert client.llen("cpu") == 0
        assert bell.drain(5)
        assert client.llen("cpu") == 1


@pytest.mark.django_db(transaction=True)
def test_a_rolled_back_hand_in_rings_nothing(tmp_path: Path, valkey: Valkey, broker_at: Callable[[str], None]) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    broker_at(valkey.url)
    with transaction.atomic():
        services.enqueue(submission=submission)
        transaction.set_rollback(True)
    assert bell.drain(1)
    with redis.Redis(port=valkey.port) as client:
        assert client.llen("cpu") == 0


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_enqueueing_does_not_wait_for_a_dead_broker(tmp_path: Path, broker_at: Callable[[str], None]) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    broker_at("redis://127.0.0.1:1/0")
    assert statistics.median(seconds_to_enqueue(submission) for _ in range(5)) < 0.3


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_enqueueing_does_not_wait_for_a_broker_that_swallows_everything(tmp_path: Path, broker_at: Callable[[str], None]) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    with socket.create_server(("127.0.0.1", 0)) as black_hole:
        broker_at(f"redis://127.0.0.1:{black_hole.getsockname()[1]}/0")
        assert statistics.median(seconds_to_enqueue(submission) for _ in range(5)) < 0.3


@pytest.mark.alone
@pytest.mark.django_db(transaction=True)
def test_the_bell_rings_again_after_the_broker_was_stopped_and_killed(
    tmp_path: Path, valkey: Valkey, broker_at: Callable[[str], None]
) -> None:
    submission = making.submission(making.homework(tmp_path / "plus-one"))
    broker_at(valkey.url)
    seconds_to_enqueue(submission)
    assert bell.drain(5)
    assert valkey.process is not None
    valkey.process.send_signal(signal.SIGSTOP)
    assert statistics.median(seconds_to_enqueue(submission) for _ in range(3)) < 0.3
    valkey.kill()
    assert statistics.median(seconds_to_enqueue(submission) for _ in range(3)) < 0.3
    valkey.start()
    with redis.Redis(port=valkey.port) as client:
        before = client.llen("cpu")
        seconds_to_enqueue(submission)
        eventually(lambda: client.llen("cpu") > before, "a bell in the queue")
