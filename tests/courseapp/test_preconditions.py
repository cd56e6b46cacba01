"""What the demo needs of the machine, one sentence each."""

import json
import socket
from pathlib import Path

import pytest

from courseapp.management import preconditions
from courseapp.management.preconditions import UnmetError


def test_a_taken_port_is_named_with_another_one_to_take() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UnmetError) as refused:
            preconditions.check_port(port)
    assert str(refused.value) == f"Port {port} is taken by another program. Choose another one: make demo PORT={port + 1}"
    preconditions.check_port(port)


def test_missing_browser_packages_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnmetError) as refused:
        preconditions.check_assets(tmp_path)
    assert str(refused.value) == (
        "The browser packages htmx, inter, jetbrains-mono, katex, pdfjs are missing from node_modules. Run: python3 scripts/bootstrap.py"
    )


def test_a_full_disk_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preconditions.check_space(tmp_path)
    monkeypatch.setattr(preconditions, "LEAST_BYTES", 2**60)
    with pytest.raises(UnmetError, match=r"^Only \d+ MB are free in .*; the demo needs \d+ MB\. Make room and start it again\.$"):
        preconditions.check_space(tmp_path)


def test_a_kernel_without_user_namespaces_is_told_with_its_remedy() -> None:
    assert preconditions.namespaces_problem("raise SystemExit(1)").startswith(
        "This kernel gives no user namespaces, so homework is accepted but not run."
    )
    assert preconditions.namespaces_problem("raise SystemExit(0)") == ""


def test_a_second_demo_on_the_same_folder_is_told_where_the_first_is(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "demo.json").write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
    with preconditions.only_demo(tmp_path), pytest.raises(UnmetError) as refused, preconditions.only_demo(tmp_path):
        pass
    where = f"{tmp_path} at http://127.0.0.1:8000"
    assert str(refused.value) == f"A demo is already running on {where}. Stop it with Ctrl-C, or give this one its own folder: DATA_DIR=…"
    with preconditions.only_demo(tmp_path):
        pass
