"""Run seeds in a data folder, on a database and with a broker of their own."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from courseapp.management import local_postgres
from grading.runner import runtimes
from grading.runner.parent import die_with_parent
from tests.valkey import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
INSIDE = "import django; django.setup(); from tests.chaos import seeds; seeds.main()"


def main() -> int:
    data = Path(os.environ.get("DATA_DIR") or REPOSITORY / "var")
    found = runtimes.find(data, "torch", {"RUNTIME_PYTHON": os.environ.get("RUNTIME_PYTHON", "")})
    if not isinstance(found, runtimes.Ready):
        print(f"{found.status.message} Homework is judged in it; install it with “make install”.", file=sys.stderr)
        return 2
    try:
        local_postgres.find_binaries()
    except local_postgres.MissingError as missing:
        print(missing, file=sys.stderr)
        return 2
    folder, broker = tempfile.mkdtemp(prefix="chaos-site-"), free_port()
    environ = {name: value for name, value in os.environ.items() if name not in {"RUNNER_SOCKET", "COURSEAPP_TESTS"}}
    environ |= {
        "DJANGO_SETTINGS_MODULE": "courseapp.settings",
        "PYTHONPATH": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
        "DATA_DIR": folder,
        "DATABASE_URL": f"postgres://courseapp@127.0.0.1:{free_port()}/postgres",
        "REDIS_URL": f"redis://127.0.0.1:{broker}/0",
        "CONTROL_BROKER": f"redis://127.0.0.1:{broker}/1",
        "RUNTIME_PYTHON": str(found.runtime.python),
        "RUN_LEASE_SECONDS": "2",
        "RUN_POLL_SECONDS": "1",
        "EMAIL_BACKEND": "django.core.mail.backends.dummy.EmailBackend",
        "LOG_LEVEL": "ERROR",
    }
    try:
        command = [sys.executable, "-c", INSIDE, *sys.argv[1:]]
        return subprocess.run(command, cwd=REPOSITORY, env=environ, preexec_fn=die_with_parent(), check=False).returncode
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
