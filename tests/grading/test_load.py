"""load_course: files in, rows out; the same files again change nothing, and nothing is lost on the way."""

from datetime import UTC, date, datetime
from decimal import Decimal
from importlib import import_module
from io import StringIO
from pathlib import Path

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, models

from courseapp import blobs
from courseapp.models import Course, Enrollment, Section, User
from grading.models import Bundle, Check, Component, CoursePolicy, Homework, Run, SectionDue, Submission
from grading.services.course_file import later, read_course
from grading.services.load import load
from tests import factories
from tests.course_folder import COURSE, HOMEWORK, write_course

pytestmark = pytest.mark.django_db

LOADED: tuple[type[models.Model], ...] = (Course, Section, Enrollment, User, Homework, Component, SectionDue, Check, Bundle, CoursePolicy)


def load_course(folder: Path) -> str:
    out = StringIO()
    call_command("load_course", folder, stdout=out)
    return out.getvalue()


def hand_in(component: Component) -> Submission:
    student = Enrollment.objects.get(email="ann@example.edu")
    assert student.user is not None
    moment = datetime(2023, 10, 14, 12, tzinfo=UTC)
    return Submission.objects.create(
        component=component,
        enrollment=student,
        number=1,
        received_at=moment,
        completed_at=moment,
        own_work=True,
        handed_in_by=student.user,
        receipt_code="AAAA",
    )


def judge(submission: Submission, kind: str = "ok") -> Run:
    """A run of the hand-in by the homework's bundle of now, with its result."""
    bundle = Homework.objects.get(pk=submission.component.homework_id).bundle
    run = factories.RunFactory.create(submission=submission, bundle=bundle)
    factories.RunResultFactory.create(run=run, kind=kind)
    return run


def everything() -> list[list[dict[str, object]]]:
    return [list(model._default_manager.order_by("pk").values()) for model in LOADED]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_course(tmp_path / "course")


def test_a_course_folder_becomes_a_course_with_people_homework_and_checks(folder: Path) -> None:
    load_course(folder)
    course = Course.objects.get()
    assert (course.slug, course.starts_on, course.weeks) == ("dl-fl23", date(2023, 9, 4), 15)
    assert [section.name for section in course.sections.order_by("name")] == ["001", "002"]
    assert list(course.enrollments.values_list("email", "role", "section__name")) == [
        ("tom@example.edu", "ta", None),
        ("ann@example.edu", "student", "001"),
    ]
    homework = course.homeworks.get()
    assert (homework.slug, homework.title, homework.release_wall) == ("hw1", "Backpropagation", "2023-10-12 09:00")
    assert homework.statement.startswith("# Backpropagation")
    theory, practice = homework.components.all()
    assert (theory.kind, theory.points, theory.files_required) == ("theory", Decimal(50), ["theory.pdf"])
    assert (practice.kind, practice.due_wall, practice.files_allowed) == ("practice", "2023-10-22 23:59", ["*.py"])
    assert list(practice.check_rows.values_list("check_id", "points", "visibility")) == [
        ("forward", Decimal(20), "visible"),
        ("gradients", Decimal(30), "hidden"),
    ]
    assert set(SectionDue.objects.values_list("component__kind", "section__name", "due_wall")) == {
        ("theory", "002", "2023-10-15 23:59"),
        ("practice", "002", "2023-10-15 23:59"),
    }
    assert CoursePolicy.objects.get().late == {"percent_per_day": 10, "days": 4}


def test_the_same_files_again_change_nothing(folder: Path) -> None:
    load_course(folder)
    before = everything()
    assert "Nothing changed." in load_course(folder)
    assert everything() == before


def test_the_homework_is_kept_as_a_bundle_by_its_digest(folder: Path) -> None:
    load_course(folder)
    archive = Homework.objects.get().bundle
    assert archive is not None
    assert len(blobs.read(archive.digest)) == archive.size


def test_changed_checks_make_a_new_bundle_and_keep_the_former(folder: Path) -> None:
    load_course(folder)
    former = Homework.objects.get().bundle
    assert former is not None
    (folder / "hw1" / "checks.py").write_text("# other checks\n")
    load_course(folder)
    assert Homework.objects.get().bundle != former
    assert Bundle.objects.filter(pk=former.pk).exists()


EARLIER = "graded by an earlier version; run them again to judge them by this one."


def test_a_changed_autograder_says_how_many_scores_are_of_an_earlier_version(folder: Path) -> None:
    load_course(folder)
    submission = hand_in(Component.objects.get(kind="practice"))
    judge(submission)
    judge(submission, "assignment")  # no score, so the one before it stands
    (folder / "hw1" / "checks.py").write_text("# better checks\n")
    assert f"Homework 1 · Backpropagation: the autograder changed. 1 hand-in was {EARLIER}" in load_course(folder)
    assert "Nothing changed." in load_course(folder)
    judge(submission)
    (folder / "hw1" / "checks.py").write_text("# the checks\n")
    assert f"1 hand-in was {EARLIER}" in load_course(folder)
    judge(submission)
    write_course(folder, homework=HOMEWORK.replace("points = 20", "points = 25").replace("points = 30", "points = 25"))
    assert f"1 hand-in was {EARLIER}" in load_course(folder)


def test_scores_of_the_version_that_is_loaded_again_are_not_counted(folder: Path) -> None:
    load_course(folder)
    judge(hand_in(Component.objects.get(kind="practice")))
    (folder / "hw1" / "checks.py").write_text("# better checks\n")
    load_course(folder)
    (folder / "hw1" / "checks.py").write_text("# the checks\n")
    assert "earlier version" not in load_course(folder)


def test_a_changed_statement_starter_title_or_date_leaves_scores_as_they_are(folder: Path) -> None:
    load_course(folder)
    judge(hand_in(Component.objects.get(kind="practice")))
    former = Homework.objects.get().bundle
    assert former is not None
    write_course(folder, homework=HOMEWORK.replace("Backpropagation", "Gradients").replace("10-22 23:59", "10-29 23:59"))
    (folder / "hw1" / "statement.md").write_text("# Other words\n")
    (folder / "hw1" / "starter" / "mlp.py").write_text("class MLP:\n    ...\n")
    assert "earlier version" not in load_course(folder)
    now = Homework.objects.get().bundle
    assert now is not None
    assert (now.digest == former.digest, now.autograder_digest == former.autograder_digest) == (False, True)


def test_loading_mends_the_digest_of_a_bundle_whose_file_was_missing(folder: Path) -> None:
    load_course(folder)
    right = Bundle.objects.get().autograder_digest
    Bundle.objects.update(autograder_digest=Bundle.objects.get().digest)
    load_course(folder)
    assert Bundle.objects.get().autograder_digest == right


def test_the_migration_gives_every_bundle_its_autograders_digest(folder: Path) -> None:
    load_course(folder)
    kept = Bundle.objects.get()
    lost = factories.BundleFactory.create()
    strange = factories.BundleFactory.create(digest=blobs.put_bytes(b"no bundle").sha256)
    Bundle.objects.update(autograder_digest="")
    import_module("grading.migrations.0003_autograder_digest").fill(apps, connection.schema_editor())
    assert list(Bundle.objects.order_by("pk").values_list("autograder_digest", flat=True)) == [
        kept.autograder_digest,
        lost.digest,
        strange.digest,
    ]
    assert kept.autograder_digest not in {"", kept.digest}


def test_changed_files_change_their_rows(folder: Path) -> None:
    load_course(folder)
    write_course(folder, COURSE.replace('"Ann"', '"Anne"'), HOMEWORK.replace("10-22 23:59", "10-29 23:59"))
    out = load_course(folder)
    assert Enrollment.objects.get(email="ann@example.edu").first_name == "Anne"
    assert Component.objects.get(kind="practice").due_wall == "2023-10-29 23:59"
    assert "New: 1 bundles." in out
    assert "Changed: 1 enrollments, 1 homeworks, 2 components." in out


def test_a_due_time_moves_earlier_before_the_first_hand_in(folder: Path) -> None:
    load_course(folder)
    write_course(folder, homework=HOMEWORK.replace("10-22 23:59", "10-20 23:59"))
    load_course(folder)
    assert Component.objects.get(kind="practice").due_wall == "2023-10-20 23:59"


@pytest.mark.parametrize(
    ("change", "line", "message"),
    [
        (("10-22 23:59", "10-20 23:59"), 4, 'practice\'s due time would move earlier, from "2023-10-22 23:59" to "2023-10-20 23:59"'),
        (("10-15 23:59", "10-14 23:59"), 7, "practice's due time of section 002 would move earlier"),
    ],
)
def test_a_due_time_does_not_move_earlier_after_the_first_hand_in(folder: Path, change: tuple[str, str], line: int, message: str) -> None:
    load_course(folder)
    hand_in(Component.objects.get(kind="practice"))
    write_course(folder, COURSE.replace('"Ann"', '"Anne"'), HOMEWORK.replace(*change))
    with pytest.raises(CommandError, match=message) as refused:
        load_course(folder)
    assert str(refused.value).startswith(f"{folder / 'hw1' / 'homework.toml'}, line {line}: ")
    assert Component.objects.get(kind="practice").due_wall == "2023-10-22 23:59"
    assert Enrollment.objects.get(email="ann@example.edu").first_name == "Ann"


def test_a_section_that_loses_its_earlier_due_time_is_said_and_may_hand_in_later(folder: Path) -> None:
    load_course(folder)
    hand_in(Component.objects.get(kind="practice"))
    write_course(folder, homework=HOMEWORK.replace('[sections]\n002 = "2023-10-15 23:59"\n', ""))
    out = load_course(folder)
    assert not SectionDue.objects.exists()
    assert "Homework 1 · Backpropagation, practice: section 002 has no due time of its own any more (2023-10-15 23:59)" in out


def test_what_is_not_in_the_files_any_more_is_kept_and_said(folder: Path) -> None:
    load_course(folder)
    without_tom = COURSE[: COURSE.rindex("[[person]]")].replace('homeworks = ["hw1"]\n', "")
    write_course(folder, without_tom.replace('[[section]]\nname = "002"\n', ""))
    out = load_course(folder)
    assert "Tom Helper <tom@example.edu> is not in the file and was kept" in out
    assert "Homework 1 · Backpropagation (hw1) is not in the file; it was kept." in out
    assert "Section 002 is not in the file; it was kept." in out
    assert (Enrollment.objects.count(), Homework.objects.count(), Section.objects.count()) == (2, 1, 2)


def test_a_check_that_is_gone_from_the_file_is_said(folder: Path) -> None:
    load_course(folder)
    one_check = HOMEWORK[: HOMEWORK.rindex("[[check]]")].replace("points = 20", "points = 50")
    write_course(folder, homework=one_check)
    assert "the check gradients (30.00 points) is not in the file any more" in load_course(folder)
    assert [check.check_id for check in Check.objects.all()] == ["forward"]


@pytest.mark.parametrize(("written", "fresh"), [("true", True), ("false", False), ('"training"', "training")])
def test_a_check_keeps_whose_process_it_runs_in(folder: Path, written: str, fresh: bool | str) -> None:
    write_course(folder, homework=f"{HOMEWORK.rstrip()}\nfresh = {written}\n")
    load_course(folder)
    check = Check.objects.get(check_id="gradients")
    assert (check.fresh_group or check.fresh) == fresh


@pytest.mark.parametrize(
    ("file", "change", "line", "message"),
    [
        ("course.toml", ('"America/New_York"', '"New York"'), 5, "is not a time zone; write one such as"),
        ("course.toml", ("2023-09-04", "2023-09-05"), 6, "starts_on = 2023-09-05 is a Tuesday; it must be the Monday of week 1."),
        ("course.toml", ('["hw1"]', '["hw7"]'), 7, 'homeworks holds "hw7", and there is no such folder beside course.toml.'),
        ("course.toml", ("days = 4", "days = 400"), 11, "late.days = 400"),
        ("course.toml", ('name = "002"', 'name = "001"'), 17, 'section "001" is listed twice.'),
        (
            "course.toml",
            ('role = "student"', 'role = "pupil"'),
            20,
            'role = "pupil" is not known; accepted: student, grader, ta or instructor.',
        ),
        ("course.toml", ('"ann@example.edu"', '"ann"'), 24, 'email = "ann" is not an e-mail address'),
        ("course.toml", ('section = "001"', 'section = "003"'), 26, 'section = "003" is not known'),
        ("course.toml", ('"tom@', '"ANN@'), 33, "is also that of the person at line 19; it must be one person's."),
        ("course.toml", ('slug = "dl-fl23"', 'slug = "DL FL23"'), 1, 'slug = "DL FL23" is refused'),
        ("course.toml", ("percent_per_day", "percent_a_day"), 10, "percent_a_day is not a known key (did you mean percent_per_day?)"),
        ("hw1/homework.toml", ("002 =", "007 ="), 7, '"007" is not a section of the course; it has 001, 002.'),
        ("hw1/homework.toml", ("[theory]", '[late]\nbase = "of_all"\n\n[theory]'), 10, 'late.base = "of_all"'),
        ("hw1/homework.toml", ("points = 30", "points = 31"), 14, "points = 50, but the 2 checks sum to 51; the two must be equal."),
    ],
)
def test_an_error_names_the_file_the_line_and_what_is_accepted(
    folder: Path, file: str, change: tuple[str, str], line: int, message: str
) -> None:
    path = folder / file
    path.write_text(path.read_text().replace(*change, 1))
    with pytest.raises(CommandError) as refused:
        load_course(folder)
    text = str(refused.value)
    assert text.startswith(f"{path}, line {line}: "), text
    assert message in text
    assert not Course.objects.exists()


def test_a_folder_without_a_course_is_said(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match=r"course.toml: the file is missing\."):
        load_course(tmp_path)


def test_a_course_moves_by_whole_weeks(folder: Path) -> None:
    course, _ = load(later(read_course(folder), 52))
    assert course.starts_on == date(2024, 9, 2)
    practice = Component.objects.get(kind="practice")
    assert (practice.homework.release_wall, practice.due_wall) == ("2024-10-10 09:00", "2024-10-20 23:59")
    assert practice.section_dues.get().due_wall == "2024-10-13 23:59"
