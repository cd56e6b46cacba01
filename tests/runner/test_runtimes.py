import json
import subprocess
import sys
from pathlib import Path

import pytest

from grading.runner import runtimes
from grading.runner.runtimes import Failed, InstallError, Preparing, Ready
from tests.patience import eventually


@pytest.fixture
def pins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runtime “torch” without packages, so that nothing is downloaded."""
    monkeypatch.setattr(runtimes, "PINS", tmp_path / "pins")
    file = tmp_path / "pins" / "torch" / "requirements.txt"
    file.parent.mkdir(parents=True)
    file.write_text("# nothing\n")
    return file


def find(data_dir: Path) -> Ready | Preparing | Failed:
    return runtimes.find(data_dir, "torch", environ={})


def test_a_runtime_that_nobody_installed_is_being_prepared(pins: Path, tmp_path: Path) -> None:
    found = find(tmp_path / "data")
    assert isinstance(found, Preparing)
    assert found.status.state == "missing"
    assert found.status.message == "The PyTorch runtime is not installed yet."


def test_an_installed_runtime_is_found_with_its_own_interpreter_and_digest(pins: Path, tmp_path: Path) -> None:
    said: list[str] = []
    runtime = runtimes.install(tmp_path / "data", "torch", say=said.append)
    assert find(tmp_path / "data") == Ready(runtime)
    answer = subprocess.run([runtime.python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == str(runtime.python.parent.parent)
    assert runtime.digest == runtimes.describe(runtime.python)[0]
    assert said[0] == "creating the environment"


def test_a_second_install_does_nothing(pins: Path, tmp_path: Path) -> None:
    first = runtimes.install(tmp_path / "data", "torch")
    said: list[str] = []
    assert runtimes.install(tmp_path / "data", "torch", say=said.append) == first
    assert said == []


def test_changed_pins_want_a_new_runtime_and_keep_the_old_one(pins: Path, tmp_path: Path) -> None:
    old = runtimes.install(tmp_path / "data", "torch")
    pins.write_text("# nothing, but differently\n")
    assert isinstance(find(tmp_path / "data"), Preparing)
    assert old.python.exists()


def test_a_failed_installation_says_why_and_can_be_tried_again(pins: Path, tmp_path: Path) -> None:
    good = pins.read_text()
    pins.write_text("courseapp-missing @ file:///nowhere/courseapp_missing-1.0-py3-none-any.whl\n")
    with pytest.raises(InstallError, match=r"The PyTorch runtime could not be installed: .*nowhere"):
        runtimes.install(tmp_path / "data", "torch")
    found = find(tmp_path / "data")
    assert isinstance(found, Failed)
    assert "nowhere" in found.status.message
    pins.write_text(good)
    assert isinstance(Ready(runtimes.install(tmp_path / "data", "torch")), Ready)


def test_a_full_disk_is_one_clear_sentence(pins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtimes, "NEEDED_BYTES", 2**60)
    with pytest.raises(InstallError, match=r"the disk is too full: it needs about \d+ GB"):
        runtimes.install(tmp_path / "data", "torch")


def test_only_one_installer_at_a_time(pins: Path, tmp_path: Path) -> None:
    home = tmp_path / "data" / "runtimes" / "torch"
    home.mkdir(parents=True)
    with runtimes._lock(home, wait=False), pytest.raises(runtimes.AlreadyInstallingError):
        runtimes.install(tmp_path / "data", "torch")


def test_a_killed_installation_is_not_shown_as_running_and_the_next_one_starts_clean(pins: Path, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from grading.runner import runtimes\n"
        "runtimes.PINS = Path(sys.argv[1]); runtimes.install(Path(sys.argv[2]), 'torch')"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(pins.parent.parent), str(tmp_path / "data")])
    status = tmp_path / "data" / "runtimes" / "torch" / "status.json"
    eventually(status.exists, "it says how far it is")
    assert json.loads(status.read_text())["state"] == "installing"
    process.kill()
    process.wait()
    # A process that it was about to start has its lock for another moment.
    eventually(lambda: "interrupted" in str(find(tmp_path / "data")), "the installation is known to be interrupted")
    found = find(tmp_path / "data")
    assert isinstance(found, Preparing)
    assert found.status.state == "missing"
    assert find(tmp_path / "data") != Ready(runtimes.install(tmp_path / "data", "torch"))
    assert isinstance(find(tmp_path / "data"), Ready)


def test_an_existing_interpreter_can_be_used_instead(pins: Path, tmp_path: Path) -> None:
    found = runtimes.find(tmp_path, "torch", environ={"RUNTIME_PYTHON": sys.executable})
    assert isinstance(found, Ready)
    assert found.runtime.python == Path(sys.executable)
    missing = runtimes.find(tmp_path, "torch", environ={"RUNTIME_PYTHON": "/nowhere/python"})
    assert isinstance(missing, Failed)
    assert missing.status.message == "RUNTIME_PYTHON is '/nowhere/python'; it must be the path of a Python interpreter."


def test_an_unknown_runtime_names_the_known_ones(pins: Path, tmp_path: Path) -> None:
    found = runtimes.find(tmp_path, "julia", environ={})
    assert isinstance(found, Failed)
    assert found.status.message == "There is no runtime “julia”. Known: torch."
