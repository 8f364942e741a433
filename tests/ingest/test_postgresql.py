"""Ingest over PostgreSQL: files are taken, a crash at any transaction changes nothing, another leads when the leader is
killed, and a server that goes away for a while costs time and nothing else.
"""

from __future__ import annotations

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from dqm.demo import DemoRun, take_run
from dqm.store import Store, elements, open_store, parts, runs, watchers
from dqm.store.tables import leases
from tests import postgresql
from tests.ingest.test_watch import crash_at
from tests.ingest.watching import Site, take
from tests.services import Service, ask, running, until


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with postgresql.server() as url:
        yield url


@pytest.fixture
def url(server: str) -> str:
    """A new database with the tables."""
    name = f"t{uuid.uuid4().hex}"
    engine = sa.create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    engine.dispose()
    made = server.rpartition("/")[0] + f"/{name}"
    open_store(made, Path("unused"), migrate=True).close()
    return made


@pytest.fixture
def store(url: str, tmp_path: Path) -> Iterator[Store]:
    opened = open_store(url, tmp_path / "states")
    yield opened
    opened.close()


def bases(store: Store, run: str) -> dict[str, str | None]:
    with store.read() as tx:
        found = runs.get(tx, run)
        return {name: e.base for name, e in elements.of_run(tx, found.id).items()} if found else {}


@pytest.mark.parametrize("moment", [1, 4, 9, 17])
def test_a_crash_at_any_transaction_and_a_restart_change_nothing(store: Store, tmp_path: Path, moment: int) -> None:
    plain, site = Site(tmp_path / "plain"), Site(tmp_path / "site", store=store)
    for one in (plain, site):
        take(one.root, raw=False)
    plain.settle()
    crash_at(site, moment)
    with store.begin() as tx:  # the lease of the dead one ends by the clock of the database, which no test can turn
        tx.execute(leases.delete())
    site.settle(times=6)
    assert site.bases("5") == plain.bases("5")


@pytest.fixture
def place(url: str, tmp_path: Path) -> Path:
    """A folder with settings over an empty data root."""
    (tmp_path / "data").mkdir()
    (tmp_path / "larboard.toml").write_text(
        f'[store]\nurl = "{url}"\n[data]\ndirectory = "state"\n[ingest]\nroots = ["data"]\nexecutor = "inline"\n'
        f"[web]\nport = {postgresql.free_port()}\nworkers = 2\n"
    )
    return tmp_path


def bring(place: Path, number: int) -> None:
    """A run of one file, moved in whole."""
    made = place / f"made{number}"
    made.mkdir()
    taken = take_run(DemoRun(seed=number, duration_s=2).busier(0.1), made, run_number=number, raw=False)
    assert taken.packets
    taken.packets.rename(place / "data" / taken.packets.name)


def counted(store: Store, run: str) -> bool:
    with store.read() as tx:
        found = runs.get(tx, run)
        return bool(found and found.files == 1 and not found.growing and all(bases(store, run).values()))


def leader(store: Store) -> int:
    """The process that leads; 0 when nobody does."""
    with store.read() as tx:
        return next((watcher.pid for watcher in watchers.alive(tx, 0) if watcher.leader), 0)


def test_another_ingest_takes_over_when_the_leader_is_killed_and_web_workers_show_it(place: Path, store: Store) -> None:
    with (
        running("watch", cwd=place) as first, running("watch", cwd=place) as second, running("serve", cwd=place) as web,
    ):  # fmt: skip
        address = web.wait_for("http://").split()[-1].rstrip("/")
        until(lambda: leader(store))
        bring(place, 1)
        until(lambda: counted(store, "1"), 120)
        killed = leader(store)
        by_pid: dict[int, Service] = {first.process.pid: first, second.process.pid: second}
        assert killed in by_pid
        os.kill(killed, signal.SIGKILL)
        by_pid[killed].process.wait()
        bring(place, 2)
        until(lambda: leader(store) not in (0, killed), 120)
        until(lambda: counted(store, "2"), 120)
        shown: Any = until(lambda: ask(f"{address}/api/v1/runs"))
        assert {run["run"] if "run" in run else run["key"] for run in shown["runs"]} == {"1", "2"}


def test_a_database_that_goes_away_for_a_while_costs_nothing(place: Path, store: Store, server: str) -> None:
    with running("watch", cwd=place), running("serve", cwd=place) as web:
        address = web.wait_for("http://").split()[-1].rstrip("/")
        bring(place, 1)
        until(lambda: counted(store, "1"), 120)
        for number in (2, 3):
            bring(place, number)  # the server goes down while it is looked at or counted
            postgresql.restart(server)
            store.engine.dispose()
            until(lambda number=number: counted(store, str(number)), 120)
        until(lambda: ask(f"{address}/ready"))
        assert len(ask(f"{address}/api/v1/runs")["runs"]) == 3
    plain = Site(place / "plain", plots=None)
    for path in sorted((place / "data").iterdir()):
        (plain.root / path.name).write_bytes(path.read_bytes())
        os.utime(plain.root / path.name, (1_700_000_000, 1_700_000_000))
    plain.settle()
    for number in "123":
        assert bases(store, number) == plain.bases(number)
    with store.read() as tx:
        assert all(store.states.get(address) for address in parts.addresses(tx))
