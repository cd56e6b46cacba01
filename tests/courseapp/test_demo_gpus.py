"""The GPUs of a demo: the machine's, what GPU_SLOTS says, else stand-ins, which are called so."""

from pathlib import Path

import pytest
from django.conf import LazySettings
from django.core.management.base import CommandError

from courseapp.management.commands.demo import Demo
from tests.runner.driver import driver
from tests.runner.test_devices import FIRST, TWO

TABLE = f"{FIRST}, 40960, 00000000:07:00.0\n"
STAND_INS = "2 stand-ins take the place of GPUs: what is queued for a GPU is run on the processor.\n"


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def demo(tmp_path: Path, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, said: list[str]) -> Demo:
    settings.DATA_DIR = tmp_path
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("GPU_SLOTS", raising=False)
    return Demo(8000, said.append)


def kinds(demo: Demo) -> list[str]:
    return [gpu.kind for gpu in demo.find_gpus()]


def test_without_a_gpu_there_are_two_stand_ins_for_all_processes(demo: Demo, said: list[str]) -> None:
    assert kinds(demo) == ["fake", "fake"]
    assert demo.supervisor.environ["GPU_SLOTS"] == "fake:2"
    assert said == [STAND_INS]


def test_a_real_gpu_wins(demo: Demo, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{driver(tmp_path, TWO, TABLE)['PATH']}:/bin:/usr/bin")
    assert kinds(demo) == ["a100", "t4"]
    assert "GPU_SLOTS" not in demo.supervisor.environ
    assert said == []


def test_so_does_what_gpu_slots_says(demo: Demo, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPU_SLOTS", "fake:3")
    assert kinds(demo) == ["fake"] * 3
    assert said == [STAND_INS.replace("2", "3", 1)]
    monkeypatch.setenv("GPU_SLOTS", "2")
    with pytest.raises(CommandError, match=r"^GPU_SLOTS=2 is not known; accepted: fake:<1 to 99>"):
        demo.find_gpus()


def test_a_driver_that_fails_is_told_and_stood_in_for(demo: Demo, said: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{driver(tmp_path, 'no devices', '', 9)['PATH']}:/bin:/usr/bin")
    assert kinds(demo) == ["fake", "fake"]
    assert said == [f"No GPU is given out: {tmp_path}/nvidia-smi -L ended with status 9: no devices", STAND_INS]
