"""What Prometheus reads: the state of the store at the moment of the scrape."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from dqm.records import Facts, FileState
from dqm.views.alarm_list import KINDS
from dqm.views.gauges import Gauges, gauges
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
        found = gauges(site)
    except StoreProblem:
        yield GaugeMetricFamily("larboard_database_up", "Whether the database answers.", 0)
        return
    yield GaugeMetricFamily("larboard_database_up", "Whether the database answers.", 1)
    yield from _of_ledger(found)
    yield from _of_pulse(found)
    yield from _of_plugins(found)
    yield from _of_site(found)


def _of_ledger(found: Gauges) -> Iterable[Metric]:
    yield _by_label("larboard_files", "Files of the ledger by state.", "state", _every_state(found.files))
    yield GaugeMetricFamily("larboard_runs", "Runs.", found.runs)
    yield GaugeMetricFamily("larboard_open_runs", "Runs that are not closed.", found.open_runs)
    yield GaugeMetricFamily("larboard_notices", "Number of the newest notice.", found.notices)
    # of the leader: those that stand by see the same queue
    queue = max((watcher.queue for watcher in found.watchers), default=0)
    yield GaugeMetricFamily("larboard_ingest_queue_files", "Files that wait to be counted.", queue)
    now = time.time()
    ages = {watcher.name: max(now - watcher.beat, 0.0) for watcher in found.watchers}
    yield _by_label("larboard_ingest_beat_age_seconds", "Time since the last sign of life.", "watcher", ages)
    if found.last_file is not None:
        age = max(now - found.last_file, 0.0)
        yield GaugeMetricFamily("larboard_last_file_age_seconds", "Time since a file was counted to its end.", age)


def _of_pulse(found: Gauges) -> Iterable[Metric]:
    """What the leader measured last; how old that is stands beside it."""
    pulse = found.pulse
    if pulse is None:
        return
    age = max(time.time() - pulse.time, 0.0)
    yield GaugeMetricFamily("larboard_pulse_age_seconds", "Time since the ingest measured itself.", age)
    for name, text, value in (
        ("larboard_files_counted", "Files counted to their end.", pulse.files),
        ("larboard_packets_counted", "Packets counted.", pulse.packets),
        ("larboard_bytes_counted", "Bytes of files counted to their end.", pulse.bytes),
    ):
        yield CounterMetricFamily(name, text, value)
    if pulse.write_s is not None:
        text = "How long the last write of the leader took."
        yield GaugeMetricFamily("larboard_database_write_seconds", text, pulse.write_s)
    if pulse.facts is not None:
        yield from _of_facts(pulse.facts)


def _of_facts(facts: Facts) -> Iterable[Metric]:
    roots = [place for place in facts.places if not place.directory]
    lags = {place.root: place.lag_s for place in roots if place.lag_s is not None}
    text = "From the last change of the newest file of a data root to the end of counting."
    yield _by_label("larboard_ingest_lag_seconds", text, "root", lags)
    waiting = {
        place.root: max(facts.time - place.oldest_waiting, 0.0) if place.oldest_waiting is not None else 0.0
        for place in roots
    }
    yield _by_label("larboard_ingest_oldest_waiting_seconds", "How long a file waits, at most.", "root", waiting)
    if facts.scan.time is not None:
        age = max(time.time() - facts.scan.time, 0.0)
        yield GaugeMetricFamily("larboard_scan_age_seconds", "Time since all data roots were searched.", age)
    left = facts.backlog.left if facts.backlog else 0
    yield GaugeMetricFamily("larboard_backlog_files", "Files of a backlog that are left.", left)
    disks = [disk for disk in facts.disks if not disk.problem]
    free = {disk.path: disk.free for disk in disks}
    yield _by_label("larboard_disk_free_bytes", "Free space where files are kept.", "path", free)
    sizes = {disk.path: disk.total for disk in disks}
    yield _by_label("larboard_disk_size_bytes", "Size of the disk.", "path", sizes)
    yield _by_label("larboard_used_bytes", "What Larboard keeps.", "what", facts.used)


def _of_plugins(found: Gauges) -> Iterable[Metric]:
    for name, text, field in (
        ("larboard_plugin_seconds", "Time spent in a plot.", "seconds"),
        ("larboard_plugin_packets", "Packets handed to a plot.", "packets"),
        ("larboard_plugin_failures", "Failures of a plot.", "failures"),
    ):
        family = CounterMetricFamily(name, text, labels=["plot"])
        sums: dict[str, float] = {}
        for plugin in found.plugins:  # of two sources with one name, together
            sums[plugin.name] = sums.get(plugin.name, 0) + getattr(plugin, field)
        for plot, value in sums.items():
            family.add_metric([_label(plot)], value)
        yield family


def _of_site(found: Gauges) -> Iterable[Metric]:
    streams = sum(worker.streams for worker in found.workers)
    yield GaugeMetricFamily("larboard_web_workers", "Processes of the site that live.", len(found.workers))
    yield GaugeMetricFamily("larboard_stream_clients", "Open event streams of all of them.", streams)
    alarms = dict.fromkeys(KINDS, 0)
    for alarm in found.alarms:
        alarms[alarm.kind] = alarms.get(alarm.kind, 0) + 1
    yield _by_label("larboard_alarms", "Open alarms of the monitor itself, by kind.", "kind", alarms)


def _every_state(counted: dict[str, int]) -> dict[str, int]:
    return {state.value: counted.get(state.value, 0) for state in FileState}


def _by_label(name: str, text: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for value, number in values.items():
        family.add_metric([_label(value)], number)
    return family


def _label(text: str) -> str:
    """A name of a disk may hold bytes that are no text."""
    return text.encode("utf-8", "replace").decode()
