"""What was counted, so that two stores can be compared bit for bit; and what must be true of any store at rest."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

from dqm.records import FileState
from dqm.store import Store, elements, files, notices, parts, runs
from dqm.store.runs import Search

AT_REST = {FileState.DONE, FileState.SAME, FileState.GONE}


@dataclass(frozen=True)
class RunPicture:
    """One run: numbers, its elements with the addresses of their states, and the points of its trends."""

    facts: dict[str, Any]
    elements: dict[str, dict[str, Any]]
    points: dict[str, list[Any]]

    def without(self, plot: str) -> RunPicture:
        """All but one plot."""
        kept = {name: points for name, points in self.points.items() if not name.startswith(f"point of {plot}.")}
        return replace(self, elements={name: e for name, e in self.elements.items() if name != plot}, points=kept)

    def differences(self, other: RunPicture) -> list[str]:
        """Sentences: what is here, and what is there."""
        found = []
        for name in ("facts", "elements", "points"):
            mine, theirs = getattr(self, name), getattr(other, name)
            for key in sorted({*mine, *theirs}):
                if mine.get(key) != theirs.get(key):
                    found.append(f"{key}: {mine.get(key)} instead of {theirs.get(key)}")
        return found


def picture(store: Store) -> dict[str, RunPicture]:
    """All runs that anything is counted of, by key. Equal addresses are equal bits."""
    with store.read() as tx:
        return {run.key: _run(tx, run) for run in runs.search(tx, Search(), limit=100_000) if run.files}


def _run(tx: Any, run: Any) -> RunPicture:
    facts = {name: getattr(run, name) for name in ("number", "packets", "start", "end", "growing", "unread", "quality")}
    shown = {
        name: {
            "base": element.base,
            "rows": element.rows,
            "state": str(element.state),
            "version": element.plot_version,
            "geometry": element.geometry,
            "trends": {key: trend.value for key, trend in element.trends.items()},
        }
        for name, element in elements.of_run(tx, run.id).items()
        if element.mergeable
    }
    return RunPicture(facts, shown, _points(tx, run.id))


def _points(tx: Any, run_id: int) -> dict[str, list[Any]]:
    import sqlalchemy as sa

    from dqm.store.tables import trend_names, trend_points

    wanted = (
        sa.select(trend_names.c.plot, trend_names.c.name, trend_points.c.time, trend_points.c.value)
        .join(trend_points, trend_points.c.trend_id == trend_names.c.id)
        .where(trend_points.c.run_id == run_id)
        .order_by(trend_names.c.plot, trend_names.c.name, trend_points.c.time, trend_points.c.value)
    )
    found: dict[str, list[Any]] = {}
    for plot, name, moment, value in tx.execute(wanted):
        found.setdefault(f"point of {plot}.{name}", []).append((moment, value))
    return found


def differences(mine: dict[str, RunPicture], theirs: dict[str, RunPicture]) -> list[str]:
    """Sentences, one for each thing that is not equal bit for bit."""
    found = []
    for key in sorted({*mine, *theirs}):
        if key not in mine or key not in theirs:
            found.append(f"run {key} is only in the {'clean pass' if key in theirs else 'service'}")
            continue
        found += [f"run {key}, {text}" for text in mine[key].differences(theirs[key])]
    return found


def not_well(mine: dict[str, RunPicture], excused: Collection[str] = ()) -> list[str]:
    """Elements that are broken, incomplete or missing, though nothing is wrong with the plots; runs that may lack one."""
    plots = {name for run in mine.values() for name in run.elements}
    missing = [
        f"run {key} has no {name}"
        for key, run in mine.items()
        if key not in excused
        for name in sorted(plots - set(run.elements))
    ]
    return missing + [
        f"run {key}, {name} is {element['state']} with {element['rows']:,} of {run.facts['packets']:,} rows"
        for key, run in mine.items()
        for name, element in run.elements.items()
        if element["state"] != "ok" or element["rows"] != run.facts["packets"]
    ]


def wrong_counts(mine: dict[str, RunPicture], made: dict[str, int]) -> list[str]:
    """Runs of which not every packet that was made is counted once."""
    counted = {key: run.facts["packets"] for key, run in mine.items()}
    return [
        f"run {key}: {counted.get(key, 0):,} packets are counted, {rows:,} were made"
        for key, rows in made.items()
        if counted.get(key, 0) != rows
    ]


def unrest(store: Store, names: dict[str, os.stat_result]) -> list[str]:
    """Why the watch is not at rest: files that it has not seen as they are, or that wait for something."""
    with store.read() as tx:
        ledger = files.current(tx)
    found = []
    for path, info in names.items():
        row = ledger.get(path)
        if row is None:
            found.append(f"{path} was never seen")
        elif (row.size, row.mtime_ns) != (info.st_size, info.st_mtime_ns):
            found.append(f"{path} was not seen as it is now")
    for path, row in ledger.items():
        if row.state not in AT_REST or row.next_look is not None:
            found.append(f"{path} is {row.state} ({row.reason or 'no reason'})")
        elif row.state is FileState.GONE and path in names:
            found.append(f"{path} is there, and is called gone")
        elif row.state is not FileState.GONE and path not in names:
            found.append(f"{path} is not there, and is called {row.state}")
    return found


def unsound(store: Store, before: dict[int, Any], answered: list[str]) -> list[str]:
    """What must be true of any store: every named state is there and no other, notices in order, an audit that stands.

    `before` are audit rows as they were seen earlier; `answered` are the comments of changes that the API confirmed.
    """
    found = []
    with store.read() as tx:
        named = parts.addresses(tx)
        numbers = [notice.seq for notice in notices.after(tx, 0, 10_000_000)]
    store.states.collect(named, time.time() + 1e6)
    for address in named:
        try:
            store.states.get(address)
        except KeyError:
            found.append(f"state {address} is named and is not there")
    if left := kept(store) - named:
        found.append(f"{len(left)} states that nothing names were not collected")
    if store.is_sqlite and numbers != list(range(min(numbers, default=0), min(numbers, default=0) + len(numbers))):
        found.append("the notices have a gap")
    return found + _spoiled(audit_rows(store), before, answered)


def _spoiled(audit: dict[int, Any], before: dict[int, Any], answered: list[str]) -> list[str]:
    """Rows of the audit that changed, and confirmed changes that do not stand in it exactly once."""
    changed = [
        f"audit row {i} was changed or is lost: {row} is {audit.get(i)}"
        for i, row in before.items()
        if audit.get(i) != row
    ]
    said = Counter(row["after"]["comment"] for row in audit.values() if row["action"] == "edit run")
    wrong = [text for text in {*answered, *said} if said[text] != 1]
    return changed + [f"the change {text!r} stands {said[text]} times in the audit" for text in wrong]


def kept(store: Store) -> set[str]:
    """Addresses of all states that are there."""
    if store.is_sqlite:
        directory = store.states.directory  # type: ignore[attr-defined]
        return {path.parent.name + path.stem for path in directory.glob("??/*")}
    import sqlalchemy as sa

    from dqm.store.tables import states

    with store.read() as tx:
        return set(tx.scalars(sa.select(states.c.address)))


def audit_rows(store: Store) -> dict[int, dict[str, Any]]:
    import sqlalchemy as sa

    from dqm.store.tables import audit

    with store.read() as tx:
        return {row.id: dict(row._mapping) for row in tx.execute(sa.select(audit))}
