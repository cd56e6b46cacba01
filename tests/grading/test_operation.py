"""What machines ask that watch the site: whether it can work, and its numbers."""

import shutil
import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client
from django.test.utils import CaptureQueriesContext
from prometheus_client.parser import text_string_to_metric_families

from courseapp import metrics
from courseapp.clock import database_now
from courseapp.models import OutboxMail
from courseapp.probes import Finding
from grading.models import GpuSlot, Run, RunIncident, RunnerHost
from grading.queries.metrics import families
from grading.services import readiness
from tests import factories
from tests.valkey import Valkey

FAR: dict[str, Any] = {"REMOTE_ADDR": "203.0.113.9"}
TOKEN = "a-token-of-sixteen-or-more"


def host(seconds_ago: float = 1.0, **values: Any) -> RunnerHost:
    seen = database_now() - timedelta(seconds=seconds_ago)
    return RunnerHost.objects.create(**{"name": "box", "queues": ["cpu"], "tier": "zygote", "started_at": seen, "seen_at": seen, **values})


def states(answer: Any) -> dict[str, str]:
    return {name: check["state"] for name, check in answer.json()["checks"].items()}


@pytest.fixture
def broker(valkey: Valkey, settings: LazySettings) -> Valkey:
    settings.REDIS_URL = valkey.url
    return valkey


@pytest.mark.django_db(transaction=True)
def test_a_site_with_everything_is_ready(client: Client, broker: Valkey) -> None:
    host()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (200, "ready")
    assert states(answer) == dict.fromkeys(("database", "migrations", "broker", "storage", "sandbox"), "ok")
    assert answer["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"


@pytest.mark.django_db(transaction=True)
def test_without_a_broker_it_is_degraded_and_still_takes_requests(client: Client, broker: Valkey) -> None:
    host()
    broker.kill()
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"], states(answer)["broker"]) == (200, "degraded", "degraded")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("values", "detail"),
    [
        (None, "No runner host answers: none was ever seen."),
        ({"seconds_ago": 90}, "No runner host answers: none seen for 90 s."),
        ({"refusal": "No user namespaces.", "tier": ""}, "box runs nothing: No user namespaces."),
    ],
)
def test_without_a_sandbox_it_is_degraded(client: Client, broker: Valkey, values: dict[str, Any] | None, detail: str) -> None:
    if values is not None:
        host(**values)
    answer = client.get("/readyz").json()
    assert (answer["status"], answer["checks"]["sandbox"]["state"]) == ("degraded", "degraded")
    assert answer["checks"]["sandbox"]["detail"] == detail


@pytest.fixture
def unmigrated(transactional_db: None) -> Iterator[str]:
    """The newest migration of grading, taken off the list of those that were applied."""
    newest = max(name for app, name in MigrationRecorder(connection).applied_migrations() if app == "grading")
    MigrationRecorder(connection).record_unapplied("grading", newest)
    yield newest
    MigrationRecorder(connection).record_applied("grading", newest)


def test_a_database_behind_the_code_is_not_ready(client: Client, broker: Valkey, unmigrated: str) -> None:
    answer = client.get("/readyz")
    assert (answer.status_code, answer.json()["status"]) == (503, "unready")
    assert answer.json()["checks"]["migrations"]["detail"] == f"1 not applied, the first is grading.{unmigrated}. Run: manage.py migrate"


@pytest.mark.django_db(transaction=True)
def test_a_store_that_cannot_be_written_is_not_ready(client: Client, settings: LazySettings, tmp_path: Path) -> None:
    storage = {"BACKEND": "django.core.files.storage.FileSystemStorage", "OPTIONS": {"location": tmp_path / "gone"}}
    settings.STORAGES = {**settings.STORAGES, "default": storage}
    answer = client.get("/readyz")
    assert (answer.status_code, states(answer)["storage"]) == (503, "down")


@pytest.mark.parametrize(("free", "state"), [(119, "down"), (121, "degraded"), (1025, "ok")])
def test_a_disk_that_fills_up_is_said_in_time(free: int, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=free * 1024**2)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)
    assert readiness.storage().state == state


def test_looking_at_the_store_leaves_nothing_there(settings: LazySettings) -> None:
    before = sorted(Path(settings.DATA_DIR, "uploads").iterdir())
    assert readiness.storage().state in {"ok", "degraded"}
    assert sorted(Path(settings.DATA_DIR, "uploads").iterdir()) == before


@pytest.mark.django_db(transaction=True)
def test_a_dependency_that_takes_connections_and_says_nothing_holds_nobody_up(
    client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(readiness, "SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.REDIS_URL = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        answer = client.get("/readyz")
    assert answer.json()["checks"]["broker"] | {"seconds": 0} == {"state": "degraded", "detail": "No answer in time.", "seconds": 0}


WATCHERS: dict[str, tuple[dict[str, Any], bool]] = {
    "this machine": ({"REMOTE_ADDR": "127.0.0.1"}, True),
    "this machine by its other address": ({"REMOTE_ADDR": "::1"}, True),
    "somebody else": (FAR, False),
    "the proxy of this machine": ({"REMOTE_ADDR": "127.0.0.1", "HTTP_X_FORWARDED_FOR": "203.0.113.9"}, False),
    "a socket": ({"REMOTE_ADDR": ""}, False),
    "the token's bearer": ({**FAR, "HTTP_AUTHORIZATION": f"Bearer {TOKEN}"}, True),
    "the bearer of another one": ({**FAR, "HTTP_AUTHORIZATION": f"Bearer {TOKEN}x"}, False),
    "the token in another scheme": ({**FAR, "HTTP_AUTHORIZATION": f"Basic {TOKEN}"}, False),
}


@pytest.mark.django_db
@pytest.mark.parametrize("who", WATCHERS)
def test_numbers_and_details_are_for_who_runs_the_site(who: str, settings: LazySettings) -> None:
    settings.METRICS_TOKEN = TOKEN
    sent, let_in = WATCHERS[who]
    client = Client(**sent)
    assert client.get("/metrics").status_code == (200 if let_in else 404)
    checks = client.get("/readyz").json()["checks"]
    assert {name: set(check) for name, check in checks.items()} == {
        name: {"state", "detail", "seconds"} if let_in else {"state"} for name in checks
    }


@pytest.mark.django_db
def test_without_a_token_none_is_accepted(settings: LazySettings) -> None:
    settings.METRICS_TOKEN = ""
    assert Client(**FAR, HTTP_AUTHORIZATION="Bearer ").get("/metrics").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_an_account_of_the_administration_reads_details_but_students_do_not() -> None:
    found = {}
    for is_staff in (True, False):
        client = Client(**FAR)
        client.force_login(factories.UserFactory.create(is_staff=is_staff))
        found[is_staff] = "detail" in client.get("/readyz").json()["checks"]["database"]
        assert client.get("/metrics").status_code == 404
    assert found == {True: True, False: False}


def numbers(text: bytes | str) -> dict[tuple[str, ...], float]:
    parsed = text_string_to_metric_families(text.decode() if isinstance(text, bytes) else text)
    return {(sample.name, *sample.labels.values()): sample.value for family in parsed for sample in family.samples}


@pytest.mark.django_db(transaction=True)
def test_requests_are_counted_by_route_and_never_by_what_stands_in_it(client: Client) -> None:
    before = numbers(client.get("/metrics").content)
    for path in ("/receipts/AAAA-BBBB/", "/receipts/CCCC-DDDD/", "/nowhere", "/static/nothing.css"):
        client.get(path)
    client.generic("BREW", "/healthz")
    after = numbers(client.get("/metrics").content)
    counts = {key[1:]: after[key] - before.get(key, 0) for key in after if key[0] == "courseapp_requests_total"}
    assert {key: number for key, number in counts.items() if number} == {
        ("GET", "receipts/<str:code>/", "302"): 2,
        ("GET", "none", "404"): 1,
        ("GET", "static", "404"): 1,
        ("other", "healthz", "405"): 1,
        ("GET", "metrics", "200"): 1,
    }
    route = "receipts/<str:code>/"
    assert after["courseapp_request_seconds_count", route] - before.get(("courseapp_request_seconds_count", route), 0) == 2


def sampled() -> dict[tuple[str, ...], float]:
    return {(sample.name, *sample.labels.values()): round(sample.value) for family in families() for sample in family.samples}


@pytest.mark.django_db
def test_the_database_is_told_in_numbers() -> None:
    practice = factories.component(factories.HomeworkFactory.create(), "practice")
    now = database_now()
    first = factories.SubmissionFactory.create(component=practice)
    factories.RunResultFactory.create(run=factories.RunFactory.create(submission=first))
    for state, age in ((Run.State.QUEUED, 40), (Run.State.QUEUED, 20), (Run.State.WAITING_RUNTIME, 99), (Run.State.RUNNING, 60)):
        made = factories.SubmissionFactory.create(component=practice)
        factories.RunFactory.create(submission=made, state=state, not_before=now - timedelta(seconds=age))
    OutboxMail.objects.create(to="a@example.edu", subject="x", body="", not_before=now)
    OutboxMail.objects.create(to="a@example.edu", subject="x", body="", not_before=now, attempts=12)
    OutboxMail.objects.create(to="a@example.edu", subject="x", body="", not_before=now, sent_at=now)
    host(5)
    host(5, name="refuses", refusal="No.")
    host(300, name="silent")
    claimed = Run.objects.get(state=Run.State.RUNNING)
    RunIncident.objects.create(run=claimed, token=1, kind=RunIncident.Kind.FENCED, at=now)
    RunIncident.objects.create(run=claimed, token=2, kind=RunIncident.Kind.EXPIRED, at=now)
    RunIncident.objects.create(run=claimed, token=3, kind=RunIncident.Kind.EXPIRED, at=now)
    rows: list[dict[str, Any]] = [{}, {}, {"drained": True}, {"state": "quarantined"}, {"seen_at": now - timedelta(minutes=1)}]
    for number, values in enumerate(rows):
        GpuSlot.objects.create(**{"uuid": f"GPU-{number}", "kind": "a100", "seen_at": now, **values})
    GpuSlot.objects.filter(uuid="GPU-1").update(state="busy", run=claimed)
    found = sampled()
    assert found.pop(("courseapp_last_hand_in_timestamp_seconds",)) == round(factories.ON_TIME.timestamp())
    assert found == {
        ("courseapp_runs_open", "cpu", "queued"): 2,
        ("courseapp_runs_open", "cpu", "waiting_runtime"): 1,
        ("courseapp_runs_open", "cpu", "running"): 1,
        ("courseapp_queue_oldest_seconds", "cpu"): 40,
        ("courseapp_run_results_total", "ok"): 1,
        ("courseapp_run_results_total", "student"): 0,
        ("courseapp_run_results_total", "assignment"): 0,
        ("courseapp_run_results_total", "system"): 0,
        ("courseapp_run_results_total", "smoke"): 0,
        ("courseapp_queue_paused", "cpu"): 0,
        ("courseapp_queue_paused", "gpu"): 0,
        ("courseapp_leases_expired_total",): 2,
        ("courseapp_claims_fenced_total",): 1,
        ("courseapp_gpu_slots", "a100", "free"): 1,
        ("courseapp_gpu_slots", "a100", "busy"): 1,
        ("courseapp_gpu_slots", "a100", "drained"): 1,
        ("courseapp_gpu_slots", "a100", "quarantined"): 1,
        ("courseapp_gpu_slots", "a100", "silent"): 1,
        ("courseapp_hand_ins_total",): 5,
        ("courseapp_outbox_mails", "waiting"): 1,
        ("courseapp_outbox_mails", "given_up"): 1,
        ("courseapp_outbox_oldest_seconds",): 0,
        ("courseapp_runner_hosts", "serving"): 1,
        ("courseapp_runner_hosts", "refusing"): 1,
        ("courseapp_runner_hosts", "silent"): 1,
        ("courseapp_runner_host_seen_seconds", "box"): 5,
        ("courseapp_runner_host_seen_seconds", "refuses"): 5,
        ("courseapp_runner_host_seen_seconds", "silent"): 300,
    }


@pytest.mark.django_db
@pytest.mark.parametrize("hand_ins", [1, 3])
def test_it_takes_eleven_statements_whatever_there_is(hand_ins: int) -> None:
    practice = factories.component(factories.HomeworkFactory.create(), "practice")
    for number in range(hand_ins):
        factories.RunFactory.create(submission=factories.SubmissionFactory.create(component=practice), state=Run.State.QUEUED)
        host(name=f"box {number}")
        GpuSlot.objects.create(uuid=f"GPU-{number}", kind=f"kind-{number}", seen_at=database_now())
    with CaptureQueriesContext(connection) as asked:
        families()
    assert len(asked) == 11


def test_a_disk_that_is_full_costs_the_count_and_not_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(metrics, "_room", {})
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path / "gone"))
    before = metrics.requests.labels("GET", "x", "200")._value.get()
    metrics.observe("GET", "x", 200, 0.1)
    assert metrics.requests.labels("GET", "x", "200")._value.get() == before
    assert caplog.messages == [f"Requests are not counted: {tmp_path / 'gone'}: No such file or directory."]


def test_numbers_of_a_former_start_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", str(tmp_path))
    (tmp_path / "counter_1.db").touch()
    metrics.forget()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.django_db
@pytest.mark.parametrize("required", ["nobody", "staff"])
def test_a_browser_with_a_session_is_told_of_a_dead_database(
    client: Client, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, required: str
) -> None:
    def dead(_: object) -> None:
        raise OperationalError("no database")

    settings.MFA_REQUIRED_FOR = required
    client.force_login(factories.UserFactory.create())
    monkeypatch.setattr(readiness, "look", lambda: {"database": Finding("down")})
    monkeypatch.setattr("django.contrib.auth.get_user", dead)
    assert client.get("/readyz").status_code == 503
