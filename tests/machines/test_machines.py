"""Two machines share the work of one site, and one goes on alone when the other is cut off in the middle."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from courseapp.management import local_postgres
from grading.runner.runtimes import Runtime
from tests.conftest import missing
from tests.grading.site import REPOSITORY
from tests.machines.town import AHEAD


@pytest.mark.sandbox
def test_two_machines_share_the_work_and_one_finishes_what_the_other_held(torch_runtime: Runtime) -> None:
    if os.geteuid() != 0:
        missing("Only root can lay a cable between network namespaces.")
    for program in ("ip", "unshare", "mount"):
        if not shutil.which(program):
            missing(f"{program} is not installed; on Debian: apt-get install iproute2 util-linux mount")
    cable = ["unshare", "--net", "ip", "link", "add", "one", "type", "veth", "peer", "name", "other"]
    if subprocess.run(cable, capture_output=True, check=False).returncode:
        pytest.skip("This kernel lays no cable (veth) between network namespaces.")
    try:
        local_postgres.find_binaries()
    except local_postgres.MissingError as problem:
        missing(str(problem))
    environ = os.environ | {"RUNTIME_PYTHON": str(torch_runtime.python)}
    command = [sys.executable, "-m", "tests.machines"]
    ended = subprocess.run(command, cwd=REPOSITORY, env=environ, capture_output=True, text=True, check=False, timeout=400)
    assert ended.returncode == 0, ended.stderr[-6000:]
    saw = json.loads(ended.stdout)
    names = ["worker-1", "worker-2"]
    assert saw["hand_ins"] >= 2 * AHEAD
    assert (saw["results"], saw["points"], sum(saw["judged_by"].values())) == (saw["hand_ins"], ["4.00"], saw["hand_ins"])
    assert saw["held_at_the_cut"] >= 2  # one of each queue
    assert (saw["of_those_judged_by"], saw["tried_again"]) == (["worker-2"], True)
    assert saw["slots"] == {f"fake-{name}-0": name for name in names}
    assert (saw["slots_of_others_used"], saw["gpu_runs_by"], saw["sandbox_hosts"]) == ([], names, names)
    assert saw["queue_page"] == [*(f"fake-{name}-0" for name in names), *names]
