"""Have a hand-in judged, again, or not after all."""

import secrets
from collections.abc import Iterable
from functools import partial

from django.db import transaction

from courseapp.clock import database_now
from courseapp.models import Enrollment
from grading import execution, tasks
from grading.models import Run, Submission

SEED_BITS = 48


class NothingToRunError(ValueError):
    """The component has no checks, or its homework's files were not loaded; the text says which."""


@transaction.atomic
def enqueue(*, submission: Submission, requested_by: Enrollment | None = None, seed: int | None = None) -> Run:
    """Queue a run of the hand-in with the homework's checks of today. The workers hear of it when the caller's transaction commits.

    Without `requested_by` it is the student's own: what waits of an earlier hand-in of theirs to the same component is judged last.
    Where checks need a GPU, a smoke check on a processor comes first, and the run on a GPU only if that passes (`execution.finish`).
    """
    component = submission.component
    bundle = component.homework.bundle
    if bundle is None:
        raise NothingToRunError(f"{component.homework} has no files to run with; load its course's folder first.")
    if not component.check_rows.exists():
        raise NothingToRunError(f"{component} has no checks; it is graded by hand.")
    needs_gpu = component.queue != "cpu" and component.check_rows.filter(needs_gpu=True).exists()
    purpose = Run.Purpose.HAND_IN if requested_by is None else Run.Purpose.RERUN
    if requested_by is None and not needs_gpu:
        purpose = execution.line_up(submission)
    now = database_now()
    run = Run.objects.create(
        submission=submission,
        component=component,
        enrollment_id=submission.enrollment_id,
        bundle=bundle,
        stage=Run.Stage.SMOKE if needs_gpu else Run.Stage.GRADE,
        queue="cpu" if needs_gpu else component.queue,
        seed=secrets.randbits(SEED_BITS) if seed is None else seed,
        purpose=purpose,
        requested_by=requested_by,
        created_at=now,
        not_before=now,
    )
    transaction.on_commit(partial(tasks.ring_soon, run.queue), robust=True)
    return run


@transaction.atomic
def rerun(*, submission: Submission, by: Enrollment) -> Run:
    """Judge the hand-in again, on the inputs of its first run and with the checks of today. A run that still waits serves."""
    Submission.objects.select_for_update().get(pk=submission.pk)
    runs = list(submission.runs.filter(proposed=False))
    for run in runs:
        if run.state in Run.WAITING:
            return run
        if run.state == Run.State.RUNNING:
            _leave(run, Run.State.SUPERSEDED, f"{by.display_name} had it run again.")
    return enqueue(submission=submission, requested_by=by, seed=runs[-1].seed if runs else None)


@transaction.atomic
def cancel(*, run: Run, by: Enrollment) -> bool:
    """Stop a run that waits or works; its job is killed at the next heartbeat. False: it had already ended.

    Of a smoke check that has passed meanwhile, the run on a GPU that it was for.
    """
    _no_smoke_check_ends(run.enrollment_id)
    note = f"Cancelled by {by.display_name}."
    return any(_leave(one, Run.State.CANCELLED, note) for one in (run, *_followers(run)))


def _followers(run: Run) -> Iterable[Run]:
    if run.stage != Run.Stage.SMOKE:
        return ()
    return Run.objects.filter(
        submission=run.submission_id, rerun=run.rerun_id, stage=Run.Stage.GRADE, seed=run.seed, pk__gt=run.pk, state__in=Run.OPEN
    )


def _no_smoke_check_ends(owner: int) -> None:
    """Until the transaction's end no run of this enrollment (its id) passes a smoke check and queues another (`execution.finish`)."""
    Enrollment.objects.select_for_update(no_key=True, of=("self",)).get(pk=owner)


@transaction.atomic
def cancel_all(*, student: Enrollment, note: str) -> int:
    """Stop every run of the student that waits or works; how many there were. A rerun of many is the staff's, and goes on."""
    _no_smoke_check_ends(student.pk)
    own = Run.objects.filter(enrollment=student, state__in=Run.OPEN, rerun=None)
    return sum(_leave(run, Run.State.CANCELLED, note) for run in own)


def _leave(run: Run, state: Run.State, note: str) -> bool:
    row = Run.objects.select_for_update().get(pk=run.pk)
    if not row.is_open:
        return False
    if row.state == Run.State.RUNNING:
        execution.charge(row, database_now())
    row.state = state
    row.token += 1  # whoever works on it holds the old one
    row.note = note
    row.finished_at = database_now()
    row.lease_until = None
    row.save(update_fields=["state", "token", "note", "finished_at", "lease_until"])
    return True
