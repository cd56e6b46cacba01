"""The page that says what changed between two hand-ins, or since the starter files."""

import re
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp.models import Enrollment, Role
from grading.models import Homework, Submission
from tests import factories

pytestmark = pytest.mark.django_db

FIRST = {"mlp.py": b"import torch\nx = 1\n", "old.py": b"# moved\n", "notes.md": b"# Notes\n", "w.bin": b"\0one"}
SECOND = {"mlp.py": b"import torch\nx = 2\n", "new.py": b"# moved\n", "notes.md": b"# Notes\n", "w.bin": b"\0two", "extra.py": b"y = 3\n"}


@pytest.fixture
def homework() -> Homework:
    return factories.HomeworkFactory.create()


@pytest.fixture
def student(homework: Homework) -> Enrollment:
    return factories.EnrollmentFactory.create(course=homework.course)


def hand_in(student: Enrollment, homework: Homework, files: dict[str, bytes], kind: str = "practice") -> Submission:
    return factories.SubmissionFactory.create(component=factories.component(homework, kind), enrollment=student, files=files)


def address(submission: Submission, wanted: object = None) -> str:
    url = reverse("submission-diff", args=[submission.component.homework.course.slug, submission.pk])
    return url if wanted is None else f"{url}?with={wanted}"


def client_of(enrollment: Enrollment) -> Client:
    client = Client()
    assert enrollment.user is not None
    client.force_login(enrollment.user)
    return client


def get(reader: Enrollment, submission: Submission, wanted: object = None) -> str:
    response = client_of(reader).get(address(submission, wanted))
    assert response.status_code == 200
    return response.content.decode().split("<main", 1)[1]


def summaries(html: str) -> list[str]:
    """Path and state of every file, and the counts of its lines."""
    inside = re.findall(r"<summary>(<h2.*?)</summary>", html, re.DOTALL)
    return [" ".join(unescape(re.sub(r'<span class="sr-only">[^<]*</span>|<[^>]*>', "", one)).split()) for one in inside]


def test_file_by_file_since_the_hand_in_before(homework: Homework, student: Enrollment) -> None:
    first, second = hand_in(student, homework, FIRST), hand_in(student, homework, SECOND)
    html = get(student, second)
    assert "What changed from hand-in #1 to #2" in html
    assert summaries(html) == [
        "mlp.py changed +1 −1",
        "w.bin changed",
        "extra.py added +1 −0",
        "old.py → new.py renamed, same content",
    ]
    assert "1 file is the same" in html
    assert '<del><span class="sr-only">removed: </span>x = <span class="mi"><mark>1</mark></span></del>' in html
    for submission in (first, second):
        file = submission.files.get(path="w.bin")
        assert file.sha256 in html
        assert reverse("submission-file", args=[homework.course.slug, submission.pk, file.pk]) in html
    assert get(student, second, first.pk) == html


def test_the_other_way_round_what_was_added_is_removed(homework: Homework, student: Enrollment) -> None:
    first, second = hand_in(student, homework, FIRST), hand_in(student, homework, SECOND)
    html = get(student, first, second.pk)
    assert "What changed from hand-in #2 to #1" in html
    assert summaries(html)[2:] == ["new.py → old.py renamed, same content", "extra.py removed +0 −1"]


def test_since_the_starter_files(homework: Homework, student: Enrollment) -> None:
    homework.starter_sha256 = factories.starter({"mlp.py": b"import torch\nx = 0\n", "data/README.md": b"Data\n"})
    homework.save()
    submission = hand_in(student, homework, {"mlp.py": b"import torch\nx = 2\n"})
    html = get(student, submission)
    assert "What changed from the starter files to #1" in html
    assert summaries(html) == ["mlp.py changed +1 −1"]
    assert "1 starter file was not handed in" in html
    assert get(student, submission, "starter") == html


def test_a_first_hand_in_without_starter_files_has_nothing_to_compare_with(homework: Homework, student: Enrollment) -> None:
    submission = hand_in(student, homework, FIRST)
    assert "This is the only hand-in" in get(student, submission)
    assert client_of(student).get(address(submission, "starter")).status_code == 404


def test_equal_hand_ins_say_so(homework: Homework, student: Enrollment) -> None:
    hand_in(student, homework, FIRST)
    assert "Every file is the same, byte for byte." in get(student, hand_in(student, homework, FIRST))


def test_only_hand_ins_of_the_same_student_and_component_are_compared(homework: Homework, student: Enrollment) -> None:
    own = hand_in(student, homework, FIRST)
    theory = hand_in(student, homework, {"theory.pdf": b"%PDF-1.7"}, kind="theory")
    classmate = factories.EnrollmentFactory.create(course=homework.course)
    theirs = hand_in(classmate, homework, SECOND)
    other_course = factories.SubmissionFactory.create(component=factories.component(factories.HomeworkFactory.create(), "practice"))
    ta = factories.EnrollmentFactory.create(course=homework.course, role=Role.TA)
    for reader in (student, ta):
        client = client_of(reader)
        assert client.get(address(own, own.pk)).status_code == 200
        for wanted in (theory.pk, theirs.pk, other_course.pk, 10**30, "-1", "x", "٣", "0"):
            assert client.get(address(own, wanted)).status_code == 404, (reader.role, wanted)
    assert client_of(classmate).get(address(own)).status_code == 404
    assert client_of(ta).get(address(theirs)).status_code == 200


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_costs_the_same_whatever_the_number_of_files(
    homework: Homework, student: Enrollment, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for side in (b"1", b"2"):
        last = hand_in(student, homework, {f"{n}.py": side for n in range(count)})
    client = client_of(student)
    with django_assert_num_queries(8):
        client.get(address(last))


def test_a_long_comparison_says_what_it_leaves_out(homework: Homework, student: Enrollment) -> None:
    hand_in(student, homework, {"mlp.py": b"\n".join(b"%d" % n for n in range(9_000))})
    html = get(student, hand_in(student, homework, {"mlp.py": b"\n".join(b"x%d" % n for n in range(9_000))}))
    assert re.search(r"[\d,]+ more added lines are not shown", html)


def test_pages_link_to_what_changed(homework: Homework, student: Enrollment) -> None:
    first, second = hand_in(student, homework, FIRST), hand_in(student, homework, SECOND)
    client = client_of(student)
    course = homework.course.slug
    history = client.get(reverse("homework", args=[course, homework.slug])).content.decode()
    assert [url in history for url in (address(first), address(second))] == [False, True]
    pages = [client.get(reverse("submission", args=[course, one.pk])).content.decode() for one in (first, second)]
    assert ["What changed since" in page for page in pages] == [False, True]
    assert "What changed since #1" in pages[1]
