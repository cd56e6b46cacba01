"""One hand-in sent several times at once, as an impatient program does."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.test import Client

from courseapp.services import tokens
from grading.models import Submission
from tests import factories

pytestmark = pytest.mark.django_db(transaction=True)


def test_tries_at_the_same_moment_are_one_hand_in() -> None:
    homework = factories.HomeworkFactory.create(slug="hw1")
    student = factories.EnrollmentFactory.create(course=homework.course)
    assert student.user is not None
    _, key = tokens.make(user=student.user, name="test", scopes=["submit"])
    address = f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/practice/submissions/"

    def send(_: int) -> tuple[int, int]:
        client = Client(headers={"authorization": f"Token {key}", "idempotency-key": "impatient-1"})
        answer = client.post(address, {"files": [SimpleUploadedFile("mlp.py", b"x = 1\n")], "own_work": "yes"})
        connection.close()
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(6) as threads:
        found = set(threads.map(send, range(12)))
    made = Submission.objects.get()
    assert found == {(201, made.pk)}
