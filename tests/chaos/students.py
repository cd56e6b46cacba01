"""A course of 50, and what they hand in while things die."""

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import DatabaseError, InterfaceError, connection
from django.utils import timezone

from courseapp.models import Course, Enrollment
from grading.models import Component
from grading.services.handin import hand_in
from tests.chaos.plan import STUDENTS, HandIn, Plan
from tests.grading import making

AT_ONCE = 6  # uploads under way
POINTS = Decimal(4)
ANSWER = """# {number}
import time

def answer(x):
    if x == 2:
        time.sleep({nap})
    return x + {more}
"""


class Students:
    """`handed_in` after the end: which hand-ins were acknowledged, by id, and what each must score."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self._plan = plan
        course = Course.objects.create(
            slug=f"chaos-{plan.seed}", code="CH 1", title="Chaos", term="Fall", starts_on=datetime(2023, 9, 4, tzinfo=UTC).date()
        )
        self.component: Component = making.homework(folder, course=course, hidden=False, due_wall="2099-10-01 23:59")
        self._students = [making.person(course, f"student{plan.seed}-{number}") for number in range(STUDENTS)]
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="student")
        self._over = threading.Event()
        self._made: list[Future[tuple[int, Decimal]]] = []

    def begin(self, began: float) -> None:
        """Let them hand in, each at its moment after `began` (of the monotonic clock)."""
        self._made = [self._pool.submit(self._hand_in, one, began) for one in self._plan.hand_ins]

    @property
    def done(self) -> bool:
        return all(one.done() for one in self._made)

    @property
    def enrollments(self) -> Sequence[Enrollment]:
        return self._students

    @property
    def handed_in(self) -> dict[int, Decimal]:
        return dict(one.result() for one in self._made)

    def stop(self) -> None:
        self._over.set()
        self._pool.shutdown(cancel_futures=True)

    def _hand_in(self, one: HandIn, began: float) -> tuple[int, Decimal]:
        """As a browser or the command line does: sent again under the same key until it is acknowledged."""
        self._over.wait(max(0.0, began + one.at - time.monotonic()))
        student = self._students[one.student]
        assert student.user is not None
        answer = ANSWER.format(number=one.number, nap=round(one.nap_s, 3), more=1 if one.right else 2)
        while not self._over.is_set():
            now = timezone.now()
            try:
                made = hand_in(
                    component=self.component,
                    enrollment=student,
                    by=student.user,
                    files=[SimpleUploadedFile("answer.py", answer.encode())],
                    received_at=now,
                    completed_at=now,
                    own_work=True,
                    confirmed_days=None,
                    idempotency_key=f"hand-in {one.number}",
                )
            except (DatabaseError, InterfaceError):
                self._over.wait(0.3)
            else:
                return made.pk, POINTS if one.right else Decimal(0)
            finally:
                connection.close()
        raise RuntimeError(f"Hand-in {one.number} was not made.")
