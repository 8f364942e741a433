"""What the monitor keeps of itself: alarms, pulses, sums, web workers; on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
import sqlalchemy as sa

from dqm.records import Alarm, FileState, Pulse, WebWorker
from dqm.store import Store, alarms, files, lags, notices, pulses, vitals, web_workers
from dqm.store.states import address_of
from tests.checks.test_alarms import facts

NOW = 1_800_000_000.0
ALARM = Alarm(0, "root", "/data", "bad", "it is not there", NOW - 60, NOW)


def test_an_alarm_is_raised_seen_acknowledged_and_ended(store: Store) -> None:
    with store.begin() as tx:
        number = alarms.raise_(tx, ALARM)
        alarms.seen(tx, number, NOW + 10, "still not there", "suspect")
        alarms.acknowledge(tx, number, "first", NOW + 11)
        alarms.acknowledge(tx, number, "second", NOW + 12)
        (one,) = alarms.open_ones(tx)
        assert (one.seen, one.reason, one.severity, one.since) == (NOW + 10, "still not there", "suspect", NOW - 60)
        assert (one.acknowledged_by, one.acknowledged_at) == ("first", NOW + 11)
        alarms.end(tx, number, NOW + 20)
        alarms.end(tx, number, NOW + 30)
        assert alarms.open_ones(tx) == []
        (ended,) = alarms.history(tx)
        assert ended.ended == NOW + 20
        assert {notice.topic for notice in notices.after(tx, 0)} == {"alarm"}


def test_of_one_thing_only_one_alarm_is_open(store: Store) -> None:
    with store.begin() as tx:
        first = alarms.raise_(tx, ALARM)
        alarms.end(tx, first, NOW)
        alarms.raise_(tx, ALARM)
        alarms.raise_(tx, replace(ALARM, subject="/other"))
    with pytest.raises(sa.exc.IntegrityError), store.begin() as tx:
        alarms.raise_(tx, ALARM)


def test_alarms_that_nobody_has_seen_stand_first(store: Store) -> None:
    with store.begin() as tx:
        old = alarms.raise_(tx, replace(ALARM, subject="old", since=NOW - 500))
        for subject, since in (("later", NOW - 5), ("sooner", NOW - 50)):
            alarms.raise_(tx, replace(ALARM, subject=subject, since=since))
        alarms.acknowledge(tx, old, "me", NOW)
        assert [alarm.subject for alarm in alarms.open_ones(tx)] == ["sooner", "later", "old"]


def test_sums_only_go_up(store: Store) -> None:
    with store.begin() as tx:
        assert pulses.totals(tx) == {}
        pulses.count(tx, packets=5, files=0)
        pulses.count(tx, packets=2**40, bytes=7)
        assert pulses.totals(tx) == {"packets": 2**40 + 5, "bytes": 7}


def test_a_sample_comes_back_as_it_was_and_only_the_newest_has_facts(store: Store) -> None:
    sample = Pulse(NOW, "w", 3, None, 1, 2**40, 3, 0.01, {"/data": 5}, facts(time=NOW))
    with store.begin() as tx:
        assert pulses.newest(tx) is None
        pulses.save(tx, sample)
        assert pulses.newest(tx) == sample
        later = replace(sample, time=NOW + 10)
        pulses.save(tx, later)
        assert pulses.newest(tx) == later
        assert pulses.series(tx, NOW) == [replace(one, facts=None) for one in (sample, later)]
        assert pulses.first(tx) == replace(sample, facts=None)


def test_a_clock_that_was_set_back_leaves_no_samples_of_the_future(store: Store) -> None:
    sample = Pulse(NOW, "w", 3, None, 1, 1, 1, None, {})
    with store.begin() as tx:
        pulses.save(tx, sample)
        pulses.save(tx, replace(sample, time=NOW - 5000))
        newest = pulses.newest(tx)
        assert newest is not None
        assert newest.time == NOW - 5000


def test_web_workers_that_fell_silent_are_forgotten(store: Store) -> None:
    worker = WebWorker("w:1", "web", 1, NOW, NOW, 3, 36)
    with store.begin() as tx:
        web_workers.beat(tx, worker)
        web_workers.beat(tx, replace(worker, name="w:2", beat=NOW + 5))
        web_workers.beat(tx, replace(worker, streams=4))
        assert {one.name: one.streams for one in web_workers.alive(tx, NOW)} == {"w:1": 4, "w:2": 3}
        web_workers.beat(tx, replace(worker, name="w:3", beat=NOW + web_workers.FORGET_S + 1))
        assert {one.name for one in web_workers.alive(tx, 0)} == {"w:2", "w:3"}
        web_workers.gone(tx, "w:2")
        assert {one.name for one in web_workers.alive(tx, 0)} == {"w:3"}


def test_failures_are_grouped_by_reason_the_most_frequent_first(store: Store) -> None:
    with store.begin() as tx:
        for n in range(6):
            file = files.add(tx, f"/data/{n}", "/data", 1, n, "", NOW + n)
            state = FileState.QUARANTINED if n < 4 else FileState.DONE
            files.update(tx, file, state=state, reason="locked" if n == 3 else "no HDF5", next_look=None)
        assert lags.failures(tx) == [("quarantined", "no HDF5", 3), ("quarantined", "locked", 1)]
        assert [look.path for look in lags.newest(tx, "/data", 2)] == ["/data/5", "/data/4"]
        assert lags.due(tx, NOW + 100) == []
        assert lags.arrived(tx, NOW + 3) == 2


def test_states_that_are_not_there_are_told_from_those_that_are(store: Store) -> None:
    kept = store.states.put(b"kept")
    assert store.states.missing({kept, address_of(b"lost")}) == {address_of(b"lost")}
    assert store.states.missing(set()) == set()


def test_the_vitals_of_a_database_say_its_engine_size_and_clock(store: Store) -> None:
    found = vitals.measure(store)
    assert found.engine.startswith("SQLite" if store.is_sqlite else "PostgreSQL")
    assert found.size
    assert found.schema
    assert abs(found.ahead_s) < 1
    assert (found.states is None) == store.is_sqlite
    with store.read() as tx:
        assert vitals.refusal(store, tx) == ""


def test_a_database_that_takes_nothing_says_so(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    if store.is_sqlite:
        monkeypatch.setattr(vitals.os, "access", lambda path, mode: False)
        words = "larboard.sqlite or its directory is read-only"
    else:
        with store.begin() as tx:
            tx.execute(sa.text(f"ALTER DATABASE {store.engine.url.database} SET default_transaction_read_only = on"))
        store.engine.dispose()
        words = "it is set to read-only"
    with store.read() as tx:
        assert words in vitals.refusal(store, tx)
