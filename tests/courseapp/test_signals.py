"""What happens when the database is opened."""

from pathlib import Path

import pytest
from django.db.utils import ConnectionHandler


@pytest.mark.django_db
def test_nobody_else_reads_the_sqlite_file(tmp_path: Path) -> None:
    file = tmp_path / "db.sqlite3"
    connection = ConnectionHandler({"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": str(file)}})["default"]
    try:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA journal_mode=WAL")
            cursor.execute("CREATE TABLE t (x)")
        kept = sorted(tmp_path.iterdir())
        assert [path.name for path in kept] == ["db.sqlite3", "db.sqlite3-shm", "db.sqlite3-wal"]
        assert [path.stat().st_mode & 0o777 for path in kept] == [0o600] * 3
    finally:
        connection.close()
