"""The queue in the database: claims, leases, fencing, and what people are told meanwhile."""

import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.conf import LazySettings, settings
from pytest_django import DjangoAssertNumQueries

from courseapp import clock
from courseapp.models import Role
from grading import claims, execution, slots
from grading.models import Component, QueueShare, Run, RunnerHost, RunResult
from grading.policy import queueing
from grading.queries import runs as queries
from grading.runner.devices import Device
from grading.runner.outcome import CheckResult, Outcome, Progress
from grading.services import runs as services
from tests.grading import making

pytestmark = pytest.mark.django_db

GPU = Device("fake-here-0", "fake")
JUDGED = Outcome(
    "ok",
    Decimal(4),
    Decimal(10),
    1.5,
    checks=(CheckResult("plus-one", "answer(x) is x + 1", Decimal(4), Decimal(4), True, True, "visible"),),
    output="hello\n",
    provenance={"tier": "namespaces"},
)


@pytest.fixture
def component(tmp_path: Path, settings: LazySettings) -> Component:
    settings.RUNTIME_PYTHON = sys.executable  # any interpreter is a runtime, and nothing is executed here
    return making.homework(tmp_path / "plus-one")


def lapse(leases: float = 1.1) -> timedelta:
    return timedelta(seconds=settings.RUN_LEASE_SECONDS * leases)


def test_the_databases_clock_moves_on_and_can_be_shifted() -> None:
    before = clock.database_now()
    with clock.shifted(timedelta(hours=1)):
        ahead = clock.database_now()
    assert before.tzinfo is not None
    assert timedelta(minutes=59) < ahead - before < timedelta(minutes=61)
    assert before <= clock.database_now() < ahead


def test_runs_are_claimed_by_purpose_then_by_use_then_by_age(component: Component) -> None:
    purposes = (Run.Purpose.SUPERSEDED, Run.Purpose.RERUN, Run.Purpose.HAND_IN, Run.Purpose.HAND_IN, Run.Purpose.HAND_IN)
    people = ("ada", "bob", "cyd", "dan", "eve")
    submissions = [making.submission(component, name) for name in people]
    superseded, again, heavy, first, second = map(making.run, submissions)
    for run, purpose in zip((superseded, again, heavy, first, second), purposes, strict=True):
        Run.objects.filter(pk=run.pk).update(purpose=purpose)
    QueueShare.objects.create(enrollment=heavy.enrollment, pool="cpu", level=10)
    QueueShare.objects.create(enrollment=second.enrollment, pool="gpu", level=10)
    order = [claims.claim("cpu", "w") for _ in range(6)]
    expected = [first.pk, second.pk, heavy.pk, again.pk, superseded.pk, None]
    assert [claimed and claimed.run.pk for claimed in order] == expected


def test_use_of_a_run_is_its_owners_and_a_failure_of_ours_is_nobodys(component: Component) -> None:
    made = making.submission(component)
    for kind in ("ok", "system"):
        making.run(made)
        claimed = claims.claim("cpu", "w")
        assert claimed is not None
        with clock.shifted(timedelta(seconds=40)):
            execution.finish(claimed.run, claimed.token, Outcome(kind, Decimal(0), Decimal(1), 1.0))
            now = clock.database_now().timestamp()
            assert queueing.used(QueueShare.objects.get(enrollment=made.enrollment).level, now) == pytest.approx(40, abs=2)


def test_a_newer_hand_in_goes_first_and_the_older_one_is_judged_last(component: Component) -> None:
    other = making.submission(component, "bob")
    older, newer = (services.enqueue(submission=making.submission(component)) for _ in range(2))
    running = claims.claim("cpu", "w")
    again = services.enqueue(submission=other)
    by_staff = services.rerun(submission=making.submission(component, "cyd"), by=making.person(component.homework.course, "t", Role.TA))
    newest = services.enqueue(submission=making.submission(component))
    purposes = {run.pk: Run.Purpose(run.purpose).name for run in Run.objects.all()}
    assert purposes == {
        older.pk: "SUPERSEDED",
        newer.pk: "HAND_IN",  # it ran already
        again.pk: "HAND_IN",
        by_staff.pk: "RERUN",
        newest.pk: "HAND_IN",
    }
    assert running is not None
    assert running.run.pk == newer.pk
    order = [claims.claim("cpu", "w") for _ in range(4)]
    assert [claimed and claimed.run.pk for claimed in order] == [again.pk, newest.pk, by_staff.pk, older.pk]
    assert older.submission.component == component


def test_an_older_hand_in_that_comes_to_be_judged_later_takes_nobodys_place(component: Component) -> None:
    """A late one whose student agrees to the cost after having handed in again, or for which staff grant the time."""
    older, newer = (making.submission(component) for _ in range(2))
    first, late = (services.enqueue(submission=made) for made in (newer, older))
    first.refresh_from_db()
    assert (first.purpose, late.purpose) == (Run.Purpose.HAND_IN, Run.Purpose.SUPERSEDED)
    services.cancel(run=first, by=newer.enrollment)
    late.delete()
    assert services.enqueue(submission=older).purpose == Run.Purpose.HAND_IN


def test_the_expected_wait_is_told_with_its_spread(component: Component) -> None:
    for seconds in (220, 260, 300, 360, 600):
        making.run(making.submission(component))
        claimed = claims.claim("cpu", "w")
        assert claimed is not None
        with clock.shifted(timedelta(seconds=seconds)):
            execution.finish(claimed.run, claimed.token, JUDGED)
    execution.report("here", ["cpu"], tier="namespaces")
    names = ("ada", "bob", "cyd")
    runs = [services.enqueue(submission=making.submission(component, name)) for name in names]
    running = claims.claim("cpu", "w")
    assert running is not None
    waits = [queries.wait(run, component.homework.course.zone) for run in runs if run.pk != running.run.pk]
    assert sorted((wait.position, wait.message) for wait in waits if wait) == [  # ada has used most
        (1, "Yours is the next run. It should start in about 5 min, likely 4 to 8."),
        (2, "1 run is ahead of yours. It should start in about 10 min, likely 8 to 16."),
    ]


def test_a_claim_takes_a_lease_and_raises_the_token(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "worker one")
    assert claimed is not None
    run = Run.objects.get()
    assert (run.state, run.token, claimed.token, run.worker) == ("running", 1, 1, "worker one")
    assert run.lease_until is not None
    assert run.lease_until > clock.database_now()


def test_only_the_own_queue_is_claimed_from(component: Component) -> None:
    making.run(making.submission(component), queue="gpu")
    slots.report("here", [GPU], in_use=frozenset(), faults={})
    assert claims.claim("cpu", "w") is None
    assert claims.claim("gpu", "w", slot=GPU.uuid) is not None


def test_a_run_younger_than_min_age_is_left_to_the_workers(component: Component) -> None:
    making.run(making.submission(component))
    assert claims.claim("cpu", "host", min_age=5) is None
    with clock.shifted(timedelta(seconds=6)):
        assert claims.claim("cpu", "host", min_age=5) is not None


def test_a_claim_takes_the_checks_as_they_are_now(component: Component, tmp_path: Path) -> None:
    run = making.run(making.submission(component))
    corrected = making.homework(tmp_path / "corrected", course=component.homework.course, checks="# corrected\n").homework.bundle
    component.homework.bundle = corrected
    component.homework.save()
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    run.refresh_from_db()
    assert run.bundle == corrected


def test_finishing_writes_one_result(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert execution.finish(claimed.run, claimed.token, JUDGED)
    run = Run.objects.get()
    assert (run.state, run.lease_until, run.note) == ("done", None, "")
    assert run.finished_at is not None
    assert (run.result.kind, run.result.points, run.result.max_points, run.result.output) == ("ok", Decimal(4), Decimal(10), "hello\n")
    assert run.result.check_results == [JUDGED.checks[0].to_json()]
    assert not execution.finish(claimed.run, claimed.token, JUDGED)


def test_a_late_holder_changes_nothing(component: Component) -> None:
    making.run(making.submission(component))
    late = claims.claim("cpu", "late")
    assert late is not None
    with clock.shifted(lapse()):
        execution.sweep()
    with clock.shifted(lapse() + timedelta(seconds=5)):
        current = claims.claim("cpu", "current")
        assert current is not None
        assert (late.token, current.token) == (1, 2)
        assert not execution.heartbeat(late.run, late.token, Progress("visible", 1, 2))
        assert not execution.finish(late.run, late.token, JUDGED)
        assert not execution.give_back(late.run, late.token, "too slow")
        assert not RunResult.objects.exists()
        assert Run.objects.get().progress == {}
        assert execution.heartbeat(current.run, current.token, Progress("visible", 1, 2, "answer(x) is x + 1"))
        assert Run.objects.get().progress["check"] == "answer(x) is x + 1"
        assert execution.finish(current.run, current.token, JUDGED)
    assert RunResult.objects.count() == 1


def test_a_heartbeat_keeps_the_sweeper_away(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    with clock.shifted(lapse(0.9)):
        assert execution.heartbeat(claimed.run, claimed.token, None)
    with clock.shifted(lapse(1.5)):
        execution.sweep()
        assert Run.objects.get().state == "running"


def test_an_expired_lease_is_an_attempt_and_the_third_one_fails_the_run(component: Component) -> None:
    making.run(making.submission(component))
    ahead = timedelta(0)
    for attempt in (1, 2, 3):
        with clock.shifted(ahead):
            assert claims.claim("cpu", f"worker {attempt}") is not None
        ahead += lapse()
        with clock.shifted(ahead):
            assert execution.sweep() == []
        run = Run.objects.get()
        assert run.attempts == attempt
        assert run.state == ("queued" if attempt < 3 else "failed")
        ahead += timedelta(seconds=20)
    assert run.note == "Failed 3 times, last: worker 3 stopped answering."
    assert (run.result.kind, run.result.points, run.result.max_points) == ("system", Decimal(0), Decimal(10))
    assert run.result.message == execution.OUR_FAULT
    with clock.shifted(ahead):
        assert claims.claim("cpu", "w") is None


def test_a_failed_try_waits_a_little_before_the_next(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert execution.finish(claimed.run, claimed.token, Outcome("system", Decimal(0), Decimal(10), 0.1, staff_message="no memory cgroup"))
    run = Run.objects.get()
    assert (run.state, run.attempts, run.note) == ("queued", 1, "Try 1 of 3 failed: no memory cgroup")
    assert claims.claim("cpu", "w") is None
    with clock.shifted(timedelta(seconds=3)):
        assert claims.claim("cpu", "w") is not None


def test_an_orderly_stop_costs_no_attempt(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert execution.give_back(claimed.run, claimed.token, "The worker was stopped.", counts=False)
    again = claims.claim("cpu", "w")
    assert again is not None
    assert (again.run.attempts, again.token) == (0, 2)


def test_what_the_database_cannot_hold_is_replaced(component: Component) -> None:
    making.run(making.submission(component))
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    odd = Outcome(
        "student", Decimal(0), Decimal(10), 1.0, output="a\0b\ud800c", provenance={"loss": float("nan"), "sizes": [float("inf"), 1]}
    )
    assert execution.finish(claimed.run, claimed.token, odd)
    result = RunResult.objects.get()
    assert (result.output, result.provenance) == ("a\N{REPLACEMENT CHARACTER}b?c", {"loss": "nan", "sizes": ["inf", 1]})


def test_a_queue_that_nobody_serves_says_so_until_somebody_does(component: Component) -> None:
    making.run(making.submission(component), queue="gpu")
    execution.report("gpu-host", ["gpu"], tier="namespaces", refusal="")
    seen = clock.database_now()
    assert execution.sweep() == ["gpu"]
    assert Run.objects.get().note == ""
    with clock.shifted(timedelta(seconds=40)):
        execution.sweep()
        assert Run.objects.get().note == f"No runner answers since {seen:%Y-%m-%d %H:%M} UTC."
        execution.report("gpu-host", ["gpu"], tier="", refusal="User namespaces are switched off.")
        execution.sweep()
        assert Run.objects.get().note == "No runner answers: gpu-host refuses to run anything. User namespaces are switched off."
        execution.report("gpu-host", ["gpu"], tier="namespaces", refusal="")
        slots.report("gpu-host", [GPU], in_use=frozenset(), faults={})
        execution.sweep()
        assert Run.objects.get().note == ""


def test_a_queue_that_no_machine_has_says_so(component: Component) -> None:
    making.run(making.submission(component), queue="gpu.a100")
    execution.report("host", ["cpu"], tier="namespaces", refusal="")
    with clock.shifted(timedelta(seconds=40)):
        execution.sweep()
    assert Run.objects.get().note == "No runner answers: none serves the queue “gpu.a100”."


def test_a_run_waits_for_a_runtime_that_is_not_there(component: Component, settings: LazySettings) -> None:
    settings.RUNTIME_PYTHON = ""
    component.runtime = "made-up"
    component.save()
    run = making.run(making.submission(component))
    execution.report("here", ["cpu"], tier="namespaces")
    assert execution.sort_by_runtime("cpu") == ["made-up"]
    assert execution.sweep() == []
    run.refresh_from_db()
    assert run.state == "waiting_runtime"
    assert run.note.startswith("There is no runtime “made-up”.")
    assert claims.claim("cpu", "w") is None
    found = queries.wait(run, component.homework.course.zone)
    assert found is not None
    assert (found.kind, found.message.split(". ")[0]) == ("runtime", "Preparing the made-up runtime")
    with clock.shifted(timedelta(seconds=40)):
        execution.sweep()
        found = queries.wait(run, component.homework.course.zone)
    assert found is not None
    assert found.message.startswith("No runner answers since ")
    assert Run.objects.get().note.startswith("No runner answers since ")


def test_a_machine_without_a_runtime_leaves_its_runs_to_those_that_have_it(component: Component, settings: LazySettings) -> None:
    """Also one that only sweeps, and has no runtime to look for."""
    settings.RUNTIME_PYTHON = ""
    component.runtime = "made-up"
    component.save()
    run = making.run(making.submission(component))
    other = making.run(making.submission(making.homework(Path(settings.DATA_DIR) / "other", course=component.homework.course), "bob"))
    execution.report("there", ["cpu"], tier="namespaces")
    RunnerHost.objects.update(runtimes=["made-up", "torch"])
    assert execution.sweep() == ["cpu"]
    assert "made-up" in execution.sort_by_runtime("cpu")
    run.refresh_from_db()
    assert run.state == "queued"
    claimed = claims.claim("cpu", "w", lacking=["made-up"])
    assert claimed is not None
    assert claimed.run == other
    assert claims.claim("cpu", "w", lacking=["made-up"]) is None
    claimed = claims.claim("cpu", "w", lacking=["julia"])
    assert claimed is not None
    assert claimed.run == run


def test_enqueue_needs_files_and_checks(component: Component) -> None:
    submission = making.submission(component)
    component.check_rows.all().delete()
    with pytest.raises(services.NothingToRunError, match=r"has no checks; it is graded by hand\.$"):
        services.enqueue(submission=submission)


def test_a_rerun_draws_the_same_inputs_and_is_one_run_however_often_it_is_asked_for(component: Component) -> None:
    submission = making.submission(component)
    ta = making.person(component.homework.course, "tom", Role.TA)
    first = services.enqueue(submission=submission)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    execution.finish(claimed.run, claimed.token, JUDGED)
    again = services.rerun(submission=submission, by=ta)
    assert services.rerun(submission=submission, by=ta) == again != first
    assert (again.seed, again.requested_by) == (first.seed, ta)


def test_a_rerun_takes_the_place_of_a_run_at_work(component: Component) -> None:
    submission = making.submission(component)
    ta = making.person(component.homework.course, "tom", Role.TA)
    services.enqueue(submission=submission)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    services.rerun(submission=submission, by=ta)
    assert not execution.finish(claimed.run, claimed.token, JUDGED)
    assert [run.state for run in submission.runs.all()] == ["queued", "superseded"]


def test_cancelling_fences_the_worker(component: Component) -> None:
    submission = making.submission(component)
    ta = making.person(component.homework.course, "tom", Role.TA)
    run = services.enqueue(submission=submission)
    claimed = claims.claim("cpu", "w")
    assert claimed is not None
    assert services.cancel(run=run, by=ta)
    assert not execution.heartbeat(claimed.run, claimed.token, None)
    assert not services.cancel(run=run, by=ta)
    run.refresh_from_db()
    assert (run.state, run.note) == ("cancelled", "Cancelled by Tom.")


def test_the_place_in_the_queue(component: Component) -> None:
    execution.report("host", ["cpu"], tier="namespaces", refusal="")
    zone = component.homework.course.zone
    first, second, third = (making.run(making.submission(component)) for _ in range(3))
    places = {run.pk: queries.wait(run, zone) for run in (first, second, third)}
    assert [(place.kind, place.position, place.ahead, place.message) for place in places.values() if place] == [
        ("queue", 1, 0, "Yours is the next run."),
        ("queue", 2, 1, "1 run is ahead of yours."),
        ("queue", 3, 2, "2 runs are ahead of yours."),
    ]
    with clock.shifted(timedelta(seconds=12)):
        slow = queries.wait(first, zone)
    assert slow is not None
    assert slow.kind == "slow"


def test_a_queue_without_a_runner_is_told_from_the_age_of_its_last_word(component: Component) -> None:
    execution.report("host", ["cpu"], tier="namespaces", refusal="")
    run = making.run(making.submission(component))
    zone = component.homework.course.zone
    since = clock.database_now().astimezone(zone)
    with clock.shifted(timedelta(seconds=40)):
        place = queries.wait(run, zone)
    assert place is not None
    assert place.message.startswith(f"No runner answers since {since:%a %H:%M}. Your hand-in is safe, waits since ")


@pytest.mark.parametrize("count", [1, 3])
def test_what_pages_read_of_runs_is_a_constant_number_of_statements(
    component: Component, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    submissions = [making.submission(component) for _ in range(count)]
    for submission in submissions:
        making.run(submission)
        claimed = claims.claim("cpu", "w")
        assert claimed is not None
        execution.finish(claimed.run, claimed.token, JUDGED)
    for submission in submissions:
        making.run(submission)
    with django_assert_num_queries(1):
        found = queries.judging(submissions).values()
        assert [judging.run.state for judging in found] == ["queued"] * count
        assert [judging.result.points for judging in found if judging.result] == [Decimal(4)] * count
    with django_assert_num_queries(1):
        latest = queries.latest(submissions[0])
        assert latest is not None
        assert queries.result_of(latest) is None
    with django_assert_num_queries(10):
        assert queries.wait(latest, component.homework.course.zone) is not None


def test_every_state_and_kind_is_on_the_page_of_runs() -> None:
    page = (settings.BASE_DIR / "docs" / "runs.md").read_text()
    words = [*Run.State.values, *RunResult.Kind.values]
    assert [word for word in words if f"| `{word}` |" not in page] == []
