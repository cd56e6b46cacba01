"""The queue, the hand-ins and the mail in numbers, read from the database when somebody asks: eleven statements, whatever there is.

What was counted by the process in which it happened would be lost with it, and claims go wrong just when processes die.
"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime

from django.db.models import Count, Max, Min
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from courseapp.clock import database_now
from courseapp.models import OutboxMail
from courseapp.services.outbox import MOST_ATTEMPTS
from grading.models import SILENT_AFTER, Run, RunIncident, RunnerHost, RunResult, Submission
from grading.queries import slots, turns


def families() -> list[Metric]:
    now = database_now()
    return [*_queue(now), *_work(), *_incidents(), *_slots(now), *_outbox(now), *_hosts(now)]


def _queue(now: datetime) -> Iterator[Metric]:
    depth = GaugeMetricFamily("courseapp_runs_open", "Runs that wait or work.", labels=("queue", "state"))
    oldest = GaugeMetricFamily(
        "courseapp_queue_oldest_seconds", "How long the first run of a queue has been ready to be claimed.", labels=("queue",)
    )
    rows = Run.objects.filter(state__in=Run.OPEN).order_by().values_list("queue", "state").annotate(Count("pk"), Min("not_before"))
    waiting: dict[str, float] = {}
    for queue, state, number, since in rows:
        depth.add_metric((queue, state), number)
        waiting.setdefault(queue, 0.0)
        if state == Run.State.QUEUED:
            waiting[queue] = max(0.0, (now - since).total_seconds())
    for queue, seconds in waiting.items():
        oldest.add_metric((queue,), seconds)
    yield depth
    yield oldest
    paused = GaugeMetricFamily("courseapp_queue_paused", "1 while staff let nothing of a pool be claimed.", labels=("pool",))
    pauses = turns.pauses()
    for pool in turns.POOLS:
        paused.add_metric((pool,), pool in pauses)
    yield paused


def _work() -> Iterator[Metric]:
    results = CounterMetricFamily("courseapp_run_results", "Results written, by whose failure they tell of.", labels=("kind",))
    counted = dict(RunResult.objects.order_by().values_list("kind").annotate(Count("pk")))
    for kind in RunResult.Kind:
        results.add_metric((kind,), counted.get(kind, 0))
    yield results
    yield CounterMetricFamily("courseapp_hand_ins", "Hand-ins kept.", value=Submission.objects.count())
    newest = Submission.objects.aggregate(newest=Max("received_at"))["newest"]
    yield GaugeMetricFamily(
        "courseapp_last_hand_in_timestamp_seconds", "When the newest hand-in came.", value=newest.timestamp() if newest else 0
    )


def _incidents() -> Iterator[Metric]:
    """A row per claim and kind: what two notice is counted once."""
    counted = dict(RunIncident.objects.order_by().values_list("kind").annotate(Count("pk")))
    for kind, name, words in (
        (RunIncident.Kind.EXPIRED, "courseapp_leases_expired", "Claims whose holder went silent."),
        (RunIncident.Kind.FENCED, "courseapp_claims_fenced", "Claims whose holder came too late, and changed nothing."),
    ):
        yield CounterMetricFamily(name, words, value=counted.get(kind, 0))


def _slots(now: datetime) -> Iterator[Metric]:
    gauge = GaugeMetricFamily("courseapp_gpu_slots", "GPU slots, by kind and by what they do.", labels=("kind", "state"))
    counted = Counter((slot.kind, slots.state(slot, now)) for slot in slots.reported(now))
    for kind in sorted({kind for kind, _ in counted}):
        for state in slots.STATES:
            gauge.add_metric((kind, state), counted[kind, state])
    yield gauge


def _outbox(now: datetime) -> Iterator[Metric]:
    mails = GaugeMetricFamily("courseapp_outbox_mails", "Mail not sent: it waits, or was given up.", labels=("state",))
    waiting = OutboxMail.objects.filter(sent_at=None)
    row = waiting.filter(attempts__lt=MOST_ATTEMPTS).aggregate(Count("pk"), Min("created_at"))
    mails.add_metric(("waiting",), row["pk__count"])
    mails.add_metric(("given_up",), waiting.filter(attempts__gte=MOST_ATTEMPTS).count())
    yield mails
    since = row["created_at__min"]
    age = max(0.0, (now - since).total_seconds()) if since else 0.0
    yield GaugeMetricFamily("courseapp_outbox_oldest_seconds", "How long the oldest mail has waited.", value=age)


def _hosts(now: datetime) -> Iterator[Metric]:
    hosts = GaugeMetricFamily("courseapp_runner_hosts", "Runner hosts, by what they do.", labels=("state",))
    seen = GaugeMetricFamily("courseapp_runner_host_seen_seconds", "How long ago a runner host reported.", labels=("host",))
    states = dict.fromkeys(("serving", "refusing", "silent"), 0)
    for host in RunnerHost.objects.order_by("name"):
        state = "silent" if host.seen_at <= now - SILENT_AFTER else "refusing" if host.refusal else "serving"
        states[state] += 1
        seen.add_metric((host.name,), max(0.0, (now - host.seen_at).total_seconds()))
    for state, number in states.items():
        hosts.add_metric((state,), number)
    yield hosts
    yield seen
