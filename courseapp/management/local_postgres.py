"""A throw-away PostgreSQL cluster from the machine's own binaries: for the second run of the suite, and for benchmarks."""

import atexit
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from grading.runner.parent import die_with_parent

FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
OPTIONS = ("max_connections=60", "shared_buffers=64MB", "log_min_messages=fatal")
FORGETFUL = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


class MissingError(Exception):
    """There is no PostgreSQL that could be started; the text says why."""


@dataclass
class Cluster:
    url: str
    folder: Path
    command: Sequence[str]
    as_user: Mapping[str, object]
    server: subprocess.Popen[bytes]

    def crash(self) -> None:
        """End as by `pg_ctl stop -m immediate`: every connection is cut, nothing is written down first."""
        self.server.send_signal(signal.SIGQUIT)
        self.server.wait(timeout=20)

    def serve_again(self) -> None:
        """Start once more on the same data and port, without waiting until it answers."""
        self.server = _serve(self.folder, self.command, self.as_user)

    def stop(self) -> None:
        self.server.terminate()
        try:
            self.server.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.server.kill()
            self.server.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def start_if_wanted(environ: MutableMapping[str, str]) -> None:
    """Set DATABASE_URL when TEST_DATABASE asks for PostgreSQL, or POSTGRES_PROBLEM to why that was not possible."""
    wanted = environ.get("TEST_DATABASE") or "sqlite"
    if wanted not in {"sqlite", "postgres"}:
        raise ValueError(f"TEST_DATABASE={wanted!r} is not known; accepted are sqlite, postgres.")
    if wanted == "sqlite":
        return
    try:
        cluster = start()
    except MissingError as missing:
        environ["POSTGRES_PROBLEM"] = str(missing)
        return
    atexit.register(cluster.stop)
    environ["DATABASE_URL"] = cluster.url


def start(*, durable: bool = False, port: int | None = None, network: str = "") -> Cluster:
    """Raises MissingError. `durable`: with fsync, as a real site has it. `port`: a free one by default.

    On loopback; where a `network` such as 10.77.0.0/24 is named, on all addresses, and everybody of that network is let in.
    """
    binaries = find_binaries()
    user = unprivileged_user()
    folder = Path(tempfile.mkdtemp(prefix="courseapp-postgres-", dir=reachable_folder() if user else None))
    if user:
        os.chown(folder, user.pw_uid, user.pw_gid)
    as_user = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
    try:
        _initialise(binaries / "initdb", folder / "data", as_user)
        if network:
            with (folder / "data" / "pg_hba.conf").open("a") as file:
                file.write(f"host all all {network} trust\n")
        port = port or _free_port()
        settings = [
            *OPTIONS,
            *(() if durable else FORGETFUL),
            "listen_addresses=*" if network else "listen_addresses=127.0.0.1",
            f"port={port}",
            f"unix_socket_directories={folder}",
        ]
        command = [str(binaries / "postgres"), "-D", str(folder / "data"), *(part for each in settings for part in ("-c", each))]
        server = _serve(folder, command, as_user)
    except (OSError, MissingError):
        shutil.rmtree(folder, ignore_errors=True)
        raise
    cluster = Cluster(f"postgres://courseapp@127.0.0.1:{port}/postgres", folder, command, as_user, server)
    _wait_until_ready(cluster, binaries)
    return cluster


def find_binaries() -> Path:
    """The newest folder that has `initdb` and `postgres`, first on PATH, then where distributions put it."""
    on_path = shutil.which("initdb")
    folders = [Path(on_path).resolve().parent] if on_path else []
    for pattern in FOLDERS:
        folders += sorted(Path("/").glob(pattern.lstrip("/")), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    raise MissingError("PostgreSQL is not installed (no initdb on PATH or in /usr/lib/postgresql); on Debian: apt-get install postgresql")


def unprivileged_user() -> pwd.struct_passwd | None:
    """PostgreSQL refuses to run as root; None when we are not root."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise MissingError("PostgreSQL does not run as root, and there is neither a user “postgres” nor “nobody” to run it as")


def reachable_folder() -> str:
    """The usual temporary folder, unless another user could not enter it."""
    usual = Path(tempfile.gettempdir())
    open_to_all = all(folder.stat().st_mode & 0o001 for folder in (usual, *usual.parents))
    return str(usual) if open_to_all else "/tmp"  # noqa: S108 - PostgreSQL makes a folder of its own in it


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


def _serve(folder: Path, command: Sequence[str], as_user: Mapping[str, object]) -> subprocess.Popen[bytes]:
    tie = die_with_parent()

    def begin() -> None:
        # What a shell starts in the background ignores it, and so would the server until it has a handler of its own.
        signal.signal(signal.SIGQUIT, signal.SIG_DFL)
        tie()

    with (folder / "log").open("ab") as log:
        # mypy cannot see Popen's keyword arguments through a dict
        server: subprocess.Popen[bytes] = subprocess.Popen(command, cwd=folder, stderr=log, preexec_fn=begin, **as_user)  # type: ignore[call-overload]
    return server


def _initialise(initdb: Path, data: Path, as_user: Mapping[str, object]) -> None:
    command = [str(initdb), "-D", str(data), "-U", "courseapp", "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C.UTF-8"]
    made = subprocess.run(command, cwd=data.parent, check=False, capture_output=True, text=True, **as_user)  # type: ignore[call-overload]  # as above
    if made.returncode:
        raise MissingError(f"initdb failed: {made.stderr.strip()[-500:]}")


def _wait_until_ready(cluster: Cluster, binaries: Path) -> None:
    port = cluster.url.rsplit(":", 1)[1].split("/")[0]
    for _ in range(200):
        if subprocess.run([str(binaries / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", port], check=False).returncode == 0:
            return
        if cluster.server.poll() is not None:
            break
        time.sleep(0.05)
    log = (cluster.folder / "log").read_text(errors="replace").strip()[-500:]
    cluster.stop()
    raise MissingError(f"PostgreSQL did not start: {log}")
