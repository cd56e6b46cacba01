"""GPUs that are not well: which are given out, and what becomes of a run whose GPU failed. The driver's answers are written here."""

import fcntl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner import devices
from grading.runner import host as host_module
from grading.runner.devices import MIG_UNSEEN, Device
from grading.runner.host import Host
from grading.runner.job import Cancelled
from grading.runner.outcome import Outcome
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused
from tests.conftest import missing
from tests.patience import PATIENCE_S
from tests.runner.driver import driver
from tests.runner.homework import ALL_VISIBLE, CORRECT, QUICK, job

GPU, SLICE = "GPU-11111111-2222-3333-4444-555555555555", "MIG-aaaaaaaa-bbbb-5ccc-8ddd-eeeeeeeeeeee"
ERRORS = f"2 errors of its memory could not be corrected. Reset it (nvidia-smi --gpu-reset --id={GPU}) or restart the machine."
WRONG = "raise RuntimeError('CUDA error: uncorrectable ECC error encountered')\n"

Says = Callable[..., None]


@pytest.fixture
def says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Says:
    """Have the driver's program say this of the GPU from now on."""
    monkeypatch.setattr(host_module, "COMES_BACK_S", 0.3)

    def say(table: str, status: int = 0) -> None:
        monkeypatch.setenv("PATH", driver(tmp_path, "", table, status)["PATH"])

    return say


@pytest.fixture
def gpus(says: Says, tmp_path: Path) -> Iterator[Callable[[], Host]]:
    """Start a host that has one GPU and a MIG slice."""
    with_hosts: list[Host] = []

    def start() -> Host:
        found = Host(gpus=(Device(GPU, "a100"), Device(SLICE, "a100-1g-5gb", fault=MIG_UNSEEN)), locks=tmp_path / "locks")
        with_hosts.append(found)
        if isinstance(found.tier, Refused):
            missing(f"{found.tier.reason} {found.tier.fix}")
        return found

    yield start
    for host in with_hosts:
        with closing(host):
            pass


@pytest.mark.sandbox
def test_a_host_that_starts_gives_out_only_gpus_that_are_well(says: Says, gpus: Callable[[], Host]) -> None:
    says(f"{GPU}, 9000, 0\n")
    host = gpus()
    assert host.faults == {GPU: "9000 MB of its memory are in use, and no job has it.", SLICE: MIG_UNSEEN}
    host.look_again()
    assert host.faults[GPU] == "9000 MB of its memory are in use, and no job has it."
    says(f"{GPU}, 3, 2\n")
    host.look_again()
    assert host.faults[GPU] == ERRORS
    says("GPU is lost.", status=15)
    host.look_again()
    assert host.faults[GPU].endswith("ended with status 15: GPU is lost.")
    says(f"{GPU}, 3, 0\n")
    host.look_again()
    assert host.faults == {SLICE: MIG_UNSEEN}


@pytest.mark.sandbox
def test_a_run_whose_gpu_failed_is_ours_by_what_the_driver_says_and_not_by_what_the_code_says(
    says: Says, gpus: Callable[[], Host], runtime: Runtime
) -> None:
    says(f"{GPU}, 3, 0\n")
    host = gpus()
    claims = replace(job(WRONG, runtime, specs=ALL_VISIBLE, limits=QUICK), device=GPU)
    outcome = host.run(claims)
    assert (outcome.kind, outcome.points, GPU in host.faults) == ("student", Decimal(0), False)  # the driver knows nothing of it
    right = replace(job(CORRECT, runtime, specs=ALL_VISIBLE, limits=QUICK), device=GPU)
    says(f"{GPU}, 9000, 0\n")
    outcome = host.run(right)  # judged well; only its memory does not come back
    assert (outcome.kind, outcome.points) == ("ok", Decimal(10))
    assert host.faults[GPU] == "9000 MB of its memory are in use 0.3 s after its last job."
    says(f"{GPU}, 3, 0\n")
    host.look_again()
    says(f"{GPU}, 3, 2\n")
    outcome = host.run(claims)
    assert (outcome.kind, outcome.staff_message, host.faults[GPU]) == ("system", ERRORS, ERRORS)
    assert outcome.started
    refused = host.run(right)
    assert (refused.kind, refused.staff_message, refused.started) == ("system", ERRORS, False)


@pytest.fixture
def held(gpus: Callable[[], Host], says: Says, tmp_path: Path) -> Iterator[Host]:
    """A host whose GPU an earlier job still has."""
    says(f"{GPU}, 3, 0\n")
    host = gpus()
    (tmp_path / "locks").mkdir()
    with (tmp_path / "locks" / f"{GPU}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield host


@pytest.mark.sandbox
def test_a_job_whose_gpu_is_not_let_go_of_is_not_started(held: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    assert host_module.HELD_S > host_module.COMES_BACK_S + devices.QUERY_S  # an earlier job may take that long
    monkeypatch.setattr(host_module, "HELD_S", 0.1)
    outcome = held.run(replace(job(CORRECT, runtime), device=GPU))
    assert (outcome.kind, outcome.started) == ("system", False)
    assert outcome.staff_message == f"the GPU {GPU} is still held by an earlier job"
    assert Outcome.from_json(outcome.to_json()) == outcome


@pytest.mark.sandbox
def test_a_job_that_is_cancelled_waits_for_no_gpu(held: Host, runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_module, "HELD_S", 2 * PATIENCE_S)
    cancelled = threading.Event()
    threading.Timer(0.2, cancelled.set).start()
    began = time.monotonic()
    with pytest.raises(Cancelled):
        held.run(replace(job(CORRECT, runtime), device=GPU), cancelled=cancelled)
    assert time.monotonic() - began < PATIENCE_S
