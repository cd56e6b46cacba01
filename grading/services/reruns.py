"""Have hand-ins judged again, first a sample; their new results count once staff accept them, and not before."""

import logging
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Sum
from django.urls import reverse

from courseapp import blobs
from courseapp.clock import database_now
from courseapp.formats import filesize
from courseapp.models import Enrollment
from courseapp.services import outbox
from grading import tasks
from grading.models import Check, Component, Rerun, RerunFile, RerunItem, Run, Submission, SubmissionFile
from grading.policy.reruns import spread
from grading.policy.visibility import Viewer
from grading.policy.words import count
from grading.queries import reruns as queries
from grading.queries.due import all_terms
from grading.queries.homework import moment_of, score_seen
from grading.queries.runs import judging
from grading.queries.standing import standings
from grading.runner.manifest import MOST_JUDGED_MB
from grading.services import runs

log = logging.getLogger(__name__)

SAMPLE = 5
MOST_FILES = 10
MB = 2**20
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. ()-]*")


class RerunError(ValueError):
    """What cannot be done, for staff; `field` is that of the form, if it is about one."""

    def __init__(self, message: str, field: str = "") -> None:
        super().__init__(message)
        self.field = field


@transaction.atomic
def start(
    *,
    component: Component,
    submissions: Sequence[Submission],
    by: Enrollment,
    reason: str,
    files: Mapping[str, bytes] | None = None,
    repair_percent: Decimal = Decimal(0),
) -> Rerun:
    """Queue a sample of the hand-ins, or all of them where they are few. `files` stand in the place of each hand-in's own of that name.

    A hand-in that waits for a judging of its own, or is at work, is left out: the checks of today judge it anyhow.
    """
    reason = " ".join(reason.split())
    if not reason:
        raise RerunError("Say why they are run again; students whose score changes read it.", "reason")
    if repair_percent and not files:
        raise RerunError("Points for a repair are taken off only where files are replaced; add the repaired files.", "repair_percent")
    _look_at(component, submissions, files or {})
    if component.homework.bundle is None or not Check.objects.filter(component=component).exists():
        raise RerunError(f"{component} has no checks to run with; load its course's folder first.")
    busy = set(Run.objects.filter(submission__in=submissions, proposed=False, state__in=Run.OPEN).values_list("submission", flat=True))
    free = [submission for submission in submissions if submission.pk not in busy]
    if not free:
        raise RerunError("Choose at least one hand-in that has been judged.", "scope")
    judged = judging(free)
    results = [judged[one.pk].result if one.pk in judged else None for one in free]
    first = set(spread([result.points if result else None for result in results], SAMPLE))
    rerun = Rerun.objects.create(
        component=component,
        asked_by=by,
        reason=reason,
        state=Rerun.State.SAMPLE if len(first) < len(free) else Rerun.State.ALL,
        repair_percent=repair_percent,
        created_at=database_now(),
    )
    for path, content in sorted((files or {}).items()):
        RerunFile.objects.create(rerun=rerun, path=path, size=len(content), sha256=blobs.put_bytes(content).sha256)
    RerunItem.objects.bulk_create(RerunItem(rerun=rerun, submission=one, sample=at in first) for at, one in enumerate(free))
    _queue(rerun, [one for at, one in enumerate(free) if at in first], by)
    log.info("Rerun %s of %s: %s hand-ins, asked for by %s.", rerun.pk, component, len(free), by.pk)
    return rerun


def _look_at(component: Component, submissions: Sequence[Submission], files: Mapping[str, bytes]) -> None:
    if len(files) > MOST_FILES:
        raise RerunError(f"{len(files)} files were chosen; accepted are at most {MOST_FILES}.", "repaired")
    for name, content in files.items():
        if not _NAME.fullmatch(name):
            raise RerunError(f"The file name “{name}” is refused; use letters, digits and _ . - only, without a folder.", "repaired")
        if len(content) > component.max_file_mb * MB:
            raise RerunError(f"{name} has {filesize(len(content))}; accepted are {component.max_file_mb} MB.", "repaired")
    if not files:
        return
    others = SubmissionFile.objects.filter(submission__in=submissions).exclude(path__in=list(files)).order_by()
    largest = max(others.values_list("submission").annotate(total=Sum("size")).values_list("total", flat=True), default=0)
    if (total := largest + sum(map(len, files.values()))) > MOST_JUDGED_MB * MB:
        sizes = f"With these files a hand-in has {filesize(total)}; at most {MOST_JUDGED_MB} MB can be run."
        raise RerunError(sizes, "repaired")


def _queue(rerun: Rerun, submissions: Sequence[Submission], by: Enrollment) -> None:
    """One run of each, on the inputs of its first one. They are the turn of whoever asked, so no student's own work waits for them.

    Where checks need a GPU, the smoke check is left out for what has been on one already.
    """
    component, now = rerun.component, database_now()
    bundle = component.homework.bundle
    assert bundle is not None  # looked at when it was started; a bundle is never taken away
    rows = Run.objects.filter(submission__in=submissions, proposed=False).order_by("-pk")
    seeds = dict(rows.values_list("submission_id", "seed"))  # the last one stays: of the first run
    smoke = set[int]()
    if component.queue != "cpu" and component.check_rows.filter(needs_gpu=True).exists():
        been = rows.filter(stage=Run.Stage.GRADE, state=Run.State.DONE)
        smoke = {one.pk for one in submissions}
        smoke -= set() if rerun.files.exists() else set(been.values_list("submission_id", flat=True))
    Run.objects.bulk_create(
        Run(
            submission=one,
            component=component,
            enrollment=by,
            bundle=bundle,
            stage=Run.Stage.SMOKE if one.pk in smoke else Run.Stage.GRADE,
            queue="cpu" if one.pk in smoke else component.queue,
            seed=seeds.get(one.pk, secrets.randbits(runs.SEED_BITS)),
            purpose=Run.Purpose.RERUN,
            requested_by=by,
            rerun=rerun,
            proposed=True,
            created_at=now,
            not_before=now,
        )
        for one in submissions
    )
    for queue in {"cpu" if one.pk in smoke else component.queue for one in submissions}:
        transaction.on_commit(partial(tasks.ring_soon, queue), robust=True)


@transaction.atomic
def go_on(*, rerun: Rerun, by: Enrollment) -> int:
    """Queue the rest after the sample; how many those are. 0: somebody else had done so."""
    row = _locked(rerun)
    if row.state == Rerun.State.ALL:
        return 0
    rest = [item.submission for item in row.items.filter(sample=False).select_related("submission")]
    row.state = Rerun.State.ALL
    row.save(update_fields=["state"])
    _queue(row, rest, by)
    return len(rest)


@transaction.atomic
def stop(*, rerun: Rerun, by: Enrollment) -> int:
    """Cancel what has not been judged yet; how many those are. What has been judged can be accepted then."""
    row = _locked(rerun)
    return _cancel(row, by)


@transaction.atomic
def discard(*, rerun: Rerun, by: Enrollment) -> None:
    """Leave every score as it is, for good; the new results stay readable for staff."""
    row = _locked(rerun)
    _cancel(row, by)
    _decide(row, Rerun.State.DISCARDED, by, queries.table(row), frozenset())


@dataclass(frozen=True)
class Accepted:
    """How many hand-ins have a new result, and how many students were told."""

    applied: int
    told: int


@transaction.atomic
def accept(*, rerun: Rerun, by: Enrollment, items: Collection[int], seen: str, same: bool = False, unlisted: bool = False) -> Accepted:
    """Let the new results of these rows (RerunItem ids) count, in one go; the others stay as they are. `seen` is the table's version;
    `same`: also those that do not differ from the old ones, which are then of today's autograder; `unlisted`: also those that are advised
    among what a page does not list.

    The old results stay, and are read in the hand-in's history.
    """
    Component.objects.select_for_update().get(pk=rerun.component_id)  # of two reruns of one component, one is accepted after the other
    row = _locked(rerun)
    table = queries.table(row)
    if row.state == Rerun.State.SAMPLE:
        raise RerunError("Only a sample has been judged; go on with the rest first, or discard it.")
    if table.totals.waiting:
        raise RerunError(f"{count(table.totals.waiting, 'hand-in')} not judged yet; wait for them, or stop them first.")
    if table.version != seen:
        raise RerunError("The table has changed since you saw it. Nothing was accepted: look at it again.")
    wanted = {*items, *(one.item.pk for one in table.same if same and one.comparison.may_apply)}
    wanted |= {one.item.pk for one in table.unlisted_advised if unlisted}
    chosen = [one for one in table.rows if one.item.pk in wanted]
    refused = [one for one in chosen if not one.comparison.may_apply]
    if refused:
        names = ", ".join(f"{one.submission.enrollment.display_name} #{one.submission.number}" for one in refused[:5])
        raise RerunError(f"Nothing was accepted, because these rows have no new result that may count: {names}.")
    if not chosen:
        raise RerunError("No row is ticked. Tick the results that shall count, or discard the rerun.")
    Run.objects.filter(pk__in=[one.run.pk for one in chosen if one.run]).update(proposed=False)
    _decide(row, Rerun.State.ACCEPTED, by, table, frozenset(one.item.pk for one in chosen))
    told = _tell(row, chosen)
    log.info("Rerun %s was accepted by %s: %s results count, %s students are told.", row.pk, by.pk, len(chosen), told)
    return Accepted(len(chosen), told)


def _locked(rerun: Rerun) -> Rerun:
    """The row as it is now; RerunError when it has been decided."""
    row = Rerun.objects.select_for_update(no_key=True, of=("self",)).select_related(
        "component__homework__course", "component__homework__bundle"
    )
    found = row.get(pk=rerun.pk)
    if not found.is_open:
        who = found.decided_by.display_name if found.decided_by else "somebody"
        raise RerunError(f"Rerun {found.pk} was {found.state} by {who} already. Nothing was changed.")
    return found


def _cancel(rerun: Rerun, by: Enrollment) -> int:
    return sum(runs.cancel(run=run, by=by) for run in rerun.runs.filter(state__in=Run.OPEN))


def _decide(rerun: Rerun, state: Rerun.State, by: Enrollment, table: queries.Table, applied: frozenset[int]) -> None:
    rerun.state, rerun.decided_by, rerun.decided_at = state, by, database_now()
    rerun.save(update_fields=["state", "decided_by", "decided_at"])
    for row in table.rows:
        row.item.before, row.item.applied = row.before, row.item.pk in applied
    RerunItem.objects.bulk_update([row.item for row in table.rows], ["before", "applied"])


def _tell(rerun: Rerun, rows: Sequence[queries.Row]) -> int:
    """A mail, without points, to those whose points have changed and who may see them: all their hand-ins, the one that counts first."""
    component = rerun.component
    people: dict[int, list[Submission]] = {}
    for row in rows:
        if row.comparison.difference != 0:
            people.setdefault(row.submission.enrollment_id, []).append(row.submission)
    members = list(Enrollment.objects.filter(pk__in=people, state=Enrollment.State.ACTIVE).select_related("user", "section", "course"))
    terms, standing = all_terms([component], members), standings([component], members)
    told = 0
    for member in members:
        if not score_seen(Viewer(staff=False, owner=True), component, moment_of(component, terms[component.pk, member.pk])):
            continue
        counting = standing[component.pk, member.pk].counting
        of_counting = counting.submission.pk if counting else None
        changed = sorted(people[member.pk], key=lambda one: (one.pk != of_counting, one.number))
        names = ", ".join(f"#{one.number}" for one in changed)
        hand_ins, were = (f"hand-in {names}", "was") if len(changed) == 1 else (f"hand-ins {names}", "were")
        pages = "".join(
            f"#{one.number}{', which counts' if one.pk == of_counting else ''}: "
            f"{settings.SITE_URL}{reverse('submission', args=[member.course.slug, one.pk])}\n"
            for one in changed
        )
        outbox.post(
            member.user.email if member.user else member.email,
            f"Homework {component.homework.number}, {component.kind}: {hand_ins} {were} judged again",
            f"The staff had {hand_ins} judged again: {rerun.reason}\n\n"
            f"The result is another one now. The old and the new one are on each page:\n{pages}",
        )
        told += 1
    return told
