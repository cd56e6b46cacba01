"""The API: the same rules as the pages, said in JSON."""

import hashlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import jsonschema
import pytest
import time_machine
from django.conf import LazySettings
from django.core.cache import cache
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from courseapp import api_docs, blobs
from courseapp.models import Course, Enrollment, Role
from courseapp.services import tokens
from grading.models import Component, Homework, Run, Submission
from grading.services import receipts
from tests import factories
from tests.grading.test_homework_pages import MESSAGES, judged, page_of, signed_in

pytestmark = pytest.mark.django_db

NOW = datetime(2023, 10, 20, 18, 0, tzinfo=UTC)
LATE = datetime(2023, 10, 23, 18, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def now() -> Iterator[time_machine.Traveller]:
    cache.clear()
    with time_machine.travel(NOW, tick=False) as traveller:
        yield traveller


@pytest.fixture
def homework(now: time_machine.Traveller) -> Homework:
    return factories.HomeworkFactory.create(slug="hw1")


@pytest.fixture
def student(homework: Homework) -> Enrollment:
    return factories.EnrollmentFactory.create(course=homework.course)


@pytest.fixture
def ta(homework: Homework) -> Enrollment:
    return factories.EnrollmentFactory.create(course=homework.course, role=Role.TA)


def key_of(enrollment: Enrollment, *scopes: str) -> str:
    assert enrollment.user is not None
    return tokens.make(user=enrollment.user, name="test", scopes=scopes or ("read", "submit", "staff"))[1]


def client_of(enrollment: Enrollment, *scopes: str) -> Client:
    return Client(headers={"authorization": f"Token {key_of(enrollment, *scopes)}"}, enforce_csrf_checks=True)


def hand_in_to(homework: Homework, component: str = "practice") -> str:
    return f"/api/v1/courses/{homework.course.slug}/homeworks/{homework.slug}/{component}/submissions/"


def code(content: bytes = b"x = 1\n", name: str = "mlp.py") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, content)


def get(client: Client, address: str, status: int = 200) -> Any:
    answer = client.get(address)
    assert answer.status_code == status, answer.content
    return answer.json()


def test_my_courses_are_those_with_a_place(student: Enrollment, homework: Homework) -> None:
    factories.CourseFactory.create()
    assert get(client_of(student, "read"), "/api/v1/courses/") == [
        {
            "course": homework.course.slug,
            "code": "DS-GA 1008",
            "title": "Deep Learning",
            "term": "Fall 2023",
            "timezone": "America/New_York",
            "role": "student",
        }
    ]


def test_a_homework_says_when_it_is_due_for_me_and_what_late_work_costs(student: Enrollment, homework: Homework) -> None:
    practice_row = factories.component(homework, "practice")
    factories.ExtensionFactory.create(component=practice_row, enrollment=student)
    found = get(client_of(student, "read"), f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/")
    theory, practice = found["components"]
    assert (theory["due_at"], theory["due_note"]) == ("2023-10-23T03:59:00Z", "")
    assert (practice["due_at"], practice["due_note"]) == ("2023-10-30T03:59:00Z", "your own due time")
    assert [(one["kind"], one["credit_percent"], one["days_late"]) for one in practice["timeline"]] == [
        ("before", "100", 0),
        ("on_time", "100", 0),
        ("late", "90", 1),
        ("late", "80", 2),
        ("late", "70", 3),
        ("late", "60", 4),
        ("closed", "0", 5),
    ]
    assert practice["timeline"][2]["sentence"] == "1 day late: it costs 5 points (10 % of the 50 possible × 1 day)."
    assert practice["files"]["required_files"] == ["mlp.py"]
    assert practice["checks"] == [
        {"title": "Check 0", "points": "25", "checks": 1, "opens": ""},
        {"title": "1 hidden check", "points": "25", "checks": 1, "opens": "stays hidden"},
    ]


def test_staff_see_the_titles_of_hidden_checks(ta: Enrollment, homework: Homework) -> None:
    found = get(client_of(ta), f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/")
    assert [check["title"] for check in found["components"][1]["checks"]] == ["Check 0", "Check 1"]


def test_handing_in_keeps_the_files_and_signs_a_receipt(student: Enrollment, homework: Homework) -> None:
    answer = client_of(student, "submit").post(hand_in_to(homework), {"files": [code()], "own_work": "yes"})
    assert answer.status_code == 201, answer.content
    found, made = answer.json(), Submission.objects.get()
    assert (found["id"], found["number"], found["state"], found["lateness"]) == (made.pk, 1, "accepted", "on time")
    assert (found["run"]["state"], found["run"]["open"]) == ("queued", True)
    assert (made.received_at, made.own_work, made.files.get().path) == (NOW, True, "mlp.py")
    assert found["receipt"]["text"] == f"http://127.0.0.1:8000/api/v1/submissions/{made.pk}/receipt/"
    text = client_of(student, "read").get(f"/api/v1/submissions/{made.pk}/receipt/")
    assert text["Content-Type"] == "text/plain; charset=utf-8"
    assert receipts.judge(text.content.decode()).genuine


@pytest.mark.parametrize(
    ("fields", "status", "details"),
    [
        ({"own_work": "yes"}, 400, ["files: This field is required."]),
        ({"files": [code(name="MLP.py")], "own_work": "yes"}, 400, ["mlp.py is missing; “MLP.py” was sent: rename it to mlp.py."]),
        ({"files": [code()]}, 400, ["own_work: State that the work is your own: send own_work=yes."]),
        ({"files": [code()], "own_work": "no"}, 400, ["own_work: State that the work is your own: send own_work=yes."]),
        ({"files": [code()], "own_work": "yes", "confirm_late": "many"}, 400, ["confirm_late: A valid integer is required."]),
    ],
)
def test_what_cannot_be_handed_in_is_said(student: Enrollment, homework: Homework, fields: Any, status: int, details: list[str]) -> None:
    answer = client_of(student).post(hand_in_to(homework), fields)
    assert (answer.status_code, answer.json()["details"]) == (status, details)
    assert not Submission.objects.exists()


def test_a_late_hand_in_waits_for_agreement_and_is_confirmed(student: Enrollment, homework: Homework, now: time_machine.Traveller) -> None:
    now.move_to(LATE)
    client = client_of(student)
    made = client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).json()
    assert (made["state"], made["confirm"]["days"], made["run"]) == ("unconfirmed", 1, None)
    address = f"/api/v1/submissions/{made['id']}/confirm/"
    too_few = client.post(address, {"days": 0}, content_type="application/json")
    assert (too_few.status_code, too_few.json()["error"]) == (400, "The request is not as it should be:")
    agreed = client.post(address, {"days": 1}, content_type="application/json").json()
    assert (agreed["state"], agreed["lateness"], agreed["run"]["state"]) == ("accepted", "1 day late", "queued")
    again = client.post(address, {"days": 1}, content_type="application/json")
    assert (again.status_code, again.json()["error"]) == (409, "Hand-in #1 does not wait for a confirmation.")


def test_a_cost_agreed_beforehand_needs_no_confirmation(student: Enrollment, homework: Homework, now: time_machine.Traveller) -> None:
    now.move_to(LATE)
    made = client_of(student).post(hand_in_to(homework), {"files": [code()], "own_work": "yes", "confirm_late": "1"}).json()
    assert (made["state"], made["confirm"]) == ("accepted", None)


def test_the_same_key_and_files_are_one_hand_in(student: Enrollment, homework: Homework) -> None:
    client, key = client_of(student), {"idempotency-key": "4f8e-once-only"}
    first = client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=key)
    again = client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert first.json()["id"] == again.json()["id"]
    other = client.post(hand_in_to(homework), {"files": [code(b"x = 2\n")], "own_work": "yes"}, headers=key)
    assert (other.status_code, other.json()["error"]) == (
        422,
        "The Idempotency-Key was used for hand-in #1 of Homework 1 · Backpropagation, practice, with other files; use a new key for these.",
    )
    assert Submission.objects.count() == 1
    assert client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).json()["number"] == 2


def test_other_files_under_a_used_key_are_not_kept(student: Enrollment, homework: Homework) -> None:
    """Nor do they count as hand-ins: kept, they would fill the disk past the cap of a day."""
    client, key = client_of(student), {"idempotency-key": "4f8e-once-only"}
    client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=key)
    other = b"somebody_sent = 'this once more'\n"
    assert client.post(hand_in_to(homework), {"files": [code(other)], "own_work": "yes"}, headers=key).status_code == 422
    assert blobs.exists(hashlib.sha256(b"x = 1\n").hexdigest())
    assert not blobs.exists(hashlib.sha256(other).hexdigest())


def test_a_retry_after_the_due_time_is_the_hand_in_that_came_before_it(
    student: Enrollment, homework: Homework, now: time_machine.Traveller
) -> None:
    client, key = client_of(student), {"idempotency-key": "4f8e-once-only"}
    client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=key)
    now.move_to(LATE)
    again = client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=key).json()
    assert (again["number"], again["lateness"]) == (1, "on time")


def test_a_key_is_one_persons(student: Enrollment, homework: Homework) -> None:
    other = factories.EnrollmentFactory.create(course=homework.course)
    for person in (student, other):
        client_of(person).post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers={"idempotency-key": "our-key-1"})
    assert Submission.objects.count() == 2


def test_a_key_that_is_none_is_refused(student: Enrollment, homework: Homework) -> None:
    answer = client_of(student).post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers={"idempotency-key": "short"})
    assert (answer.status_code, Submission.objects.count()) == (400, 0)


def test_a_body_larger_than_any_hand_in_is_refused(student: Enrollment, homework: Homework, settings: LazySettings) -> None:
    settings.MAX_BODY_MB = 1
    answer = client_of(student).post(hand_in_to(homework), {"files": [code(b"#" * 2 * 1024**2)], "own_work": "yes"})
    assert (answer.status_code, answer.json()["error"]) == (413, "The upload has 2 MB; accepted are 1 MB.")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b'{"days": 1, "more": "' + b"#" * 2 * 1024**2 + b'"}', 413, "The form fields are larger than any form here."),
        (b"[" * 200_000, 400, "The JSON is nested too deeply to be read."),
        (b"{", 400, "JSON parse error - Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
    ids=["large", "deep", "broken"],
)
def test_json_that_is_none_of_ours_is_refused(student: Enrollment, homework: Homework, body: bytes, status: int, error: str) -> None:
    own = judged(homework, student)
    answer = client_of(student).post(f"/api/v1/submissions/{own.pk}/confirm/", body, content_type="application/json")
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_choosing_what_counts(student: Enrollment, homework: Homework) -> None:
    first, second = (judged(homework, student, points) for points in (30, 40))
    client = client_of(student)
    before = get(client, f"/api/v1/submissions/{first.pk}/")
    assert (before["counts"], before["may_choose"]) == (False, True)
    assert client.post(f"/api/v1/submissions/{first.pk}/choose/").json()["counts"] is True
    assert [row["counts"] for row in get(client, hand_in_to(homework))] == [False, True]
    client.delete(f"/api/v1/submissions/{first.pk}/choose/")
    assert get(client, f"/api/v1/submissions/{second.pk}/")["counts"] is True


@pytest.mark.parametrize("release", ["at_once", "after_due", "after_published"])
@pytest.mark.parametrize("moment", [NOW, LATE], ids=["before-due", "after-due"])
@pytest.mark.parametrize("published", [False, True])
def test_score_and_checks_are_seen_where_the_page_shows_them(
    student: Enrollment, homework: Homework, now: time_machine.Traveller, release: str, moment: datetime, published: bool
) -> None:
    submission = judged(homework, student, 35)
    Component.objects.filter(homework=homework).update(score_release=release, published_at=NOW if published else None)
    now.move_to(moment)
    html = signed_in(student).get(page_of(submission)).content.decode()
    found = get(client_of(student, "read"), f"/api/v1/submissions/{submission.pk}/")
    assert (found["score"] is not None) == ("The score, line by line" in html)
    assert (found["result"]["points"] == "35") == ('<span class="big">35</span>' in html)
    assert [check["title"] for check in found["result"]["checks"]] == [
        title for title in ("Forward", "Later", "1 hidden check") if f"<span>{title}</span>" in html
    ] + (["1 hidden check"] if html.count("<span>1 hidden check</span>") == 2 else [])
    listed = get(client_of(student, "read"), hand_in_to(homework))
    assert (listed[0]["score"] == "35") == (found["score"] is not None)
    assert "Secret shape" not in str(found)
    assert "expected 0.25" not in str(found)
    assert MESSAGES[1]["message"] not in str(found)


def test_staff_read_what_hidden_checks_found(ta: Enrollment, student: Enrollment, homework: Homework) -> None:
    found = get(client_of(ta, "staff", "read"), f"/api/v1/submissions/{judged(homework, student).pk}/")
    assert [(check["title"], check["message"]) for check in found["result"]["checks"]][1] == ("Secret shape", "W1: expected 0.25, got 0.5")
    assert found["student"]["username"] == student.username


def test_a_hand_in_that_is_read_by_people_has_no_result(student: Enrollment, homework: Homework) -> None:
    made = factories.SubmissionFactory.create(component=factories.component(homework, "theory"), enrollment=student)
    found = get(client_of(student), f"/api/v1/submissions/{made.pk}/")
    assert (found["run"], found["result"], found["score"]) == (None, None, None)


# Who may do what


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        (("read",), {"courses": 200, "homework": 200, "mine": 200, "hand in": 403, "choose": 403, "roster": 403}),
        (("submit",), {"courses": 403, "homework": 403, "mine": 403, "hand in": 400, "choose": 200, "roster": 403}),
        (("staff",), {"courses": 403, "homework": 403, "mine": 403, "hand in": 403, "choose": 403, "roster": 404}),
    ],
)
def test_a_students_token_reaches_its_scopes_and_no_more_than_its_owner(
    student: Enrollment, homework: Homework, scopes: tuple[str, ...], expected: dict[str, int]
) -> None:
    client, own = client_of(student, *scopes), judged(homework, student)
    base = f"/api/v1/courses/{homework.course.slug}"
    assert {
        "courses": client.get("/api/v1/courses/").status_code,
        "homework": client.get(f"{base}/homeworks/hw1/").status_code,
        "mine": client.get(hand_in_to(homework)).status_code,
        "hand in": client.post(hand_in_to(homework), {}).status_code,
        "choose": client.post(f"/api/v1/submissions/{own.pk}/choose/").status_code,
        "roster": client.get(f"{base}/roster/").status_code,
    } == expected


def test_a_staff_members_token_needs_the_staff_scope_for_others_work(ta: Enrollment, student: Enrollment, homework: Homework) -> None:
    base, other = f"/api/v1/courses/{homework.course.slug}", judged(homework, student)
    found = {}
    for scopes in (("read", "submit"), ("read", "staff")):
        client = client_of(ta, *scopes)
        addresses = (f"/api/v1/submissions/{other.pk}/", f"{base}/roster/", f"{base}/homeworks/hw1/submissions/", "/api/v1/courses/")
        found[scopes] = [client.get(address).status_code for address in addresses]
    assert found == {("read", "submit"): [403, 403, 403, 200], ("read", "staff"): [200, 200, 200, 200]}


def test_asking_for_the_head_only_needs_the_same_scope(ta: Enrollment, student: Enrollment, homework: Homework) -> None:
    """The length of a list tells what is in it."""
    base = f"/api/v1/courses/{homework.course.slug}"
    reading, handing_in = client_of(ta, "read"), client_of(student, "submit")
    assert [reading.head(f"{base}/{address}").status_code for address in ("roster/", "homeworks/hw1/submissions/")] == [403, 403]
    assert [handing_in.head(address).status_code for address in ("/api/v1/courses/", hand_in_to(homework))] == [403, 403]
    assert client_of(ta, "staff").head(f"{base}/roster/").status_code == 200


def test_a_token_that_may_only_hand_in_is_told_no_scores(student: Enrollment, homework: Homework) -> None:
    own = judged(homework, student)
    address = f"/api/v1/submissions/{own.pk}/choose/"
    told = client_of(student, "submit").delete(address).json()
    assert (told["result"], told["score"], told["counting_why"]) == (None, None, "")
    told = client_of(student, "submit", "read").delete(address).json()
    assert told["score"]["final"] == "35"


def test_staff_do_not_hand_in_for_themselves(ta: Enrollment, homework: Homework) -> None:
    assert client_of(ta).post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).status_code == 404


def test_a_token_that_does_not_work_is_refused(student: Enrollment, homework: Homework, now: time_machine.Traveller) -> None:
    assert student.user is not None
    token, key = tokens.make(user=student.user, name="laptop", scopes=["read"], days=30)
    client = Client(headers={"authorization": f"Token {key}"})
    assert client.get("/api/v1/courses/").status_code == 200

    student.user.is_active = False
    student.user.save()
    refused = client.get("/api/v1/courses/")
    assert (refused.status_code, refused["WWW-Authenticate"]) == (401, "Token")
    assert refused.json() == {
        "error": "This token does not work: it is unknown, expired or revoked, or its account is switched off.",
        "details": [],
        "kept": "",
    }
    student.user.is_active = True
    student.user.save()
    now.move_to(NOW + timedelta(days=30))
    assert client.get("/api/v1/courses/").status_code == 401
    now.move_to(NOW + timedelta(days=29))
    assert client.get("/api/v1/courses/").status_code == 200
    tokens.revoke(token=token)
    assert client.get("/api/v1/courses/").status_code == 401
    for wrong in (f"Token {key[:-1]}", "Token ", "Token é", f"Token {key}\n"):
        assert Client(headers={"authorization": wrong}).get("/api/v1/courses/").status_code == 401


def test_a_dropped_student_reaches_nothing_of_the_course(student: Enrollment, homework: Homework) -> None:
    client, own = client_of(student), judged(homework, student)
    Enrollment.objects.filter(pk=student.pk).update(state=Enrollment.State.DROPPED)
    assert get(client, "/api/v1/courses/") == []
    assert [client.get(f"/api/v1/submissions/{own.pk}/").status_code, client.get(hand_in_to(homework)).status_code] == [404, 404]
    assert client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).status_code == 404


def test_a_session_needs_its_csrf_token_to_change_something(student: Enrollment, homework: Homework) -> None:
    assert student.user is not None
    client = Client(enforce_csrf_checks=True)
    client.force_login(student.user)
    assert client.get("/api/v1/courses/").status_code == 200
    refused = client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"})
    assert (refused.status_code, Submission.objects.count()) == (403, 0)
    client.get(f"/c/{homework.course.slug}/homework/hw1/")
    sent = {"x-csrftoken": client.cookies["csrftoken"].value}
    assert client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}, headers=sent).status_code == 201


# How often


def test_a_minute_has_so_many_requests_for_each_person_and_scope(
    student: Enrollment, homework: Homework, settings: LazySettings, now: time_machine.Traveller
) -> None:
    settings.API_REQUESTS_PER_MINUTE = {"read": 2, "submit": 1, "staff": 1}
    client, other_token = client_of(student), client_of(student)
    assert [client.get("/api/v1/courses/").status_code, other_token.get("/api/v1/courses/").status_code] == [200, 200]
    refused = client.get("/api/v1/courses/")
    assert (refused.status_code, refused["Retry-After"]) == (429, "61")
    assert refused.json()["error"] == "That is too much at once; go on in 61 s."
    assert client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).status_code == 201
    assert client.post(hand_in_to(homework), {"files": [code()], "own_work": "yes"}).status_code == 429
    someone = factories.EnrollmentFactory.create(course=homework.course)
    assert client_of(someone).get("/api/v1/courses/").status_code == 200
    now.shift(60)
    assert client.get("/api/v1/courses/").status_code == 200


# Lists for staff


def many(homework: Homework, students: int) -> list[Submission]:
    return [
        judged(homework, factories.EnrollmentFactory.create(course=homework.course), 30 + n, received_at=NOW - timedelta(minutes=n))
        for n in range(students)
    ]


@pytest.mark.parametrize("students", [1, 3])
@pytest.mark.parametrize("query", ["", "?state=accepted&component=practice"])
def test_the_list_of_hand_ins_costs_the_same_for_one_and_for_many(
    ta: Enrollment, homework: Homework, students: int, query: str, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    many(homework, students)
    client = client_of(ta, "staff")
    client.get("/api/v1/courses/")  # the token's last use is noted once a minute
    with django_assert_num_queries(17 if query else 11):
        assert len(get(client, f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/submissions/{query}")["results"]) == students


def test_hand_ins_come_page_by_page_and_none_twice_while_more_arrive(ta: Enrollment, homework: Homework) -> None:
    made = many(homework, 5)
    client, address = client_of(ta, "staff"), f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/submissions/?limit=2"
    seen: list[int] = []
    while address:
        page = get(client, address)
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
        judged(homework, factories.EnrollmentFactory.create(course=homework.course), received_at=NOW + timedelta(minutes=len(seen)))
    assert seen == [row.pk for row in made]


def test_hand_ins_are_filtered(ta: Enrollment, homework: Homework, now: time_machine.Traveller) -> None:
    section = factories.SectionFactory.create(course=homework.course, name="002")
    first, second, third = many(homework, 3)
    Enrollment.objects.filter(pk=second.enrollment_id).update(section=section)
    late = judged(homework, third.enrollment, received_at=LATE, state="unconfirmed")
    client = client_of(ta, "staff")

    def ids(query: str) -> list[int]:
        return [row["id"] for row in get(client, f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/submissions/?{query}")["results"]]

    assert ids("component=theory") == []
    assert ids("section=002") == [second.pk]
    assert ids(f"student={first.enrollment.username.upper()}") == [first.pk]
    assert ids(f"student={third.enrollment_id}") == [late.pk, third.pk]
    assert ids("since=2023-10-20T18:00:00Z") == [late.pk, first.pk]
    assert ids("state=unconfirmed") == [late.pk]
    factories.ExtensionFactory.create(component=late.component, enrollment=late.enrollment)
    assert ids("state=unconfirmed") == []
    assert ids("state=accepted&limit=1") == [late.pk]


@pytest.mark.parametrize("query", ["cursor=abc", "cursor=0", "limit=0", "state=lost", "since=soon", "student="])
def test_a_filter_that_is_none_is_said(ta: Enrollment, homework: Homework, query: str) -> None:
    address = f"/api/v1/courses/{homework.course.slug}/homeworks/hw1/submissions/?{query}"
    assert get(client_of(ta, "staff"), address, 400)["error"] == "The request is not as it should be:"


def test_a_cursor_of_another_course_leads_nowhere(ta: Enrollment, homework: Homework) -> None:
    other = factories.SubmissionFactory.create(component=factories.component(factories.HomeworkFactory.create(), "practice"))
    client, base = client_of(ta, "staff"), f"/api/v1/courses/{homework.course.slug}"
    assert client.get(f"{base}/homeworks/hw1/submissions/?cursor={other.pk}").status_code == 404
    assert client.get(f"{base}/roster/?cursor={other.enrollment_id}").status_code == 404


@pytest.mark.parametrize("people", [1, 3])
def test_the_roster_costs_the_same_for_one_and_for_many(
    ta: Enrollment, homework: Homework, people: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(people):
        factories.EnrollmentFactory.create(course=homework.course)
    client = client_of(ta, "staff", "read")
    client.get("/api/v1/courses/")
    with django_assert_num_queries(3):
        assert len(get(client, f"/api/v1/courses/{homework.course.slug}/roster/?role=student")["results"]) == people


def test_the_roster_comes_by_name_page_by_page(ta: Enrollment, homework: Homework) -> None:
    for n in range(5):
        factories.EnrollmentFactory.create(course=homework.course, last_name=f"Name {n // 2}", first_name="Ada")
    client, address = client_of(ta, "staff"), f"/api/v1/courses/{homework.course.slug}/roster/?limit=2&role=student"
    seen: list[int] = []
    while address:
        page = get(client, address)
        seen += [row["id"] for row in page["results"]]
        address = page["next"]
    assert seen == list(Enrollment.objects.filter(role=Role.STUDENT).order_by("last_name", "first_name", "pk").values_list("pk", flat=True))


def test_whatever_is_not_there_says_so_in_json(student: Enrollment, homework: Homework) -> None:
    client = client_of(student)
    found = {}
    for address in ("/api/v1/", "/api/v1/courses", "/api/v1/submissions/-1/", "/api/v1/submissions/99999999999999999999999/"):
        answer = client.get(address)
        found[address] = (answer.status_code, answer["Content-Type"], sorted(answer.json()))
    assert found == {address: (404, "application/json", ["details", "error", "kept"]) for address in found}


def test_the_result_that_a_rerun_will_replace_stays_until_then(student: Enrollment, homework: Homework) -> None:
    submission = judged(homework, student)
    factories.RunFactory.create(submission=submission, state=Run.State.QUEUED)
    found = get(client_of(student), f"/api/v1/submissions/{submission.pk}/")
    assert (found["run"]["open"], found["result"]["points"], found["score"]["final"]) == (True, "35", "35")
    assert Decimal(found["score"]["lines"][-1]["points"]) == 35


def test_answers_keep_to_the_schema(student: Enrollment, ta: Enrollment, homework: Homework, now: time_machine.Traveller) -> None:
    judged(homework, student)
    now.move_to(LATE)
    base, client = f"/api/v1/courses/{homework.course.slug}", client_of(ta)
    made = client_of(student).post(hand_in_to(homework), {"files": [code()], "own_work": "yes"})
    answers = {
        "/api/v1/courses/{course}/homeworks/{homework}/{component}/submissions/": ("post", "201", made),
        "/api/v1/submissions/{id}/": ("get", "200", client.get(f"/api/v1/submissions/{made.json()['id'] - 1}/")),
        "/api/v1/courses/{course}/homeworks/{homework}/": ("get", "200", client.get(f"{base}/homeworks/hw1/")),
        "/api/v1/courses/{course}/homeworks/": ("get", "200", client_of(student).get(f"{base}/homeworks/")),
        "/api/v1/courses/{course}/homeworks/{homework}/submissions/": (
            "get",
            "200",
            client.get(f"{base}/homeworks/hw1/submissions/?limit=1"),
        ),
        "/api/v1/courses/{course}/roster/": ("get", "200", client.get(f"{base}/roster/")),
    }
    for path, (method, status, answer) in answers.items():
        assert str(answer.status_code) == status, path
        shape = api_docs.schema()["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"]
        whole = {"components": api_docs.schema()["components"], "allOf": [shape]}
        assert [error.message for error in jsonschema.Draft202012Validator(whole).iter_errors(answer.json())] == [], path


def test_courses_of_others_stay_out_of_reach(student: Enrollment) -> None:
    other: Course = factories.CourseFactory.create()
    assert client_of(student).get(f"/api/v1/courses/{other.slug}/homeworks/").status_code == 404
