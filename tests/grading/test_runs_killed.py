"""Whatever is killed in the middle of a run: the hand-in ends with exactly one result, and nobody has to touch it."""

import html
import os
import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from statistics import median

import pytest
from django.conf import LazySettings
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from courseapp.models import Enrollment, Role
from grading import execution
from grading.models import Homework, Run, RunnerHost, RunResult, Submission
from grading.queries.hosts import hosts
from grading.services import runs as services
from tests.grading import making
from tests.grading.site import LEASE_S, REPOSITORY, Site, children, environment, stand_still
from tests.patience import PATIENCE_S, eventually

ONLY_SERVES = ("--jobs", "0")  # and sweeps, but leaves executing to the workers
SLOW = """
import time

def answer(x):
    if x == 2:
        time.sleep(2.5)
    return x + 1
"""


def hand_in(folder: Path, answer: str = SLOW) -> Run:
    submission = making.submission(making.homework(folder / "plus-one", hidden=False), answer=answer)
    return services.enqueue(submission=submission)


def state(run: Run) -> str:
    return Run.objects.values_list("state", flat=True).get(pk=run.pk)


def at_work(run: Run) -> bool:
    """A check of the hand-in is being judged."""
    row = Run.objects.get(pk=run.pk)
    return row.state == "running" and row.progress.get("stage") == "visible"


def assert_judged_once(run: Run, attempts: int) -> None:
    run.refresh_from_db()
    result = RunResult.objects.get()
    assert (run.state, result.kind, result.points, run.attempts) == ("done", "ok", Decimal(4), attempts), (run.note, result.staff_message)


@pytest.mark.sandbox
def test_a_hand_in_is_judged_by_a_worker(site: Site, tmp_path: Path) -> None:
    site.host(*ONLY_SERVES)
    site.worker()
    run = hand_in(tmp_path, making.ANSWER)
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=0)
    assert " worker " in run.worker
    eventually(lambda: f"Run {run.pk} is left" in site.said("worker"), "the worker says that it ended")
    assert f" INFO grading.execution run={run.pk}: Run {run.pk} begins: queue cpu, claim 1.\n" in site.said("worker")


@pytest.mark.sandbox
def test_a_worker_goes_from_one_run_to_the_next_without_waiting_for_a_bell(site: Site, tmp_path: Path) -> None:
    site.values |= {"RUN_POLL_SECONDS": "10"}
    site.host(*ONLY_SERVES)
    site.worker()
    component = making.homework(tmp_path / "plus-one", hidden=False)
    runs = [services.enqueue(submission=making.submission(component)) for _ in range(7)]
    eventually(lambda: {state(run) for run in runs} == {"done"}, "all done")
    begins = Run.objects.order_by("claimed_at").values_list("claimed_at", flat=True)
    ends = Run.objects.order_by("claimed_at").values_list("finished_at", flat=True)
    gaps = [(begin - end).total_seconds() for end, begin in zip(ends, begins[1:], strict=False) if begin and end]
    assert median(gaps) < 3, gaps


@pytest.mark.sandbox
def test_without_broker_and_worker_the_runner_host_judges_it(site: Site, tmp_path: Path) -> None:
    site.valkey.kill()
    site.host()
    run = hand_in(tmp_path, making.ANSWER)
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=0)


def test_a_worker_killed_in_the_middle_of_a_run(site: Site, tmp_path: Path) -> None:
    site.host(*ONLY_SERVES)
    worker = site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    worker.kill()
    site.worker("next-worker")  # as its supervisor does
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=1)


@pytest.mark.sandbox
def test_the_child_of_a_celery_worker_killed_in_the_middle_of_a_run(site: Site, tmp_path: Path) -> None:
    """Our workers run threads; where somebody runs them with child processes, one of those may be killed by itself."""
    site.host(*ONLY_SERVES)
    worker = site.worker(pool="prefork")
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    [child] = children(worker.pid)
    os.kill(child, signal.SIGKILL)
    site.worker("next-worker")
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=1)
    assert worker.poll() is None


@pytest.mark.sandbox
def test_a_warm_process_killed_in_the_middle_of_a_run(site: Site, tmp_path: Path) -> None:
    host = site.host()
    site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    [zygote] = [zygote for launcher in children(host.pid) for zygote in children(launcher) if children(zygote)]
    os.kill(zygote, signal.SIGKILL)
    noted = "Try 1 of 3 failed: the warm process was ended: Broken pipe"
    eventually(lambda: Run.objects.get(pk=run.pk).note == noted, noted)
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=1)
    assert host.poll() is None


@pytest.mark.sandbox
def test_a_runner_host_that_stands_still_only_delays_a_workers_run(site: Site, tmp_path: Path) -> None:
    """The lease is the worker's, who goes on extending it."""
    host = site.host(*ONLY_SERVES)
    site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    stand_still(host)
    time.sleep(1.5 * LEASE_S)
    assert (execution.sweep(), state(run)) == ([], "running")
    host.send_signal(signal.SIGCONT)
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=0)


@pytest.mark.sandbox
def test_a_runner_host_that_stood_still_with_a_run_of_its_own_records_it_once(site: Site, tmp_path: Path) -> None:
    site.valkey.kill()
    host = site.host()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    stand_still(host)
    eventually(lambda: bool(execution.sweep()) or state(run) == "queued", "given back")
    host.send_signal(signal.SIGCONT)
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=1)
    killed, late = "fenced; its job is killed and nothing is recorded", "its result came late, and was not recorded"
    assert any(f"Run {run.pk}: {what}" in site.said("host") for what in (killed, late))  # whichever it notices first


def test_a_runner_host_killed_in_the_middle_of_a_run(site: Site, tmp_path: Path) -> None:
    host = site.host()
    site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    host.kill()
    host.wait()
    site.host()  # as its supervisor does
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=1)


def test_a_broker_killed_in_the_middle_of_a_run(site: Site, tmp_path: Path) -> None:
    site.host()
    site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    site.valkey.kill()
    later = services.enqueue(submission=run.submission)
    eventually(lambda: state(run) == state(later) == "done", "both done")
    assert [RunResult.objects.filter(run=each).count() for each in (run, later)] == [1, 1]
    site.valkey.start()
    eventually(lambda: "Connected to redis" in site.said("worker").split("Connection to broker lost")[-1], "the worker is back")


def test_a_worker_that_slept_longer_than_its_lease_records_nothing(site: Site, tmp_path: Path) -> None:
    site.host(*ONLY_SERVES)
    worker = site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    stand_still(worker)
    site.worker("other-worker")
    eventually(lambda: state(run) == "done", "done")
    result = RunResult.objects.get()
    worker.send_signal(signal.SIGCONT)
    late = f"Run {run.pk}: its result came late, and was not recorded; it is somebody else's."
    eventually(lambda: late in site.said("worker"), late)
    assert_judged_once(run, attempts=1)
    assert RunResult.objects.get() == result


@pytest.mark.sandbox
def test_an_orderly_stop_of_the_runner_host_gives_its_run_back(site: Site, tmp_path: Path) -> None:
    host = site.host()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    host.terminate()
    host.wait(timeout=PATIENCE_S)
    run.refresh_from_db()
    assert (run.state, run.attempts) == ("queued", 0)
    assert run.note in {"The worker was stopped.", "the runner host was stopped"}  # it is both, and either may be noticed first


@pytest.mark.sandbox
def test_an_orderly_stop_of_the_runner_host_is_no_failure_of_a_workers_run(site: Site, tmp_path: Path) -> None:
    host = site.host(*ONLY_SERVES)
    site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    host.terminate()
    eventually(lambda: state(run) == "queued", "given back")
    run.refresh_from_db()
    assert (run.attempts, run.note) == (0, "the runner host was stopped")
    assert " worker " in run.worker


@pytest.mark.sandbox
def test_a_stopped_worker_gives_its_run_back(site: Site, tmp_path: Path) -> None:
    site.host(*ONLY_SERVES)
    worker = site.worker()
    run = hand_in(tmp_path)
    eventually(lambda: at_work(run), "at work")
    worker.terminate()
    worker.wait(timeout=PATIENCE_S)
    site.worker("next-worker")
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=0)


@pytest.mark.sandbox
def test_a_cancelled_run_stops_at_its_next_heartbeat(site: Site, tmp_path: Path) -> None:
    site.host()
    run = hand_in(tmp_path, "import time\n\ndef answer(x):\n    time.sleep(9)\n")
    eventually(lambda: at_work(run), "at work")
    services.cancel(run=run, by=making.person(run.submission.component.homework.course, "tom", Role.TA))
    again = services.enqueue(submission=making.submission(run.submission.component))
    eventually(lambda: state(again) == "done", "the next run is done")
    assert state(run) == "cancelled"
    assert not RunResult.objects.filter(run=run).exists()


@pytest.mark.sandbox
def test_a_second_runner_host_on_the_machine_is_refused(site: Site) -> None:
    first = site.host()
    command = [sys.executable, str(REPOSITORY / "manage.py"), "runner_host"]
    second = subprocess.run(command, env=environment(**site.values), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert second.returncode == 1
    assert f"A runner host runs already on this machine (process {first.pid})" in second.stderr


@pytest.mark.sandbox
def test_where_no_sandbox_holds_nothing_is_claimed_and_the_run_says_why(site: Site, tmp_path: Path) -> None:
    host = site.refusing_host()
    site.worker()
    run = hand_in(tmp_path)
    Run.objects.update(not_before=run.not_before - timedelta(seconds=40))
    eventually(lambda: Run.objects.get().note.startswith("No runner answers: "), "a note")
    run.refresh_from_db()
    assert (run.state, run.token) == ("queued", 0)
    assert "refuses to run anything." in run.note
    assert host.poll() is None
    assert "is left alone" in site.said("worker")


def page(reader: Enrollment, name: str, *arguments: object) -> str:
    assert reader.user is not None
    client = Client()
    client.force_login(reader.user)
    return " ".join(html.unescape(client.get(reverse(name, args=arguments)).content.decode()).split())


@pytest.mark.sandbox
def test_where_no_sandbox_holds_the_site_works_on_and_says_what_helps(site: Site, tmp_path: Path) -> None:
    host = site.refusing_host()
    practice = making.homework(tmp_path / "plus-one", hidden=False, due_wall="2099-10-01 23:59")
    course = practice.homework.course
    student, ta = making.person(course, "ada"), making.person(course, "tom", Role.TA)
    assert student.user is not None
    client = Client()
    client.force_login(student.user)
    file = SimpleUploadedFile("answer.py", making.ANSWER.encode())
    answer = client.post(reverse("submit", args=[course.slug, practice.homework.slug, "practice"]), {"files": [file], "own_work": "yes"})
    submission = Submission.objects.get()
    assert (answer.status_code, submission.state) == (302, "accepted")
    eventually(RunnerHost.objects.exists, "a report")
    fix = "As root: sysctl -w user.max_user_namespaces=15000"
    [refusal] = RunnerHost.objects.values_list("refusal", flat=True)
    assert re.fullmatch(rf"A sandbox could not be built \(.+\)\. {fix}", refusal)
    assert refusal in page(ta, "course", course.slug)
    assert Client().get("/readyz").json()["checks"]["sandbox"]["detail"].endswith(f" runs nothing: {refusal}")
    told = page(student, "submission", course.slug, submission.pk)
    assert re.search(
        r"The runner cannot run anything at the moment; the staff see why\. Your hand-in is safe, waits since \w+ \d\d:\d\d", told
    )
    assert fix not in told
    host.terminate()
    host.wait(timeout=PATIENCE_S)
    site.host()
    run = submission.runs.get()
    eventually(lambda: state(run) == "done", "done")
    assert_judged_once(run, attempts=0)
    [line] = hosts({"cpu"}).lines
    assert (line.state, line.tier) == ("serving", RunResult.objects.get().provenance["tier"])
    assert line.memory_guard == RunResult.objects.get().provenance["memory_guard"]


@pytest.mark.sandbox
def test_every_passed_smoke_check_rings_for_its_gpu(site: Site, tmp_path: Path, settings: LazySettings) -> None:
    """Also those of a worker that goes from one run to the next, and rings for the next worker only once."""
    settings.RUNNER_SOCKET, settings.RUNTIME_PYTHON = Path(site.values["RUNNER_SOCKET"]), site.values["RUNTIME_PYTHON"]
    site.host(*ONLY_SERVES)
    component = making.homework(tmp_path / "plus-one", queue="gpu")
    component.check_rows.filter(check_id="plus-one").update(needs_gpu=True)
    for name in ("ada", "bob"):
        services.enqueue(submission=making.submission(component, name))
    rung: list[list[str]] = []
    for first in (True, False):
        rung.append([])
        assert execution.work_once("cpu", "w", ring=rung[-1].append, first=first) is execution.Work.DONE
    assert rung == [["cpu", "gpu"], ["gpu"]]
    assert list(Run.objects.order_by("pk").values_list("stage", "state")) == [("smoke", "done")] * 2 + [("grade", "queued")] * 2


@pytest.mark.sandbox
def test_a_homework_loaded_anew_after_a_claim_is_judged_with_its_new_files_alone(
    site: Site, tmp_path: Path, settings: LazySettings
) -> None:
    settings.RUNNER_SOCKET, settings.RUNTIME_PYTHON = Path(site.values["RUNNER_SOCKET"]), site.values["RUNTIME_PYTHON"]
    site.host(*ONLY_SERVES)
    component = making.homework(tmp_path / "plus-one", hidden=False)
    first, second = (services.enqueue(submission=making.submission(component, name)) for name in ("ada", "bob"))
    new = making.homework(tmp_path / "plus-two", course=component.homework.course, checks=making.CHECKS + "# corrected\n", hidden=False)

    def load(_queue: str) -> None:
        component.check_rows.update(points=8)
        Homework.objects.filter(pk=component.homework_id).update(bundle=new.homework.bundle)

    assert execution.work_once("cpu", "w", ring=load) is execution.Work.DONE
    first.refresh_from_db()
    assert (first.state, first.attempts, first.note) == ("queued", 0, "The homework was loaded anew just now.")
    for run in (first, second):
        assert execution.work_once("cpu", "w") is execution.Work.DONE
        run.refresh_from_db()
        assert (run.bundle, run.result.points, run.result.max_points) == (new.homework.bundle, Decimal(8), Decimal(8))


@pytest.mark.sandbox
def test_a_machine_whose_storage_goes_away_takes_no_run_until_it_is_back(site: Site, tmp_path: Path, settings: LazySettings) -> None:
    settings.RUNNER_SOCKET, settings.RUNTIME_PYTHON = Path(site.values["RUNNER_SOCKET"]), site.values["RUNTIME_PYTHON"]
    site.host(*ONLY_SERVES)
    component = making.homework(tmp_path / "plus-one", hidden=False)
    first, second = (services.enqueue(submission=making.submission(component, name)) for name in ("ada", "bob"))
    store, away = settings.DATA_DIR / "uploads", tmp_path / "away"

    def unmount(_queue: str) -> None:
        store.rename(away)
        store.mkdir(mode=0o700)

    problem = f"The storage {store} does not hold the site's files: mount it there."
    try:
        assert execution.work_once("cpu", "w", ring=unmount) is execution.Work.DONE  # it was claimed by then
        assert list(Run.objects.filter(pk=first.pk).values_list("state", "attempts", "note")) == [("queued", 0, problem)]
        assert execution.work_once("cpu", "w") is execution.Work.UNAVAILABLE
        eventually(RunnerHost.objects.filter(refusal=problem).exists, "the runner host says so")
        ta = making.person(component.homework.course, "tom", Role.TA)
        words = "Nothing in the queue cpu is run at the moment: a runner host refuses. Hand-ins are kept, and run by themselves afterwards."
        told = re.sub(r"</?\w[^>]*>", "", page(ta, "course", component.homework.course.slug))
        assert words in told
        assert problem in told
    finally:
        store.rmdir()
        away.rename(store)
    for run in (first, second):
        assert execution.work_once("cpu", "w") is execution.Work.DONE
        run.refresh_from_db()
        assert (run.state, run.attempts, run.result.points) == ("done", 0, Decimal(4))
    eventually(RunnerHost.objects.filter(refusal="").exists, "the runner host serves again")
