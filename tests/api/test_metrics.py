"""What Prometheus is told: as its own parser reads it, and by its conventions."""

from __future__ import annotations

import re
import time
from dataclasses import replace

from flask import Flask
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from dqm.api import EXTENSION, PRESENCE
from dqm.records import Alarm, BacklogFacts, DiskFacts, PlaceFacts, Plugin, Pulse, Watcher
from dqm.store import alarms, plugins, pulses, watchers, web_workers
from dqm.views.site import Site
from tests.checks.test_alarms import facts

UNITS = ("_seconds", "_bytes", "_files", "_total")
COUNTS = {"larboard_files", "larboard_runs", "larboard_open_runs", "larboard_notices", "larboard_alarms"}
COUNTS |= {"larboard_sse_clients", "larboard_stream_clients", "larboard_web_workers", "larboard_database_up"}


def measured(site: Site) -> None:
    now = time.time()
    nasty = '/data/"two"\n\\x'
    seen = facts(
        time=now - 3,
        places=(
            PlaceFacts(nasty, "", 4.5, False, 3, 2, now - 63),
            PlaceFacts(nasty, nasty + "/a", 9.0, False, 1, 0, None),
        ),
        disks=(
            DiskFacts(nasty, "data root", 1000, 250, None),
            DiskFacts("/gone", "data root", 0, 0, None, "not there"),
        ),
        used={"states": 5},
        backlog=BacklogFacts(now - 60, 100, 40, None),
    )
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, now, now, True, "reads", 60, None, ()))
        watchers.lead(tx, "w", now, 100)
        pulses.save(tx, Pulse(now - 3, "w", 60, 4.5, 7, 2**40, 9, 0.25, {}, seen))
        plugins.found(tx, [Plugin("A", "one", "", "", ""), Plugin("A", "two", "", "", "")])
        plugins.cost(tx, "A", 1, 1000, 0.5, "it failed")
        alarms.raise_(tx, Alarm(0, "space", "/x", "bad", "full", now, now))


def scraped(client: FlaskClient) -> dict[str, dict[str, float]]:
    """Sample name -> label values -> number."""
    found: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(client.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, {})[",".join(sample.labels.values())] = sample.value
    return found


def test_what_the_leader_measured_is_scraped(client: FlaskClient, site: Site) -> None:
    measured(site)
    found = scraped(client)
    nasty = '/data/"two"\n\\x'
    assert found["larboard_ingest_queue_files"] == {"": 60}
    assert found["larboard_ingest_lag_seconds"] == {nasty: 4.5}
    assert found["larboard_ingest_oldest_waiting_seconds"][nasty] == 60
    assert found["larboard_files_counted_total"] == {"": 7}
    assert found["larboard_packets_counted_total"] == {"": 2**40}
    assert found["larboard_plugin_seconds_total"] == {"A": 1.0}
    assert found["larboard_plugin_failures_total"] == {"A": 2}
    assert found["larboard_disk_free_bytes"] == {nasty: 250}
    assert found["larboard_used_bytes"] == {"states": 5}
    assert found["larboard_database_write_seconds"] == {"": 0.25}
    assert found["larboard_backlog_files"] == {"": 60}
    assert found["larboard_alarms"]["space"] == 1
    assert found["larboard_alarms"]["leader"] == 0
    assert 3 <= found["larboard_pulse_age_seconds"][""] < 60


def test_names_and_units_are_those_of_prometheus(client: FlaskClient, site: Site) -> None:
    measured(site)
    for family in text_string_to_metric_families(client.get("/metrics").text):
        assert re.fullmatch(r"larboard_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert family.type in ("gauge", "counter")
        for sample in family.samples:
            assert sample.name in COUNTS or sample.name.endswith(UNITS), sample.name
            assert sample.name.endswith("_total") == (family.type == "counter")


def test_before_anything_was_measured_there_is_still_an_answer(client: FlaskClient) -> None:
    found = scraped(client)
    assert found["larboard_database_up"] == {"": 1}
    assert "larboard_packets_counted_total" not in found


def test_the_web_tells_that_nobody_leads_to_prometheus_too(client: FlaskClient, site: Site) -> None:
    measured(site)
    then = time.time() - 500
    with site.store.begin() as tx:
        newest = pulses.newest(tx)
        assert newest
        pulses.save(tx, replace(newest, time=then))
        watchers.beat(tx, Watcher("w", "daq", 2, then, then, True, "reads", 60, None, ()))
    assert scraped(client)["larboard_alarms"]["leader"] == 1


def test_a_worker_tells_of_itself_and_is_not_missed_when_it_ends(
    client: FlaskClient, server: Flask, site: Site
) -> None:
    tells = server.extensions[PRESENCE]
    server.extensions[EXTENSION].join()
    tells()
    tells()
    tells._thread.join()
    found = scraped(client)
    assert found["larboard_web_workers"] == {"": 1}
    assert found["larboard_stream_clients"] == {"": 1}
    tells.stop()
    server.extensions[EXTENSION].stop()
    with site.store.read() as tx:
        assert web_workers.alive(tx, 0) == []


def test_ready_says_that_the_monitor_is_blind_and_stays_ready(client: FlaskClient, site: Site) -> None:
    assert client.get("/ready").json == {"status": "ok", "version": client.get("/health").json["version"], "blind": []}
    then = time.time() - 500
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, then, then, True, "reads", 0, None, ()))
    response = client.get("/ready")
    assert response.status_code == 200
    assert response.json["blind"] == ["no ingest process gives signs of life"]
    site.settings.auth.anonymous = False  # strangers are told kinds, and no paths or hosts
    assert client.get("/ready", environ_base={"REMOTE_ADDR": "192.0.2.7"}).json["blind"] == ["leader"]
