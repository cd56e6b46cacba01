"""The machines that judge, as staff see them: which sandbox holds, who serves what, and what to do where nothing is run."""

import resource
import threading
from contextlib import closing
from datetime import timedelta

import pytest
from django.urls import reverse

from courseapp import clock
from courseapp.management.commands import runner_host
from courseapp.models import Enrollment, Role
from grading import execution
from grading.models import SILENT_AFTER, Homework, RunnerHost
from grading.queries import runs as run_queries
from grading.queries.hosts import GONE_AFTER, hosts
from grading.runner.host import Host
from grading.runner.tiers import Refused
from grading.services.readiness import sandbox
from tests import factories
from tests.conftest import missing
from tests.grading.test_homework_pages import signed_in

pytestmark = pytest.mark.django_db

WHY = "A sandbox could not be built (unshare: Operation not permitted). As root: sysctl -w user.max_user_namespaces=15000"


@pytest.fixture
def homework() -> Homework:
    return factories.HomeworkFactory.create()


def today(homework: Homework, role: Role) -> str:
    reader: Enrollment = factories.EnrollmentFactory.create(course=homework.course, role=role)
    text = signed_in(reader).get(reverse("course", args=[homework.course.slug])).content.decode()
    return " ".join(text.split())


def serving(name: str, *queues: str) -> None:
    execution.report(name, list(queues), tier="namespaces", memory_guard="cgroup v2")


def refusing(name: str, *queues: str) -> None:
    execution.report(name, list(queues), tier="", refusal=WHY)


def test_a_queue_is_served_by_a_host_that_was_seen_lately_and_does_not_refuse() -> None:
    serving("a", "cpu")
    refusing("b", "cpu", "gpu")
    found = hosts({"cpu", "gpu", "gpu.a100"})
    assert [(line.name, line.state, line.tier, line.memory_guard, line.refusal) for line in found.lines] == [
        ("a", "serving", "namespaces", "cgroup v2", ""),
        ("b", "refusing", "", "", WHY),
    ]
    assert (found.unserved, [line.name for line in found.refusing]) == (("gpu", "gpu.a100"), ["b"])
    with clock.shifted(SILENT_AFTER + timedelta(seconds=1)):
        found = hosts({"cpu"})
        assert ([line.state for line in found.lines], found.unserved) == (["silent", "silent"], ("cpu",))
    with clock.shifted(GONE_AFTER + timedelta(seconds=1)):
        assert hosts({"cpu"}).lines == ()


def test_staff_see_each_host_quietly_while_all_is_well(homework: Homework) -> None:
    serving("runner-7", "cpu", "gpu")
    for runtimes, words in ((["torch"], "with torch"), ([], "without a runtime yet")):
        RunnerHost.objects.update(runtimes=runtimes)
        text = today(homework, Role.GRADER)
        assert f"Runner host runner-7 (cpu, gpu): sandbox namespaces, memory by cgroup v2, {words}; seen <time" in text
    assert "is run at the moment" not in text


def test_staff_see_why_nothing_is_run_and_the_command_that_helps(homework: Homework) -> None:
    refusing("runner-7", "cpu")
    text = today(homework, Role.GRADER)
    assert "Nothing in the queue cpu is run at the moment: no sandbox holds." in text
    assert f"runner-7 refuses: {WHY}" in text
    assert "<code>manage.py sandbox_doctor</code>" in text


def test_staff_see_that_no_host_answers(homework: Homework) -> None:
    text = today(homework, Role.GRADER)
    assert "Nothing in the queue cpu is run at the moment: no runner host answers." in text
    assert "<code>manage.py runner_host</code>" in text


def test_where_no_homework_is_judged_by_checks_nothing_is_amiss() -> None:
    homework = factories.HomeworkFactory.create(practice=None)
    assert "is run at the moment" not in today(homework, Role.GRADER)


def test_students_see_no_machine(homework: Homework) -> None:
    refusing("runner-7", "cpu")
    text = today(homework, Role.STUDENT)
    assert ("runner-7" in text, "sysctl" in text) == (False, False)


@pytest.mark.parametrize("silent", [False, True])
def test_a_student_is_told_that_the_run_waits_and_since_when(homework: Homework, silent: bool) -> None:
    refusing("runner-7", "cpu")
    submission = factories.SubmissionFactory.create(component=factories.component(homework, "practice"))
    now = clock.database_now()
    run = factories.RunFactory.create(submission=submission, state="queued", created_at=now, not_before=now)
    since = f"{now.astimezone(homework.course.zone):%a %H:%M}"
    with clock.shifted(timedelta(seconds=40 if silent else 0)):
        found = run_queries.wait(run, homework.course.zone)
    assert found is not None
    why = f"No runner answers since {since}." if silent else "The runner cannot run anything at the moment; the staff see why."
    assert found.message == f"{why} Your hand-in is safe, waits since {since}, and runs by itself as soon as one is back."


def test_readyz_names_each_hosts_tier_or_why_it_refuses() -> None:
    serving("a", "cpu")
    assert (sandbox().state, sandbox().detail) == ("ok", "a: namespaces, memory by cgroup v2")
    refusing("b", "gpu")
    assert (sandbox().state, sandbox().detail) == ("degraded", f"a: namespaces, memory by cgroup v2; b runs nothing: {WHY}")


def refused_host() -> Host:
    """One that was made without descriptors, of which a sandbox needs some."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        host = Host()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return host


@pytest.mark.sandbox
def test_a_machine_whose_sandbox_did_not_hold_is_tried_again_and_serves_from_then_on() -> None:
    with closing(refused_host()) as host:
        runner_host.report(host, ["cpu"])
        [line] = hosts({"cpu"}).lines
        assert (line.state, line.tier, line.refusal) == ("refusing", "", runner_host.in_words(host))
        assert "Too many open files" in line.refusal
        holds, stop = threading.Event(), threading.Event()
        runner_host.try_again(host, holds, stop, 0.01)
        if isinstance(host.tier, Refused):
            missing(runner_host.in_words(host))
        assert holds.is_set()
        runner_host.report(host, ["cpu"])
        [line] = hosts({"cpu"}).lines
        assert (line.state, line.tier, line.refusal) == ("serving", "namespaces", "")


def test_who_stops_while_nothing_holds_is_not_kept_waiting() -> None:
    holds, stop = threading.Event(), threading.Event()
    stop.set()
    with closing(refused_host()) as host:
        runner_host.try_again(host, holds, stop, 60)
    assert not holds.is_set()
