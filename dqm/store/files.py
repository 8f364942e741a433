"""The ledger: every file that was ever seen, with its state and the reason for it."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import FINISHED, DataFile, FileState
from dqm.store import notices, trends, unread
from dqm.store.rows import holds
from dqm.store.tables import files, runs

SORTABLE = {name: files.c[name] for name in ("path", "state", "format", "start", "rows", "size", "done", "changed")}
_SELECT = sa.select(files, runs.c.key.label("run_key")).join(runs, runs.c.id == files.c.run_id, isouter=True)


def _file(row: Any) -> DataFile:
    values = {name: getattr(row, name) for name in DataFile.__slots__}
    return DataFile(**values | {"faults": tuple(row.faults), "state": FileState(row.state)})


def at(tx: Connection, path: str) -> DataFile | None:
    """What is now under this name."""
    row = tx.execute(_SELECT.where(files.c.path == path, files.c.current)).first()
    return _file(row) if row else None


def by_id(tx: Connection, file_id: int) -> DataFile | None:
    row = tx.execute(_SELECT.where(files.c.id == file_id)).first()
    return _file(row) if row else None


def add(
    tx: Connection,
    path: str,
    root: str,
    size: int,
    mtime_ns: int,
    inode: str,
    now: float,
    run_number: int | None = None,
) -> int:
    """A new row, waiting; the `run_number` in its name makes it a file of that run, if there is one already."""
    values = {"path": path, "root": root, "size": size, "mtime_ns": mtime_ns, "inode": inode, "faults": []}
    if run_number is not None:
        run_id = tx.scalar(sa.select(runs.c.id).where(runs.c.key == str(run_number)))
        values |= {"run_number": run_number, "run_id": run_id}
    made = tx.execute(
        files.insert().values(**values, state=FileState.WAITING, first_seen=now, changed=now, next_look=now)
    ).inserted_primary_key
    assert made is not None
    notices.post(tx, "file", str(made[0]))
    unread.refresh(tx, values.get("run_id"))  # type: ignore[arg-type]
    return made[0]


def update(tx: Connection, file_id: int, **values: Any) -> None:
    """Sets columns of a file; a notice says so."""
    if "faults" in values:
        values["faults"] = list(values["faults"])
    tx.execute(files.update().where(files.c.id == file_id).values(**values))
    notices.post(tx, "file", str(file_id))
    if "state" in values:
        unread.refresh(tx, tx.scalar(sa.select(files.c.run_id).where(files.c.id == file_id)))


def progress(tx: Connection, file_id: int) -> dict[str, Any] | None:
    """Cursor and scan of a file that is not at its end yet."""
    return tx.scalar(sa.select(files.c.progress).where(files.c.id == file_id))


def retire(tx: Connection, file_id: int, state: FileState, reason: str) -> None:
    """The row is history from now on: its name is free, it is not counted."""
    update(tx, file_id, state=state, reason=reason, current=False, counted=False, next_look=None)
    trends.forget(tx, file_id)


def current(tx: Connection) -> dict[str, DataFile]:
    """All current rows by path."""
    return {row.path: _file(row) for row in tx.execute(_SELECT.where(files.c.current))}


def marks(tx: Connection) -> dict[str, tuple[int, int, int, str]]:
    """(id, size, mtime_ns, state) of all current rows by path: what a scan is compared with."""
    columns = (files.c.path, files.c.id, files.c.size, files.c.mtime_ns, files.c.state)
    return {row[0]: (row[1], row[2], row[3], row[4]) for row in tx.execute(sa.select(*columns).where(files.c.current))}


def some(tx: Connection, ids: Collection[int]) -> list[DataFile]:
    """The rows of these ids."""
    return [_file(row) for row in tx.execute(_SELECT.where(files.c.id.in_(list(ids))))]


def due(tx: Connection, now: float, limit: int = 1000, without: Collection[int] = ()) -> list[DataFile]:
    """Files to look at now, newest first, but for those `without`."""
    order = (files.c.mtime_ns.desc(), files.c.id.desc())
    # one that was ignored while it was being counted has perhaps no next look
    left = sa.and_(files.c.ignored != "", files.c.counted)
    wanted = _SELECT.where(files.c.current, sa.or_(files.c.next_look <= now, left), files.c.id.not_in(list(without)))
    return [_file(row) for row in tx.execute(wanted.order_by(*order).limit(limit))]


def queue(tx: Connection, now: float) -> int:
    """How many files are due."""
    due = files.c.current & (files.c.next_look <= now)
    return tx.scalar(sa.select(sa.func.count()).select_from(files).where(due)) or 0


def look_now(tx: Connection, now: float, later_than: float) -> None:
    """Files that are to be looked at after `later_than` are due now: of a clock that was set back, that never comes."""
    waiting = files.update().where(files.c.current, files.c.next_look > later_than)
    changed = sa.case((files.c.changed > now, now), else_=files.c.changed)
    tx.execute(waiting.values(next_look=now, changed=changed))


def next_due(tx: Connection, without: Collection[int] = ()) -> float | None:
    """When the next file is to be looked at, but for those `without`."""
    wanted = sa.select(sa.func.min(files.c.next_look)).where(files.c.current, files.c.id.not_in(list(without)))
    return tx.scalar(wanted)


def twins(tx: Connection, file_id: int, head: str) -> list[DataFile]:
    """Other current files with the same first rows: the same datum in another form, or the very same file."""
    return [
        _file(row) for row in tx.execute(_SELECT.where(files.c.head == head, files.c.current, files.c.id != file_id))
    ]


def of_run(tx: Connection, run_id: int) -> list[DataFile]:
    """Current files of a run, in the order of their start."""
    wanted = _SELECT.where(files.c.run_id == run_id, files.c.current).order_by(files.c.start, files.c.id)
    return [_file(row) for row in tx.execute(wanted)]


def any_waiting(tx: Connection, run_id: int) -> bool:
    """Whether a file of a run is still to be looked at."""
    due = (files.c.run_id == run_id) & files.c.current & (files.c.state == FileState.WAITING)
    return tx.execute(sa.select(files.c.id).where(due).limit(1)).first() is not None


def search(
    tx: Connection,
    words: str = "",
    state: str = "",
    run: str = "",
    order: Sequence[tuple[str, bool]] = (),
    start: int = 0,
    limit: int = 100,
    history: bool = False,
) -> list[DataFile]:
    """Files that fit, newest first unless `order` (column, descending) says otherwise."""
    which = _ids(run).where(*_fits(tx, words, state, run, history))
    return [_file(row) for row in _some(tx, which, order, start, limit)]


def page(
    tx: Connection,
    words: str,
    state: str,
    run: str,
    order: Sequence[tuple[str, bool]],
    start: int,
    limit: int,
    history: bool,
) -> tuple[list[DataFile], int]:
    """As `search`, and how many fit in all: of one look at them, as the words take nearly all of the time."""
    fits = sa.func.count().over().label("fit")
    which = _ids(run).add_columns(fits).where(*_fits(tx, words, state, run, history))
    rows = _some(tx, which, order, start, limit)
    if not rows and (start or not limit):
        return [], count(tx, words, state, run, history)
    return [_file(row) for row in rows], rows[0].fit if rows else 0


def _some(tx: Connection, which: Any, order: Sequence[tuple[str, bool]], start: int, limit: int) -> Sequence[Any]:
    chosen = [
        SORTABLE[name].desc().nulls_last() if descending else SORTABLE[name].asc().nulls_last()
        for name, descending in order
        if name in SORTABLE
    ]
    order_by = (*chosen, files.c.mtime_ns.desc(), files.c.id.desc())
    # which first, then all of them: to sort whole rows of 30,000 files would take longer than the page
    these = which.order_by(*order_by).offset(start).limit(limit).subquery()
    more = [these.c.fit] if "fit" in these.c else []
    return tx.execute(_SELECT.add_columns(*more).join(these, these.c.id == files.c.id).order_by(*order_by)).all()


def count(tx: Connection, words: str = "", state: str = "", run: str = "", history: bool = False) -> int:
    found = _ids(run).where(*_fits(tx, words, state, run, history)).with_only_columns(sa.func.count())
    return tx.scalar(found) or 0


def _ids(run: str) -> sa.Select[Any]:
    found = sa.select(files.c.id)
    return found.join(runs, runs.c.id == files.c.run_id) if run else found


def _fits(tx: Connection, words: str, state: str, run: str, history: bool) -> list[Any]:
    fits: list[Any] = [] if history else [files.c.current]
    # one text of all, for it is lowered as a whole, which takes half as long as three texts; no word holds the end of a line
    text = files.c.path + "\n" + files.c.reason + "\n" + files.c.format
    fits += [holds(tx, text, word) for word in words.split()]
    if state:
        fits.append(files.c.state == state)
    if run:
        fits.append(runs.c.key == run)
    return fits


def tally(tx: Connection) -> dict[str, int]:
    """How many current files are in each state."""
    rows = tx.execute(sa.select(files.c.state, sa.func.count()).where(files.c.current).group_by(files.c.state))
    return {row[0]: row[1] for row in rows}


def same_as(tx: Connection, file_id: int) -> list[DataFile]:
    """Current files whose data are counted under the name of this one."""
    return [_file(row) for row in tx.execute(_SELECT.where(files.c.same_as == file_id, files.c.current))]


def last_done(tx: Connection) -> DataFile | None:
    """The file that was counted last."""
    finished = (files.c.state + "").in_(
        FINISHED
    )  # so that the newest are looked at one by one, not all that are finished
    wanted = _SELECT.where(finished, files.c.done.is_not(None)).order_by(files.c.done.desc()).limit(1)
    row = tx.execute(wanted).first()
    return _file(row) if row else None


def recount(tx: Connection, file_id: int, reason: str) -> None:
    """Sends a file through all plots again, from its first row; until it is taken the page shows what was counted."""
    anew = {"rows_done": 0, "progress": None, "identity": None, "done": None, "attempts": 0, "same_as": None}
    update(tx, file_id, state=FileState.WAITING, reason=reason, counted=False, next_look=time.time(), **anew)
