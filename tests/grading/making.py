"""A course with one homework of a few checks, and hand-ins for it, written out."""

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from courseapp import blobs
from courseapp.clock import database_now
from courseapp.models import Course, Enrollment, Role, User
from grading.models import Bundle, Check, Component, Homework, Run, Submission, SubmissionFile
from grading.queries.standing import standing_of
from grading.runner.bundle import autograder_digest, pack
from grading.runner.outcome import CheckResult, Kind, Outcome

ANSWER = "def answer(x):\n    return x + 1\n"

HOMEWORK_TOML = """
number = 1
title = "Plus one"
weight = 1
release = "2023-09-01 00:00"
due = "2023-10-01 23:59"

[practice]
points = 10
required = ["answer.py"]

[[check]]
id = "plus-one"
title = "answer(x) is x + 1"
points = 4
visibility = "visible"

[[check]]
id = "plus-one-hidden"
title = "answer(x) is x + 1, more often"
points = 6
visibility = "hidden"
"""

CHECKS = """
from grading.runner.checks import check


def ask(student, trial):
    for x in (1, 2, 40):
        trial.equal("answer", student.call("answer.answer", x), x + 1)


check("plus-one")(ask)
check("plus-one-hidden")(ask)
"""


def homework(folder: Path, *, course: Course | None = None, checks: str = CHECKS, hidden: bool = True, **component: Any) -> Component:
    """The practice component of a homework whose `answer.py` must add one: 4 visible and, unless not wanted, 6 hidden points."""
    (folder / "starter").mkdir(parents=True, exist_ok=True)
    (folder / "homework.toml").write_text(HOMEWORK_TOML)
    (folder / "statement.md").write_text("# Plus one\n")
    (folder / "checks.py").write_text(checks if hidden else checks.replace('check("plus-one-hidden")(ask)', ""))
    packed = pack(folder)
    blobs.put_bytes(packed.data)
    values = {"size": len(packed.data), "autograder_digest": autograder_digest(packed.data)}
    bundle, _ = Bundle.objects.get_or_create(digest=packed.digest, defaults=values)
    course = course or Course.objects.create(
        slug="plus", code="PL 1", title="Plus", term="Fall", starts_on=datetime(2023, 9, 4, tzinfo=UTC).date()
    )
    made = Homework.objects.create(
        course=course,
        slug=f"plus-one-{course.homeworks.count()}",
        number=course.homeworks.count() + 1,
        title="Plus one",
        release_wall="2023-09-01 00:00",
        statement="",
        bundle=bundle,
    )
    given = {"kind": "practice", "points": Decimal(10), "due_wall": "2023-10-01 23:59", "files_required": ["answer.py"], **component}
    practice = Component.objects.create(homework=made, **given)
    Check.objects.create(component=practice, check_id="plus-one", title="answer(x) is x + 1", points=4, visibility="visible", position=0)
    if hidden:
        Check.objects.create(component=practice, check_id="plus-one-hidden", title="more often", points=6, visibility="hidden", position=1)
    return practice


def person(course: Course, name: str, role: Role = Role.STUDENT) -> Enrollment:
    user, _ = User.objects.get_or_create(username=name, defaults={"email": f"{name}@example.edu"})
    enrollment, _ = Enrollment.objects.get_or_create(
        course=course, user=user, defaults={"email": user.email, "first_name": name.title(), "role": role}
    )
    return enrollment


def submission(component: Component, name: str = "ada", answer: str = ANSWER) -> Submission:
    enrollment = person(component.homework.course, name)
    number = Submission.objects.filter(component=component, enrollment=enrollment).count() + 1
    assert enrollment.user is not None
    made = Submission.objects.create(
        component=component,
        enrollment=enrollment,
        number=number,
        received_at=database_now(),
        completed_at=database_now(),
        own_work=True,
        handed_in_by=enrollment.user,
        receipt_code=f"{component.pk}-{enrollment.pk}-{number}",
        receipt_text="",
        receipt_signature="",
    )
    blob = blobs.put_bytes(answer.encode())
    SubmissionFile.objects.create(submission=made, path="answer.py", size=blob.size, sha256=blob.sha256)
    return made


def run(of: Submission, **values: Any) -> Run:
    """A queued run, put there without ringing anybody."""
    now = database_now()
    assert of.component.homework.bundle is not None
    return Run.objects.create(
        submission=of,
        component=of.component,
        bundle=of.component.homework.bundle,
        **{"enrollment": of.enrollment, "seed": 1, "created_at": now, "not_before": now, **values},
    )


def outcome(points: int, kind: Kind = "ok") -> Outcome:
    """4 points are the visible check's, 6 the hidden one's."""
    visible, hidden = points % 6 and 4, 6 if points >= 6 else 0
    checks = (
        CheckResult("plus-one", "answer(x) is x + 1", Decimal(visible), Decimal(4), bool(visible), True, "visible"),
        CheckResult("plus-one-hidden", "more often", Decimal(hidden), Decimal(6), bool(hidden), True, "hidden"),
    )
    return Outcome(kind, Decimal(points), Decimal(10), 1.0, checks=checks, provenance={"runtime_digest": "e"})


def load_other_checks(component: Component) -> None:
    """As `load_course` does when checks.py has changed."""
    homework = component.homework
    homework.bundle = Bundle.objects.create(digest="b" * 64, autograder_digest="b" * 64, size=1)
    homework.save()


def score(submission: Submission) -> float | None:
    fresh = Submission.objects.select_related("component__homework__course", "component__homework__bundle", "enrollment").get(
        pk=submission.pk
    )
    entry = next(one for one in standing_of(fresh.component, fresh.enrollment).entries if one.submission == fresh)
    return float(entry.score.final) if entry.score else None
