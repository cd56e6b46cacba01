"""The demo's lab run: a script that trains, executed by `manage.py record_demo`. It is believed only for the very file that was run."""

import base64
import hashlib
import json
import shlex
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from courseapp import blobs
from courseapp.management.demo import EXAMPLE
from courseapp.management.demo.plan import BACKPROP
from courseapp.management.demo.recording import curves
from courseapp.models import Enrollment
from grading.execution import record
from grading.models import LAB_OUTPUTS_MB, Component, LabFile, LabRun, Run, RunCurves, RunResult
from grading.runner.host import Host
from grading.runner.job import Job, Script
from grading.runner.limits import Limits
from grading.runner.outcome import Outcome
from grading.runner.outputs import ALL
from grading.runner.runtimes import Runtime

SCRIPT = EXAMPLE / "demo" / "lab" / "train.py"
RECORDED = EXAMPLE / "demo" / "lab" / "recorded.json"
ARGUMENTS = "--steps 300 --lr 0.1"
HOMEWORK = BACKPROP
SEED = 1008


def run(host: Host, limits: Limits, runtime: Runtime) -> Outcome:
    files = {SCRIPT.name: SCRIPT.read_bytes()}
    script = Script(SCRIPT.name, tuple(shlex.split(ARGUMENTS)))
    return host.run(Job(b"", files, (), limits, runtime, SEED, entry=(), outputs=ALL, outputs_mb=LAB_OUTPUTS_MB, script=script))


def write(outcome: Outcome, file: Path = RECORDED) -> None:
    content = base64.b64encode(outcome.payload).decode()
    data = {"script": _digest(), "arguments": ARGUMENTS, "outcome": outcome.to_json(), "content": content}
    file.write_text(json.dumps(data, ensure_ascii=False, sort_keys=True, indent=1) + "\n", encoding="utf-8")


def read(file: Path = RECORDED) -> Outcome | None:
    """None when nothing was recorded yet, or it was another script."""
    if not file.exists():
        return None
    data: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    if (data["script"], data["arguments"]) != (_digest(), ARGUMENTS):
        return None
    return Outcome.from_json(data["outcome"], base64.b64decode(data["content"]))


def show(component: Component, owner: Enrollment, at: datetime) -> bool:
    """Give `owner` the recorded lab run, claimed at `at`. False: there is none."""
    outcome = read()
    if outcome is None:
        return False
    lab = LabRun.objects.create(enrollment=owner, component=component, number=1, script=SCRIPT.name, arguments=ARGUMENTS, created_at=at)
    blob = blobs.put_bytes(SCRIPT.read_bytes())
    LabFile.objects.create(lab=lab, path=SCRIPT.name, size=blob.size, sha256=blob.sha256)
    for file in outcome.files:
        blobs.put_bytes(file.content)
    made = Run.objects.create(
        lab=lab,
        component=component,
        enrollment=owner,
        queue=component.queue,
        purpose=Run.Purpose.LAB,
        state=Run.State.DONE,
        seed=SEED,
        token=1,
        created_at=at,
        not_before=at,
        claimed_at=at,
        finished_at=at + timedelta(seconds=outcome.seconds),
        note="Recorded beforehand for the demo.",
    )
    RunResult.objects.filter(pk=record(made, outcome).pk).update(recorded=True, created_at=made.finished_at)
    RunCurves.objects.create(run=made, token=1, data=curves(outcome))
    return True


def _digest() -> str:
    return hashlib.sha256(SCRIPT.read_bytes()).hexdigest()
