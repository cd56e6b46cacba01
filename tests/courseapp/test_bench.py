import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings

from courseapp.management.bench_upload import BAR_MS, Row, percentile


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
