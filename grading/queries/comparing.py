"""What changed between two hand-ins of one student, or since the starter files: file by file."""

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.urls import reverse
from django.utils.safestring import SafeString

from courseapp import blobs
from courseapp.file_pairs import Kind, Pair, pair_files
from courseapp.formats import filesize
from courseapp.render_diff import MOST_NOTEBOOK_BYTES, Page, Rendered, render_diff
from grading.models import Homework, Submission

WORDS: dict[Kind, tuple[str, str]] = {
    "changed": ("changed", "info"),
    "renamed": ("renamed, same content", "info"),
    "added": ("added", "good"),
    "removed": ("removed", "bad"),
    "same": ("same", ""),
}


@dataclass(frozen=True)
class File:
    """One file of one side; `url` is its page, empty for a starter file."""

    path: str
    size: int
    sha256: str
    url: str
    read: Callable[[], bytes]


@dataclass(frozen=True)
class Row:
    """A file of the page. `facts` are there where bytes, not lines, are all that can be told."""

    path: str
    old_path: str
    word: str
    tone: str
    old: File | None
    new: File | None
    html: SafeString
    added: int
    removed: int
    note: str
    facts: bool
    open: bool


def page(submission: Submission, before: Submission | Homework | None) -> dict[str, Any]:
    component = submission.component
    others = list(component.submissions.filter(enrollment=submission.enrollment_id).exclude(pk=submission.pk).order_by("-number"))
    choices = [(str(other.pk), f"hand-in #{other.number}") for other in others]
    if component.homework.starter_sha256:
        choices.append(("starter", "the starter files"))
    found: dict[str, Any] = {
        "here": "homework",
        "submission": submission,
        "component": component,
        "before": before,
        "choices": choices,
        "chosen": "starter" if isinstance(before, Homework) else str(before.pk) if before else "",
        "before_name": "the starter files" if isinstance(before, Homework) else f"hand-in #{before.number}" if before else "",
    }
    if before is None:
        return found
    new = _of_submission(submission)
    old = _of_starter(before) if isinstance(before, Homework) else _of_submission(before)
    rest: list[Pair[File]] = []
    rows: list[Row] = []
    spent = Page()
    for pair in pair_files(old, new):
        left_out = pair.kind == "removed" and isinstance(before, Homework)
        if pair.kind == "same" or left_out:
            rest.append(pair)
        else:
            rows.append(_row(pair, spent))
    return found | {
        "rows": rows,
        "same": [pair.new for pair in rest if pair.kind == "same"],
        "left_out": [pair.old for pair in rest if pair.kind == "removed"],
        "added": sum(row.added for row in rows),
        "removed": sum(row.removed for row in rows),
    }


def _row(pair: Pair[File], spent: Page) -> Row:
    word, tone = WORDS[pair.kind]
    shown = Rendered() if pair.kind == "renamed" else _rendered(pair, spent)
    return Row(
        path=pair.path,
        old_path=pair.old_path,
        word=word,
        tone=tone,
        old=pair.old,
        new=pair.new,
        html=shown.html,
        added=shown.added,
        removed=shown.removed,
        note=shown.note,
        facts=not shown.html and pair.kind != "renamed",
        open=pair.kind != "removed",
    )


def _rendered(pair: Pair[File], spent: Page) -> Rendered:
    """A file that is too large for any comparison is not even read."""
    largest = max(file.size for file in (pair.old, pair.new) if file)
    if largest > MOST_NOTEBOOK_BYTES:
        most = filesize(MOST_NOTEBOOK_BYTES)
        return Rendered(note=f"It has {filesize(largest)}; files of more than {most} are compared by their hash only.")
    return render_diff(pair.old.read() if pair.old else None, pair.new.read() if pair.new else None, pair.path, spent)


def _of_submission(submission: Submission) -> dict[str, File]:
    course = submission.component.homework.course.slug
    return {
        row.path: File(
            row.path,
            row.size,
            row.sha256,
            reverse("submission-file", args=[course, submission.pk, row.pk]),
            lambda sha256=row.sha256: blobs.read(sha256),  # type: ignore[misc]  # bound now, not when called
        )
        for row in submission.files.all()
    }


def _of_starter(homework: Homework) -> dict[str, File]:
    """The archive was made when the course was loaded; it holds at most `grading.runner.bundle.MAX_BYTES`."""

    def read(name: str) -> bytes:
        with blobs.open(homework.starter_sha256) as data, zipfile.ZipFile(data) as archive:
            return archive.read(name)

    found: dict[str, File] = {}
    with blobs.open(homework.starter_sha256) as data, zipfile.ZipFile(data) as archive:
        for entry in archive.infolist():
            digest = hashlib.sha256(archive.read(entry)).hexdigest()
            found[entry.filename] = File(entry.filename, entry.file_size, digest, "", lambda name=entry.filename: read(name))  # type: ignore[misc]
    return found
