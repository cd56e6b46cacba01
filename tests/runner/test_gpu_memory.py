"""A GPU's memory: what the student's code is told when it has run out of it, and who is ended for having too much.

No GPU is needed: the exceptions are PyTorch's own, and the driver's answers are written as its documentation shows them.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from grading.runner.devices import Device, used_by_process
from grading.runner.gpu_memory import Reading, asked_for, over, ran_out
from grading.runner.host import Host
from grading.runner.job import Script
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.outputs import ALL
from grading.runner.runtimes import Runtime
from grading.runner.tiers import Refused
from tests.conftest import missing
from tests.runner.driver import driver
from tests.runner.homework import ALL_VISIBLE, CORRECT, SPECS, job

GPU, OTHER = "GPU-11111111-2222-3333-4444-555555555555", "GPU-66666666-7777-8888-9999-000000000000"
SAID = "CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 15.77 GiB of which 1.12 GiB is free."
LIMITS = Limits(wall_s=30, cpu_s=30, call_s=20, memory_mb=1024, gpu_memory_mb=4096)
ADVICE = "Use a smaller batch or model, and keep no tensors of earlier steps."


@pytest.mark.parametrize(
    ("text", "ran"),
    [
        (SAID, True),
        ("CUDA error: out of memory\nCompile with `TORCH_USE_CUDA_DSA`", True),
        ("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`", True),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", True),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED", True),
        ("cuSOLVER error: CUSOLVER_STATUS_ALLOC_FAILED, when calling `cusolverDnCreate(handle)`", True),
        ("CUDA error: device-side assert triggered", False),
        ("cuDNN error: CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED", False),
        ("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory: you tried to allocate 4000 bytes.", False),
    ],
)
def test_running_out_of_a_gpus_memory_is_told_from_other_failures(text: str, ran: bool) -> None:
    assert ran_out(RuntimeError(text)) is ran
    assert ran_out(ValueError(text)) is False


def test_how_much_was_asked_for() -> None:
    assert asked_for(f"OutOfMemoryError: {SAID} (in mlp.py line 3)") == "2.50 GiB"
    assert asked_for("CUDA error: out of memory") == ""
    assert asked_for("Tried to allocate 99999999999999 GiB") == ""


def test_the_driver_tells_the_memory_of_each_process(tmp_path: Path) -> None:
    """As `nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits` is documented."""
    listing = f"{GPU}, 4711, 1324\n{GPU}, 4712, [N/A]\n{OTHER}, 4713, 500\n{GPU}, [Insufficient Permissions], 1\n"
    environ = driver(tmp_path, "", "", processes=listing)
    assert used_by_process(Device(GPU, "a100"), environ) == {4711: 1324}
    assert used_by_process(Device("fake-here-0", "fake"), environ) == {}


def test_a_sandbox_is_over_by_the_sum_of_its_processes_each_with_a_context() -> None:
    own, neighbour = {10, 11}, {20}
    within = Reading(9000, {10: 3000, 11: 3000, 99: 80000})  # 99 is nobody's of this run
    assert over(within, at_work=[own, neighbour], waiting=0, limit_mb=4000) == [False, False]  # 4000, and two contexts
    beyond = Reading(9000, {10: 3100, 11: 3000, 20: 100})
    assert over(beyond, at_work=[own, neighbour], waiting=0, limit_mb=4000) == [True, False]


def test_where_no_process_is_named_the_whole_gpu_counts() -> None:
    at_work = [{10}]
    assert over(Reading(5500, {}, before=400), at_work=at_work, waiting=0, limit_mb=4000) == [True]
    assert over(Reading(5500, {}, before=400), at_work=at_work, waiting=1, limit_mb=4000) == [False]  # the other's context
    assert over(Reading(6500, {7: 6500}, before=400), at_work=at_work, waiting=1, limit_mb=4000) == [True]
    assert over(Reading(None), at_work=at_work, waiting=0, limit_mb=4000) == [False]
    assert over(Reading(9000), at_work=[], waiting=2, limit_mb=4000) == []


RUNS_OUT = (
    CORRECT
    + f"""
def twice(x):
    raise torch.OutOfMemoryError({SAID!r})
"""
)
AT_IMPORT = f"import torch\nraise torch.OutOfMemoryError({SAID!r})\n"
HOG = (
    CORRECT
    + """
import ctypes, time
def twice(x):
    ctypes.CDLL(None).prctl(15, b"gpu-hog", 0, 0, 0)
    time.sleep(60)
    return x + x
"""
)
HOGS = "grep -ls gpu-hog /proc/[0-9]*/comm | cut -d/ -f3"


@pytest.fixture(scope="module")
def with_gpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    fake, real = Device("fake-here-0", "fake"), Device(GPU, "a100", memory_mb=40960)
    with closing(Host(gpus=(fake, real), locks=tmp_path_factory.mktemp("locks"))) as host:
        if isinstance(host.tier, Refused):
            missing(f"{host.tier.reason} {host.tier.fix}")
        yield host


def told(outcome: Outcome) -> list[tuple[str, bool]]:
    return [(check.message, check.judged) for check in outcome.checks]


@pytest.mark.sandbox
def test_code_that_runs_out_of_gpu_memory_is_told_so_and_how_much(with_gpus: Host, runtime: Runtime) -> None:
    on_gpu = replace(job(RUNS_OUT, runtime, limits=LIMITS), device="fake-here-0")
    outcome = with_gpus.run(on_gpu)
    visible = f"Your code ran out of GPU memory: 2.50 GiB asked for, limit 4 GB. {ADVICE}"
    assert (outcome.kind, outcome.message) == ("student", visible)
    hidden = f"Not judged, in a hidden check: Your code ran out of GPU memory: limit 4 GB. {ADVICE}"  # its own words are not shown
    assert told(outcome) == [(visible, False), (hidden, False), ("", True)]
    assert outcome.points == Decimal(5)  # a new process goes on with the other checks
    assert f"gpu_memory: OutOfMemoryError: {SAID} (in mlp.py line 16)" in outcome.staff_message
    without_a_limit = replace(on_gpu, limits=replace(LIMITS, gpu_memory_mb=0), files={"mlp.py": AT_IMPORT.encode()}, checks=SPECS[:1])
    assert with_gpus.run(replace(without_a_limit, bundle=job("", runtime, checks=ONE).bundle)).message == (
        f"Your code ran out of GPU memory: 2.50 GiB asked for. {ADVICE}"
    )
    files = {"mlp.py": AT_IMPORT.encode()}
    script = replace(on_gpu, bundle=b"", checks=(), entry=(), outputs=ALL, files=files, script=Script("mlp.py", ()))
    ended = with_gpus.run(script)
    assert (ended.kind, ended.message) == ("student", f"mlp.py ran out of GPU memory: 2.50 GiB asked for, limit 4 GB. {ADVICE}")


ONE = """
from grading.runner.checks import check

@check("twice")
def twice(student, trial):
    trial.equal("y", student.call("mlp.twice", 1.0), 2.0)
"""


@pytest.mark.sandbox
@pytest.mark.parametrize("named", ["by its process", "as a whole"])
def test_what_the_driver_sees_ends_a_job_that_has_too_much(
    with_gpus: Host, runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """Whatever the student's process has made of its own limit. The program says 9000 MB for as long as that process lives."""
    monkeypatch.setenv("PATH", driver(tmp_path, "", "")["PATH"])
    table = f'[ -n "$({HOGS})" ] && echo {GPU}, 9000, 0 || echo {GPU}, 3, 0'
    processes = f"{HOGS} | sed 's/.*/{GPU}, &, 9000/'" if named == "by its process" else "true"
    (tmp_path / "nvidia-smi").write_text(f'#!/bin/sh\ncase "$1" in --query-compute-apps=*) {processes} ;; *) {table} ;; esac\n')
    outcome = with_gpus.run(replace(job(HOG, runtime, checks=ONE, specs=ALL_VISIBLE[:1], limits=LIMITS), device=GPU))
    assert (outcome.kind, outcome.message) == (
        "student",
        "Stopped: more GPU memory was in use than the limit of 4 GB. Use a smaller batch or model.",
    )
    assert with_gpus.faults == {}
