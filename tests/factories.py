"""Rows for tests: what a test does not say is made up. The course is in New York; its term began on 4 Sep 2023."""

import hashlib
import io
import zipfile
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import factory
from factory.django import DjangoModelFactory

from courseapp import blobs
from courseapp.models import Course, Enrollment, Role, Section, User
from grading.models import (
    Accommodation,
    Bundle,
    Check,
    Component,
    Extension,
    Homework,
    LabFile,
    LabRun,
    OutputFile,
    Run,
    RunResult,
    Submission,
    SubmissionFile,
)

ON_TIME = datetime(2023, 10, 20, 16, 0, tzinfo=UTC)
DUE_WALL = "2023-10-22 23:59"
DUE_END = datetime(2023, 10, 23, 4, 0, tzinfo=UTC)
"""The first moment that is no longer on time."""


class UserFactory(DjangoModelFactory[User]):
    class Meta:
        model = User
        skip_postgeneration_save = True

    username = factory.Sequence(lambda n: f"ab{n + 1000}")
    email = factory.LazyAttribute(lambda user: f"{user.username}@example.edu")
    first_name = factory.Faker("first_name")
    last_name = factory.Faker("last_name")
    password = factory.django.Password("demo")


class CourseFactory(DjangoModelFactory[Course]):
    class Meta:
        model = Course

    slug = factory.Sequence(lambda n: f"deep-learning-{n}")
    code = "DS-GA 1008"
    title = "Deep Learning"
    term = "Fall 2023"
    timezone = "America/New_York"
    starts_on = date(2023, 9, 4)


class SectionFactory(DjangoModelFactory[Section]):
    class Meta:
        model = Section

    course = factory.SubFactory(CourseFactory)
    name = factory.Sequence(lambda n: f"{n + 1:03}")


class EnrollmentFactory(DjangoModelFactory[Enrollment]):
    """An active student; `role=` makes somebody else."""

    class Meta:
        model = Enrollment

    course = factory.SubFactory(CourseFactory)
    user = factory.SubFactory(UserFactory)
    email = factory.LazyAttribute(lambda member: member.user.email)
    username = factory.LazyAttribute(lambda member: member.user.username)
    first_name = factory.LazyAttribute(lambda member: member.user.first_name)
    last_name = factory.LazyAttribute(lambda member: member.user.last_name)
    role = Role.STUDENT


class BundleFactory(DjangoModelFactory[Bundle]):
    class Meta:
        model = Bundle

    digest = factory.Sequence(lambda n: hashlib.sha256(b"%d" % n).hexdigest())
    autograder_digest = factory.SelfAttribute("digest")
    size = 1000


class CheckFactory(DjangoModelFactory[Check]):
    class Meta:
        model = Check

    check_id = factory.LazyAttribute(lambda check: f"check-{check.position}")
    title = factory.LazyAttribute(lambda check: f"Check {check.position}")
    points = Decimal(25)
    visibility = factory.LazyAttribute(lambda check: "hidden" if check.position else "visible")
    position = factory.LazyAttribute(lambda check: Check.objects.filter(component=check.component).count())


class ComponentFactory(DjangoModelFactory[Component]):
    class Meta:
        model = Component
        skip_postgeneration_save = True

    class Params:
        autograded = factory.Trait(
            kind="practice",
            files_required=["mlp.py"],
            files_allowed=["*.py", "*.ipynb", "*.md"],
            checks=factory.RelatedFactoryList(CheckFactory, "component", size=2),
        )

    kind = "theory"
    points = Decimal(50)
    due_wall = DUE_WALL
    files_required = factory.LazyFunction(lambda: ["theory.pdf"])


class HomeworkFactory(DjangoModelFactory[Homework]):
    """Homework 1: theory by hand, practice by a visible and a hidden check of 25 points each, both due at DUE_WALL."""

    class Meta:
        model = Homework
        skip_postgeneration_save = True

    course = factory.SubFactory(CourseFactory)
    slug = factory.Sequence(lambda n: f"hw{n}")
    number = 1
    title = "Backpropagation"
    release_wall = "2023-10-09 09:00"
    statement = "# Backpropagation\n"
    bundle = factory.SubFactory(BundleFactory)
    theory = factory.RelatedFactory(ComponentFactory, "homework")
    practice = factory.RelatedFactory(ComponentFactory, "homework", autograded=True)


class SubmissionFactory(DjangoModelFactory[Submission]):
    """A hand-in as a row, on time and accepted; `files={path: bytes}` puts files into the store. Its receipt is not a signed one."""

    class Meta:
        model = Submission
        skip_postgeneration_save = True

    enrollment = factory.SubFactory(EnrollmentFactory, course=factory.SelfAttribute("..component.homework.course"))
    number = factory.LazyAttribute(lambda made: Submission.objects.filter(component=made.component, enrollment=made.enrollment).count() + 1)
    received_at = ON_TIME
    completed_at = factory.SelfAttribute("received_at")
    own_work = True
    handed_in_by = factory.SelfAttribute("enrollment.user")
    receipt_code = factory.Sequence(lambda n: f"{n // 10000:04}-{n % 10000:04}")
    receipt_text = "Receipt\n"
    receipt_signature = "0" * 64

    @factory.post_generation
    def files(self, create: bool, given: dict[str, bytes] | None, **_: Any) -> None:
        for path, content in (given or {}).items():
            blob = blobs.put_bytes(content)
            SubmissionFile.objects.create(submission=self, path=path, size=blob.size, sha256=blob.sha256)


class RunFactory(DjangoModelFactory[Run]):
    """A run that has ended; RunResultFactory gives it a result."""

    class Meta:
        model = Run

    submission = factory.SubFactory(SubmissionFactory)
    component = factory.SelfAttribute("submission.component")
    enrollment = factory.SelfAttribute("submission.enrollment")
    bundle = factory.SelfAttribute("submission.component.homework.bundle")
    state = Run.State.DONE
    seed = 7
    created_at = factory.SelfAttribute("submission.received_at")
    not_before = factory.SelfAttribute("submission.received_at")


class RunResultFactory(DjangoModelFactory[RunResult]):
    class Meta:
        model = RunResult

    run = factory.SubFactory(RunFactory)
    kind = RunResult.Kind.OK
    points = Decimal(40)
    max_points = Decimal(50)
    seconds = 1.5


class ExtensionFactory(DjangoModelFactory[Extension]):
    class Meta:
        model = Extension

    component = factory.SubFactory(ComponentFactory)
    enrollment = factory.SubFactory(EnrollmentFactory, course=factory.SelfAttribute("..component.homework.course"))
    due_wall = "2023-10-29 23:59"
    reason = "Ill."
    granted_by = factory.SubFactory(EnrollmentFactory, role=Role.INSTRUCTOR, course=factory.SelfAttribute("..component.homework.course"))


class AccommodationFactory(DjangoModelFactory[Accommodation]):
    class Meta:
        model = Accommodation

    enrollment = factory.SubFactory(EnrollmentFactory)
    days = 2


def lab_run(component: Component, owner: Enrollment, *, files: dict[str, bytes], written: dict[str, bytes]) -> LabRun:
    """A lab run that has ended well: of its first file, with what it has written."""
    number = owner.lab_runs.count() + 1
    lab = LabRun.objects.create(enrollment=owner, component=component, number=number, script=next(iter(files)), created_at=ON_TIME)
    kept = {path: blobs.put_bytes(content) for path, content in (files | written).items()}
    for path in files:
        LabFile.objects.create(lab=lab, path=path, size=kept[path].size, sha256=kept[path].sha256)
    times = {"created_at": ON_TIME, "not_before": ON_TIME}
    run = Run.objects.create(lab=lab, component=component, enrollment=owner, purpose=Run.Purpose.LAB, state=Run.State.DONE, seed=7, **times)
    result = RunResult.objects.create(run=run, kind=RunResult.Kind.OK, points=0, max_points=0, seconds=1.5, output="hello\n")
    for path in written:
        OutputFile.objects.create(result=result, name=path, size=kept[path].size, sha256=kept[path].sha256)
    return lab


def starter(files: dict[str, bytes]) -> str:
    """Puts starter files into the store as one zip; gives its SHA-256."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for path, content in files.items():
            target.writestr(path, content)
    return blobs.put_bytes(archive.getvalue()).sha256


def component(homework: Homework, kind: str) -> Component:
    """The homework's component of that kind, read as a page reads it."""
    return Component.objects.select_related("homework__course", "homework__bundle").get(homework=homework, kind=kind)
