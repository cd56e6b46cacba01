"""Lab runs: a script of somebody's own, run on the course's machines. Nothing of it is graded."""

import hashlib
import secrets
import shlex
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Max

from courseapp import blobs
from courseapp.clock import database_now
from courseapp.formats import filesize
from courseapp.models import Enrollment
from grading import tasks
from grading.models import Component, LabFile, LabRun, OutputFile, Run, Submission
from grading.runner.manifest import MOST_JUDGED_MB
from grading.services import archives
from grading.services.runs import SEED_BITS
from grading.services.uploads import MB, Incoming, Problems, prepare

MOST_OPEN = 2
MOST_A_DAY = 40
MOST_KEPT_MB = 500  # of one person in one course: what lab runs were given and wrote
MOST_ARGUMENTS, MOST_CHARACTERS = 100, 1000
RUNNABLE = (".py", ".ipynb")


class LabError(ValueError):
    """What cannot be run; `field` is what is wrong with it, or empty."""

    def __init__(self, field: str, *sentences: str) -> None:
        self.field, self.sentences = field, sentences
        super().__init__(" ".join(sentences))


def start(
    *,
    enrollment: Enrollment,
    component: Component,
    files: "Sequence[UploadedFile[Any]]" = (),
    submission: Submission | None = None,
    script: str = "",
    arguments: str = "",
) -> LabRun:
    """Queue a script, of the files sent, of those of a hand-in, or of both, where those sent take the place of others of the same name."""
    _hold_to_caps(enrollment)
    _split(arguments)
    given = {row.path: LabFile(path=row.path, size=row.size, sha256=row.sha256) for row in submission.files.all()} if submission else {}
    sent = _prepared(component, files) if files or not given else ()
    given |= {file.path: LabFile(path=file.path, size=file.size, sha256=_digest(file)) for file in sent}
    return _queue(enrollment, component, given, _chosen(script.strip(), given), arguments, submission, sent)


def again(*, lab: LabRun) -> LabRun:
    """The same files, script and arguments once more."""
    given = {row.path: LabFile(path=row.path, size=row.size, sha256=row.sha256) for row in lab.files.all()}
    if lab.script not in given:
        raise LabError("", f"The files of lab run #{lab.number} are no longer kept; upload them again.")
    return _queue(lab.enrollment, lab.component, given, lab.script, lab.arguments, lab.submission)


@transaction.atomic
def _queue(
    enrollment: Enrollment,
    component: Component,
    given: Mapping[str, LabFile],
    script: str,
    arguments: str,
    submission: Submission | None,
    sent: Sequence[Incoming] = (),
) -> LabRun:
    """`sent`: those of `given` whose content is still to be kept. That comes last, so nothing is kept of what is refused."""
    _hold_to_sizes(component, given)
    Enrollment.objects.select_for_update(no_key=True, of=("self",)).get(pk=enrollment.pk)  # numbers and caps are counted under it
    _hold_to_caps(enrollment)
    _hold_to_kept(enrollment, given)
    _keep(sent)
    now = database_now()
    lab = LabRun.objects.create(
        enrollment=enrollment,
        component=component,
        number=(enrollment.lab_runs.aggregate(last=Max("number"))["last"] or 0) + 1,
        script=script,
        arguments=arguments,
        submission=submission,
        created_at=now,
    )
    for row in given.values():
        row.lab = lab
    LabFile.objects.bulk_create(given.values())
    Run.objects.create(
        lab=lab,
        component=component,
        enrollment=enrollment,
        queue=component.queue,
        seed=secrets.randbits(SEED_BITS),
        purpose=Run.Purpose.LAB,
        created_at=now,
        not_before=now,
    )
    transaction.on_commit(partial(tasks.ring_soon, component.queue), robust=True)
    return lab


def _hold_to_caps(enrollment: Enrollment) -> None:
    runs = Run.objects.filter(enrollment=enrollment, purpose=Run.Purpose.LAB)
    if (waiting := runs.filter(state__in=Run.OPEN).count()) >= MOST_OPEN:
        raise LabError(
            "", f"{waiting} of your lab runs wait or run; accepted are {MOST_OPEN} at a time. Wait for one to end, or cancel it."
        )
    day = timedelta(days=1)
    if (today := runs.filter(created_at__gt=database_now() - day).count()) >= MOST_A_DAY:
        raise LabError("", f"You started {today} lab runs within 24 hours; accepted are {MOST_A_DAY}.")


def _split(arguments: str) -> list[str]:
    if len(arguments) > MOST_CHARACTERS:
        raise LabError("arguments", f"The arguments have {len(arguments)} characters; accepted are {MOST_CHARACTERS}.")
    if not arguments.isprintable():
        raise LabError("arguments", "The arguments hold a line break or another control character; write them in one line.")
    try:
        words = shlex.split(arguments)
    except ValueError as error:
        raise LabError("arguments", f"The arguments cannot be split into words: {str(error).lower()}. Close every quote.") from None
    if len(words) > MOST_ARGUMENTS:
        raise LabError("arguments", f"These are {len(words)} arguments; accepted are {MOST_ARGUMENTS}.")
    return words


def _prepared(component: Component, files: "Sequence[UploadedFile[Any]]") -> Sequence[Incoming]:
    prepared = prepare(component, files, any_name=True)
    if isinstance(prepared, Problems):
        raise LabError("files", *prepared.sentences)
    return prepared.files


def _digest(file: Incoming) -> str:
    digest = hashlib.sha256()
    for chunk in file.chunks():
        digest.update(chunk)
    return digest.hexdigest()


def _keep(files: Sequence[Incoming]) -> None:
    for file in files:
        try:
            blobs.put(file.chunks())
        except blobs.BlobError as error:
            raise LabError("files", str(error)) from error


def _hold_to_kept(enrollment: Enrollment, given: Mapping[str, LabFile]) -> None:
    """What is kept of a person's lab runs, and these: what is there already, as when one is run again, takes no more room."""
    before = kept(enrollment)
    added = {row.sha256: row.size for row in given.values() if row.sha256 not in before}
    if sum(before.values()) + sum(added.values()) <= MOST_KEPT_MB * MB:
        return
    days = settings.RETENTION_LAB_DAYS
    raise LabError(
        "files" if added else "",
        f"Your lab runs keep {filesize(sum(before.values()))} of files, those they were given and those they wrote, and this one adds"
        f" {filesize(sum(added.values()))}; accepted are {MOST_KEPT_MB} MB in all. "
        + (f"The files of a lab run go {days} days after it has ended. " if days else "")
        + "Send smaller files, or files that an earlier lab run was given: the same content counts once.",
    )


def kept(enrollment: Enrollment) -> dict[str, int]:
    """Sizes of the files that a person's lab runs were given and wrote, by their digests. One statement."""
    given = LabFile.objects.filter(lab__enrollment=enrollment).order_by().values_list("sha256", "size")
    wrote = OutputFile.objects.filter(result__run__lab__enrollment=enrollment).order_by().values_list("sha256", "size")
    return dict(given.union(wrote))


def _hold_to_sizes(component: Component, given: Mapping[str, LabFile]) -> None:
    """The sent ones were looked at by themselves; this is for all, with a hand-in's, which may have come under other limits."""
    if len(given) > component.max_files:
        raise LabError("files", f"Together these are {len(given)} files; accepted are {component.max_files}.")
    for row in given.values():
        if row.size > component.max_file_mb * MB:
            raise LabError("files", f"{row.path} has {filesize(row.size)}; accepted are {component.max_file_mb} MB a file.")
    most = min(component.max_total_mb, MOST_JUDGED_MB)
    if (total := sum(row.size for row in given.values())) > most * MB:
        raise LabError("files", f"Together the files have {filesize(total)}; accepted are {most} MB in all.")
    if clash := archives.find_clash(sorted(given)):
        raise LabError("files", f"“{clash[0]}” and “{clash[1]}” {clash[2]}. Rename one.")


def _chosen(script: str, given: Mapping[str, LabFile]) -> str:
    """The file to run: the one that was named, else the only one that can be."""
    found = sorted(path for path in given if PurePosixPath(path).suffix in RUNNABLE)
    if not found:
        raise LabError("script", "None of the files can be run; accepted are Python files (.py) and notebooks (.ipynb).")
    shown = ", ".join(found[:10]) + (" …" if len(found) > 10 else "")
    if not script and len(found) == 1:
        return found[0]
    if not script:
        raise LabError("script", f"Say which file to run: {shown}.")
    if script not in found:
        raise LabError("script", f"“{archives.printable(script)}” is none of the files that can be run: {shown}.")
    return script
