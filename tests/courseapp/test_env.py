"""A wrong setting is one sentence: the name, the value, what is accepted."""

import os
import pwd
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from courseapp import env
from grading.models import SILENT_AFTER


@pytest.mark.parametrize("value", ["_private/", "/_private", "/", "//", "/a b/", "https://files/"])
def test_a_prefix_begins_and_ends_with_a_slash(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_ACCEL_REDIRECT", value)
    with pytest.raises(ImproperlyConfigured, match=r"accepted is one that begins and ends with /"):
        env.path_prefix("X_ACCEL_REDIRECT")


def test_a_prefix_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("X_ACCEL_REDIRECT", "/_private/")
    assert env.path_prefix("X_ACCEL_REDIRECT") == "/_private/"


CALL = """
import os, sys
sys.path.insert(0, {repository!r})
from pathlib import Path
from django.core.exceptions import ImproperlyConfigured
from courseapp import env
if os.geteuid() == 0:  # root may write everywhere
    os.setuid({nobody})
try:
    env.private_folder("DATA_DIR", Path({folder!r}), ("run",))
except ImproperlyConfigured as error:
    print(error)
"""


def test_a_data_folder_that_cannot_be_written_to_is_named() -> None:
    repository = str(Path(__file__).resolve().parents[2])
    with tempfile.TemporaryDirectory(prefix="courseapp-", dir="/tmp") as folder:
        Path(folder).chmod(0o555)
        code = CALL.format(repository=repository, nobody=pwd.getpwnam("nobody").pw_uid, folder=folder)
        ended = subprocess.run([sys.executable, "-c", code], cwd="/", env={}, capture_output=True, text=True, check=True)
    assert ended.stdout == (
        f"DATA_DIR={folder!r} cannot be used as the data folder: {folder}: it cannot be written to. "
        "Give it to the user that the site runs as, or name another folder.\n"
    )


def test_a_data_folder_that_is_a_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "file"))
    with pytest.raises(ImproperlyConfigured, match=r"cannot be used as the data folder: .*: File exists"):
        env.private_folder("DATA_DIR", tmp_path, ())


def test_the_command_line_says_it_in_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).resolve().parents[2] / "manage.py"), "check"]
    ended = subprocess.run(command, env={"DATA_DIR": "/dev/null"}, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("DATA_DIR='/dev/null' cannot be used as the data folder: /dev/null: File exists.")
    assert ended.stderr.count("\n") == 1


def test_the_web_server_says_it_in_one_line_too(tmp_path: Path) -> None:
    repository = Path(__file__).resolve().parents[2]
    said = {}
    for folder in ("/dev/null", str(tmp_path / "var")):
        command = [sys.executable, "-m", "gunicorn", "--check-config"]
        ended = subprocess.run(command, cwd=repository, env={"DATA_DIR": folder}, capture_output=True, text=True, check=False)
        said[folder] = (ended.returncode, [line[:20] for line in ended.stderr.splitlines() if "DATA_DIR" in line or "Error" in line])
    assert said == {"/dev/null": (1, ["DATA_DIR='/dev/null'"]), str(tmp_path / "var"): (0, [])}


def test_a_key_that_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY", raising=False)
    (tmp_path / "secret_key").mkdir()
    with pytest.raises(ImproperlyConfigured, match=r"The key that signs receipts cannot be kept: .*/secret_key: Is a directory\."):
        env.secret_key(False, tmp_path)


def polling_each(seconds: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "DEBUG": "1", "RUN_POLL_SECONDS": seconds}
    code = "from courseapp import settings; print(settings.RUN_POLL_SECONDS)"
    return subprocess.run([sys.executable, "-c", code], cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False)


def test_a_runner_host_that_looks_seldom_has_reported_three_times_before_it_counts_as_silent(tmp_path: Path) -> None:
    accepted, refused = polling_each("10", tmp_path), polling_each("11", tmp_path)
    assert (accepted.returncode, accepted.stdout) == (0, "10\n"), accepted.stderr
    assert 3 * int(accepted.stdout) <= SILENT_AFTER.total_seconds()
    assert refused.returncode == 1
    assert refused.stderr.splitlines()[-1].endswith(": RUN_POLL_SECONDS='11' is not a whole number from 1 to 10.")
