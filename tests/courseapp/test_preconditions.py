"""What the demo needs of the machine, one sentence each."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from courseapp.management import preconditions
from courseapp.management.preconditions import UnmetError
from tests.conftest import missing

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_taken_port_is_named_with_another_one_to_take() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnmetError) as refused:
            preconditions.check_port(port)
    assert str(refused.value) == f"Port {port} is taken by another program. Choose another one: make demo PORT={port + 1}"
    preconditions.check_port(port)


def test_a_number_that_is_no_port_is_refused() -> None:
    with pytest.raises(UnmetError, match=r"^Port 70000 is not a port; accepted are 1 to 65535\.$"):
        preconditions.check_port(70000)


def test_missing_browser_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnmetError) as refused:
        preconditions.check_assets(tmp_path)
    assert str(refused.value) == (
        "The browser packages htmx, inter, jetbrains-mono, katex, pdfjs, uplot are missing from node_modules. "
        "Run: python3 scripts/bootstrap.py"
    )


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preconditions.check_space(tmp_path)
    monkeypatch.setattr(preconditions, "LEAST_BYTES", 2**60)
    with pytest.raises(UnmetError, match=r"^Only \d+ MB are free in .*; the demo needs \d+ MB\. Make room and start it again\.$"):
        preconditions.check_space(tmp_path)


def test_a_kernel_without_user_namespaces_is_told_with_its_remedy() -> None:
    """In a user namespace of its own the limit can be set to none without touching the machine's."""
    ask = "from courseapp.management import preconditions; print(preconditions.sandbox_problem())"
    inside = f'echo 0 > /proc/sys/user/max_user_namespaces && exec "{sys.executable}" -c "{ask}"'
    try:
        answer = subprocess.run(
            ["unshare", "--user", "--map-root-user", "sh", "-c", inside], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
        )
    except (OSError, subprocess.CalledProcessError) as error:
        missing(f"No user namespace to try this in: {error}")
    assert re.fullmatch(
        r"Homework is accepted but not run on this machine: A sandbox could not be built \(.*\)\. As root: sysctl .*\n", answer.stdout
    )


def test_a_second_demo_on_the_same_folder_is_told_where_the_first_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "demo.json").write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
    with preconditions.only_demo(tmp_path), pytest.raises(UnmetError) as refused, preconditions.only_demo(tmp_path):
        pass
    where = f"{tmp_path} at http://127.0.0.1:8000"
    assert str(refused.value) == f"A demo is already running on {where}. Stop it with Ctrl-C, or give this one its own folder: DATA_DIR=…"
    with preconditions.only_demo(tmp_path):
        pass
