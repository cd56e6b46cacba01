"""What the lab's pages show: a script of one's own, run and not graded."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.urls import reverse

from courseapp.clock import database_now
from courseapp.formats import duration, filesize
from courseapp.models import Enrollment
from grading.models import LAB_OUTPUTS_MB, Component, GpuSlot, LabRun, QueuePause, Run, RunResult, Submission
from grading.policy.queueing import Purpose
from grading.policy.visibility import Viewer
from grading.queries import slots, stream, turns
from grading.queries.budget import Budget, budget
from grading.queries.due import released_now
from grading.queries.provenance import how_it_was_run
from grading.queries.runs import result_of, state_word
from grading.queries.submission import ask_every_s, running, version
from grading.runner.limits import Limits

PER_PAGE = 20
MOST_HAND_INS = 50  # of one's own to choose from
SHOWN = 64 * 1024  # characters of the log of a run that has no result


@dataclass(frozen=True)
class Row:
    """A lab run in the list."""

    lab: LabRun
    run: Run
    word: str
    tone: str
    took: str


@dataclass(frozen=True)
class Queue:
    """What a lab run that is started now would meet: its `place` among those that wait, None in a long line, and when it would start.

    `idle`: why nothing of this queue is run now; empty when it is.
    """

    name: str
    waiting: int
    at_work: int
    pause: QueuePause | None
    idle: str
    place: int | None
    starts: str


def environments(reader: Enrollment) -> list[Component]:
    """The parts of homework whose code is run: a lab run has the packages, the queue and the limits of one of them."""
    rows = Component.objects.filter(homework__course=reader.course_id, check_rows__isnull=False).distinct()
    found = rows.select_related("homework__course").order_by("-homework__number", "kind")
    return [row for row in found if reader.is_staff or released_now(row.homework)]


def hand_ins(reader: Enrollment) -> list[Submission]:
    """One's own, newest first, whose files can be run."""
    rows = Submission.objects.filter(enrollment=reader, component__kind=Component.Kind.PRACTICE)
    return list(rows.select_related("component__homework").defer("receipt_text").order_by("-received_at", "-pk")[:MOST_HAND_INS])


def page(reader: Enrollment, found: Sequence[Component], number: str) -> dict[str, Any]:
    """For `found`, which the reader may choose from: what is before a new lab run, and the lab runs there are. Staff see everybody's."""
    now = database_now()
    labs = LabRun.objects.select_related("enrollment", "component__homework", "run__result", "run__slot")
    rows = labs.defer("run__result__output", "run__result__provenance", "run__progress").order_by("-pk")
    mine = rows.filter(enrollment__course=reader.course_id) if reader.is_staff else rows.filter(enrollment=reader)
    shown = Paginator(mine, PER_PAGE).get_page(number)
    queues, pauses = sorted({component.queue for component in found}), turns.pauses()
    gpus = list(slots.reported(now)) if any(turns.pool(name) == "gpu" for name in queues) else []
    return {
        "here": "lab",
        "environments": found,
        "page": shown,
        "rows": [_row(lab) for lab in shown.object_list],
        "queues": [_queue(name, reader, pauses.get(turns.pool(name)), gpus, now) for name in queues],
        "stand_ins": any(gpu.stand_in for gpu in gpus),
        "budget": _minutes(reader, queues, now),
        "outputs_mb": LAB_OUTPUTS_MB,
    }


def _row(lab: LabRun) -> Row:
    word, tone = outcome(lab.run)
    result = result_of(lab.run)
    return Row(lab, lab.run, word, tone, duration(result.seconds) if result else "")


def outcome(run: Run) -> tuple[str, str]:
    """In a word, and its tone."""
    result = result_of(run)
    if result is None:
        tones: dict[str, str] = {Run.State.RUNNING: "good", Run.State.CANCELLED: "warn"}
        return state_word(run), tones.get(run.state, "info")
    kinds = {RunResult.Kind.OK: ("finished", "good"), RunResult.Kind.STUDENT: ("failed", "warn")}
    return kinds.get(RunResult.Kind(result.kind), ("our fault", "bad"))


def _queue(name: str, reader: Enrollment, pause: QueuePause | None, gpus: Sequence[GpuSlot], now: datetime) -> Queue:
    waiting, at_work = turns.numbers(name)
    idle = slots.out_of_use(name, gpus, now) if turns.pool(name) == "gpu" else ""
    turn = None if idle else turns.newcomer(name, reader.pk, Purpose.LAB)
    return Queue(name, waiting, at_work, pause, idle, turn.place if turn else None, turns.in_words(turn) if turn else "")


def _minutes(reader: Enrollment, queues: Sequence[str], now: Any) -> Budget | None:
    return budget(reader, now) if any(turns.pool(name) == "gpu" for name in queues) else None


def limits_of(component: Component) -> str:
    """What a script of it may use, in a line."""
    limits = Limits(**component.limits)
    memory = filesize(limits.memory_mb * 2**20)
    return f"{component.runtime}, queue {component.queue}, at most {duration(float(round(limits.wall_s)))} and {memory}"


def run_page(reader: Enrollment, lab: LabRun, beside: Run | None) -> dict[str, Any]:
    slug, files = reader.course.slug, list(lab.files.all())
    return (
        live(reader, lab)
        | stream.section(reader, lab.run, beside)
        | {
            "here": "lab",
            "component": lab.component,
            "limits": limits_of(lab.component),
            "files": [_file(row.path, row.size, reverse("lab-file", args=[slug, lab.pk, row.pk])) for row in files],
            "total_size": sum(row.size for row in files),
            "mine": lab.enrollment_id == reader.pk,
        }
    )


def unseen(reader: Enrollment, lab: LabRun, seen: str) -> dict[str, Any] | None:
    """What `live` gives; None while that is the version that the reader has `seen`, which takes no statement."""
    return None if version(lab.run, result_of(lab.run)) == seen else live(reader, lab)


def live(reader: Enrollment, lab: LabRun) -> dict[str, Any]:
    """The part of the page that changes while it runs; `version` changes when any of it does."""
    run = lab.run
    result = result_of(run)
    word, tone = outcome(run)
    slug = reader.course.slug
    written = result.files.all() if result else []
    long_over = _long_over(lab)
    days = settings.RETENTION_LAB_DAYS
    old = bool(days and run.finished_at and run.finished_at < database_now() - timedelta(days=days))
    return {
        "lab": lab,
        "run": run,
        "result": result,
        "word": word,
        "tone": tone,
        "running": running(run, reader) if run.is_open else None,
        "output": "" if run.is_open else result.output if result else stream.tail(run, SHOWN),
        "output_gone": long_over and not run.is_open,
        "files_gone": (old or long_over) and not run.is_open,
        "output_kb": _cap_reached(lab.component, result),
        "how": how_it_was_run(result, Viewer(staff=reader.is_staff, owner=lab.enrollment_id == reader.pk)) if result else None,
        "took": duration(result.seconds) if result else "",
        "output_files": [_file(row.name, row.size, reverse("lab-output", args=[slug, lab.pk, row.pk])) for row in written],
        "ask_every_s": ask_every_s(run),
        "version": version(run, result),
        "cancel_url": reverse("lab-cancel", args=[slug, lab.pk]),
    }


def _long_over(lab: LabRun) -> bool:
    """Whether what the course's runs printed is deleted by its age."""
    course, days = lab.component.homework.course, settings.RETENTION_OUTPUT_DAYS
    return bool(days) and course.starts_on + timedelta(weeks=course.weeks) < (database_now() - timedelta(days=days)).date()


def _cap_reached(component: Component, result: RunResult | None) -> int:
    """How many kB of the log are kept, where it was cut off there; else 0."""
    most = Limits(**component.limits).output_kb
    return most if result and len(result.output.encode()) >= most * 1024 else 0


def _file(path: str, size: int, download: str) -> dict[str, Any]:
    """For `components/_files.html`."""
    return {"path": path, "size": size, "download": download}
