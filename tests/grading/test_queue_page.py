"""The queue page: students see what is theirs, staff what waits in their course, and a pause holds everywhere."""

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import LazySettings
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from courseapp import clock
from courseapp.models import Course, Enrollment, Role
from grading import claims, execution, slots
from grading.models import Component, CoursePolicy, GpuSlot, QueuePause, Run, RunIncident
from grading.queries import budget
from grading.queries import queue as queries
from grading.queries import runs as run_queries
from grading.runner.devices import Device
from grading.runner.outcome import Outcome
from grading.services import queue as services
from grading.services import runs
from tests.grading import making

SLOT = Device("fake-here-0", "fake")
STANDS_IN = "“fake” is no GPU: it stands in for one, and what runs there goes on the processor."
DONE = Outcome("ok", Decimal(4), Decimal(10), 1.0)


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings, db: None) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one", queue="gpu", limits={"wall_s": 600})


@pytest.fixture
def course(component: Component) -> Course:
    return component.homework.course


def shown(who: Enrollment, address: str = "") -> str:
    assert who.user is not None
    client = Client()
    client.force_login(who.user)
    response = client.get(f"/c/{who.course.slug}/queue/{address}")
    assert response.status_code == 200
    return response.content.decode()


def sent(who: Enrollment, address: str, **data: str) -> int:
    assert who.user is not None
    client = Client()
    client.force_login(who.user)
    return client.post(f"/c/{who.course.slug}/queue/{address}", data).status_code


def report() -> GpuSlot:
    slots.report("here", [SLOT], in_use=frozenset(), faults={})
    return GpuSlot.objects.get()


def test_a_student_sees_only_what_is_theirs_and_how_busy_it_is(component: Component, course: Course) -> None:
    report()
    others = [making.run(making.submission(component, name), queue="gpu") for name in ("bob", "cyd")]
    own = making.run(making.submission(component, "ada"), queue="gpu")
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is not None
    ada = own.enrollment
    found = queries.live(ada, "1")
    assert [one.run for one in found["own"]] == [own]
    assert [(load.queue, load.waiting, load.at_work) for load in found["loads"]] == [("cpu", 0, 0), ("gpu", 2, 1)]
    assert found["kinds"] == [queries.Kind("fake", free=0, busy=1, out=0)]
    html = shown(ada)
    assert "1 run is ahead of yours." not in html  # no runner host answers, and that comes first
    assert "Bob" not in html
    assert "Cyd" not in html
    assert SLOT.uuid not in html
    assert all(f"run {run.pk}" not in html for run in others)
    assert f"run {own.pk} · gpu" in html
    assert html.count(STANDS_IN) == 1
    staff = shown(making.person(course, "t", Role.TA))
    assert [name in staff for name in ("Ada", "Bob", "Cyd", SLOT.uuid)] == [True] * 4
    assert staff.count(STANDS_IN) == 1


def test_a_real_gpu_is_not_called_a_stand_in(component: Component, course: Course) -> None:
    slots.report("here", [Device("GPU-1", "a100", 40960)], in_use=frozenset(), faults={})
    pages = [shown(making.person(course, "ada")), shown(making.person(course, "t", Role.TA))]
    assert [("a100" in html, STANDS_IN in html) for html in pages] == [(True, False)] * 2


def test_what_is_at_work_is_said_also_when_nothing_waits(component: Component, course: Course) -> None:
    report()
    ta = making.person(course, "t", Role.TA)
    assert queries.live(ta, "1")["headline"] == "Nothing waits"
    run = making.run(making.submission(component, "ada"), queue="gpu")
    assert [row.starts for row in queries.live(ta, "1")["page"]] == ["Next"]
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is not None
    assert queries.live(ta, "1")["headline"] == "Nothing waits, 1 run is at work"
    assert f"Ada, Homework {run.component.homework.number} practice, hand-in #1" in shown(ta)


def test_staff_see_no_names_of_another_course(component: Component, tmp_path: Path) -> None:
    report()
    making.run(making.submission(component, "ada"), queue="gpu")
    elsewhere = Course.objects.create(slug="other", code="OT 1", title="Other", term="Fall", starts_on=component.homework.course.starts_on)
    making.run(making.submission(making.homework(tmp_path / "other", course=elsewhere, queue="gpu"), "bob"), queue="gpu")
    claims.claim("gpu", "w", slot=SLOT.uuid)
    here, there = (shown(making.person(one, "t", Role.INSTRUCTOR)) for one in (component.homework.course, elsewhere))
    assert ("Ada" in here, "Bob" in here, "another course" in here) == (True, False, True)
    assert ("Ada" in there, "Bob" in there, "another course" in there) == (False, True, True)
    foreign = Run.objects.get(submission__component__homework__course=elsewhere)
    assert sent(making.person(component.homework.course, "t", Role.INSTRUCTOR), f"runs/{foreign.pk}/cancel/") == 404


def test_a_paused_queue_is_not_claimed_from_and_says_why(component: Component, course: Course) -> None:
    report()
    waiting = making.run(making.submission(component, "ada"), queue="gpu")
    other = making.run(making.submission(component, "bob"), queue="cpu")
    instructor, ta = making.person(course, "i", Role.INSTRUCTOR), making.person(course, "t", Role.TA)
    assert sent(ta, "pools/gpu/pause/", reason="Not mine to say.") == 404
    assert sent(instructor, "pools/gpu/pause/", reason=" ") == 400
    assert not QueuePause.objects.exists()
    assert sent(instructor, "pools/gpu/pause/", reason="Driver update until noon") == 302
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is None
    place = run_queries.wait(waiting, course.zone)
    assert place is not None
    words = "The queue is paused by the staff: Driver update until noon. Your hand-in is safe, and runs by itself afterwards."
    assert (place.kind, place.message) == ("paused", words)
    assert "Driver update until noon.</b> What runs goes on" in shown(waiting.enrollment)
    assert "Driver update until noon.</b> By I" in shown(ta)
    assert {row.run.queue: row.starts for row in queries.live(ta, "1")["page"]} == {"gpu": "Paused", "cpu": "Next"}
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert claimed.run == other
    assert sent(ta, "pools/gpu/resume/") == 404
    assert sent(instructor, "pools/gpu/resume/") == 302
    claimed = claims.claim("gpu", "w", slot=SLOT.uuid)
    assert claimed is not None
    assert claimed.run == waiting


def test_a_drained_slot_is_given_out_again_by_an_instructor_only(component: Component, course: Course) -> None:
    slot = report()
    making.run(making.submission(component), queue="gpu")
    instructor, ta = making.person(course, "i", Role.INSTRUCTOR), making.person(course, "t", Role.TA)
    assert sent(ta, f"slots/{slot.pk}/", drained="yes") == 404
    assert sent(instructor, f"slots/{slot.pk}/", drained="yes") == 302
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is None
    assert sent(instructor, f"slots/{slot.pk}/", drained="no") == 302
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is not None


def test_granted_minutes_let_a_run_go_on_and_stand_in_the_ledger(component: Component, course: Course) -> None:
    CoursePolicy.objects.update_or_create(course=course, defaults={"gpu_minutes_per_week": 9})
    report()
    run = making.run(making.submission(component), queue="gpu")
    assert claims.claim("gpu", "w", slot=SLOT.uuid) is None  # it may take ten minutes
    ada, ta = run.enrollment, making.person(course, "t", Role.TA)
    given = {"student": str(ada.pk), "minutes": "1", "reason": "Lost an hour to a crash."}
    assert sent(making.person(course, "g", Role.GRADER), "minutes/", **given) == 404
    assert sent(ta, "minutes/", **given | {"minutes": "0"}) == 400
    assert sent(ta, "minutes/", **given) == 302
    with pytest.raises(services.QueueError, match="granted by its TAs and instructors"):
        services.grant_minutes(enrollment=ada, minutes=1, reason="Mine.", by=ada)
    claimed = claims.claim("gpu", "w", slot=SLOT.uuid)
    assert claimed is not None
    spent = budget.budget(ada, clock.database_now())
    assert (spent.granted, spent.used, spent.reserved, spent.left) == (10, 0, 10, 0)
    with clock.shifted(timedelta(seconds=90)):
        execution.finish(claimed.run, claimed.token, DONE)
    now = clock.database_now()
    spent = budget.budget(ada, now)
    assert [line.item for line in spent.lines] == ["Every week", "Granted by staff", "Homework 1 practice, hand-in #1"]
    assert spent.left == pytest.approx(8.5, abs=0.1)
    assert spent.left == pytest.approx(sum(line.minutes for line in spent.lines))
    assert "Lost an hour to a crash." in shown(ada)


def test_staff_cancel_a_run_of_their_course_and_students_do_not(component: Component, course: Course) -> None:
    run = making.run(making.submission(component), queue="gpu")
    grader = making.person(course, "g", Role.GRADER)
    assert sent(run.enrollment, f"runs/{run.pk}/cancel/") == 404
    assert "It gets no result." in shown(grader, f"runs/{run.pk}/cancel/")
    assert sent(grader, f"runs/{run.pk}/cancel/") == 302
    run.refresh_from_db()
    assert run.state == "cancelled"
    assert "There is nothing to cancel." in shown(grader, f"runs/{run.pk}/cancel/")


def test_what_did_not_change_is_not_sent_again(component: Component) -> None:
    run = making.run(making.submission(component), queue="gpu")
    assert run.enrollment.user is not None
    client = Client()
    client.force_login(run.enrollment.user)
    address = f"/c/{run.enrollment.course.slug}/queue/live/"
    seen = client.get(address).context["version"]
    assert client.get(address, {"seen": seen}).status_code == 204
    runs.cancel(run=run, by=run.enrollment)
    assert client.get(address, {"seen": seen}).status_code == 200


def test_the_day_is_counted_by_the_hour(component: Component, course: Course) -> None:
    now = clock.database_now()
    for minutes, waited in ((0, 10), (0, 30), (70, 20), (25 * 60, 5)):
        ended = now - timedelta(minutes=minutes)
        times = {"not_before": ended - timedelta(seconds=waited), "claimed_at": ended, "finished_at": ended}
        making.run(making.submission(component), state=Run.State.CANCELLED, **times)
    found = queries.day(now, course.zone)
    assert len(found.hours) == 24
    assert (found.ended, found.median_s, found.longest_s, found.outcomes) == (3, 20, 30, [("cancelled", 3)])
    assert (found.hours[-1].ended, found.hours[-1].median_s, found.hours[-1].longest_s) == (2, 20, 30)
    assert sum(hour.ended for hour in found.hours[-3:]) == 3


def test_a_silent_holder_and_its_late_result_are_counted_once_each(component: Component) -> None:
    report()
    run = making.run(making.submission(component), queue="gpu")
    claimed = claims.claim("gpu", "w", slot=SLOT.uuid)
    assert claimed is not None
    with clock.shifted(timedelta(minutes=5)):
        execution.sweep()
    assert not execution.heartbeat(claimed.run, claimed.token, None)
    assert not execution.finish(claimed.run, claimed.token, DONE)
    kinds = list(RunIncident.objects.order_by("pk").values_list("run", "token", "kind"))
    assert kinds == [(run.pk, 1, "expired"), (run.pk, 1, "fenced")]


def test_a_run_that_was_cancelled_or_has_ended_is_no_incident(component: Component) -> None:
    cancelled = making.run(making.submission(component), queue="cpu")
    for _ in range(2):
        claimed = claims.claim("cpu", "w")
        assert claimed is not None
        if claimed.run == cancelled:
            runs.cancel(run=cancelled, by=cancelled.enrollment)
            making.run(making.submission(component), queue="cpu")
        else:
            assert execution.finish(claimed.run, claimed.token, DONE)
        assert not execution.heartbeat(claimed.run, claimed.token, None)  # of a keeper that was not stopped yet
    assert not RunIncident.objects.exists()


@pytest.mark.parametrize("role", [Role.STUDENT, Role.TA])
@pytest.mark.parametrize("count", [1, 3])
def test_the_page_takes_a_constant_number_of_statements(
    component: Component, course: Course, role: Role, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(count):
        device = Device(f"fake-here-{number}", "fake")
        slots.report("here", [device], in_use=frozenset(), faults={})
        for queue, state in (("gpu", "queued"), ("cpu", "queued"), ("cpu", "waiting_runtime"), ("cpu", "running"), ("gpu", "queued")):
            now = clock.database_now()
            claimed_at = now if state == "running" else None
            making.run(making.submission(component, "ada"), queue=queue, state=state, claimed_at=claimed_at)
        assert claims.claim("gpu", "w", slot=device.uuid) is not None
    execution.report("here", ["cpu", "gpu"], tier="zygote")
    reader = making.person(course, "ada" if role == Role.STUDENT else "t", role)
    reader = Enrollment.objects.select_related("course").get(pk=reader.pk)
    statements = {Role.STUDENT: 26, Role.TA: 24}[role]
    with django_assert_num_queries(statements):
        queries.live(reader, "1")
