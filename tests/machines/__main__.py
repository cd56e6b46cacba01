"""Make a network namespace and a folder, and have everything happen in them."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from courseapp.management import local_postgres
from grading.runner import runtimes
from grading.runner.parent import die_with_parent
from tests.machines import places
from tests.valkey import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = "import django; django.setup(); from tests.machines import town; town.main()"


def main() -> int:
    found = runtimes.find(Path(os.environ.get("DATA_DIR") or REPOSITORY / "var"), "torch", dict(os.environ))
    if not isinstance(found, runtimes.Ready):
        print(f"{found.status.message} Homework is judged in it; install it with “make install”.", file=sys.stderr)
        return 2
    try:
        local_postgres.find_binaries()
    except local_postgres.MissingError as missing:
        print(missing, file=sys.stderr)
        return 2
    folder = Path(tempfile.mkdtemp(prefix="machines-"))
    environ = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "DJANGO_SETTINGS_MODULE": "courseapp.settings",
        "PYTHONPATH": str(REPOSITORY),
        "DATA_DIR": str(folder / "web"),
        "DATABASE_URL": f"postgres://courseapp@{places.ADDRESS}:{free_port()}/postgres",
        "REDIS_URL": f"redis://{places.ADDRESS}:{free_port()}/0",
        "RUNTIME_PYTHON": str(found.runtime.python),
        "ALLOWED_HOSTS": "testserver",
        "DEBUG": "yes",  # pages without collected static files; the machines that judge are not told of it
        "LOG_LEVEL": "ERROR",
        "RUN_LEASE_SECONDS": "2",
        "RUN_POLL_SECONDS": "1",
    }
    try:
        command = ["unshare", "--net", "--mount", sys.executable, "-c", INSIDE, str(folder)]
        return subprocess.run(command, cwd=REPOSITORY, env=environ, preexec_fn=die_with_parent(), check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
