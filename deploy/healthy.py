"""What a container's health check asks: `python deploy/healthy.py web|worker|runner|beat`. The exit status is 0 when it is well.

It says whether this process does its work; whether the whole site is ready is what /readyz says.
"""

import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

BEAT_SILENT_S = 600  # beat writes its schedule down every three minutes


def web() -> bool:
    """As the proxy asks, under a name that the site goes by."""
    host = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].strip()
    request = urllib.request.Request("http://127.0.0.1:8000/healthz", headers={"Host": host})
    with urllib.request.urlopen(request, timeout=5) as response:  # noqa: S310  # a literal http address
        return int(response.status) == 200


def worker() -> bool:
    """The worker of this container answers through the broker. Its name begins with its queue: cpu@…, system@…"""
    command = ["celery", "-A", "courseapp", "inspect", "ping", "--timeout", "5", "--destination", os.environ["WORKER_NAME"]]
    return subprocess.run(command, check=False, capture_output=True, timeout=25).returncode == 0


def runner() -> bool:
    """The runner host answers on its socket, and can build sandboxes."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    from grading.runner.client import ping

    return bool(ping(Path(os.environ["RUNNER_SOCKET"]))["tier"])


def beat() -> bool:
    written = [file.stat().st_mtime for file in Path(os.environ["DATA_DIR"], "run").glob("beat*")]
    return bool(written) and time.time() - max(written) < BEAT_SILENT_S


if __name__ == "__main__":
    check = {"web": web, "worker": worker, "runner": runner, "beat": beat}[sys.argv[1]]
    sys.exit(0 if check() else 1)
