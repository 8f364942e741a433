"""Alarms of the monitor by the API: listed, acknowledged once, with a trace, also those that only the web can see."""

from __future__ import annotations

import time

import pytest
from flask.testing import FlaskClient

from dqm.records import Alarm, Watcher
from dqm.store import alarms, audit, notices, watchers
from dqm.views.alarm_list import acknowledge
from dqm.views.queries import Actor, NotAllowed
from dqm.views.site import Site

JSON = {"Content-Type": "application/json"}


def raised(site: Site, kind: str = "root", **changes: object) -> int:
    now = time.time()
    values = {"subject": "/data", "severity": "bad", "reason": "it is <b>not</b> there", "since": now, "seen": now}
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, now, now, True, "reads", 0, None, ()))
        watchers.lead(tx, "w", now, 100)
        return alarms.raise_(tx, Alarm(0, kind, **values | changes))  # type: ignore[arg-type]


def post(client: FlaskClient, which: object) -> object:
    return client.post(f"/api/v1/alarms/{which}/acknowledge", headers=JSON, data="{}")


def test_open_alarms_are_listed_and_those_that_ended_on_demand(client: FlaskClient, site: Site) -> None:
    number = raised(site)
    ended = raised(site, "slow", ended=time.time(), subject="")
    found = client.get("/api/v1/alarms").json
    (one,) = found["open"]
    assert found["ended"] == []
    assert (one["id"], one["kind"], one["blind"], one["acknowledged_at"]) == (number, "root", True, None)
    assert one["reason"] == "it is <b>not</b> there"
    assert one["advice"].startswith("mount it again")
    assert [one["id"] for one in client.get("/api/v1/alarms?history=true").json["ended"]] == [ended]


def test_acknowledging_names_who_did_it_once_and_leaves_a_trace(client: FlaskClient, site: Site) -> None:
    number = raised(site)
    with site.store.read() as tx:
        before = notices.last(tx)
    first = post(client, number)
    assert first.status_code == 200  # type: ignore[attr-defined]
    assert first.json["acknowledged_by"] == "admin@127.0.0.1"  # type: ignore[attr-defined]
    post(client, number)
    with site.store.read() as tx:
        (done,) = audit.of(tx, f"alarm {number}")
        assert (done["actor"], done["action"], done["after"]["kind"]) == ("admin@127.0.0.1", "acknowledge", "root")
        assert [notice.topic for notice in notices.after(tx, before)] == ["alarm"]


def test_what_is_not_there_or_over_cannot_be_acknowledged(client: FlaskClient, site: Site) -> None:
    ended = raised(site, ended=time.time())
    for which, status in ((ended, 409), (999, 404), ("nonsense", 404), ("9" * 40, 404), ("-1", 404)):
        assert post(client, which).status_code == status, which  # type: ignore[attr-defined]


def test_a_viewer_may_not_acknowledge_and_a_shifter_may(site: Site) -> None:
    number = raised(site)
    with pytest.raises(NotAllowed, match="needs the role shifter"):
        acknowledge(site, Actor("v", "viewer"), str(number))
    found = acknowledge(site, Actor("s", "shifter"), str(number))
    assert found is not None
    assert found.acknowledged_by == "s"


def test_the_web_itself_sees_that_nobody_reads_files(client: FlaskClient, site: Site) -> None:
    assert client.get("/api/v1/alarms").json["open"] == []
    then = time.time() - 500
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, then, then, True, "reads", 0, None, ()))
    (one,) = client.get("/api/v1/alarms").json["open"]
    assert (one["id"], one["kind"], one["blind"]) == (None, "leader", True)
    with site.store.read() as tx:
        assert alarms.open_ones(tx) == [], "asking writes nothing"
    assert post(client, "leader").status_code == 200  # type: ignore[attr-defined]
    (one,) = client.get("/api/v1/alarms").json["open"]
    assert one["id"] is not None
    assert one["acknowledged_by"] == "admin@127.0.0.1"


def test_processes_that_all_stand_by_are_an_alarm_too(client: FlaskClient, site: Site) -> None:
    now = time.time()
    with site.store.begin() as tx:
        watchers.beat(tx, Watcher("w", "daq", 2, now, now, False, "stands by", 0, None, ()))
    (one,) = client.get("/api/v1/alarms").json["open"]
    assert "none of them leads" in one["reason"]
