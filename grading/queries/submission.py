"""What the page of one hand-in shows."""

from datetime import timedelta
from typing import Any
from zlib import crc32

from django.urls import reverse
from django.utils import timezone

from courseapp import blobs
from courseapp.models import Enrollment
from courseapp.render_code import render_code
from courseapp.render_notebook import render_notebook
from grading.models import Run, RunResult, Submission, SubmissionFile
from grading.policy.visibility import Viewer
from grading.queries import stream
from grading.queries.homework import Chip, file_rows, is_frozen, moment_of, score_seen
from grading.queries.provenance import how_it_was_run
from grading.queries.reruns import judged_again
from grading.queries.results import result_card
from grading.queries.runs import JUDGED, by_earlier_version, result_of, wait
from grading.queries.standing import Entry, Standing, standing_of

SMOKE = "A short check on a processor comes first; the run on a GPU follows if the code would run there."
JUST_QUEUED = timedelta(seconds=30)  # most runs start at once
PLACE_AGAIN = timedelta(seconds=30)
SHOWN = 4000  # characters of a log at work, where no script goes on with it
STAGES = {
    "starting": "Starting the sandbox and loading your files.",
    "visible": "Running the visible checks.",
    "hidden": "Running the hidden checks in a fresh process.",
    "script": "Your script is at work.",
    "finishing": "Adding up.",
}


def viewer_of(reader: Enrollment, submission: Submission) -> Viewer:
    return Viewer(staff=reader.is_staff, owner=submission.enrollment_id == reader.pk)


def page(reader: Enrollment, submission: Submission, beside: Run | None = None) -> dict[str, Any]:
    component = submission.component
    runs = _runs(submission)
    standing = standing_of(component, submission.enrollment)
    entry = next(entry for entry in standing.entries if entry.submission.pk == submission.pk)
    files = list(submission.files.all())
    mine = submission.enrollment_id == reader.pk
    accepted = [one for one in standing.entries if one.accepted]
    counts = standing.counting is entry
    frozen = is_frozen(standing.terms, component, timezone.now())
    rows = file_rows(submission, reader.course.slug, files, hashes=True)
    shown = _live(reader, submission, runs, standing)
    return (
        shown
        | stream.section(reader, _with_curves(runs, shown["result"]), beside)
        | {
            "here": "homework",
            "component": component,
            "files": rows,
            "pdf": next((row for row in rows if row["path"].lower().endswith(".pdf")), None),
            "since": _since(submission, files),
            "total_size": sum(file.size for file in files),
            "lateness": entry.lateness.label,
            "due_at": standing.terms.due.due.instant,
            "state": entry.state,
            "autograded": standing.autograded,
            "confirm": _confirm(standing, entry) if mine and entry.state == Submission.State.UNCONFIRMED else None,
            "may_rerun": reader.is_staff and standing.autograded and entry.score is None,
            "may_set_points": reader.may_manage and standing.autograded,
            "rerun_url": _rerun_url(reader, submission) if reader.may_manage and entry.score is not None else "",
            "may_choose": mine and not counts and not frozen and len(accepted) > 1 and entry in accepted and not entry.stopped,
        }
    )


def _rerun_url(reader: Enrollment, submission: Submission) -> str:
    """Where it can be run again without changing its score before that is accepted."""
    homework = submission.component.homework
    url = reverse("rerun-new", args=[reader.course.slug, homework.slug, submission.component.kind])
    return f"{url}?hand_in={submission.pk}"


def _with_curves(runs: list[Run], result: RunResult | None) -> Run | None:
    """The run that goes, or else the one whose result is shown."""
    if runs and (runs[0].is_open or result is None):
        return runs[0]
    return next((run for run in runs if result and run.pk == result.run_id), None)


def _since(submission: Submission, files: list[SubmissionFile]) -> str:
    """What this hand-in can be compared with first: the one before it, else the starter files, if there is text to compare."""
    if submission.number > 1:
        return f"#{submission.number - 1}"
    text = any(not file.path.lower().endswith(".pdf") for file in files)
    return "the starter files" if text and submission.component.homework.starter_sha256 else ""


def _confirm(standing: Standing, entry: Entry) -> dict[str, Any]:
    before = standing.counting
    return {
        "days": entry.lateness.days,
        "sentence": standing.terms.cost(entry.lateness.days).sentence,
        "displaces": f"hand-in #{before.submission.number}" if before and not standing.autograded else "",
    }


def live(reader: Enrollment, submission: Submission) -> dict[str, Any]:
    """The newest run, the newest result that may count, and the score; `version` changes when any of it does."""
    runs = _runs(submission)
    return _live(reader, submission, runs, standing_of(submission.component, submission.enrollment))


def unseen(reader: Enrollment, submission: Submission, seen: str) -> dict[str, Any] | None:
    """What `live` gives; None while that is the version that the reader has `seen`, which takes one statement."""
    runs = _runs(submission)
    if version(*_newest(runs)) == seen:
        return None
    return _live(reader, submission, runs, standing_of(submission.component, submission.enrollment))


def _runs(submission: Submission) -> list[Run]:
    """Newest first. Read before the standing: a run that ends in between is then shown as still going, and asked for again."""
    return list(submission.runs.filter(proposed=False).select_related("result", "bundle", "rerun", "slot").order_by("-pk"))


def _newest(runs: list[Run]) -> tuple[Run | None, RunResult | None]:
    """Of runs, newest first: the first of them, and the result that may count, else the newest of any."""
    results = [found for found in map(result_of, runs) if found is not None]
    return next(iter(runs), None), next((one for one in results if one.kind in JUDGED), next(iter(results), None))


def _live(reader: Enrollment, submission: Submission, runs: list[Run], standing: Standing) -> dict[str, Any]:
    component = submission.component
    viewer = viewer_of(reader, submission)
    moment = moment_of(component, standing.terms)
    seen = score_seen(viewer, component, moment)
    run, result = _newest(runs)
    results = [found for found in map(result_of, runs) if found is not None]
    entry = next(entry for entry in standing.entries if entry.submission.pk == submission.pk)
    chips = [Chip("counts", "good")] if standing.counting is entry else []
    chips.append(Chip(entry.lateness.label, "warn" if entry.lateness.late else "good"))
    former = [(one, result_card(one, viewer, moment, score_seen=seen)) for one in results if one.kind in JUDGED and one is not result]
    ended_without = run if run is not None and not run.is_open and result_of(run) is None else None
    hidden_score = None if seen or result is None or result.kind not in JUDGED else _opens(component.score_release)
    return {
        "submission": submission,
        "run": run,
        "result": result,
        "card": result_card(result, viewer, moment, score_seen=seen) if result else None,
        "how": how_it_was_run(result, viewer) if result else None,
        "smoked": result is not None and result.kind == RunResult.Kind.SMOKE,
        "kept_off_gpus": result is not None and result.kind in JUDGED and result.run.stage == Run.Stage.SMOKE,
        "judged_again": judged_again(result, submission, own=viewer.owner, seen=seen) if result else None,
        "ended_without": ended_without,
        "last_words": stream.tail(ended_without, SHOWN) if ended_without else "",
        "former": former,
        "output_files": _output_rows(submission, result, reader.course.slug) if result else [],
        "earlier": result is not None and result.kind in JUDGED and by_earlier_version(result, component.homework),
        "raw_seen": seen and result is not None and result.kind in JUDGED,
        "score_seen": seen,
        "by_hand": entry.by_hand if seen else None,
        "score": entry.score if seen else None,
        "score_note": hidden_score,
        "running": running(run, reader) if run and run.is_open else None,
        "chips": chips,
        "counting_why": standing.why if seen or not standing.autograded else "",
        "ask_every_s": ask_every_s(run) if run else 0,
        "version": version(run, result),
    }


def _output_rows(submission: Submission, result: RunResult, slug: str) -> list[dict[str, Any]]:
    """For `components/_files.html`: what the visible checks' code left behind."""
    return [
        {
            "path": row.name,
            "size": row.size,
            "sha256": row.sha256,
            "download": reverse("submission-output-raw", args=[slug, submission.pk, row.pk]),
        }
        for row in result.files.all()
    ]


def _opens(release: str) -> str:
    when = {"after_due": "after the due time", "after_published": "when the scores are published"}
    return f"The score is shown {when.get(release, 'later')}."


def ask_every_s(run: Run) -> int:
    """After how many seconds the page of a run asks how it goes: it may wait for hours. 0: never again."""
    if not run.is_open:
        return 0
    if run.state == Run.State.RUNNING:
        return 1
    return 2 if timezone.now() - run.created_at < JUST_QUEUED else 5


def version(run: Run | None, result: RunResult | None) -> str:
    if run is None:
        return "none"
    progress = run.progress
    place = f"{progress.get('stage')}.{progress.get('done')}"
    shown = f"{result.pk if result else 0}.{crc32(run.note.encode())}"
    # The place in line changes with other people's runs: it is told anew now and then, not looked up each time that a page asks.
    told = (timezone.now() - run.created_at) // PLACE_AGAIN if run.state in Run.WAITING else 0
    return f"{run.pk}.{run.token}.{run.state}.{run.attempts}.{place}.{shown}.{ask_every_s(run)}.{told}"


def _where(run: Run) -> str:
    if run.stage == Run.Stage.SMOKE:
        return "Smoke check"
    if run.slot is None:
        return "Running"
    return "Running on a stand-in for a GPU" if run.slot.stand_in else "Running on a GPU"


def running(run: Run, reader: Enrollment) -> dict[str, Any]:
    if run.state != Run.State.RUNNING:
        found = wait(run, reader.course.zone)
        title = "Preparing the runtime" if run.state == Run.State.WAITING_RUNTIME else "Queued"
        sentence = f"{found.message if found else ''} {SMOKE if run.stage == Run.Stage.SMOKE else ''}".strip()
        return {"title": title, "total": 0, "done": 0, "sentence": sentence, "output": ""}
    progress = run.progress
    sentence = STAGES.get(str(progress.get("stage", "starting")), "")
    if progress.get("check"):
        sentence = f"{sentence} Now: {progress['check']}."
    if progress.get("total"):
        together = "; the hidden ones are told together" if progress.get("stage") == "hidden" else ""
        sentence = f"{sentence} {progress['done']} of {progress['total']} checks are through{together}."
    return {
        "title": _where(run),
        "total": progress.get("total", 0),
        "done": progress.get("done", 0),
        "sentence": sentence,
        "output": stream.tail(run, SHOWN),
        "stream": reverse("run-stream", args=[reader.course.slug, run.pk]),
    }


def file_view(submission: Submission, file: SubmissionFile) -> dict[str, Any]:
    """How a file is shown: PDF by the viewer, notebooks as text and images, everything else as highlighted text if it is text."""
    found: dict[str, Any] = {"submission": submission, "component": submission.component, "file": file, "here": "homework"}
    suffix = file.path.rsplit(".", 1)[-1].lower()
    if suffix == "pdf":
        return found | {"kind": "pdf"}
    if suffix == "ipynb":
        return found | {"kind": "notebook", "rendered": render_notebook(blobs.read(file.sha256))}
    return found | {"kind": "code", "rendered": render_code(blobs.read(file.sha256), file.path)}
