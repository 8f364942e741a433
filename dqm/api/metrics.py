"""What Prometheus reads: the state of the store at the moment of the scrape."""

from __future__ import annotations

import time
from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dqm.records import FileState
from dqm.views import queries
from dqm.views.queries import StoreProblem
from dqm.views.site import Site

MEDIA = "text/plain; version=0.0.4; charset=utf-8"


def scrape(site: Site, streams: int) -> bytes:
    """All metrics in the text format. Without a database there are few, and ``larboard_database_up`` is 0."""
    registry = CollectorRegistry()
    registry.register(_Once([*_own(streams), *_of_store(site)]))
    return generate_latest(registry)


class _Once:
    def __init__(self, metrics: list[Metric]):
        self._metrics = metrics

    def collect(self) -> Iterable[Metric]:
        return self._metrics


def _own(streams: int) -> Iterable[Metric]:
    yield GaugeMetricFamily("larboard_sse_clients", "Open event streams of the process that answers.", streams)


def _of_store(site: Site) -> Iterable[Metric]:
    try:
        found = queries.gauges(site)
    except StoreProblem:
        yield GaugeMetricFamily("larboard_database_up", "Whether the database answers.", 0)
        return
    yield GaugeMetricFamily("larboard_database_up", "Whether the database answers.", 1)
    yield _by_label("larboard_files", "Files of the ledger by state.", "state", _every_state(found.files))
    yield GaugeMetricFamily("larboard_runs", "Runs.", found.runs)
    yield GaugeMetricFamily("larboard_open_runs", "Runs that are not closed.", found.open_runs)
    yield GaugeMetricFamily("larboard_notices", "Number of the newest notice.", found.notices)
    yield GaugeMetricFamily(
        "larboard_ingest_queue_files", "Files that wait to be counted.", sum(w.queue for w in found.watchers)
    )
    now = time.time()
    ages = {watcher.name: max(now - watcher.beat, 0.0) for watcher in found.watchers}
    yield _by_label("larboard_ingest_beat_age_seconds", "Time since the last sign of life.", "watcher", ages)
    if found.last_file is not None:
        age = max(now - found.last_file, 0.0)
        yield GaugeMetricFamily("larboard_last_file_age_seconds", "Time since a file was counted to its end.", age)


def _every_state(counted: dict[str, int]) -> dict[str, int]:
    return {state.value: counted.get(state.value, 0) for state in FileState}


def _by_label(name: str, text: str, label: str, values: dict[str, int] | dict[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
