"""Reruns: what they would change is seen by staff only, and counts once they accept it."""

import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.files.storage import default_storage
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import DjangoAssertNumQueries

from courseapp import blobs
from courseapp.clock import database_now
from courseapp.models import Enrollment, OutboxMail, Role
from grading import claims, execution, jobs
from grading.models import Component, Rerun, RerunItem, Run, Submission
from grading.queries import queue as queue_queries
from grading.queries import reruns as queries
from grading.queries import runs as run_queries
from grading.queries.submission import live
from grading.queries.today import staff_today, student_today
from grading.runner.changed import Changed
from grading.runner.outcome import Kind
from grading.services import byhand, reruns, runs
from tests.grading import making

pytestmark = pytest.mark.django_db

NAMES = ("ada", "bob", "cyd", "dan", "eve", "fay", "gus")


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one", score_release="at_once", due_wall="2099-10-01 23:59")


@pytest.fixture
def ta(component: Component) -> Enrollment:
    return making.person(component.homework.course, "tom", Role.TA)


def judge(points: dict[int, int] | int, kind: Kind = "ok") -> None:
    """Everything that waits, with these points, by hand-in or for all."""
    while claimed := claims.claim("cpu", "w"):
        assert claimed.run.submission_id is not None
        of_run = points if isinstance(points, int) else points[claimed.run.submission_id]
        assert execution.finish(claimed.run, claimed.token, making.outcome(of_run, kind))


def judged(component: Component, name: str, points: int) -> Submission:
    made = making.submission(component, name)
    runs.enqueue(submission=made)
    judge(points)
    return made


def points(row: queries.Row) -> float | None:
    return None if row.comparison.difference is None else float(row.comparison.difference)


def accept_advised(rerun: Rerun, by: Enrollment) -> reruns.Accepted:
    table = queries.table(Rerun.objects.get(pk=rerun.pk))
    ticked = {row.item.pk for row in table.differing if row.comparison.advised}
    return reruns.accept(rerun=rerun, by=by, items=ticked, seen=table.version, same=True)


def test_a_rerun_counts_nowhere_until_it_is_accepted(component: Component, ta: Enrollment) -> None:
    submission = judged(component, "ada", 10)
    student = submission.enrollment
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[submission], by=ta, reason="The bound was too narrow.")
    assert rerun.state == Rerun.State.ALL
    run = rerun.runs.get()
    first = submission.runs.order_by("pk").first()
    assert first is not None
    assert (run.seed, run.purpose, run.enrollment, run.proposed) == (first.seed, Run.Purpose.RERUN, ta, True)
    before = live(student, submission)
    assert (before["run"], before["ask_every_s"]) == (first, 0)
    judge(4)
    after = live(student, submission)
    assert (after["version"], after["result"].points, making.score(submission)) == (before["version"], Decimal(10), 10)
    assert run_queries.latest(submission) == first
    assert run_queries.count_earlier(component.homework) == 1

    done = accept_advised(rerun, ta)
    assert (done, making.score(submission)) == (reruns.Accepted(1, 1), 4)
    seen = live(student, submission)
    assert (seen["result"].run_id, seen["result"].points) == (run.pk, 4)
    assert run_queries.count_earlier(component.homework) == 0
    assert ([(old.run_id, old.points) for old, _ in seen["former"]], seen["judged_again"]) == (
        [(first.pk, 10)],
        queries.JudgedAgain("The bound was too narrow.", "", "Points from the checks: 10 → 4."),
    )
    assert (before["judged_again"], after["judged_again"]) == (None, None)
    item = rerun.items.get()
    assert item.before is not None
    assert (item.applied, item.before.points) == (True, Decimal(10))
    mail = OutboxMail.objects.get()
    assert (mail.to, "The bound was too narrow." in mail.body, "10" in mail.body) == (student.email, True, False)


def test_the_old_result_stays_readable_beside_the_reason(component: Component, ta: Enrollment, client: Client) -> None:
    submission = judged(component, "ada", 10)
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[submission], by=ta, reason="The bound was too narrow.")
    judge(4)
    accept_advised(rerun, ta)
    assert submission.enrollment.user is not None
    client.force_login(submission.enrollment.user)
    url = reverse("submission", args=[component.homework.course.slug, submission.pk])
    page = client.get(url).content.decode()
    former = page[page.index('id="former"') :]
    assert "The staff had this hand-in judged again: The bound was too narrow.<span>Points from the checks: 10 → 4.</span>" in page
    assert (": 10 of 10 from the checks" in former, "more often" in page) == (True, False)
    Component.objects.filter(pk=component.pk).update(score_release="after_published")
    page = client.get(url).content.decode()
    assert ("of 10 from the checks" in page, 'id="former"' in page) == (False, True)
    assert ("judged again: The bound was too narrow.</p>" in page, "Points from the checks" in page) == (True, False)


def test_a_student_reaches_nothing_of_a_proposal(component: Component, ta: Enrollment) -> None:
    submission = judged(component, "ada", 10)
    reruns.start(component=component, submissions=[submission], by=ta, reason="Again.")
    judge(4)
    run = Run.objects.get(proposed=True)
    client, staff = Client(), Client()
    assert submission.enrollment.user is not None
    assert ta.user is not None
    client.force_login(submission.enrollment.user)
    staff.force_login(ta.user)
    url = reverse("run-stream", args=[component.homework.course.slug, run.pk])
    assert (client.get(url).status_code, staff.get(url).status_code) == (404, 200)
    assert b"Again." not in client.get(reverse("submission", args=[component.homework.course.slug, submission.pk])).content


def test_a_sample_comes_first_then_the_rest_then_the_chosen_rows_count(component: Component, ta: Enrollment, client: Client) -> None:
    made = [judged(component, name, points) for name, points in zip(NAMES, (10, 4, 6, 10, 0, 10, 4), strict=True)]
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=made, by=ta, reason="Stricter.")
    sample = set(rerun.items.filter(sample=True).values_list("submission", flat=True))
    assert (rerun.state, len(sample), rerun.runs.count()) == (Rerun.State.SAMPLE, reruns.SAMPLE, reruns.SAMPLE)
    assert {int(making.score(one) or 0) for one in made if one.pk in sample} == {0, 4, 6, 10}
    new = dict(zip([one.pk for one in made], (4, 10, 6, 10, 4, 6, 4), strict=True))
    assert ta.user is not None
    client.force_login(ta.user)
    live_page = reverse("rerun-live", args=[component.homework.course.slug, rerun.pk])
    assert [row.item.sample for row in queries.table(rerun).rows] == [True] * 5 + [False] * 2
    page = client.get(live_page).content.decode()
    assert ('<p role="status">No result yet.</p>' in page, "0 up" in page) == (True, False)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert claimed.run.submission_id is not None
    execution.finish(claimed.run, claimed.token, making.outcome(new[claimed.run.submission_id]))
    order = [(row.submission.pk == claimed.run.submission_id, row.item.sample) for row in queries.table(rerun).rows]
    assert order == [(True, True)] + [(False, True)] * 4 + [(False, False)] * 2
    judge(new)
    assert [row.item.sample for row in queries.table(rerun).rows] == [True] * 5 + [False] * 2
    with pytest.raises(reruns.RerunError, match="Only a sample has been judged"):
        accept_advised(rerun, ta)
    assert reruns.go_on(rerun=rerun, by=ta) == 2
    assert reruns.go_on(rerun=rerun, by=ta) == 0
    with pytest.raises(reruns.RerunError, match="2 hand-ins not judged yet; wait for them, or stop them first"):
        accept_advised(rerun, ta)
    judge(new)

    rerun.refresh_from_db()
    table = queries.table(rerun)
    rows = [(row.submission.enrollment.username or row.submission.enrollment.first_name, points(row)) for row in table.differing]
    assert rows == [("Ada", -6), ("Fay", -4), ("Eve", 4), ("Bob", 6)]
    assert {row.comparison.reason for row in table.differing} == {"checks"}
    assert (table.totals.up, table.totals.down, table.totals.same, table.totals.mean) == (2, 2, 3, Decimal(0))
    losers = {row.item.pk for row in table.differing if row.comparison.falls}
    done = reruns.accept(rerun=rerun, by=ta, items={row.item.pk for row in table.differing} - losers, seen=table.version)
    assert done == reruns.Accepted(2, 2)
    assert [making.score(one) for one in made] == [10, 10, 6, 10, 4, 10, 4]
    assert run_queries.count_earlier(component.homework) == 5  # those without a difference were not asked for either

    later = queries.table(Rerun.objects.get(pk=rerun.pk))
    assert (later.totals.up, later.totals.down, later.totals.same, later.totals.mean) == (2, 0, 0, Decimal(5))
    assert [(points(row), row.item.applied) for row in later.differing] == [(-6, False), (-4, False), (4, True), (6, True)]
    for act in (reruns.discard, reruns.go_on, reruns.stop):
        with pytest.raises(reruns.RerunError, match=r"was accepted by Tom already\. Nothing was changed\."):
            act(rerun=rerun, by=ta)
    with pytest.raises(reruns.RerunError, match="was accepted by Tom already"):
        accept_advised(rerun, ta)
    assert OutboxMail.objects.count() == 2


def test_discarding_ends_what_waits_and_leaves_every_score(component: Component, ta: Enrollment) -> None:
    made = [judged(component, name, 10) for name in NAMES]
    rerun = reruns.start(component=component, submissions=made, by=ta, reason="To see.")
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    reruns.discard(rerun=rerun, by=ta)
    assert not execution.finish(claimed.run, claimed.token, making.outcome(0))
    assert set(rerun.runs.values_list("state", flat=True)) == {Run.State.CANCELLED}
    assert [making.score(one) for one in made] == [10] * 7
    rerun.refresh_from_db()
    assert (rerun.state, rerun.decided_by, rerun.items.filter(applied=True).count()) == (Rerun.State.DISCARDED, ta, 0)


def test_what_is_stopped_or_fails_keeps_its_old_result(component: Component, ta: Enrollment) -> None:
    one, two, three = (judged(component, name, 10) for name in NAMES[:3])
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[one, two, three], by=ta, reason="Again.")
    claimed = [claims.claim("cpu", "w") for _ in range(2)]
    assert claimed[0] is not None
    assert claimed[1] is not None
    execution.finish(claimed[0].run, claimed[0].token, making.outcome(4))
    execution.finish(claimed[1].run, claimed[1].token, making.outcome(0, "assignment"))
    assert reruns.stop(rerun=rerun, by=ta) == 1
    table = queries.table(rerun)
    assert [(row.comparison.reason, row.comparison.may_apply) for row in table.rows] == [
        ("checks", True),
        ("unjudged", False),
        ("stopped", False),
    ]
    assert table.rows[1].state == "the assignment’s checks failed"
    with pytest.raises(reruns.RerunError, match="these rows have no new result that may count: Bob #1, Cyd #1"):
        reruns.accept(rerun=rerun, by=ta, items={row.item.pk for row in table.rows}, seen=table.version)
    assert accept_advised(rerun, ta).applied == 1
    assert [making.score(submission) for submission in (one, two, three)] == [4, 10, 10]


def test_a_table_that_has_changed_since_is_not_accepted(component: Component, ta: Enrollment) -> None:
    submission = judged(component, "ada", 10)
    making.load_other_checks(component)
    older, newer = (reruns.start(component=component, submissions=[submission], by=ta, reason="Again.") for _ in range(2))
    judge(4)
    seen = queries.table(older).version
    accept_advised(newer, ta)
    item = older.items.get()
    with pytest.raises(reruns.RerunError, match=r"The table has changed since you saw it\. Nothing was accepted"):
        reruns.accept(rerun=older, by=ta, items={item.pk}, seen=seen)
    table = queries.table(older)
    assert [(row.comparison.reason, row.comparison.may_apply) for row in table.rows] == [("overtaken", False)]


def test_a_hand_in_that_could_not_be_judged_gets_its_first_score(component: Component, ta: Enrollment) -> None:
    made = making.submission(component, "ada")
    runs.enqueue(submission=made)
    judge(0, "assignment")
    rerun = reruns.start(component=component, submissions=[made], by=ta, reason="The checks were mended.")
    judge(10)
    assert accept_advised(rerun, ta) == reruns.Accepted(1, 1)
    assert making.score(made) == 10


def test_after_publishing_a_loss_is_flagged_and_not_ticked(component: Component, ta: Enrollment) -> None:
    one, two = judged(component, "ada", 10), judged(component, "bob", 4)
    Component.objects.filter(pk=component.pk).update(published_at=database_now())
    component.refresh_from_db()
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[one, two], by=ta, reason="Stricter.")
    judge({one.pk: 4, two.pk: 10})
    rows = [(row.comparison.advised, row.comparison.flags) for row in queries.table(rerun).rows]
    assert rows == [(False, ("Falls after publishing",)), (True, ())]
    accept_advised(rerun, ta)
    assert (making.score(one), making.score(two)) == (10, 10)


def test_points_set_by_hand_are_flagged_and_never_overwritten(component: Component, ta: Enrollment, client: Client) -> None:
    ada, bob = judged(component, "ada", 4), judged(component, "bob", 4)
    byhand.set_points(submission=ada, points=Decimal("7.5"), reason="The idea is right.", by=ta)
    assert (making.score(ada), making.score(bob)) == (7.5, 4)
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[ada, bob], by=ta, reason="Milder.")
    judge(10)
    table = queries.table(rerun)
    stands = "7.5 by hand stands; the checks would give 10"
    assert [(row.submission, row.comparison.may_apply, row.comparison.flags) for row in table.rows] == [
        (ada, False, (stands,)),
        (bob, True, ()),
    ]
    assert (table.totals.up, table.totals.by_hand, table.totals.mean) == (1, 1, Decimal(6))
    assert ta.user is not None
    client.force_login(ta.user)
    url = reverse("rerun", args=[component.homework.course.slug, rerun.pk])
    page = client.get(url).content.decode()
    assert "1 up, 0 down, 0 the same; mean difference +6 points. 1 graded by hand keeps that score.</p>" in page
    assert ('<td class="num">7.5 by hand</td>' in page, stands in page, page.count("+6")) == (True, True, 2)
    with pytest.raises(reruns.RerunError, match="no new result that may count: Ada #1"):
        reruns.accept(rerun=rerun, by=ta, items={row.item.pk for row in table.rows}, seen=table.version)
    assert accept_advised(rerun, ta).applied == 1
    assert (making.score(ada), making.score(bob)) == (7.5, 10)
    line = live(ada.enrollment, ada)["score"].lines[0]
    assert line.why == "set by hand by Tom: The idea is right."
    byhand.set_points(submission=ada, points=None, reason="The checks were mended.", by=ta)
    assert making.score(ada) == 4
    byhand.set_points(submission=bob, points=Decimal(5), reason="Half of it.", by=ta)
    later = client.get(url).content.decode()  # as it was when it was decided
    assert "Of the accepted: 1 up, 0 down, 0 the same; mean difference +6 points.</p>" in later
    assert (stands in later, "5 by hand" in later.replace(stands, "").replace("7.5 by hand", "")) == (True, False)
    assert [mail.subject for mail in OutboxMail.objects.filter(subject__contains="by hand")] == [
        "Homework 1, practice: hand-in #1 was graded by hand"
    ] * 3


@pytest.mark.parametrize(
    ("points", "reason", "field", "message"),
    [
        (Decimal("10.5"), "Why.", "points", "10.5 points are refused; accepted are 0 to 10."),
        (Decimal(-1), "Why.", "points", "−1 points are refused; accepted are 0 to 10."),
        (Decimal(5), " ", "reason", "Say why; the student reads it."),
        (None, "Why.", "points", "No points are set by hand here, so there is nothing to take back."),
    ],
)
def test_points_that_cannot_be_set_are_refused(
    component: Component, ta: Enrollment, client: Client, points: Decimal | None, reason: str, field: str, message: str
) -> None:
    made = judged(component, "ada", 4)
    with pytest.raises(byhand.ByHandError) as refusal:
        byhand.set_points(submission=made, points=points, reason=reason, by=ta)
    assert (str(refusal.value), refusal.value.field) == (message, field)
    assert making.score(made) == 4
    assert ta.user is not None
    client.force_login(ta.user)
    url = reverse("submission-points", args=[component.homework.course.slug, made.pk])
    answer = client.post(url, {"points": "" if points is None else points, "reason": reason})
    assert (answer.status_code, made.points_by_hand.count()) == (400, 0)
    assert client.post(url, {"points": "6.25", "reason": "The idea is right."}).status_code == 302
    assert making.score(made) == 6.25


def test_a_repair_is_run_in_place_of_the_file_and_costs_its_percent(component: Component, ta: Enrollment) -> None:
    submission = judged(component, "ada", 0)
    before = set(submission.files.values_list("path", "sha256"))
    rerun = reruns.start(
        component=component,
        submissions=[submission],
        by=ta,
        reason="The import of a missing module was taken out.",
        files={"answer.py": b"def answer(x):\n    return x + 1  # repaired\n", "helper.py": b"\n"},
        repair_percent=Decimal(20),
    )
    job = jobs.job_of(rerun.runs.get())
    assert sorted(job.files) == ["answer.py", "helper.py"]
    assert b"repaired" in job.files["answer.py"]
    judge(10)
    row = queries.table(rerun).rows[0]
    assert (row.comparison.reason, points(row), row.new) == ("patched", 8, Decimal(8))
    accept_advised(rerun, ta)
    assert making.score(submission) == 8
    lines = live(submission.enrollment, submission)["score"].lines
    assert [(line.item, line.points) for line in lines] == [("Raw points", 10), ("Repaired by staff before it ran", -2), ("Score", 8)]
    assert lines[1].why == "The import of a missing module was taken out: 20 % of the 10 possible"
    told = {reader: live(reader, submission)["judged_again"] for reader in (submission.enrollment, ta)}
    assert told[submission.enrollment] == queries.JudgedAgain(
        "The import of a missing module was taken out.",
        "with answer.py from the staff in the place of yours, and helper.py added",
        "Points from the checks: 0 → 8, after 2 taken off for the repair.",
    )
    assert told[ta].files == "with answer.py from the staff in the place of the student’s, and helper.py added"
    rerun.refresh_from_db()
    assert rerun.decided_at is not None
    lately = student_today(submission.enrollment).events[0]
    assert (lately.at, lately.what) == (rerun.decided_at, "The staff had hand-in #1 judged again: 10 of 10 from the checks.")
    assert set(submission.files.values_list("path", "sha256")) == before


@pytest.mark.parametrize(
    ("values", "field", "message"),
    [
        ({"reason": "  "}, "reason", "Say why they are run again"),
        ({"files": {"../answer.py": b""}}, "repaired", "The file name “../answer.py” is refused"),
        ({"files": {"a.py": b"x" * (21 * 2**20)}}, "repaired", "a.py has 21 MB; accepted are 20 MB"),
        ({"repair_percent": Decimal(20)}, "repair_percent", "Points for a repair are taken off only where files are replaced"),
        ({"submissions": []}, "scope", "Choose at least one hand-in that has been judged"),
    ],
)
def test_what_cannot_be_run_again_is_said(
    component: Component, ta: Enrollment, values: dict[str, object], field: str, message: str
) -> None:
    given = {"submissions": [judged(component, "ada", 10)], "reason": "Again.", **values}
    with pytest.raises(reruns.RerunError, match=message.replace("(", r"\(")) as refusal:
        reruns.start(component=component, by=ta, **given)  # type: ignore[arg-type]  # the service's own arguments
    assert refusal.value.field == field
    assert not Rerun.objects.exists()


def test_files_are_refused_that_would_make_a_hand_in_too_large_to_run(component: Component, ta: Enrollment) -> None:
    Component.objects.filter(pk=component.pk).update(max_file_mb=200)
    component.refresh_from_db()
    submission = judged(component, "ada", 10)
    submission.files.update(size=175 * 2**20)
    given: dict[str, Any] = {"component": component, "submissions": [submission], "by": ta, "reason": "Again."}
    with pytest.raises(reruns.RerunError, match=r"With these files a hand-in has 181 MB; at most 180 MB can be run\."):
        reruns.start(**given, files={"a.py": b"x" * 3 * 2**20, "b.py": b"x" * 3 * 2**20})
    assert reruns.start(**given, files={"answer.py": b"x" * 6 * 2**20}).files.count() == 1


def test_a_hand_in_that_waits_for_its_own_judging_is_left_out(component: Component, ta: Enrollment) -> None:
    done, waiting = judged(component, "ada", 10), making.submission(component, "bob")
    runs.enqueue(submission=waiting)
    rerun = reruns.start(component=component, submissions=[done, waiting], by=ta, reason="Again.")
    assert [item.submission for item in rerun.items.all()] == [done]


def test_students_own_work_goes_before_a_rerun(component: Component, ta: Enrollment) -> None:
    submission = judged(component, "ada", 10)
    reruns.start(component=component, submissions=[submission], by=ta, reason="Again.")
    own = runs.enqueue(submission=making.submission(component, "bob"))
    order = [claims.claim("cpu", "w") for _ in range(2)]
    assert [claimed.run.pk for claimed in order if claimed] == [own.pk, Run.objects.get(proposed=True).pk]


def test_the_pages_take_as_many_statements_for_300_as_for_three(
    component: Component, ta: Enrollment, client: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    assert ta.user is not None
    client.force_login(ta.user)
    course = component.homework.course.slug
    new = reverse("rerun-new", args=[course, component.homework.slug, "practice"])
    for many, first in ((3, 0), (300, 3)):
        made = [making.submission(component, f"s{number}") for number in range(first, many)]
        for submission in made:
            execution.record(making.run(submission, state=Run.State.DONE), making.outcome(10))
        everything = list(component.submissions.all())
        rerun = reruns.start(component=component, submissions=everything, by=ta, reason="Again.")
        reruns.go_on(rerun=rerun, by=ta)
        for run in rerun.runs.all():
            execution.record(run, making.outcome(4))
        Run.objects.filter(rerun=rerun).update(state=Run.State.DONE)
        with django_assert_max_num_queries(24):
            assert client.get(new).status_code == 200
        page = reverse("rerun", args=[course, rerun.pk])
        with django_assert_max_num_queries(18):
            assert client.get(page).status_code == 200
        assert RerunItem.objects.filter(rerun=rerun).count() == many
    found = client.get(page).content
    assert (found.count(b'name="item"'), len(found) < 80_000) == (queries.LISTED, True)
    table = queries.table(Rerun.objects.get(pk=rerun.pk))
    assert (len(table.unlisted), table.unlisted_advised) == (200, [])  # nothing changed but the result
    making.load_other_checks(component)
    Run.objects.filter(rerun=rerun).update(bundle=component.homework.bundle)
    table = queries.table(Rerun.objects.get(pk=rerun.pk))
    worst = {row.item.pk for row in table.listed}
    assert reruns.accept(rerun=rerun, by=ta, items=worst, seen=table.version, unlisted=True).applied == 300


def test_a_ta_chooses_on_the_page_and_downloads_the_table(component: Component, ta: Enrollment, client: Client) -> None:
    ada, bob = judged(component, "ada", 10), judged(component, "bob", 10)
    newer = judged(component, "ada", 4)
    assert ta.user is not None
    client.force_login(ta.user)
    new = reverse("rerun-new", args=[component.homework.course.slug, component.homework.slug, "practice"])
    page = client.get(new, {"hand_in": bob.pk}).content.decode()
    assert (f'value="{bob.pk}" checked' in page, f'value="{ada.pk}" checked' in page) == (True, False)
    assert "All that count (2)" in page
    assert "All that were judged, also those that do not count (3)" in page
    assert "earlier version of the autograder" not in page
    refused = client.post(new, {"scope": "chosen", "reason": "Again."})
    assert (refused.status_code, "Choose at least one hand-in" in refused.content.decode()) == (400, True)
    for ticked, sentence in (
        ([newer.pk], "1 hand-in is ticked, but “All that count” is chosen: choose “Those ticked below”, or untick it."),
        ([ada.pk, bob.pk], "2 hand-ins are ticked, but “All that count” is chosen: choose “Those ticked below”, or untick them."),
    ):
        refused = client.post(new, {"scope": "counting", "reason": "Again.", "hand_in": ticked})
        assert (refused.status_code, sentence in refused.content.decode(), Rerun.objects.exists()) == (400, True, False)
    answer = client.post(new, {"scope": "counting", "reason": "", "repaired": SimpleUploadedFile("answer.py", b"x = 1")})
    assert (answer.status_code, "The chosen files were not kept: choose them again." in answer.content.decode()) == (400, True)
    below = ["counting", "chosen"]  # the button below the list says so itself, after what is chosen above
    for scope, ticked, expected in (("counting", [], [ada, bob]), ("all", [], [ada, newer, bob]), (below, [newer.pk], [newer])):
        answer = client.post(new, {"scope": scope, "reason": "=Again.", "hand_in": ticked})
        rerun = Rerun.objects.latest("pk")
        assert answer["Location"] == reverse("rerun", args=[component.homework.course.slug, rerun.pk])
        assert [item.submission for item in rerun.items.all()] == expected
    judge(4)
    rerun = Rerun.objects.get(items__submission=bob, items__rerun__items__submission=newer)
    table = client.get(reverse("rerun-table", args=[component.homework.course.slug, rerun.pk])).content.decode().splitlines()
    assert table == [
        "Student,Hand-in,Old points,New points,Difference,Reason,Flags,Checks,Counts",
        "Ada,1,10.00,4.00,-6.00,Nothing changed but the result,,more often: 6 → 0 of 6,no",
        "Bob,1,10.00,4.00,-6.00,Nothing changed but the result,,more often: 6 → 0 of 6,no",
        "Ada,2,4.00,4.00,0.00,No difference,,,no",
    ]
    staff_page = client.get(reverse("homework-staff", args=[component.homework.course.slug, component.homework.slug])).content.decode()
    assert staff_page.count("waits for a decision: =Again.") == 3
    everything = client.get(reverse("reruns", args=[component.homework.course.slug, component.homework.slug, "practice"])).content.decode()
    assert everything.count("not decided") == 3


def test_accepting_on_the_page_tells_what_counts_now(component: Component, ta: Enrollment, client: Client) -> None:
    ada, bob = judged(component, "ada", 10), judged(component, "bob", 10)
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[ada, bob], by=ta, reason="Stricter.")
    assert ta.user is not None
    client.force_login(ta.user)
    course = component.homework.course.slug
    live_page = reverse("rerun-live", args=[course, rerun.pk])
    seen = queries.pulse(rerun)
    assert (client.get(live_page).status_code, client.get(live_page, {"seen": seen}).status_code) == (200, 204)
    judge({ada.pk: 4, bob.pk: 10})
    table = queries.table(rerun)
    page = client.get(reverse("rerun", args=[course, rerun.pk])).content.decode()
    item = table.differing[0].item.pk
    assert f'name="item" value="{item}" aria-label="Accept Ada #1" checked' in page
    assert "0 up, 1 down, 1 the same; mean difference −3 points." in page
    sent = {"item": [item, "x"], "same": "yes", "seen": table.version}
    accept = reverse("rerun-accept", args=[course, rerun.pk])
    answer = client.post(accept, sent, follow=True).content.decode()
    assert "2 new results count now; 1 student told." in answer
    assert "2 of 2 new results count" in answer
    again = client.post(accept, sent, follow=True).content.decode()
    assert f"Rerun {rerun.pk} was accepted by Tom already. Nothing was changed." in again
    assert (making.score(ada), making.score(bob), OutboxMail.objects.count()) == (4, 10, 1)


def test_the_mail_names_all_that_changed_and_first_what_counts(component: Component, ta: Enrollment) -> None:
    one, two, three = (judged(component, "ada", points) for points in (10, 4, 0))
    single = judged(component, "bob", 10)
    making.load_other_checks(component)
    rerun = reruns.start(component=component, submissions=[one, two, three, single], by=ta, reason="Milder.")
    judge({one.pk: 4, two.pk: 10, three.pk: 0, single.pk: 4})
    assert accept_advised(rerun, ta) == reruns.Accepted(4, 2)
    to_ada, to_bob = (OutboxMail.objects.get(to=made.enrollment.email) for made in (one, single))
    assert [mail.subject.partition(": ")[2] for mail in (to_ada, to_bob)] == [
        "hand-ins #2, #1 were judged again",
        "hand-in #1 was judged again",
    ]
    pages = to_ada.body.splitlines()[-2:]
    assert [line.partition(": ")[0] for line in pages] == ["#2, which counts", "#1"]
    assert [line.endswith(f"/{made.pk}/") for line, made in zip(pages, (two, one), strict=True)] == [True, True]


def test_whose_hand_in_is_run_again_is_said_where_staff_look(component: Component, ta: Enrollment, client: Client) -> None:
    course = component.homework.course
    submission = judged(component, "ada", 10)
    reruns.start(component=component, submissions=[submission], by=ta, reason="Again.")
    own = runs.enqueue(submission=making.submission(component, "bob"))
    assert ta.user is not None
    client.force_login(ta.user)
    proposed = Run.objects.get(proposed=True)
    page = client.get(reverse("queue", args=[course.slug])).content.decode()
    assert (">Ada</a>" in page, ">Tom</a>" in page, f"rerun by Tom · run {proposed.pk}" in page) == (True, False, True)
    assert page.count("rerun by") == 1
    assert f"Cancel run {proposed.pk} of Ada?" in client.get(reverse("queue-cancel", args=[course.slug, proposed.pk])).content.decode()
    today = staff_today(course)
    assert (today.queued, today.running, today.reruns) == (1, 0, 1)
    assert [tally.open_runs for row in today.rows for tally in row.tallies] == [1]
    assert "1 rerun not ended" in client.get(reverse("course", args=[course.slug])).content.decode()

    Enrollment.objects.filter(pk=ta.pk).update(role=Role.STUDENT)
    left = Enrollment.objects.select_related("course").get(pk=ta.pk)
    assert queue_queries.live(left, "1")["own"] == []
    assert [one.run for one in queue_queries.live(own.enrollment, "1")["own"]] == [own]


def test_what_a_store_could_not_read_once_is_compared_the_next_time(component: Component) -> None:
    bundle = component.homework.bundle
    assert bundle is not None
    path = Path(default_storage.path(blobs.name(bundle.digest)))
    away = path.with_name("away")
    path.rename(away)
    assert queries._compared(bundle.digest, bundle.digest) == queries.UNKNOWN
    away.rename(path)
    assert queries._compared(bundle.digest, bundle.digest) == Changed()


def test_on_gpus_a_rerun_leaves_the_smoke_check_out_for_what_has_been_there(component: Component, ta: Enrollment) -> None:
    Component.objects.filter(pk=component.pk).update(queue="gpu")
    component.check_rows.filter(check_id="plus-one-hidden").update(needs_gpu=True)
    component.refresh_from_db()
    been, failed = making.submission(component, "ada"), making.submission(component, "bob")
    execution.record(making.run(been, state=Run.State.DONE, queue="gpu"), making.outcome(10))
    execution.record(making.run(failed, state=Run.State.DONE, stage=Run.Stage.SMOKE), making.outcome(4))
    rerun = reruns.start(component=component, submissions=[been, failed], by=ta, reason="Again.")
    planned = {run.submission: (run.stage, run.queue) for run in rerun.runs.all()}
    assert planned == {been: (Run.Stage.GRADE, "gpu"), failed: (Run.Stage.SMOKE, "cpu")}
    judge(10)
    followed = Run.objects.get(submission=failed, proposed=True, stage=Run.Stage.GRADE)
    assert (followed.rerun, followed.queue, followed.purpose, followed.enrollment) == (rerun, "gpu", Run.Purpose.RERUN, ta)
    assert queries.table(rerun).totals.waiting == 2
    patched = reruns.start(component=component, submissions=[been], by=ta, reason="Repaired.", files={"answer.py": b"x = 1\n"})
    assert patched.runs.get().stage == Run.Stage.SMOKE
