"""How far behind the files are: the rows that say it, without all that a file has besides."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import DROPPED, FileState
from dqm.store.tables import elements, files, runs

FIELDS = (
    "id", "path", "root", "state", "mtime_ns", "first_seen", "changed", "done", "next_look", "attempts", "end", "counted"
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Look:
    """A file as far as its lag goes."""

    id: int
    path: str
    root: str
    state: FileState
    mtime_ns: int
    first_seen: float
    changed: float
    done: float | None
    next_look: float | None
    attempts: int
    end: float | None
    counted: bool

    @property
    def mtime(self) -> float:
        return self.mtime_ns / 1e9


_SELECT = sa.select(*(files.c[name] for name in FIELDS)).where(files.c.current)


def newest(tx: Connection, root: str, limit: int = 200) -> list[Look]:
    """The files of a root that were written last, the last one first."""
    return _looks(tx, _SELECT.where(files.c.root == root).order_by(files.c.mtime_ns.desc()).limit(limit))


def due(tx: Connection, now: float) -> list[tuple[str, str, float]]:
    """(root, path, last change seen) of everything that waits to be counted: there may be ten thousand."""
    wanted = sa.select(files.c.root, files.c.path, files.c.changed).where(files.c.current, files.c.next_look <= now)
    return [(row[0], row[1], row[2]) for row in tx.execute(wanted)]


def _looks(tx: Connection, wanted: sa.Select) -> list[Look]:
    rows = (dict(row._mapping) for row in tx.execute(wanted))
    return [Look(**row | {"state": FileState(row["state"])}) for row in rows]


def arrived(tx: Connection, since: float) -> int:
    """How many files were first seen after `since`."""
    seen = sa.select(sa.func.count()).select_from(files).where(files.c.current, files.c.first_seen > since)
    return tx.scalar(seen) or 0


def failures(tx: Connection, limit: int = 30) -> list[tuple[str, str, int]]:
    """(state, reason, number of files) of files that were not or not wholly counted, the most frequent first."""
    states = (FileState.QUARANTINED, FileState.PARTIAL, FileState.WAITING)
    number = sa.func.count()
    wanted = (
        sa.select(files.c.state, files.c.reason, number)
        .where(files.c.current, files.c.state.in_(states), files.c.reason != "")
        .group_by(files.c.state, files.c.reason)
        .order_by(number.desc(), files.c.state, files.c.reason)
        .limit(limit)
    )
    return [(row[0], row[1], row[2]) for row in tx.execute(wanted)]


def named_states(tx: Connection, limit: int, start: int = 0) -> list[tuple[str, str]]:
    """(``run/Plot``, address) of merged states, those changed last first."""
    wanted = (
        sa.select(runs.c.key, elements.c.plot, elements.c.base)
        .join(runs, runs.c.id == elements.c.run_id)
        .where(elements.c.base.is_not(None), elements.c.base != DROPPED)
        .order_by(elements.c.updated.desc(), elements.c.run_id, elements.c.plot)
    )
    return [(f"{row[0]}/{row[1]}", row[2]) for row in tx.execute(wanted.limit(limit).offset(start))]
