import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import time_machine
from django.conf import LazySettings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection

from courseapp import blobs
from courseapp.models import Enrollment, OutboxMail, Role
from grading.models import Component, CoursePolicy, Run, Submission
from grading.queries.standing import standing_of
from grading.services import extensions, receipts
from grading.services.handin import Refused, choose, confirm_late, hand_in, judge_accepted, unchoose
from tests.factories import (
    DUE_END,
    ON_TIME,
    EnrollmentFactory,
    HomeworkFactory,
    RunFactory,
    RunResultFactory,
    SubmissionFactory,
    UserFactory,
    component,
)

pytestmark = pytest.mark.django_db

State = Submission.State
CODE = b"x = 1\n"
PDF = b"%PDF-1.7\n"
LATE = DUE_END + timedelta(hours=3)
CLOSED = DUE_END + timedelta(days=4)


@pytest.fixture
def practice() -> Component:
    return component(HomeworkFactory.create(), "practice")


@pytest.fixture
def theory(practice: Component) -> Component:
    return component(practice.homework, "theory")


@pytest.fixture
def student(practice: Component) -> Enrollment:
    return EnrollmentFactory.create(course=practice.homework.course)


@pytest.fixture
def ta(practice: Component) -> Enrollment:
    return EnrollmentFactory.create(course=practice.homework.course, role=Role.TA)


def upload(part: Component, content: bytes | None = None) -> SimpleUploadedFile:
    if part.kind == "theory":
        return SimpleUploadedFile("theory.pdf", PDF if content is None else content)
    return SimpleUploadedFile("mlp.py", CODE if content is None else content)


def send(part: Component, student: Enrollment, received: datetime = ON_TIME, **values: Any) -> Submission:
    assert student.user
    given = {
        "by": student.user,
        "files": [upload(part)],
        "received_at": received,
        "completed_at": values.get("received_at", received) + timedelta(seconds=2),
        "own_work": True,
        "confirmed_days": None,
        **values,
    }
    return hand_in(component=part, enrollment=student, **given)


def refusal(part: Component, student: Enrollment, received: datetime = ON_TIME, **values: Any) -> Refused:
    """The refusal of a hand-in of which nothing is kept."""
    before = Submission.objects.count()
    with pytest.raises(Refused) as caught:
        send(part, student, received, **values)
    assert (Submission.objects.count(), Run.objects.count()) == (before, 0)
    return caught.value


def test_a_hand_in_keeps_its_files_signs_a_receipt_posts_a_mail_and_queues_a_run(practice: Component, student: Enrollment) -> None:
    made = send(practice, student)
    made.refresh_from_db()
    assert (made.number, made.state, made.days_late, made.refusal) == (1, State.ACCEPTED, 0, "")
    assert (made.received_at, made.completed_at) == (ON_TIME, ON_TIME + timedelta(seconds=2))
    [file] = made.files.all()
    assert (file.path, file.size, blobs.read(file.sha256)) == ("mlp.py", 6, CODE)
    assert receipts.verify(made.receipt_text, made.receipt_signature)
    assert receipts.judge(receipts.document(made), [upload(practice)]).tone == "good"
    assert f"sha256 {file.sha256}  6 bytes  mlp.py\n" in made.receipt_text
    assert [run.state for run in made.runs.all()] == [Run.State.QUEUED]
    mail = OutboxMail.objects.get()
    assert (mail.to, mail.subject) == (made.enrollment.email, f"Receipt {made.receipt_code}: homework 1, practice, hand-in #1")
    assert receipts.judge(mail.body).genuine


def test_theory_is_not_run(theory: Component, student: Enrollment) -> None:
    assert not send(theory, student).runs.exists()


def test_numbers_count_per_student_and_component(practice: Component, theory: Component, student: Enrollment) -> None:
    other = EnrollmentFactory.create(course=practice.homework.course)
    numbers = [send(part, one).number for part, one in [(practice, student), (practice, student), (theory, student), (practice, other)]]
    assert numbers == [1, 2, 1, 1]


@pytest.mark.parametrize(
    ("received", "days", "state", "line"),
    [
        (DUE_END - timedelta(microseconds=1), 0, State.ACCEPTED, "on time"),
        (DUE_END, 1, State.UNCONFIRMED, "1 day late, not confirmed: it does not count yet"),
        (DUE_END + timedelta(days=1), 2, State.UNCONFIRMED, "2 days late, not confirmed: it does not count yet"),
        (CLOSED - timedelta(microseconds=1), 4, State.UNCONFIRMED, "4 days late, not confirmed: it does not count yet"),
        (CLOSED, 5, State.NOT_ACCEPTED, "not accepted: closed since Thu 26 Oct 23:59 EDT"),
    ],
)
def test_the_headers_time_decides_and_the_receipt_says_it(
    practice: Component, student: Enrollment, received: datetime, days: int, state: str, line: str
) -> None:
    made = send(practice, student, received)
    assert (made.days_late, made.state) == (days, state)
    assert f"\nLateness    {line}\n" in made.receipt_text
    assert made.runs.exists() == (state == State.ACCEPTED)


def test_a_slow_upload_that_began_in_time_is_in_time(practice: Component, student: Enrollment) -> None:
    begun = DUE_END - timedelta(seconds=1)
    made = send(practice, student, begun, completed_at=begun + timedelta(minutes=10))
    assert (made.state, made.days_late) == (State.ACCEPTED, 0)


def test_an_upload_that_takes_too_long_is_kept_and_not_accepted(practice: Component, student: Enrollment, settings: LazySettings) -> None:
    made = send(practice, student, completed_at=ON_TIME + timedelta(minutes=10, seconds=3))
    assert (made.state, made.body_late) == (State.NOT_ACCEPTED, True)
    assert made.refusal == "The upload took 10 min 3 s; accepted are 10 min from its beginning to its last byte."
    assert f"Lateness    not accepted: {made.refusal}\n" in made.receipt_text
    assert made.files.count() == 1
    assert not made.runs.exists()


def test_a_clock_change_lengthens_no_day(practice: Component, student: Enrollment) -> None:
    practice.due_wall = "2023-11-04 23:59"
    practice.save()
    received = datetime(2023, 11, 6, 4, 30, tzinfo=UTC)  # Sunday 23:30, 24 h 31 min after the due time
    made = send(practice, student, received, confirmed_days=1)
    assert (made.days_late, made.state) == (1, State.ACCEPTED)
    assert "Received    Sun 5 Nov 2023 23:30:00 EST (2023-11-06 04:30:00.000000 UTC)\nComplete" in made.receipt_text
    assert "Due         Sat 4 Nov 23:59 EDT\n" in made.receipt_text


def test_after_the_last_day_it_is_accepted_where_the_policy_scores_it_zero(practice: Component, student: Enrollment) -> None:
    CoursePolicy.objects.create(course=practice.homework.course, late={"after_last": "zero"})
    made = send(practice, student, CLOSED, confirmed_days=5)
    assert (made.state, made.days_late) == (State.ACCEPTED, 5)


@pytest.mark.parametrize(("agreed", "state"), [(None, State.UNCONFIRMED), (1, State.UNCONFIRMED), (2, State.ACCEPTED), (3, State.ACCEPTED)])
def test_a_late_hand_in_counts_when_that_many_days_were_agreed_to(
    practice: Component, student: Enrollment, agreed: int | None, state: str
) -> None:
    assert send(practice, student, DUE_END + timedelta(days=1), confirmed_days=agreed).state == state


def test_confirming_afterwards_keeps_the_time_and_queues_the_run(practice: Component, student: Enrollment) -> None:
    made = send(practice, student, LATE)
    text = made.receipt_text
    with time_machine.travel(LATE + timedelta(days=2)):
        confirm_late(submission=made, days=1)
    made.refresh_from_db()
    assert (made.state, made.received_at, made.receipt_text) == (State.ACCEPTED, LATE, text)
    assert made.runs.count() == 1
    assert standing_of(practice, student).entries[0].lateness.days == 1


def test_confirming_fewer_days_than_it_is_late_is_refused(practice: Component, student: Enrollment) -> None:
    made = send(practice, student, DUE_END + timedelta(days=1))
    with pytest.raises(Refused, match=r"Hand-in #1 is 2 days late; you agreed to 1 day\."):
        confirm_late(submission=made, days=1)
    made.refresh_from_db()
    assert made.state == State.UNCONFIRMED


def test_confirming_twice_queues_one_run(practice: Component, student: Enrollment) -> None:
    made = send(practice, student, LATE)
    confirm_late(submission=made, days=1)
    with pytest.raises(Refused, match=r"Hand-in #1 does not wait for a confirmation\."):
        confirm_late(submission=made, days=1)
    assert made.runs.count() == 1


def test_confirming_and_choosing_displaces_the_one_on_time(theory: Component, student: Enrollment) -> None:
    on_time = send(theory, student)
    late = send(theory, student, LATE)
    confirm_late(submission=late, days=1)
    counting = standing_of(theory, student).counting
    assert counting
    assert counting.submission == on_time
    another = send(theory, student, LATE)
    confirm_late(submission=another, days=1, choose=True)
    counting = standing_of(theory, student).counting
    assert counting
    assert counting.submission == another


def test_own_work_must_be_stated(practice: Component, student: Enrollment) -> None:
    found = refusal(practice, student, own_work=False)
    assert (found.error, found.status) == ("State that the work is your own: tick the box above the button.", 400)


def test_files_that_break_the_rules_are_refused_with_sentences(practice: Component, student: Enrollment) -> None:
    found = refusal(practice, student, files=[SimpleUploadedFile("mlp (1).py", CODE)])
    assert found.error == "These files cannot be handed in:"
    assert found.details == ("mlp.py is missing; “mlp (1).py” was sent: rename it to mlp.py.",)
    assert found.kept == "Nothing was handed in. What you handed in before stays as it is."
    assert not OutboxMail.objects.exists()


def test_before_its_release_a_homework_takes_nothing(practice: Component, student: Enrollment) -> None:
    release = datetime(2023, 10, 9, 13, 0, tzinfo=UTC)
    found = refusal(practice, student, release - timedelta(seconds=1))
    assert found.error == "Homework 1 · Backpropagation opens Mon 9 Oct 09:00 EDT."
    assert send(practice, student, release).state == State.ACCEPTED


def test_who_left_the_course_hands_nothing_in(practice: Component, student: Enrollment) -> None:
    student.state = Enrollment.State.DROPPED
    student.save()
    assert "is not an active member" in refusal(practice, student).error


# How often


def test_with_hidden_checks_a_day_has_its_number_of_hand_ins(practice: Component, student: Enrollment) -> None:
    practice.hand_ins_per_day = 2
    practice.save()
    late_evening = datetime(2023, 10, 21, 3, 59, tzinfo=UTC)  # Friday 23:59 in New York
    send(practice, student, late_evening)
    send(practice, student, late_evening)
    with pytest.raises(Refused) as caught:
        send(practice, student, late_evening + timedelta(seconds=59))
    assert caught.value.status == 429
    assert caught.value.error == (
        "2 hand-ins a day are accepted here, because some checks are hidden; the next from Sat 21 Oct 00:00 EDT on."
    )
    assert Submission.objects.count() == 2
    assert send(practice, student, late_evening + timedelta(minutes=1)).number == 3


def test_the_cap_is_each_students_own_and_not_for_what_nobody_hides(practice: Component, theory: Component, student: Enrollment) -> None:
    practice.hand_ins_per_day = theory.hand_ins_per_day = 1
    send(practice, student)
    assert send(practice, EnrollmentFactory.create(course=practice.homework.course)).number == 1
    assert [send(theory, student).number for _ in range(2)] == [1, 2]
    practice.check_rows.update(visibility="visible")
    assert send(practice, student).number == 2


def test_where_nothing_is_hidden_fifty_hand_ins_a_day_are_taken(theory: Component, student: Enrollment) -> None:
    for number in range(1, 50):
        SubmissionFactory.create(component=theory, enrollment=student, number=number)
    assert send(theory, student).number == 50
    with pytest.raises(Refused) as caught:
        send(theory, student)
    assert caught.value.error == "50 hand-ins a day are accepted here; the next from Sat 21 Oct 00:00 EDT on."


def test_what_we_failed_to_judge_costs_no_attempt(practice: Component, student: Enrollment) -> None:
    practice.hand_ins_per_day = 1
    RunFactory.create(submission=SubmissionFactory.create(component=practice, enrollment=student), state=Run.State.FAILED)
    assert send(practice, student).number == 2


# For somebody else


def test_a_ta_hands_in_for_a_student_with_a_reason_and_a_stated_time(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    made = send(practice, student, LATE, by=ta.user, own_work=False, on_behalf_reason="Sent by mail.", stated_at=ON_TIME)
    assert (made.state, made.days_late, made.handed_in_by, made.own_work) == (State.ACCEPTED, 0, ta.user, False)
    assert f"by {ta.display_name} on the student's behalf: Sent by mail.\n" in made.receipt_text
    assert OutboxMail.objects.get().to == student.email
    assert made.runs.count() == 1


def test_on_behalf_a_late_one_needs_no_confirmation_and_the_cap_does_not_hold(
    practice: Component, student: Enrollment, ta: Enrollment
) -> None:
    practice.hand_ins_per_day = 0
    made = send(practice, student, LATE, by=ta.user, on_behalf_reason="Sent by mail.")
    assert (made.state, made.days_late) == (State.ACCEPTED, 1)


@pytest.mark.parametrize("role", [Role.GRADER, Role.STUDENT])
def test_others_do_not_hand_in_for_a_student(practice: Component, student: Enrollment, role: Role) -> None:
    other = EnrollmentFactory.create(course=practice.homework.course, role=role)
    found = refusal(practice, student, by=other.user, on_behalf_reason="A favour.")
    assert (found.error, found.status) == ("Only TAs and instructors hand in on somebody's behalf.", 403)


def test_staff_of_another_course_do_not_hand_in(practice: Component, student: Enrollment) -> None:
    stranger = EnrollmentFactory.create(role=Role.INSTRUCTOR)
    assert refusal(practice, student, by=stranger.user, on_behalf_reason="A favour.").status == 403


def test_on_behalf_needs_a_reason(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    found = refusal(practice, student, by=ta.user, on_behalf_reason=" ")
    assert found.error == "Say why you hand in on the student's behalf; the student reads it."


@pytest.mark.parametrize("stated", [datetime(2023, 10, 9, 12, 59, tzinfo=UTC), ON_TIME + timedelta(seconds=1)])
def test_a_stated_time_lies_between_release_and_now(practice: Component, student: Enrollment, ta: Enrollment, stated: datetime) -> None:
    found = refusal(practice, student, by=ta.user, on_behalf_reason="Sent by mail.", stated_at=stated)
    assert found.error == "The stated time must lie between the homework's release and now."


def test_a_student_states_no_time(practice: Component, student: Enrollment) -> None:
    assert refusal(practice, student, stated_at=ON_TIME).status == 400


def test_somebody_who_has_not_signed_in_yet_can_be_handed_in_for(practice: Component, ta: Enrollment) -> None:
    waiting = EnrollmentFactory.create(
        course=practice.homework.course, user=None, email="soon@example.edu", username="soon", first_name="Sun", last_name="Li"
    )
    made = hand_in(
        component=practice,
        enrollment=waiting,
        by=ta.user or UserFactory.create(),
        files=[upload(practice)],
        received_at=ON_TIME,
        completed_at=ON_TIME,
        own_work=False,
        confirmed_days=None,
        on_behalf_reason="Sent by mail.",
    )
    assert made.number == 1
    assert OutboxMail.objects.get().to == "soon@example.edu"


# What counts


def test_an_extension_opens_what_came_too_late_and_has_it_judged(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    closed = send(practice, student, CLOSED)
    text = closed.receipt_text
    assert judge_accepted(course=practice.homework.course) == []
    extensions.grant(component=practice, enrollment=student, due_wall="2023-10-27 23:59", reason="Ill.", by=ta)
    closed.refresh_from_db()
    assert (closed.state, closed.receipt_text, closed.runs.count()) == (State.NOT_ACCEPTED, text, 1)
    RunResultFactory.create(run=closed.runs.get(), points=Decimal(50))
    found = standing_of(practice, student)
    assert found.counting
    assert (found.counting.submission, found.counting.lateness.days) == (closed, 0)
    assert choose(submission=closed).chosen


def test_an_extension_is_told_to_its_student_by_mail_without_the_reason(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    with time_machine.travel(ON_TIME, tick=False):
        extensions.grant(component=practice, enrollment=student, due_wall="2023-10-27 23:59", reason="Ill.", by=ta)
    mail = OutboxMail.objects.get()
    assert student.user is not None
    assert (mail.to, mail.subject) == (student.user.email, "Homework 1, practice: yours is due Fri 27 Oct 23:59 EDT")
    homework = practice.homework
    assert f"Homework 1, practice in {homework.course.code} is due Fri 27 Oct 23:59 EDT for you." in mail.body
    assert mail.body.endswith(f"/c/{homework.course.slug}/homework/{homework.slug}/\n")
    assert "Ill." not in mail.body


def test_an_extension_before_the_release_names_no_page(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    with time_machine.travel("2023-09-01 12:00Z", tick=False):
        extensions.grant(component=practice, enrollment=student, due_wall="2023-10-27 23:59", reason="Ill.", by=ta)
    body = OutboxMail.objects.get().body
    assert (practice.homework.title in body, practice.homework.slug in body) == (False, False)


def test_an_extension_that_is_not_granted_and_one_of_somebody_who_left_tell_nobody(
    practice: Component, student: Enrollment, ta: Enrollment
) -> None:
    with pytest.raises(extensions.ExtensionError):
        extensions.grant(component=practice, enrollment=student, due_wall="2023-10-01 23:59", reason="Ill.", by=ta)
    Enrollment.objects.filter(pk=student.pk).update(state=Enrollment.State.DROPPED)
    student.refresh_from_db()
    extensions.grant(component=practice, enrollment=student, due_wall="2023-10-27 23:59", reason="Ill.", by=ta)
    assert not OutboxMail.objects.exists()


def test_an_extension_spares_the_confirmation(practice: Component, student: Enrollment, ta: Enrollment) -> None:
    made = send(practice, student, LATE)
    extensions.grant(component=practice, enrollment=student, due_wall="2023-10-23 23:59", reason="Ill.", by=ta)
    assert made.runs.count() == 1
    with pytest.raises(Refused, match="does not wait"):
        confirm_late(submission=made, days=1)


def test_when_due_times_move_for_all_what_is_in_time_now_is_judged(practice: Component, student: Enrollment) -> None:
    other = EnrollmentFactory.create(course=practice.homework.course)
    moved, slow = send(practice, student, LATE), send(practice, other, completed_at=ON_TIME + timedelta(hours=1))
    practice.due_wall = "2023-10-23 23:59"
    practice.save()
    assert judge_accepted(course=practice.homework.course) == [moved]
    assert judge_accepted(course=practice.homework.course) == []
    assert (moved.runs.count(), slow.runs.count()) == (1, 0)


def test_one_is_chosen_at_a_time_and_the_choice_can_be_taken_back(theory: Component, student: Enrollment) -> None:
    first, second = send(theory, student), send(theory, student)
    choose(submission=first)
    choose(submission=second)
    choose(submission=first)
    assert list(Submission.objects.filter(chosen=True)) == [first]
    unchoose(submission=first)
    assert not Submission.objects.filter(chosen=True).exists()


def test_what_is_not_accepted_cannot_be_chosen(practice: Component, student: Enrollment) -> None:
    with pytest.raises(Refused, match="Hand-in #1 cannot count: not accepted"):
        choose(submission=send(practice, student, CLOSED))
    with pytest.raises(Refused, match="Hand-in #2 cannot count: waits for your confirmation"):
        choose(submission=send(practice, student, LATE))


def test_publishing_fixes_what_counts(theory: Component, student: Enrollment) -> None:
    first, late = send(theory, student), send(theory, student, LATE)
    choose(submission=first)
    theory.published_at = DUE_END + timedelta(days=1)
    theory.save()
    changes: list[Callable[[], Submission]] = [
        partial(choose, submission=first),
        partial(unchoose, submission=first),
        partial(confirm_late, submission=late, days=1),
    ]
    with time_machine.travel(DUE_END + timedelta(days=1)):
        for change in changes:
            with pytest.raises(Refused) as caught:
                change()
            assert caught.value.error == "The scores are published, and since Tue 24 Oct 00:00 EDT it is fixed what counts."
    with time_machine.travel(DUE_END + timedelta(hours=23)):
        assert unchoose(submission=first).chosen is False


# What goes wrong


def test_a_full_disk_is_said_and_nothing_is_half_kept(
    practice: Component, student: Enrollment, settings: LazySettings, tmp_path: Path
) -> None:
    store = tmp_path / "store"
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": "/dev/full"}},
    }
    found = refusal(practice, student)
    assert found.status == 507
    assert found.error.startswith("The server could not write the file")
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": store}},
    }
    assert send(practice, student).number == 1
    assert default_storage.exists("")


def test_without_the_homeworks_files_it_is_kept_all_the_same(practice: Component, student: Enrollment) -> None:
    practice.homework.bundle = None
    practice.homework.save()
    made = send(practice, student)
    assert (made.state, made.runs.count()) == (State.ACCEPTED, 0)


@pytest.mark.django_db(transaction=True)
def test_one_person_in_two_tabs_and_another_at_once(practice: Component, student: Enrollment) -> None:
    other = EnrollmentFactory.create(course=practice.homework.course)
    start = threading.Barrier(8)
    failed: list[BaseException] = []

    def tab(person: Enrollment) -> None:
        try:
            start.wait()
            send(component(practice.homework, "practice"), person)
        except BaseException as error:  # noqa: BLE001  # shown by the assertion
            failed.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=tab, args=[person]) for person in (student, other) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    for person in (student, other):
        assert sorted(Submission.objects.filter(enrollment=person).values_list("number", flat=True)) == [1, 2, 3, 4]
    assert Run.objects.count() == OutboxMail.objects.count() == 8
    codes = set(Submission.objects.values_list("receipt_code", flat=True))
    assert len(codes) == 8
    assert all(re.fullmatch("[0-9A-Z]{4}-[0-9A-Z]{4}", code) for code in codes)


@pytest.mark.django_db(transaction=True)
def test_the_cap_holds_for_many_tabs_at_once(practice: Component, student: Enrollment) -> None:
    practice.hand_ins_per_day = 3
    practice.save()
    start = threading.Barrier(6)
    said: list[str] = []

    def tab() -> None:
        try:
            start.wait()
            send(component(practice.homework, "practice"), student)
            said.append("kept")
        except Refused as error:
            said.append(f"{error.status}")
        finally:
            connection.close()

    threads = [threading.Thread(target=tab) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["429"] * 3 + ["kept"] * 3
