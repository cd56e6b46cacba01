"""A database at one moment, while the site goes on: out of it and into it again.

SQLite: its own backup interface, both ways; other processes see the old state or the new one. PostgreSQL: pg_dump in its custom
format, of an exported snapshot; back by pg_restore and psql in one transaction. Tools of the server's own major version are taken
where they are installed, else the next newer ones: older ones cannot read a newer server.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.db import connection

from courseapp.fields import digests_sql
from courseapp.management.backup import BackupError

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
COUNTED = {"accounts": "courseapp_user", "hand-ins": "grading_submission", "results": "grading_runresult"}
_MIGRATIONS = "SELECT app, name FROM django_migrations ORDER BY app, name"


@dataclass(frozen=True)
class Dump:
    """What was written, and what it says, read at the very same moment."""

    file: Path
    engine: str
    server: str
    digests: list[str]
    migrations: list[str]
    counts: dict[str, int]


def engine() -> str:
    return str(connection.vendor)


def dump(folder: Path) -> Dump:
    return _dump_postgres(folder / "database.dump") if engine() == "postgresql" else _dump_sqlite(folder / "database.sqlite3")


def restore(file: Path) -> None:
    """Put the dump in the place of everything that the database holds; all of it or nothing."""
    connection.close()
    if engine() == "postgresql":
        _restore_postgres(file)
    else:
        _restore_sqlite(file)


def _dump_sqlite(file: Path) -> Dump:
    try:
        with closing(sqlite3.connect(str(connection.settings_dict["NAME"]), timeout=20)) as source, closing(sqlite3.connect(file)) as copy:
            source.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
            [(integrity,)] = copy.execute("PRAGMA integrity_check(1)").fetchall()
            if integrity != "ok":
                raise BackupError(f"The database is damaged, so nothing was kept: {integrity}")
            found = Dump(
                file,
                "sqlite",
                sqlite3.sqlite_version,
                digests=sorted(row[0] for row in copy.execute(digests_sql())),
                migrations=[f"{app}.{name}" for app, name in copy.execute(_MIGRATIONS)],
                counts={word: copy.execute(_count(table)).fetchone()[0] for word, table in COUNTED.items()},
            )
    except sqlite3.Error as error:
        raise BackupError(f"The database could not be copied: {error}.") from error
    file.chmod(0o600)
    with file.open("rb") as content:
        os.fsync(content.fileno())
    return found


def _restore_sqlite(file: Path) -> None:
    name = str(connection.settings_dict["NAME"])
    uri = f"{file.absolute().as_uri()}?immutable=1"
    try:
        with (
            closing(sqlite3.connect(uri, uri=True)) as source,
            closing(sqlite3.connect(name, timeout=20)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as error:
        raise BackupError(f"The database {name} could not be written: {error}.") from error


def _dump_postgres(file: Path) -> Dump:
    # A connection of our own: the snapshot lasts while its transaction does.
    own = connection.copy()
    try:
        own.set_autocommit(False)
        with own.cursor() as cursor:
            cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            cursor.execute("SELECT pg_export_snapshot()")
            [snapshot] = cursor.fetchone()
            major = own.pg_version // 10000  # type: ignore[attr-defined]  # PostgreSQL's wrapper has it
            command = [tool("pg_dump", major), "--format=custom", "--no-owner", "--no-acl", f"--snapshot={snapshot}", f"--file={file}"]
            _run(command, own.get_connection_params())
            cursor.execute(digests_sql())
            digests = sorted(row[0] for row in cursor.fetchall())
            cursor.execute(_MIGRATIONS)
            migrations = [f"{app}.{name}" for app, name in cursor.fetchall()]
            counts = {}
            for word, table in COUNTED.items():
                cursor.execute(_count(table))
                counts[word] = cursor.fetchone()[0]
    finally:
        own.close()
    file.chmod(0o600)
    with file.open("rb") as content:
        os.fsync(content.fileno())
    return Dump(file, "postgresql", str(major), digests, migrations, counts)


def _restore_postgres(file: Path) -> None:
    with connection.cursor() as cursor:
        major = connection.pg_version // 10000  # type: ignore[attr-defined]  # as above
        there = [connection.ops.quote_name(name) for name in connection.introspection.table_names(cursor)]
    params = connection.get_connection_params()
    connection.close()
    with tempfile.TemporaryDirectory(prefix="restore-", dir=settings.DATA_DIR) as folder:
        # First all of it as statements: psql would commit what a pg_restore that broke off had told it so far.
        script, drops = Path(folder, "restore.sql"), Path(folder, "drop.sql")
        _run([tool("pg_restore", major), "--no-owner", "--no-acl", f"--file={script}", str(file)], params)
        drops.write_text(f"DROP TABLE {', '.join(there)} CASCADE;\n" if there else "")
        psql = [tool("psql", major), "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--output=/dev/null"]
        _run([*psql, f"--file={drops}", f"--file={script}"], params)


def tool(name: str, major: int) -> str:
    """Path of a PostgreSQL client program that fits the server. BackupError names what to install."""
    on_path = shutil.which(name)
    candidates = [on_path] if on_path else []
    for pattern in FOLDERS:
        candidates += [str(folder / name) for folder in Path("/").glob(pattern.lstrip("/")) if (folder / name).exists()]
    versions = {found: path for path in reversed(candidates) if (found := _major(path)) >= major}
    if versions:
        return versions[min(versions)]
    older = f"; found is version {max(map(_major, candidates))}, which cannot read it" if candidates else ""
    raise BackupError(
        f"{name} for PostgreSQL {major} is not installed on this machine{older}. On Debian: apt-get install postgresql-client-{major}"
    )


def _major(path: str) -> int:
    said = subprocess.run([path, "--version"], check=False, capture_output=True, text=True).stdout
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def _run(command: list[str], params: Mapping[str, object]) -> None:
    """The password goes by the environment: a command line is shown to everybody on the machine."""
    names = {
        "dbname": "PGDATABASE",
        "user": "PGUSER",
        "password": "PGPASSWORD",
        "host": "PGHOST",
        "port": "PGPORT",
        "service": "PGSERVICE",
        "passfile": "PGPASSFILE",
        "sslmode": "PGSSLMODE",
        "sslrootcert": "PGSSLROOTCERT",
        "sslcert": "PGSSLCERT",
        "sslkey": "PGSSLKEY",
        "options": "PGOPTIONS",
    }
    environ = {**os.environ, **{names[key]: str(value) for key, value in params.items() if key in names and value is not None}}
    ended = subprocess.run(command, env=environ, stdin=subprocess.DEVNULL, check=False, capture_output=True, text=True)
    if ended.returncode:
        said = " ".join(ended.stderr.split())[-500:] or f"status {ended.returncode}"
        raise BackupError(f"{Path(command[0]).name} failed: {said}")


def _count(table: str) -> str:
    return f'SELECT COUNT(*) FROM "{table}"'  # noqa: S608  # a name of ours
