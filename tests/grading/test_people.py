"""Leaving the course ends what is being run for the person, and nothing else."""

import pytest

from courseapp.services import people
from grading.models import Run, Submission
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
