"""What the last seconds of a run added to its plots: slices of files, the newest of which are the window of the run."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Slice
from dqm.store.tables import files, slices


def _slice(row: Any) -> Slice:
    plots = {name: (version, geometry) for name, (version, geometry) in row.plots.items()}
    return Slice(row.file_id, row.since, row.until, plots, row.address, row.id)


def save(tx: Connection, some: Collection[Slice], in_place_of: Collection[Slice] = ()) -> None:
    """Adds slices, in the place of others of their files."""
    for old in in_place_of:
        same = (slices.c.file_id == old.file_id) & (slices.c.address == old.address) & (slices.c.since == old.since)
        tx.execute(slices.delete().where(same))
    names = ("file_id", "since", "until", "plots", "address")
    if some:
        tx.execute(slices.insert(), [{name: getattr(one, name) for name in names} for one in some])


def of_file(tx: Connection, file_id: int) -> set[tuple[str, float]]:
    """Address and beginning of each slice of a file."""
    found = tx.execute(sa.select(slices.c.address, slices.c.since).where(slices.c.file_id == file_id))
    return {(row.address, row.since) for row in found}


def of_run(tx: Connection, run_id: int, window_s: float) -> list[Slice]:
    """Those of the last `window_s` seconds of a run, in the order of the files and of their rows."""
    own = sa.select(slices).join(files, files.c.id == slices.c.file_id)
    own = own.where(files.c.run_id == run_id, files.c.current, files.c.counted)
    found = [_slice(row) for row in tx.execute(own.order_by(files.c.start, files.c.id, slices.c.since, slices.c.id))]
    begin = max((one.until for one in found), default=0.0) - window_s
    return [one for one in found if one.until > begin]


def forget(tx: Connection, file_id: int, plots: Collection[str] | None = None) -> None:
    """What a file added is not in the window any more: nothing of it, or not these plots, which count it anew."""
    if plots is None:
        tx.execute(slices.delete().where(slices.c.file_id == file_id))
        return
    for row in tx.execute(sa.select(slices).where(slices.c.file_id == file_id)).all():
        left = {name: what for name, what in row.plots.items() if name not in plots}
        if not left:
            tx.execute(slices.delete().where(slices.c.id == row.id))
        elif len(left) < len(row.plots):
            tx.execute(slices.update().where(slices.c.id == row.id).values(plots=left))


def drop(tx: Connection, run_id: int, until: float | None = None) -> None:
    """The window of a run has moved on beyond `until`; None: it is not kept any more."""
    of_the_run = slices.c.file_id.in_(sa.select(files.c.id).where(files.c.run_id == run_id))
    tx.execute(slices.delete().where(of_the_run, *([] if until is None else [slices.c.until <= until])))


def addresses(tx: Connection) -> set[str]:
    return set(tx.scalars(sa.select(slices.c.address)))
