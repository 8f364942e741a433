"""A year of running in a store, and how long every query of a page takes in it: ``make bench``.

30,000 files in runs of 20, 200 trends of each (6 million points with their hours and days; a third have limits), elements of
every run and plot with states as large as those of the built-in plots for a run of the demo detector, notices, audit.
Printed for SQLite and for a real PostgreSQL: size of database and states before and after retention, the longest transaction
of retention, and median and worst of the warm calls of each query that a page or the API makes. `--files` for less.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import math
import os
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from dqm.settings import Settings
from dqm.store import Store, open_store, retention
from dqm.store.tables import (
    audit,
    elements,
    files,
    metadata,
    notices,
    parts,
    run_aliases,
    runs,
    trend_names,
    trend_points,
)
from dqm.views import board, file_page, gauges, live, plot_list, queries, run_list, run_page, trend_page
from dqm.views.site import Site, open_site
from plots.discovery import discover
from tests import postgresql
from tests.filling import fill

LIMIT_MS, LIMIT_GB = 100.0, 5.0
FILES_OF_RUN, TRENDS = 20, 200
YEAR_S = 365 * 86400.0
CALLS = 15
CATEGORIES = ("physics", "physics", "physics", "calibration", "laser")
POINTS_DAYS = 90


def weights(folder: Path) -> dict[str, tuple[int, dict[str, Any]]]:
    """Bytes of the state of each built-in plot for a run of the demo detector, and its trends."""
    store = open_store(f"sqlite:///{folder}/one.sqlite", folder / "one")
    fill(store, folder, seconds=20)
    found = {}
    with store.read() as tx:
        for row in tx.execute(sa.select(elements)):
            if row.base:
                found[row.plot] = (len(store.states.get(row.base)), row.trends)
    store.close()
    return found


class Filler:
    """A year, written as fast as the engine takes it, in the order of the keys."""

    def __init__(self, store: Store, states: dict[str, tuple[int, dict[str, Any]]], n_files: int, now: float):
        self.store, self.states, self.n_files, self.now = store, states, n_files, now
        self.n_runs = max(n_files // FILES_OF_RUN, 1)
        self.step = YEAR_S / n_files
        self.first = now - YEAR_S
        self.random = random.Random(1)

    def start(self, file: int) -> float:
        return self.first + file * self.step

    def __call__(self) -> None:
        self._put(runs, map(self._run, range(self.n_runs)))
        self._put(run_aliases, ({"kind": "charge", "value": str(n + 1), "run_id": n + 1} for n in range(self.n_runs)))
        self._put(files, map(self._file, range(self.n_files)))
        self._put(parts, (self._part(n, plot) for n in range(self.n_files) for plot in self.states))
        self._put(elements, (self._element(n, plot) for n in range(self.n_runs) for plot in self.states))
        names = self._names()
        self._put(trend_names, names)
        self._put(trend_points, (self._point(name["id"], n) for name in names for n in range(self.n_files)))
        self._put(notices, ({"time": self.now, "topic": "file", "key": str(n), "version": 0} for n in range(100_000)))
        self._put(
            audit,
            (
                {
                    "time": self.start(n),
                    "actor": "expert",
                    "action": "edit run",
                    "subject": str(n),
                    "before": {},
                    "after": {},
                }
                for n in range(min(5000, self.n_runs))
            ),
        )
        self._roll_up()

    def _run(self, n: int) -> dict[str, Any]:
        last = n == self.n_runs - 1
        return {
            "id": n + 1, "key": str(n + 1), "number": n + 1, "detector": "demo", "category": CATEGORIES[n % 5],
            "category_by": "rule", "tags": ["beam"] if n % 2 else [], "comment": "hot tile" if n % 50 == 0 else "",
            "start": self.start(n * FILES_OF_RUN), "end": self.start((n + 1) * FILES_OF_RUN) - 1,
            "certification": "good" if n % 3 == 0 else "open", "files": FILES_OF_RUN, "growing": 0, "unread": 0,
            "packets": 4_400_000, "quality": ("good", "good", "suspect", "bad")[n % 4], "updated": self.start(n * 20 + 19),
            "closed": not last, "version": 20,
        }  # fmt: skip

    def _file(self, n: int) -> dict[str, Any]:
        start = self.start(n)
        return {
            "id": n + 1, "path": f"/data/{n // 20:05d}/packet-{n // 20:05d}-{n % 20:04d}.hdf5", "root": "/data",
            "format": "packets", "version": "2.4", "run_id": min(n // FILES_OF_RUN, self.n_runs - 1) + 1, "subrun": n % 20,
            "start": start, "end": start + self.step, "rows": 220_000, "rows_done": 220_000, "size": 5_000_000,
            "mtime_ns": int(start * 1e9), "inode": f"1:{n}", "head": f"{n:040x}", "identity": f"{n:040x}",
            "state": "quarantined" if n % 1000 == 7 else "done", "reason": "", "faults": [], "provisional": False,
            "counted": n % 1000 != 7, "geometry": "demo", "first_seen": start, "changed": start, "done": start + 3,
            "attempts": 0, "next_look": None, "progress": None, "condensed": False, "current": True,
        }  # fmt: skip

    def _part(self, n: int, plot: str) -> dict[str, Any]:
        return {
            "file_id": n + 1, "plot": plot, "plot_version": 1, "geometry": "demo", "rows_done": 220_000, "cursor": None,
            "complete": True, "base": None, "deltas": [], "merged": True, "state": "ok", "reason": "", "traceback": "",
            "provisional": False,
        }  # fmt: skip

    def _element(self, n: int, plot: str) -> dict[str, Any]:
        size, trends = self.states[plot]
        base = self._state(size)
        return {
            "run_id": n + 1, "plot": plot, "plot_version": 1, "geometry": "demo", "version": 20, "base": base,
            "mergeable": True, "rows": 4_400_000, "state": "ok", "reason": "", "traceback": "", "provisional": False,
            "trends": trends, "updated": self.start(n * 20 + 19),
        }  # fmt: skip

    def _state(self, size: int) -> str:
        content = self.random.randbytes(size)
        if not self.store.is_sqlite:
            return self.store.states.put(content)
        from dqm.store.states import (
            address_of,
        )  # written without syncing each: it is not the speed of this that is measured

        address = address_of(content)
        path = self.store.states.directory / address[:2] / f"{address[2:]}.npz"  # type: ignore[attr-defined]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return address

    def _names(self) -> list[dict[str, Any]]:
        real = [(plot, name, trend) for plot, (_, trends) in self.states.items() for name, trend in trends.items()]
        limits = {"range": [0, None], "warn": [None, 2.0], "alarm": [None, 3.0]}
        none = {"range": [0, None], "warn": [None, None], "alarm": [None, None]}
        wanted = range(max(TRENDS - len(real), 0))
        more = [(f"More{n // 10}", f"number_{n}", {"unit": "Hz", **(none if n % 3 else limits)}) for n in wanted]
        return [
            {
                "id": n + 1, "plot": plot, "name": name, "unit": trend["unit"],
                "limits": {key: trend[key] for key in ("range", "warn", "alarm")},
            }
            for n, (plot, name, trend) in enumerate([*real, *more][:TRENDS])
        ]  # fmt: skip

    def _point(self, trend: int, n: int) -> dict[str, Any]:
        value = None if n % 97 == 0 else 1 + math.sin(n / 300 + trend) + (20 if (n * 7 + trend) % 9001 == 0 else 0)
        start = self.start(n)
        return {
            "trend_id": trend, "time": start, "file_id": n + 1, "run_id": min(n // FILES_OF_RUN, self.n_runs - 1) + 1,
            "end": start + self.step, "value": value, "reason": "" if value is not None else "too short",
        }  # fmt: skip

    def _put(self, table: sa.Table, rows: Iterable[dict[str, Any]]) -> None:
        names: list[str] = []
        waiting: list[tuple[Any, ...]] = []
        with self.store.begin() as tx:
            raw: Any = tx.connection.dbapi_connection
            for row in rows:
                names = names or list(row)
                waiting.append(tuple(json.dumps(v) if isinstance(v, dict | list) else v for v in row.values()))
                if len(waiting) == 50_000:
                    _insert(raw, table.name, names, waiting, self.store.is_sqlite)
                    waiting = []
            if waiting:
                _insert(raw, table.name, names, waiting, self.store.is_sqlite)

    def _roll_up(self) -> None:
        made = importlib.import_module(f"dqm.store.migrations.versions.{_roll_up_migration()}")
        with self.store.begin() as tx:
            made.roll_up(tx)
        with self.store.begin() as tx:
            for table in metadata.sorted_tables:
                key = next(iter(table.primary_key.columns))
                if (
                    not self.store.is_sqlite
                    and len(table.primary_key.columns) == 1
                    and isinstance(key.type, sa.Integer)
                ):
                    tx.execute(
                        sa.text(
                            f"SELECT setval(s, greatest((SELECT max({key.name}) FROM {table.name}), 1)) "
                            f"FROM pg_get_serial_sequence('{table.name}', '{key.name}') s WHERE s IS NOT NULL"
                        )
                    )


def _roll_up_migration() -> str:
    folder = Path(__file__).parent.parent / "dqm/store/migrations/versions"
    return next(folder.glob("*_hours_and_days_of_trends.py")).stem


def _insert(raw: Any, table: str, names: list[str], rows: list[tuple[Any, ...]], sqlite: bool) -> None:
    columns = ", ".join(f'"{name}"' for name in names)
    if sqlite:
        raw.executemany(f"INSERT INTO {table} ({columns}) VALUES ({', '.join('?' * len(names))})", rows)
        return
    with raw.cursor() as cursor, cursor.copy(f"COPY {table} ({columns}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row(row)


def queries_of(site: Site, now: float) -> dict[str, Callable[[], Any]]:
    """What each page and the API ask for."""
    last = str(_scalar(site.store, sa.select(sa.func.max(runs.c.id))))
    middle = str(int(last) // 2)
    known = [name.key for name in queries.trend_names(site)]
    two, twelve = known[:2], known[:12]

    def trend(names: list[str], since: str) -> Callable[[], Any]:
        asked = trend_page.wanted(f"?name={','.join(names)}&since={since}", known)
        return lambda: trend_page.load(site, asked, now)

    search = run_list.Search
    return {
        "live strip": lambda: live.run_strip(site, now),
        "board": lambda: board.board(site, now),
        "runs: first rows": lambda: run_list.run_rows(site, search()),
        "runs: words": lambda: run_list.run_rows(site, search(words="hot physics")),
        "runs: bad, a month": lambda: run_list.run_rows(site, search(quality="bad", since=now - 30 * 86400)),
        "runs: sorted by duration": lambda: run_list.run_rows(site, search(), (("duration", True),), 700, 800),
        "run page": lambda: run_page.run_page(site, middle),
        "run page, newest": lambda: run_page.run_page(site, "latest", now),
        "plot page": lambda: run_page.plot_page(site, middle, "PacketRate"),
        "trends: choices": lambda: trend_page.groups(site),
        "trends: 2, a day": trend(two, "24h"),
        "trends: 2, a month": trend(two, "30d"),
        "trends: 2, the year": trend(two, "all"),
        "trends: 12, a day": trend(twelve, "24h"),
        "trends: 12, a month": trend(twelve, "30d"),
        "trends: 12, the year": trend(twelve, "all"),
        "files: first rows": lambda: file_page.file_rows(site, file_page.Wanted()),
        "files: words": lambda: file_page.file_rows(site, file_page.Wanted(words="01234 packets")),
        "files: quarantined": lambda: file_page.file_rows(site, file_page.Wanted(state="quarantined")),
        "files: sorted by size, from the middle": lambda: file_page.file_rows(
            site, file_page.Wanted(), 15_000, 15_100, (("size", True),)
        ),
        "files: of a run": lambda: file_page.file_rows(site, file_page.Wanted(run=middle)),
        "files: counts": lambda: file_page.counts(site),
        "files: one": lambda: file_page.detail(site, "1500"),
        "plots": lambda: plot_list.plot_page(site),
        "API runs": lambda: queries.run_page(site, search(), (), 100, None),
        "API files": lambda: queries.file_page(site, {"words": "", "state": "", "run": "", "history": True}, (), 100, None),
        "API elements": lambda: queries.judged_elements(site, middle),
        "API trends, a day": lambda: queries.followed(site, known[0], now - 86400, None, 1000),
        "API trends, the year": lambda: queries.followed(site, known[0], None, None, 1000),
        "API trends, the year by hours": lambda: queries.followed(site, known[0], None, None, 10_000, "hour"),
        "API ingest": lambda: queries.ingest(site),
        "API events, nothing new": lambda: queries.news(site, 100_000),
        "metrics": lambda: gauges.gauges(site),
    }  # fmt: skip


def _scalar(store: Store, wanted: Any) -> Any:
    with store.read() as tx:
        return tx.scalar(wanted)


def timed(call: Callable[[], Any]) -> tuple[list[float], float]:
    """Milliseconds of each warm call; and of a median one those of the processor, which other work here does not change."""
    call()
    taken, computed = [], []
    for _ in range(CALLS):
        begun, busy = time.perf_counter(), time.thread_time()
        call()
        taken.append((time.perf_counter() - begun) * 1e3)
        computed.append((time.thread_time() - busy) * 1e3)
    return taken, statistics.median(computed)


def size_of(store: Store, folder: Path) -> tuple[float, float]:
    """(database, states) in GB."""
    if store.is_sqlite:
        with store.engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        base = sum(path.stat().st_size for path in folder.glob("larboard.sqlite*"))
        return base / 1e9, sum(path.stat().st_size for path in (folder / "states").rglob("*.npz")) / 1e9
    whole = _scalar(store, sa.text("SELECT pg_database_size(current_database())"))
    kept = _scalar(store, sa.text("SELECT pg_total_relation_size('states')"))
    return (whole - kept) / 1e9, kept / 1e9


def measure(store: Store, folder: Path, states: dict[str, Any], n_files: int) -> list[str]:
    """Fills, asks, drops, asks again; gives what missed its limit."""
    now = time.time()
    name = store.engine.dialect.name
    begun = time.monotonic()
    Filler(store, states, n_files, now)()
    if not store.is_sqlite:
        with store.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")
    wanted = f"{os.cpu_count()} cores, wanted by {os.getloadavg()[0]:.1f} processes"
    print(
        f"\n{name}: {n_files:,} files, {TRENDS} trends of each; filled in {time.monotonic() - begun:.0f} s; {wanted}",
        flush=True,
    )
    missed = _say_size(store, folder, "")
    settings = Settings(data={"directory": folder})
    site = open_site(settings, store)
    gc.collect()
    gc.freeze()  # as a web worker does when it has started (`dqm.serve`): else what filled the store is looked through
    missed += ask_all(site, now, name)
    longest, dropped = drop(store, now)
    print(f"  retention (points older than {POINTS_DAYS} days): {dropped:,} transactions, the longest {longest:.0f} ms")
    missed += _say_size(store, folder, " after retention")
    missed += ask_all(site, now, f"{name} after retention")
    site.cache.close()
    return missed


def _say_size(store: Store, folder: Path, when: str) -> list[str]:
    database, kept = size_of(store, folder)
    print(f"  size{when}: database {database:.2f} GB, states {kept:.2f} GB (together at most {LIMIT_GB:g})")
    return [f"size of {store.engine.dialect.name}{when}"] if when and database + kept > LIMIT_GB else []


def ask_all(site: Site, now: float, name: str) -> list[str]:
    missed = []
    for what, call in queries_of(site, now).items():
        taken, computed = timed(call)
        late = max(taken) > LIMIT_MS
        missed += [f"{name}: {what}"] if late else []
        said = f"median {statistics.median(taken):6.1f} ms, worst {max(taken):6.1f} ms, processor {computed:5.1f} ms"
        print(f"  {what:40} {said}{'  MISSED' if late else ''}", flush=True)
    return missed


def drop(store: Store, now: float) -> tuple[float, int]:
    """(longest transaction in ms, how many) of keeping a rule."""
    from dqm.records import RetentionRule

    rules = [RetentionRule(points_days=POINTS_DAYS)]
    longest, number = 0.0, 0
    with store.read() as tx:
        due = retention.due(tx, rules, "points", now)
    for found in due:
        more = True
        while more:
            with store.begin() as tx:
                begun = time.perf_counter()
                more = retention.bite(tx, found)
            longest = max(longest, (time.perf_counter() - begun) * 1e3)
            number += 1
    return longest, number


@contextmanager
def stores(folder: Path, which: Iterable[str]) -> Iterator[list[Callable[[], Store]]]:
    made: list[Callable[[], Store]] = []
    with postgresql.server() as url:
        if "sqlite" in which:
            made.append(lambda: open_store(f"sqlite:///{folder}/larboard.sqlite", folder / "states"))
        if "postgresql" in which:
            made.append(lambda: open_store(url, folder / "none", migrate=True))
        yield made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=30_000)
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    arguments = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="larboard-year-"))
    missed: list[str] = []
    try:
        states = weights(folder)
        total = sum(size for size, _ in states.values())
        print(f"states of {len(states)} built-in plots of a run of the demo detector: {total / 1e6:.2f} MB")
        print(f"plots: {len(discover().plots)}; {os.cpu_count()} cores, wanted by {os.getloadavg()[0]:.1f} processes")
        with stores(folder, [arguments.only] if arguments.only else ["sqlite", "postgresql"]) as made:
            for make in made:
                store = make()
                missed += measure(store, folder, states, arguments.files)
                store.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if missed:
        sys.exit(f"missed: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
