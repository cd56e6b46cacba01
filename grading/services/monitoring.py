"""The numbers that Prometheus fetches: what this site's web processes counted, and what the database says now."""

from collections.abc import Iterable, Sequence

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from courseapp import metrics
from courseapp.probes import Finding, Probe, ask
from grading.queries.metrics import families

SECONDS = 5.0

CONTENT_TYPE = CONTENT_TYPE_LATEST


class Read(Collector):
    """Hands over what was read before."""

    def __init__(self, found: Sequence[Metric]) -> None:
        self._found = found

    def collect(self) -> Iterable[Metric]:
        return self._found


def _read() -> Finding:
    return Finding("ok", value=families())


DATABASE = Probe("database", _read, worst="down")


def exposition() -> bytes:
    """With a database that does not answer, everything else is still told."""
    found = ask([DATABASE], SECONDS)["database"]
    answers = GaugeMetricFamily(
        "courseapp_database_answers", "Whether the numbers of the database could be read.", value=found.state == "ok"
    )
    registry = CollectorRegistry()
    MultiProcessCollector(registry, str(metrics.folder()))  # type: ignore[no-untyped-call]  # the library does not type this one
    registry.register(Read([answers, *(found.value or [])]))
    return generate_latest(registry)
