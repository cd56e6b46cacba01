"""What a run is executed with: its row and its files as a job of the sandbox."""

import shlex
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from django.conf import settings

from courseapp import blobs
from grading.models import LAB_OUTPUTS_MB, Bundle, Check, Homework, LabFile, LabRun, RerunFile, Run, SubmissionFile
from grading.runner import runtimes
from grading.runner.entry import entry_files
from grading.runner.job import Job, Script
from grading.runner.limits import Limits
from grading.runner.manifest import CheckSpec, Visibility
from grading.runner.outputs import ALL

SMOKE_S = 60.0
_LOOKED_FOR = 5  # bundles of which a machine that has the storage has at least one


class LoadError(Exception):
    """What the run needs is not where it should be: a failure of ours."""


class StorageLostError(Exception):
    """The machine's storage went away after claiming, and the machine takes no more runs until it is back."""


class RuntimeNotReadyError(Exception):
    """The runtime went away between sorting and claiming."""


class HomeworkChangedError(Exception):
    """The homework was loaded anew after the run had been claimed with its files; another claim has the new ones."""


def job_of(run: Run) -> Job:
    """Raises HomeworkChangedError, LoadError, RuntimeNotReadyError, StorageLostError."""
    component = run.component
    found = find_runtime(component.runtime)
    if not isinstance(found, runtimes.Ready):
        raise RuntimeNotReadyError(found.status.message)
    if run.lab is not None:
        return _lab_job(run, run.lab, found.runtime)
    checks = tuple(_spec(check) for check in component.check_rows.all())
    if Homework.objects.values_list("bundle", flat=True).get(pk=component.homework_id) != run.bundle_id:
        raise HomeworkChangedError("The homework was loaded anew just now.")
    return Job(
        bundle=_read(run.bundle.digest),
        files=_files(run.submission.files.all()) | (_files(run.rerun.files.all()) if run.rerun else {}),
        checks=checks,
        limits=_limits(run),
        runtime=found.runtime,
        seed=run.seed,
        entry=entry_files(component.files_required),
        outputs=tuple(component.outputs),
        outputs_mb=component.outputs_mb,
        device=run.slot.uuid if run.slot else "",
        smoke=run.stage == Run.Stage.SMOKE,
    )


def _lab_job(run: Run, lab: LabRun, runtime: runtimes.Runtime) -> Job:
    return Job(
        bundle=b"",
        files=_files(lab.files.all()),
        checks=(),
        limits=_limits(run),
        runtime=runtime,
        seed=run.seed,
        entry=(),
        outputs=ALL,
        outputs_mb=LAB_OUTPUTS_MB,
        device=run.slot.uuid if run.slot else "",
        script=Script(lab.script, tuple(shlex.split(lab.arguments))),
    )


def _files(rows: Iterable[SubmissionFile | LabFile | RerunFile]) -> dict[str, bytes]:
    return {row.path: _read(row.sha256) for row in rows}


def _read(sha256: str) -> bytes:
    try:
        return blobs.read(sha256)
    except OSError as error:
        if problem := storage_problem():
            raise StorageLostError(problem) from error
        raise LoadError(f"A file of the run cannot be read from the store: {error}") from error


def _limits(run: Run) -> Limits:
    limits = Limits(**run.component.limits)
    return smoke_limits(limits) if run.stage == Run.Stage.SMOKE else limits


def smoke_limits(limits: Limits) -> Limits:
    """Those of a smoke check before a run under `limits`."""
    return replace(limits, wall_s=min(limits.wall_s, SMOKE_S))


def _spec(check: Check) -> CheckSpec:
    return CheckSpec(
        id=check.check_id,
        title=check.title,
        points=check.points,
        visibility=cast("Visibility", check.visibility),
        fresh=check.fresh_group or check.fresh,
        needs_gpu=check.needs_gpu,
        seeds=check.seeds,
        tolerance=check.tolerance,
    )


def find_runtime(name: str) -> runtimes.Ready | runtimes.Preparing | runtimes.Failed:
    """As it is on this machine."""
    return runtimes.find(settings.DATA_DIR, name, {"RUNTIME_PYTHON": settings.RUNTIME_PYTHON})


def storage_problem() -> str:
    """Why this machine cannot read what is to be judged, as where its storage is not mounted; empty when it can. One statement."""
    newest = list(Bundle.objects.order_by("-pk").values_list("digest", flat=True)[:_LOOKED_FOR])
    lost = newest and not any(map(blobs.exists, newest))  # one that is lost is its homework's trouble alone
    return f"The storage {settings.DATA_DIR / 'uploads'} does not hold the site's files: mount it there." if lost else ""
