import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from courseapp.management import bench_autograde
from courseapp.management.bench_sandbox import Sandbox
from courseapp.management.bench_site import percentile
from courseapp.management.bench_storm import moments
from courseapp.management.bench_upload import BAR_MS, Row
from grading.runner.runtimes import Runtime


@pytest.mark.parametrize(("percent", "value"), [(50, 50.0), (95, 95.0), (100, 100.0), (1, 1.0)])
def test_a_percentile_is_one_of_the_values(percent: int, value: float) -> None:
    assert percentile([float(n) for n in range(100, 0, -1)], percent) == value


@pytest.mark.parametrize(("p95", "receipts", "holds"), [(BAR_MS, 10, True), (BAR_MS + 0.1, 10, False), (1.0, 9, False)])
def test_a_row_holds_when_it_is_quick_enough_and_every_receipt_is_genuine(p95: float, receipts: int, holds: bool) -> None:
    row = Row(
        queued=0,
        broker="up",
        p50_ms=1.0,
        p95_ms=p95,
        bar_ms=BAR_MS,
        uploads=10,
        bytes=1,
        receipts=receipts,
        runs_ended=0,
        database="sqlite",
    )
    assert row.holds is holds


def test_uploads_are_measured_against_a_real_site(tmp_path: Path) -> None:
    """Only that it measures: how quick it is says nothing on a machine that runs tests."""
    command = [sys.executable, "manage.py", "bench", "upload", "--json", "--uploads", "3", "--queued", "20"]
    environ = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environ |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "courseapp.settings"}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False, timeout=180)
    assert done.returncode in {0, 1}, done.stderr
    rows = json.loads(done.stdout)
    assert [(row["broker"], row["receipts"]) for row in rows] == [("up", 3), ("up", 3), ("down", 3)]
    assert rows[1]["queued"] >= 20
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in rows)
    assert not list(tmp_path.glob("bench-upload-*"))


def test_a_storm_grows_towards_the_deadline_and_is_always_the_same() -> None:
    at = moments(300, 120)
    assert at == moments(300, 120)
    assert at == sorted(at)
    assert 0 <= at[0] <= at[-1] <= 120
    assert sum(moment > 90 for moment in at) > 150


@pytest.mark.sandbox
def test_a_storm_loses_nothing(tmp_path: Path, torch_runtime: Runtime) -> None:
    """Only that it counts: how quick it is says nothing on a machine that runs tests."""
    command = [sys.executable, "manage.py", "bench", "storm", "--json", "--students", "5", "--seconds", "2"]
    command += ["--database-url", f"sqlite:///{tmp_path / 'storm.sqlite3'}"]
    environ = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environ |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "courseapp.settings", "RUNTIME_PYTHON": str(torch_runtime.python)}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in {0, 1}, done.stderr
    (storm,) = json.loads(done.stdout)
    assert (storm["students"], storm["stored"], storm["receipts"], storm["judged"], storm["database"]) == (5, 5, 5, 5, "sqlite")
    assert 0 < storm["p50_ms"] <= storm["p95_ms"] <= storm["p99_ms"] <= storm["worst_ms"]


def test_claims_are_measured_and_nothing_is_exceeded(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "manage.py",
        "bench",
        "claim",
        "--json",
        "--queued",
        "12",
        "--claimants",
        "3",
        "--seconds",
        "2",
        "--hold",
        "0.3",
    ]
    command += ["--database-url", f"sqlite:///{tmp_path / 'claims.sqlite3'}"]
    environ = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environ |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "courseapp.settings"}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    (claims,) = json.loads(done.stdout)
    assert (claims["claimants"], claims["queued"], claims["wrong"], claims["database"]) == (3, 12, [], "sqlite")
    assert claims["claims"] >= 3
    assert 0 < claims["p50_ms"] <= claims["p95_ms"] <= claims["worst_ms"]


@pytest.mark.sandbox
def test_starts_are_measured_on_a_worker_and_on_a_slot(tmp_path: Path, torch_runtime: Runtime) -> None:
    """Only that it measures: how quick it is says nothing on a machine that runs tests."""
    command = [sys.executable, "manage.py", "bench", "starts", "--json", "--runs", "2"]
    command += ["--database-url", f"sqlite:///{tmp_path / 'starts.sqlite3'}"]
    environ = {key: value for key, value in os.environ.items() if key != "DATABASE_URL"}
    environ |= {"DATA_DIR": str(tmp_path), "DJANGO_SETTINGS_MODULE": "courseapp.settings", "RUNTIME_PYTHON": str(torch_runtime.python)}
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environ, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode in {0, 1}, done.stderr
    uploads, gaps = json.loads(done.stdout)
    assert (uploads["runs"], gaps["runs"], uploads["database"]) == (2, 2, "sqlite")
    assert 0 < uploads["p50_ms"] <= uploads["worst_ms"]
    assert 0 < gaps["p50_ms"] <= gaps["worst_ms"]


KEYS = {
    "machine", "runs", "raw", "bare_python_ms", "bare_torch_ms", "student_first_line_ms", "first_answer_ms", "sgd_step_ms",
    "jobs_per_s", "cpu_ms_per_job", "private_mb_per_job", "ratio_torch",
}  # fmt: skip


@pytest.mark.sandbox
def test_the_sandbox_is_measured_against_the_bare_interpreter(torch_runtime: Runtime) -> None:
    """Only that it measures, and that its exit status follows from its bars."""
    command = [sys.executable, "manage.py", "bench", "sandbox", "--json", "--runs", "1", "--jobs", "4"]
    environment = os.environ | {"RUNTIME_PYTHON": str(torch_runtime.python)}
    said = subprocess.run(command, capture_output=True, text=True, check=False, cwd=settings.BASE_DIR, env=environment)
    measured = json.loads(said.stdout)
    assert set(measured) >= KEYS
    assert {name: len(samples) for name, samples in measured["raw"].items()} == dict.fromkeys(
        ("bare_python_ms", "student_first_line_ms", "bare_torch_ms", "whole_job_ms", "first_answer_ms", "bare_sgd_ms", "sgd_step_ms"), 1
    )
    assert measured["ratio_torch"] > 1
    assert measured["student_first_line_ms"] == pytest.approx(measured["raw"]["student_first_line_ms"][0], abs=0.001)
    assert said.returncode == (0 if Sandbox(**measured).holds else 1)


@pytest.mark.parametrize(
    ("change", "holds"),
    [
        ({}, True),
        ({"first_answer_ms": 30.1}, False),
        ({"ratio_torch": 59.0}, False),
        ({"jobs_per_s": 39.9}, False),
        ({"cpu_ms_per_job": 30.5}, False),
        ({"private_mb_per_job": 10.1}, False),
        ({"zygote_boot_s": 3.1}, False),
    ],
)
def test_each_bar_of_the_sandbox_counts(change: dict[str, float], holds: bool) -> None:
    at_the_bars = dict.fromkeys(Sandbox.__dataclass_fields__, 1.0) | {
        "machine": "", "runs": 1, "raw": {}, "memory_guard": "", "ratio_torch": 60.0, "jobs_per_s": 40.0, "first_answer_ms": 30.0,
        "cpu_ms_per_job": 30.0, "private_mb_per_job": 10.0, "zygote_boot_s": 3.0,
    }  # fmt: skip
    assert Sandbox(**at_the_bars | change).holds is holds  # type: ignore[arg-type] # fields of several types, by name


@pytest.mark.sandbox
def test_autograde_is_measured_on_different_hand_ins(torch_runtime: Runtime) -> None:
    command = [sys.executable, "manage.py", "bench", "autograde", "--json", "--counts", "1", "3"]
    environment = os.environ | {"RUNTIME_PYTHON": str(torch_runtime.python)}
    said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=settings.BASE_DIR, env=environment)
    assert [(row["n"], row["jobs"], row["seconds"] > 0) for row in json.loads(said.stdout)] == [(1, 2, True), (3, 2, True)]


@pytest.mark.parametrize(("seconds", "holds"), [(25.0, True), (25.1, False)])
def test_two_hundred_hand_ins_have_a_bar(seconds: float, holds: bool) -> None:
    assert bench_autograde.Row(200, 2, seconds).holds is holds
    assert bench_autograde.Row(20, 2, seconds).holds
