"""Plots of runs: what is merged, its trends, and the version by which a page knows that it changed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Element, ElementState, TrendValue
from dqm.store import notices
from dqm.store.rows import upsert
from dqm.store.tables import elements, runs

_SELECT = sa.select(elements, runs.c.key.label("run_key")).join(runs, runs.c.id == elements.c.run_id)


class Overtaken(RuntimeError):
    """Somebody else changed the element meanwhile: what was worked out from its old state must not be written."""


def _element(row: Any) -> Element:
    values = {name: getattr(row, name) for name in Element.__slots__}
    trends = {name: TrendValue.from_json(data) for name, data in row.trends.items()}
    return Element(**values | {"trends": trends, "state": ElementState(row.state)})


_OF_RUN_AND_PLOT = _SELECT.where(
    elements.c.run_id == sa.bindparam("wanted_run"), elements.c.plot == sa.bindparam("wanted_plot")
)


def get(tx: Connection, run_id: int, plot: str) -> Element | None:
    row = tx.execute(_OF_RUN_AND_PLOT, {"wanted_run": run_id, "wanted_plot": plot}).first()
    return _element(row) if row else None


def of_run(tx: Connection, run_id: int) -> dict[str, Element]:
    """All elements of a run by plot."""
    return {row.plot: _element(row) for row in tx.execute(_SELECT.where(elements.c.run_id == run_id))}


def broken_runs(tx: Connection, plot: str, limit: int = 20) -> list[int]:
    """Ids of the newest runs in which a plot is broken."""
    broken = (elements.c.plot == plot) & (elements.c.state == ElementState.BROKEN)
    return list(tx.scalars(sa.select(elements.c.run_id).where(broken).order_by(elements.c.run_id.desc()).limit(limit)))


def save(tx: Connection, element: Element) -> Element:
    """Writes `element`, whose `version` is that of the row it was made from (0: there was none), as the next version."""
    return save_all(tx, [element])[0]


def save_all(tx: Connection, some: Sequence[Element]) -> list[Element]:
    """As `save`, of one run; all of them, or none and Overtaken. Whoever writes has the database for himself."""
    if not some:
        return []
    names = [element.plot for element in some]
    there = elements.c.run_id.in_({element.run_id for element in some}) & elements.c.plot.in_(names)
    found = tx.execute(sa.select(elements.c.run_id, elements.c.plot, elements.c.version).where(there))
    known = {(row.run_id, row.plot): row.version for row in found}
    saved = [replace(element, version=element.version + 1) for element in some]
    for element in some:
        if known.get((element.run_id, element.plot), 0) != element.version:
            raise Overtaken(f"{element.run_key}/{element.plot}")
    upsert(tx, elements, [_values(element) for element in saved])
    notices.post_all(tx, [("element", f"{e.run_key}/{e.plot}", e.version) for e in saved])
    return saved


def _values(element: Element) -> dict[str, Any]:
    values = {name: getattr(element, name) for name in Element.__slots__ if name != "run_key"}
    return values | {"trends": {name: trend.to_json() for name, trend in element.trends.items()}}


def of_plot(tx: Connection, run_ids: Collection[int], plot: str) -> dict[int, Element]:
    """The elements of one plot in several runs, by id of the run."""
    wanted = _SELECT.where(elements.c.plot == plot, elements.c.run_id.in_(list(run_ids)))
    return {row.run_id: _element(row) for row in tx.execute(wanted)}
