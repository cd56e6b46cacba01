"""Hand in: keep the files, decide what the hand-in is, sign its receipt, and have it judged.

A hand-in is one transaction: the row with its number, the files' names, the receipt, the mail, the run. The files' contents are on
stable storage before it begins. Whatever came too late is kept as well, only not accepted.
"""

import hashlib
import logging
from collections.abc import Sequence
from datetime import datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from courseapp import blobs
from courseapp.formats import duration, moment
from courseapp.models import Course, Enrollment, User
from courseapp.services import outbox
from grading.models import Component, Run, RunResult, Submission, SubmissionFile
from grading.policy.late import Lateness
from grading.policy.words import count
from grading.queries.due import Terms, terms_for
from grading.services import receipts, runs
from grading.services.uploads import Incoming, Prepared, Problems, prepare

log = logging.getLogger(__name__)

NOTHING_CHANGED = "Nothing was handed in. What you handed in before stays as it is."
OPEN_HAND_INS_PER_DAY = 50
State = Submission.State


class Refused(Exception):  # noqa: N818  # it is an answer, not a fault
    """What cannot be done: `error` in one sentence, `details` one by one, `kept` what became of it. `status` is HTTP's."""

    def __init__(self, error: str, details: Sequence[str] = (), *, kept: str = NOTHING_CHANGED, status: int = 409) -> None:
        self.error, self.details, self.kept, self.status = error, tuple(details), kept, status
        super().__init__(" ".join((error, *details)))


def hand_in(
    *,
    component: Component,
    enrollment: Enrollment,
    by: User,
    files: "Sequence[UploadedFile[Any]]",
    received_at: datetime,
    completed_at: datetime,
    own_work: bool,
    confirmed_days: int | None,
    on_behalf_reason: str = "",
    stated_at: datetime | None = None,
    idempotency_key: str = "",
) -> Submission:
    """Keep a hand-in. Refused when nothing is kept; look at the row's state for what was kept but does not count.

    `confirmed_days`: the student agreed to what so many days late cost. `stated_at` is for staff, who hand in on somebody's behalf.
    `idempotency_key`: the same files sent again under the same key are the same hand-in, which is returned as it was kept.
    """
    on_behalf = by.pk != enrollment.user_id
    reason = " ".join(on_behalf_reason.split())
    _may(component, enrollment, by, on_behalf=on_behalf, reason=reason)
    if not on_behalf and not own_work:
        raise Refused("State that the work is your own: tick the box above the button.", status=400)
    terms = terms_for(component, enrollment)
    _hold_to_times(component, terms, received_at, stated_at, on_behalf=on_behalf)
    oracle = component.check_rows.exclude(visibility="visible").exists()
    earlier = _of_key(by, idempotency_key)
    if not on_behalf and earlier is None:
        _hold_to_cap(component, enrollment, received_at, oracle=oracle)
    prepared = prepare(component, files)
    if isinstance(prepared, Problems):
        raise Refused("These files cannot be handed in:", prepared.sentences, status=400)
    if earlier is not None:  # only compared: a key sent again and again must not fill the disk past the cap
        return _same(earlier, component, enrollment, {(file.path, _digest(file)) for file in prepared.files})
    rows = _keep(prepared)
    with transaction.atomic():
        if idempotency_key:  # it is the person's in all courses
            User.objects.select_for_update().get(pk=by.pk)
        _lock(enrollment)
        if (earlier := _of_key(by, idempotency_key)) is not None:
            return _same(earlier, component, enrollment, {(row.path, row.sha256) for row in rows})
        if not on_behalf:
            _hold_to_cap(component, enrollment, received_at, oracle=oracle)
        submission = Submission(
            component=component,
            enrollment=enrollment,
            number=_next_number(component, enrollment),
            received_at=received_at,
            completed_at=completed_at,
            own_work=own_work and not on_behalf,
            dropped=list(prepared.dropped),
            handed_in_by=by,
            on_behalf_reason=reason if on_behalf else "",
            stated_at=stated_at,
            idempotency_key=idempotency_key,
            receipt_code=_new_code(),
        )
        _write(submission, rows, terms, agreed_days=None if on_behalf else confirmed_days or 0)
    if on_behalf:
        log.info("Account %s handed in hand-in %s on the student's behalf.", by.pk, submission.pk)
    return submission


@transaction.atomic
def confirm_late(*, submission: Submission, days: int, choose: bool = False) -> Submission:
    """The student agrees to what so many days late cost; the time of arrival stands. `choose`: it shall count, whatever the rule says."""
    _lock(submission.enrollment)
    row, terms = _read(submission)
    if terms.state_now(row) != State.UNCONFIRMED:
        raise Refused(f"Hand-in #{row.number} does not wait for a confirmation.", kept="")
    _not_frozen(row, terms)
    late = terms.lateness(row.counted_at)
    if days < late.days:
        raise Refused(f"Hand-in #{row.number} is {late.label}; you agreed to {count(days, 'day')}.", kept="It is kept and still waits.")
    row.state = State.ACCEPTED
    row.save(update_fields=["state"])
    if choose:
        _set_chosen(row)
    _judge(row)
    return row


@transaction.atomic
def choose(*, submission: Submission) -> Submission:
    """Let this hand-in count, whatever the rule says; until publishing."""
    _lock(submission.enrollment)
    row, terms = _read(submission)
    _not_frozen(row, terms)
    state = terms.state_now(row)
    if state != State.ACCEPTED:
        raise Refused(f"Hand-in #{row.number} cannot count: {state.label}.", kept="")
    _set_chosen(row)
    return row


@transaction.atomic
def unchoose(*, submission: Submission) -> Submission:
    """Leave it to the rule again which hand-in counts."""
    _lock(submission.enrollment)
    row, terms = _read(submission)
    _not_frozen(row, terms)
    row.chosen = False
    row.save(update_fields=["chosen"])
    return row


@transaction.atomic
def judge_accepted(*, course: Course, enrollment: Enrollment | None = None) -> list[Submission]:
    """Have judged what did not count when it came and does by today's due times; for one student, or for all of the course.

    To be called whenever due times or the late policy change: by an extension, an accommodation, the policy, or a homework loaded anew.
    """
    waiting = Submission.objects.filter(component__homework__course=course, runs=None, body_late=False).exclude(state=State.ACCEPTED)
    if enrollment is not None:
        waiting = waiting.filter(enrollment=enrollment)
    accepted = []
    for found in waiting.select_related("enrollment").order_by("enrollment", "component", "number"):
        _lock(found.enrollment)
        row, terms = _read(found)
        if terms.state_now(row) == State.ACCEPTED and not row.runs.exists():
            _judge(row)
            accepted.append(row)
    return accepted


def _write(submission: Submission, rows: list[SubmissionFile], terms: Terms, *, agreed_days: int | None) -> None:
    """Decide what becomes of a new hand-in, sign its receipt, and have it judged. `agreed_days`: None needs no agreement."""
    late = terms.lateness(submission.counted_at)
    submission.days_late = late.days
    _decide(submission, late, confirmed=agreed_days is None or agreed_days >= late.days)
    submission.receipt_text = receipts.compose(submission, rows, due=terms.due.due, verdict=_verdict(submission, late))
    submission.receipt_signature = receipts.sign(submission.receipt_text)
    submission.save(force_insert=True)
    for row in rows:
        row.submission = submission
    SubmissionFile.objects.bulk_create(rows)
    _mail(submission)
    if submission.state == State.ACCEPTED:
        _judge(submission)


def _hold_to_times(component: Component, terms: Terms, received_at: datetime, stated_at: datetime | None, *, on_behalf: bool) -> None:
    if received_at < terms.release and not on_behalf:
        raise Refused(f"{component.homework} opens {moment(terms.release, component.homework.course.zone)}.")
    if stated_at is not None and not (on_behalf and terms.release <= stated_at <= received_at):
        raise Refused("The stated time must lie between the homework's release and now.", status=400)


def _may(component: Component, enrollment: Enrollment, by: User, *, on_behalf: bool, reason: str) -> None:
    """Views have asked already; a service that hands in for others asks again."""
    course = component.homework.course
    if enrollment.course_id != course.pk or enrollment.state != Enrollment.State.ACTIVE:
        raise Refused(f"{enrollment.display_name} is not an active member of {course}.", status=403)
    if not on_behalf:
        return
    acting = Enrollment.objects.filter(course=course, user=by, state=Enrollment.State.ACTIVE).first()
    if acting is None or not acting.may_manage:
        raise Refused("Only TAs and instructors hand in on somebody's behalf.", status=403)
    if not reason:
        raise Refused("Say why you hand in on the student's behalf; the student reads it.", status=400)


def _hold_to_cap(component: Component, enrollment: Enrollment, received_at: datetime, *, oracle: bool) -> None:
    """Best-of-unlimited would make an oracle of hidden checks; without any, the cap only keeps one person from filling the disk.

    What we failed to judge costs no attempt.
    """
    cap = component.hand_ins_per_day if oracle else OPEN_HAND_INS_PER_DAY
    zone = component.homework.course.zone
    today = received_at.astimezone(zone).date()
    tomorrow = datetime.combine(today + timedelta(days=1), time.min, zone)
    mine = Submission.objects.filter(component=component, enrollment=enrollment, on_behalf_reason="")
    ended = Run.objects.filter(submission=OuterRef("pk"), proposed=False)
    counted = mine.filter(received_at__gte=datetime.combine(today, time.min, zone), received_at__lt=tomorrow).exclude(
        Exists(ended.filter(state=Run.State.FAILED))
        & ~Exists(ended.filter(state=Run.State.DONE).exclude(result__kind=RunResult.Kind.SMOKE))
    )
    if counted.count() >= cap:
        why = ", because some checks are hidden" if oracle else ""
        raise Refused(f"{count(cap, 'hand-in')} a day are accepted here{why}; the next from {moment(tomorrow, zone)} on.", status=429)


def _keep(prepared: Prepared) -> list[SubmissionFile]:
    rows = []
    for file in prepared.files:
        try:
            blob = blobs.put(file.chunks())
        except blobs.BlobError as error:
            log.error("A hand-in was not kept: %s", error)
            raise Refused(str(error), status=507) from error
        rows.append(SubmissionFile(path=file.path, size=blob.size, sha256=blob.sha256))
    return sorted(rows, key=lambda row: row.path)


def _lock(enrollment: Enrollment) -> None:
    """One change at a time to one student's hand-ins, so that numbers and choices stay single."""
    Enrollment.objects.select_for_update(no_key=True, of=("self",)).get(pk=enrollment.pk)


def _read(submission: Submission) -> tuple[Submission, Terms]:
    """The row as it is now that it is locked, and what binds it."""
    row = Submission.objects.select_related("component__homework__course", "component__homework__bundle", "enrollment").get(
        pk=submission.pk
    )
    return row, terms_for(row.component, row.enrollment)


def _of_key(by: User, key: str) -> Submission | None:
    if not key:
        return None
    found = Submission.objects.filter(handed_in_by=by, idempotency_key=key)
    return found.select_related("component__homework__course", "component__homework__bundle", "enrollment").first()


def _digest(file: Incoming) -> str:
    found = hashlib.sha256()
    for chunk in file.chunks():
        found.update(chunk)
    return found.hexdigest()


def _same(earlier: Submission, component: Component, enrollment: Enrollment, sent: set[tuple[str, str]]) -> Submission:
    """The hand-in that was kept under this key, if it is what is sent now: each file's path and SHA-256."""
    kept = set(earlier.files.values_list("path", "sha256"))
    if (earlier.component_id, earlier.enrollment_id) == (component.pk, enrollment.pk) and kept == sent:
        return earlier
    raise Refused(
        f"The Idempotency-Key was used for hand-in #{earlier.number} of {earlier.component}, with other files; use a new key for these.",
        kept=f"Nothing was handed in now. Hand-in #{earlier.number} stays as it is.",
        status=422,
    )


def _next_number(component: Component, enrollment: Enrollment) -> int:
    last = (
        Submission.objects.filter(component=component, enrollment=enrollment).order_by("-number").values_list("number", flat=True).first()
    )
    return (last or 0) + 1


def _new_code() -> str:
    while Submission.objects.filter(receipt_code=(code := receipts.new_code())).exists():
        pass
    return code


def _decide(submission: Submission, late: Lateness, *, confirmed: bool) -> None:
    took, most = submission.completed_at - submission.received_at, timedelta(seconds=settings.HAND_IN_BODY_SECONDS)
    if took > most:
        submission.state = State.NOT_ACCEPTED
        submission.body_late = True
        submission.refusal = f"The upload took {duration(took)}; accepted are {duration(most)} from its beginning to its last byte."
    elif not late.accepted:
        submission.state = State.NOT_ACCEPTED
        submission.refusal = f"It came after the last day on which late work is taken: {late.label}."
    elif late.late and not confirmed:
        submission.state = State.UNCONFIRMED
    else:
        submission.state = State.ACCEPTED


def _verdict(submission: Submission, late: Lateness) -> str:
    if submission.body_late:
        return f"not accepted: {submission.refusal}"
    if submission.state == State.NOT_ACCEPTED:
        return f"not accepted: {late.label}"
    if submission.state == State.UNCONFIRMED:
        return f"{late.label}, not confirmed: it does not count yet"
    return late.label


def _mail(submission: Submission) -> None:
    member, homework = submission.enrollment, submission.component.homework
    page = f"{settings.SITE_URL}/receipts/{submission.receipt_code}/"
    said = {
        State.ACCEPTED: "It is accepted.",
        State.UNCONFIRMED: "It is late and waits for your confirmation; until then it does not count. Its time of arrival stands.",
        State.NOT_ACCEPTED: f"It is kept, but not accepted. {submission.refusal}",
    }[State(submission.state)]
    outbox.post(
        member.user.email if member.user else member.email,
        f"Receipt {submission.receipt_code}: homework {homework.number}, {submission.component.kind}, hand-in #{submission.number}",
        f"Your hand-in arrived. {said}\n\n{receipts.document(submission)}\n"
        f"Keep this mail. The hand-in: {page}\nAnybody can check the text above: {settings.SITE_URL}/receipts/\n",
    )


def _judge(submission: Submission) -> None:
    component = submission.component
    try:
        runs.enqueue(submission=submission)
    except runs.NothingToRunError as error:
        if component.check_rows.exists():
            log.error("Hand-in %s is kept but cannot be judged: %s", submission.pk, error)


def _not_frozen(row: Submission, terms: Terms) -> None:
    frozen_at = terms.frozen_at(row.component)
    if frozen_at is not None and timezone.now() >= frozen_at:
        since = moment(frozen_at, row.component.homework.course.zone)
        raise Refused(f"The scores are published, and since {since} it is fixed what counts.", kept="Ask the staff if it is wrong.")


def _set_chosen(row: Submission) -> None:
    Submission.objects.filter(component=row.component, enrollment=row.enrollment, chosen=True).exclude(pk=row.pk).update(chosen=False)
    row.chosen = True
    row.save(update_fields=["chosen"])
