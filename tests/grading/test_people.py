"""Leaving the course ends what is being run for the person, and nothing else."""

from typing import Any

import pytest

from courseapp.clock import database_now
from courseapp.models import Enrollment, Role
from courseapp.services import people
from grading.models import Rerun, Run, Submission
from tests.factories import EnrollmentFactory, HomeworkFactory, RunFactory, SubmissionFactory, component

pytestmark = pytest.mark.django_db


def test_a_drop_cancels_the_persons_runs_and_keeps_their_hand_ins() -> None:
    practice = component(HomeworkFactory.create(), "practice")
    ann, bob = (EnrollmentFactory.create(course=practice.homework.course) for _ in range(2))
    done = RunFactory.create(submission=SubmissionFactory.create(component=practice, enrollment=ann))
    waiting = RunFactory.create(submission=SubmissionFactory.create(component=practice, enrollment=ann), state="queued")
    other = RunFactory.create(submission=SubmissionFactory.create(component=practice, enrollment=bob), state="queued")
    people.drop(enrollment=ann)
    for run in (done, waiting, other):
        run.refresh_from_db()
    assert (done.state, waiting.state, other.state) == (Run.State.DONE, Run.State.CANCELLED, Run.State.QUEUED)
    assert waiting.note == "Left the course."
    assert Submission.objects.filter(enrollment=ann).count() == 2


def test_reruns_go_on_when_whoever_asked_or_handed_in_leaves() -> None:
    practice = component(HomeworkFactory.create(), "practice")
    student, other = (EnrollmentFactory.create(course=practice.homework.course) for _ in range(2))
    ta = EnrollmentFactory.create(course=practice.homework.course, role=Role.TA)
    rerun = Rerun.objects.create(component=practice, asked_by=ta, reason="Again.", created_at=database_now())

    def run(owner: Enrollment, **values: Any) -> Run:
        handed_in = SubmissionFactory.create(component=practice, enrollment=owner)
        return RunFactory.create(submission=handed_in, **({"enrollment": owner, "state": "queued"} | values))

    asked_for = [run(one, enrollment=ta, rerun=rerun, proposed=True, purpose=Run.Purpose.RERUN) for one in (student, other)]
    own, rerun_alone = run(student), run(student, purpose=Run.Purpose.RERUN, requested_by=ta)
    of_the_ta = run(ta)
    for leaver in (ta, student):
        people.drop(enrollment=leaver)
    states = dict(Run.objects.values_list("pk", "state"))
    assert [states[one.pk] for one in asked_for] == [Run.State.QUEUED] * 2
    assert [states[one.pk] for one in (own, rerun_alone, of_the_ta)] == [Run.State.CANCELLED] * 3
