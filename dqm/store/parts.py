"""States of one plot of one file, with the cursor at which counting goes on."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import COUNTED, DROPPED, FINISHED, ElementState, FileState, Part
from dqm.store import slices
from dqm.store.rows import upsert
from dqm.store.tables import elements, files, parts


def _part(row: Any) -> Part:
    values = {name: getattr(row, name) for name in Part.__slots__}
    return Part(**values | {"deltas": tuple(row.deltas), "state": ElementState(row.state)})


def _values(part: Part) -> dict[str, Any]:
    return {name: getattr(part, name) for name in Part.__slots__} | {"deltas": list(part.deltas)}


def save(tx: Connection, part: Part) -> None:
    upsert(tx, parts, _values(part))


def save_all(tx: Connection, some: Iterable[Part]) -> None:
    upsert(tx, parts, [_values(part) for part in some])


def of_file(tx: Connection, file_id: int) -> dict[str, Part]:
    """Parts of a file by plot."""
    return {row.plot: _part(row) for row in tx.execute(sa.select(parts).where(parts.c.file_id == file_id))}


def of_plot(tx: Connection, run_id: int, plot: str, *, finished: bool) -> list[Part]:
    """Counted parts of a plot in the order of the files: those of files that are done, or of those still growing."""
    return [_part(row) for row in tx.execute(_of_run(run_id, finished).where(parts.c.plot == plot))]


def of_run(tx: Connection, run_id: int, *, finished: bool, merged: bool | None = None) -> dict[str, list[Part]]:
    """Counted parts of all plots, as `of_plot`; only those that are in the base of the run, or that are not, if asked."""
    wanted = _of_run(run_id, finished)
    if merged is not None:
        wanted = wanted.where(parts.c.merged == merged)
    found: dict[str, list[Part]] = {}
    for row in tx.execute(wanted):
        found.setdefault(row.plot, []).append(_part(row))
    return found


def _of_run(run_id: int, finished: bool) -> sa.Select[Any]:
    states = FINISHED if finished else tuple(state for state in COUNTED if state not in FINISHED)
    joined = sa.select(parts).join(files, files.c.id == parts.c.file_id)
    wanted = joined.where(files.c.run_id == run_id, files.c.current, files.c.counted, files.c.state.in_(states))
    if finished:
        wanted = wanted.where(parts.c.complete)
    return wanted.order_by(files.c.start, files.c.id)


def is_merged(tx: Connection, file_id: int, plot: str) -> bool:
    """Whether the base of the run has this part."""
    same = (parts.c.file_id == file_id) & (parts.c.plot == plot) & parts.c.merged
    return tx.execute(sa.select(parts.c.file_id).where(same)).first() is not None


def rows(tx: Connection, run_id: int, plot: str, version: int, geometry: str | None) -> int:
    """Rows of the run that a plot has counted."""
    return rows_of_run(tx, run_id, plot).get((plot, version, geometry), 0)


def rows_of_run(tx: Connection, run_id: int, plot: str = "") -> dict[tuple[str, int, str | None], int]:
    """Rows of the run that each plot has counted, by its name, version and geometry; of one plot, or of all."""
    what = (parts.c.plot, parts.c.plot_version, parts.c.geometry)
    total = sa.select(*what, sa.func.sum(parts.c.rows_done)).join(files, files.c.id == parts.c.file_id)
    counted = (files.c.run_id == run_id) & files.c.current & files.c.counted & (parts.c.state == ElementState.OK)
    live = parts.c.complete | files.c.state.in_((FileState.GROWING, FileState.READING))
    wanted = total.where(counted, live, parts.c.plot == plot if plot else sa.true()).group_by(*what)
    return {(row[0], row[1], row[2]): int(row[3]) for row in tx.execute(wanted)}


def mark_merged(tx: Connection, file_ids: Collection[int], plot: str, merged: bool) -> None:
    """Notes whether the element of the run has these parts in its base."""
    same = parts.c.file_id.in_(list(file_ids)) & (parts.c.plot == plot)
    tx.execute(parts.update().where(same).values(merged=merged))


def put_off(tx: Connection) -> list[tuple[int, str]]:
    """(run, plot) where the base of an element lacks files that the plot, in the same version, has counted."""
    of_element = (
        (elements.c.run_id == files.c.run_id)
        & (elements.c.plot == parts.c.plot)
        & (elements.c.plot_version == parts.c.plot_version)
        & elements.c.geometry.is_not_distinct_from(parts.c.geometry)
    )
    joined = (
        sa.select(files.c.run_id, parts.c.plot).join(files, files.c.id == parts.c.file_id).join(elements, of_element)
    )
    counted = files.c.current & files.c.counted & files.c.state.in_(FINISHED) & parts.c.complete
    lacks = ~parts.c.merged & (parts.c.state == ElementState.OK) & parts.c.base.is_not(None)
    well = elements.c.mergeable & (elements.c.state == ElementState.OK)
    return [(row.run_id, row.plot) for row in tx.execute(joined.where(lacks, counted, well).distinct())]


def plots_of_run(tx: Connection, run_id: int) -> list[str]:
    """Every plot that some file of the run has a part of."""
    of_run = sa.select(parts.c.plot).join(files, files.c.id == parts.c.file_id).where(files.c.run_id == run_id)
    return list(tx.scalars(of_run.distinct()))


def any_broken(tx: Connection, run_id: int, plot: str) -> bool:
    """Whether the plot failed on any counted file of the run."""
    wanted = sa.select(parts.c.file_id).join(files, files.c.id == parts.c.file_id).where(parts.c.plot == plot)
    counted = (files.c.run_id == run_id) & files.c.current & files.c.counted & (parts.c.state == ElementState.BROKEN)
    return tx.execute(wanted.where(counted).limit(1)).first() is not None


def forget_broken(tx: Connection, plot: str, only: Iterable[int] | None = None) -> list[int]:
    """Lets a plot that was mended try again (`only` some files): ids of the files that it had failed on."""
    broken = (parts.c.plot == plot) & (parts.c.state == ElementState.BROKEN)
    if only is not None:
        broken &= parts.c.file_id.in_(list(only))
    ids = list(tx.scalars(sa.select(parts.c.file_id).where(broken)))
    tx.execute(parts.delete().where(broken))
    return ids


def last_of_run(tx: Connection, run_id: int, plot: str) -> Part | None:
    """The part of the newest counted file: what a plot that does not merge shows."""
    joined = sa.select(parts).join(files, files.c.id == parts.c.file_id)
    wanted = joined.where(files.c.run_id == run_id, files.c.current, files.c.counted, parts.c.plot == plot)
    wanted = wanted.where(sa.or_(parts.c.base.is_not(None), parts.c.state != ElementState.OK))
    row = tx.execute(wanted.order_by(files.c.start.desc(), files.c.id.desc()).limit(1)).first()
    return _part(row) if row else None


def forget(tx: Connection, file_id: int) -> None:
    """Nothing of the file is counted any more."""
    slices.forget(tx, file_id)
    tx.execute(parts.delete().where(parts.c.file_id == file_id))


def drop_states(tx: Connection, run_id: int, mergeable: Collection[str]) -> None:
    """The files of a closed run keep that they were counted, not what: that is merged in the run."""
    of_run = sa.select(files.c.id).where(files.c.run_id == run_id)
    tx.execute(
        parts.update()
        .where(parts.c.file_id.in_(of_run), parts.c.plot.in_(list(mergeable)), parts.c.complete)
        .values(base=None, deltas=[], cursor=None)
    )


def addresses(tx: Connection) -> set[str]:
    """Every state that is named anywhere."""
    named = set(tx.scalars(sa.select(elements.c.base).where(elements.c.base.is_not(None), elements.c.base != DROPPED)))
    # where there is no base there are no deltas
    for row in tx.execute(sa.select(parts.c.base, parts.c.deltas).where(parts.c.base.is_not(None))):
        named.update(row.deltas, [row.base])
    return named | slices.addresses(tx)


def lacking(tx: Connection, plot: str, plot_version: int, limit: int = 1) -> list[int]:
    """Ids of files that are counted but not by this version of a plot, newest first."""
    have = sa.exists().where(
        parts.c.file_id == files.c.id, parts.c.plot == plot, parts.c.plot_version == plot_version, parts.c.complete
    )
    wanted = sa.select(files.c.id).where(
        files.c.current,
        files.c.counted,
        files.c.state.in_((FileState.DONE, FileState.PARTIAL)),
        ~have,
    )
    return list(tx.scalars(wanted.order_by(files.c.mtime_ns.desc()).limit(limit)))
