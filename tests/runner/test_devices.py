"""Which GPUs a machine has, from what the driver's program printed on machines that have some."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from grading.runner import devices
from grading.runner.devices import Device, DeviceError, DriverError, State, find, kind_of, look, parse
from grading.runner.runtimes import Runtime
from tests.conftest import missing
from tests.runner.driver import driver

REPOSITORY = Path(__file__).resolve().parents[2]

# As `nvidia-smi -L` of drivers 535 and 550 prints it; the UUIDs are made up.
TWO = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-2222-3333-4444-555555555555)
GPU 1: Tesla T4 (UUID: GPU-66666666-7777-8888-9999-000000000000)
"""
SLICED = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-11111111-2222-3333-4444-555555555555)
  MIG 3g.20gb     Device  0: (UUID: MIG-aaaaaaaa-bbbb-5ccc-8ddd-eeeeeeeeeeee)
  MIG 1g.5gb      Device  1: (UUID: MIG-GPU-11111111-2222-3333-4444-555555555555/9/0)
GPU 1: NVIDIA H200 (UUID: GPU-66666666-7777-8888-9999-000000000000)
"""
FIRST, SECOND = "GPU-11111111-2222-3333-4444-555555555555", "GPU-66666666-7777-8888-9999-000000000000"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("NVIDIA A100-SXM4-40GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA H200", "h200"),
        ("Tesla T4", "t4"),
        ("Tesla V100-PCIE-16GB", "v100"),
        ("NVIDIA GeForce RTX 3090", "rtx3090"),
        ("Quadro RTX 8000", "rtx8000"),
        ("NVIDIA RTX A6000", "rtxa6000"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA", "unknown"),
    ],
)
def test_the_kind_is_the_model(name: str, kind: str) -> None:
    assert kind_of(name) == kind


def test_a_gpu_is_one_place_and_a_sliced_one_as_many_as_slices() -> None:
    assert list(parse(TWO)) == [(FIRST, "a100", FIRST), (SECOND, "t4", SECOND)]
    assert list(parse(SLICED)) == [
        ("MIG-aaaaaaaa-bbbb-5ccc-8ddd-eeeeeeeeeeee", "a100-3g-20gb", FIRST),
        (f"MIG-{FIRST}/9/0", "a100-1g-5gb", FIRST),
        (SECOND, "h200", SECOND),
    ]
    assert list(parse("No devices found.\n")) == []


def test_what_the_driver_lists_is_found_with_its_memory(tmp_path: Path) -> None:
    table = f"{FIRST}, 40960, 00000000:07:00.0\n{SECOND}, 15360, 00000000:08:00.0\n"
    found = [(device.uuid, device.kind, device.memory_mb, device.fault) for device in find(driver(tmp_path, TWO, table))]
    assert found == [(FIRST, "a100", 40960, ""), (SECOND, "t4", 15360, "")]
    sliced = [(device.kind, device.memory_mb, device.fault) for device in find(driver(tmp_path, SLICED, table))]
    assert sliced == [("a100-3g-20gb", 20480, devices.MIG_UNSEEN), ("a100-1g-5gb", 5120, devices.MIG_UNSEEN), ("h200", 15360, "")]


def test_without_a_driver_there_is_none(tmp_path: Path) -> None:
    assert find({"PATH": str(tmp_path)}) == ()


def test_a_driver_that_fails_is_told(tmp_path: Path) -> None:
    with pytest.raises(DriverError, match=r"nvidia-smi -L ended with status 9: NVIDIA-SMI has failed$"):
        find(driver(tmp_path, "NVIDIA-SMI has failed\n", "", status=9))


def test_fake_ones_are_as_many_as_asked_for() -> None:
    found = find({"GPU_SLOTS": "fake:2"})
    assert [device.kind for device in found] == ["fake", "fake"]
    assert len({device.uuid for device in found}) == 2
    for wrong in ("fake:0", "fake:100", "fake", "2", "a100:1"):
        with pytest.raises(DeviceError, match=rf"^GPU_SLOTS={wrong} is not known; accepted: fake:<1 to 99>"):
            find({"GPU_SLOTS": wrong})


def test_how_a_gpu_is_is_asked_of_the_driver(tmp_path: Path) -> None:
    environ = driver(tmp_path, TWO, f"{FIRST}, 1234, 0\n{SECOND}, [N/A], [N/A]\n")
    assert look(Device(FIRST, "a100"), environ) == State(1234, 0)
    assert look(Device(SECOND, "t4"), environ) == State(None, None)
    assert look(Device("fake-here-0", "fake"), environ) == State(None, None)
    with pytest.raises(DeviceError, match=r"^The driver lists the GPU GPU-gone no more\.$"):
        look(Device("GPU-gone", "a100"), environ)
    lost = "Unable to determine the device handle for GPU0000:07:00.0: GPU is lost.  Reboot the system to recover this GPU"
    with pytest.raises(DeviceError, match=rf"ended with status 15: {lost}$"):
        look(Device(FIRST, "a100"), driver(tmp_path, "", lost, status=15))


@pytest.mark.sandbox
def test_the_check_of_a_machines_gpus_trains_and_searches_on_each(runtime: Runtime) -> None:
    """On slots that are no hardware: all of it but CUDA."""
    command = [sys.executable, "-m", "grading.runner.gpu_check", "--runtime", str(runtime.python), "--json"]
    said = subprocess.run(command, cwd=REPOSITORY, env=os.environ | {"GPU_SLOTS": "fake:2"}, capture_output=True, text=True, check=False)
    assert said.stdout, said.stderr
    report = json.loads(said.stdout)
    if not report["slots"]:
        missing(report["tier"])
    assert (said.returncode, report["tier"]) == (0, "namespaces"), said.stdout
    assert [(slot["kind"], slot["device"], slot["held"]) for slot in report["slots"]] == [("fake", "cpu", True)] * 2
    nothing = subprocess.run(command, cwd=REPOSITORY, env={"PATH": "/nowhere"}, capture_output=True, text=True, check=False)
    assert (nothing.returncode, nothing.stderr) == (
        1,
        "No GPU is listed: nvidia-smi is not there. GPU_SLOTS=fake:1 tries everything but CUDA.\n",
    )
