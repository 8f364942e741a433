"""Runs: one row each, found by key or by another name."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import COUNTED, FINISHED, FileState, Run
from dqm.store import audit, notices, unread
from dqm.store.tables import elements, files, run_aliases, runs

SORTABLE = {
    name: runs.c[name] for name in ("number", "start", "end", "category", "packets", "files", "quality", "updated")
}
DURATION = "duration"


@dataclass(frozen=True)
class Search:
    """Which runs are asked for; an empty field asks for nothing. `words` are looked for in key, category, tags, comment."""

    words: str = ""
    category: str = ""
    quality: str = ""
    since: float | None = None
    until: float | None = None


def _run(row: Any) -> Run:
    values = {name: getattr(row, name) for name in Run.__slots__}
    return Run(**values | {"tags": tuple(row.tags)})


_OF_KEY = sa.select(runs).where(runs.c.key == sa.bindparam("wanted"))
_OF_ALIAS = sa.select(runs).where(
    runs.c.id
    == sa.select(run_aliases.c.run_id).where(run_aliases.c.value == sa.bindparam("wanted")).limit(1).scalar_subquery()
)


def get(tx: Connection, key: str) -> Run | None:
    """The run of this key, or with this other name."""
    row = tx.execute(_OF_KEY, {"wanted": key}).first() or tx.execute(_OF_ALIAS, {"wanted": key}).first()
    return _run(row) if row else None


def by_id(tx: Connection, run_id: int) -> Run:
    return _run(tx.execute(sa.select(runs).where(runs.c.id == run_id)).one())


def latest(tx: Connection) -> Run | None:
    """The run that began last; of those without a start, the one that changed last."""
    order = (sa.func.coalesce(runs.c.start, runs.c.updated).desc(), runs.c.id.desc())
    row = tx.execute(sa.select(runs).where(runs.c.files > 0).order_by(*order).limit(1)).first()
    return _run(row) if row else None


def ensure(tx: Connection, key: str, number: int | None, category: str, tags: Sequence[str]) -> int:
    """The id of the run `key`, which is made when there is none."""
    found = tx.scalar(sa.select(runs.c.id).where(runs.c.key == key))
    if found is not None:
        return found
    now = time.time()
    row = {"key": key, "number": number, "category": category, "tags": list(tags), "updated": now, "version": 0}
    made = tx.execute(runs.insert().values(row)).inserted_primary_key
    assert made is not None
    if number is not None:
        tx.execute(run_aliases.insert().values(kind="charge", value=str(number), run_id=made[0]))
        unread.adopt(tx, made[0], number)
    notices.post(tx, "run", key)
    return made[0]


def recount(tx: Connection, run_id: int, quality: str | None = None, now: float | None = None) -> Run:
    """Brings files, packets, times and detector of a run up to date with its files, and says so in a notice."""
    current = sa.and_(files.c.run_id == run_id, files.c.current)
    counted = sa.and_(current, files.c.counted, files.c.state.in_(COUNTED))
    total = tx.execute(
        sa.select(
            sa.func.count(),
            sa.func.coalesce(sa.func.sum(files.c.rows_done), 0),
            sa.func.min(files.c.start),
            sa.func.max(files.c.end),
            sa.func.max(files.c.geometry),
            sa.func.max(files.c.changed),
        ).where(counted)
    ).one()
    now = time.time() if now is None else now
    growing = tx.scalar(
        sa.select(sa.func.count()).where(counted, files.c.state.in_((FileState.GROWING, FileState.READING)))
    )
    values = {
        "files": total[0],
        "packets": total[1],
        "start": total[2],
        "end": total[3],
        "detector": total[4],
        "growing": growing,
        "unread": unread.count(tx, run_id),
        # when data came, not when they were counted: that somebody has them read again makes them no fresher
        "updated": now if total[5] is None else min(total[5], now),
        "quality": quality,
        "version": runs.c.version + 1,
    }
    if growing:
        values["closed"] = False
    tx.execute(runs.update().where(runs.c.id == run_id).values(values))
    run = by_id(tx, run_id)
    notices.post(tx, "run", run.key, run.version)
    return run


def edit(tx: Connection, key: str, actor: str, changes: dict[str, Any]) -> Run | None:
    """Sets category, tags or comment as an expert wants them; the change stands in the audit trail."""
    run = get(tx, key)
    if run is None:
        return None
    before = {name: list(run.tags) if name == "tags" else getattr(run, name) for name in changes}
    by_expert = {"category_by": "expert"} if "category" in changes else {}
    tx.execute(runs.update().where(runs.c.id == run.id).values(**changes, **by_expert, version=runs.c.version + 1))
    audit.note(tx, actor, "edit run", run.key, before, changes)
    notices.post(tx, "run", run.key, run.version + 1)
    return by_id(tx, run.id)


def search(
    tx: Connection, wanted: Search, order: Sequence[tuple[str, bool]] = (), start: int = 0, limit: int = 100
) -> list[Run]:
    """Runs that fit, newest first unless `order` (column, descending) says otherwise."""
    chosen = [_order(name, descending) for name, descending in order if name in SORTABLE or name == DURATION]
    newest = sa.func.coalesce(runs.c.start, runs.c.updated).desc()
    found = sa.select(runs).where(*_fits(wanted)).order_by(*chosen, newest, runs.c.id.desc()).offset(start).limit(limit)
    return [_run(row) for row in tx.execute(found)]


def _order(name: str, descending: bool) -> Any:
    column = runs.c.end - runs.c.start if name == DURATION else SORTABLE[name]
    return column.desc().nulls_last() if descending else column.asc().nulls_last()


def count(tx: Connection, wanted: Search) -> int:
    return tx.scalar(sa.select(sa.func.count()).select_from(runs).where(*_fits(wanted))) or 0


def _fits(wanted: Search) -> list[Any]:
    fits: list[Any] = []
    for word in wanted.words.split():
        columns = (runs.c.key, runs.c.category, sa.cast(runs.c.tags, sa.Text), runs.c.comment, runs.c.detector)
        fits.append(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    if wanted.category:
        fits.append(runs.c.category == wanted.category)
    if wanted.quality:
        fits.append(runs.c.quality == wanted.quality)
    if wanted.since is not None:
        fits.append(sa.func.coalesce(runs.c.end, runs.c.start, runs.c.updated) >= wanted.since)
    if wanted.until is not None:
        fits.append(sa.func.coalesce(runs.c.start, runs.c.updated) <= wanted.until)
    return fits


def categories(tx: Connection) -> list[str]:
    """All categories in use, in alphabetical order."""
    return list(
        tx.scalars(sa.select(runs.c.category).distinct().where(runs.c.category != "").order_by(runs.c.category))
    )


def neighbours(tx: Connection, run: Run) -> tuple[str | None, str | None]:
    """Keys of the runs before and after in time."""
    moment = sa.func.coalesce(runs.c.start, runs.c.updated)
    here = run.start if run.start is not None else run.updated
    place = sa.tuple_(moment, runs.c.id)
    mine = sa.tuple_(sa.literal(here), sa.literal(run.id))
    before = sa.select(runs.c.key).where(place < mine).order_by(moment.desc(), runs.c.id.desc()).limit(1)
    behind = sa.select(runs.c.key).where(place > mine).order_by(moment, runs.c.id).limit(1)
    return tx.scalar(before), tx.scalar(behind)


def starts(tx: Connection, since: float, until: float, limit: int = 200) -> list[tuple[float, str]]:
    """(start, key) of the runs that began in a range of time; nothing when there are more than `limit`."""
    rows = tx.execute(
        sa.select(runs.c.start, runs.c.key)
        .where(runs.c.start.between(since, until))
        .order_by(runs.c.start)
        .limit(limit + 1)
    ).all()
    return [(row.start, row.key) for row in rows] if len(rows) <= limit else []


def open_ones(tx: Connection) -> list[Run]:
    """Runs that are not closed: their files' own states are kept."""
    return [_run(row) for row in tx.execute(sa.select(runs).where(~runs.c.closed).order_by(runs.c.id))]


def worked_at(tx: Connection, run_id: int) -> float | None:
    """When a file of a run was last seen to change, or was counted."""
    last = sa.func.max(sa.case((files.c.done > files.c.changed, files.c.done), else_=files.c.changed))
    return tx.scalar(sa.select(last).where(files.c.run_id == run_id, files.c.current))


def close(tx: Connection, run_id: int) -> None:
    """Marks that no more files are expected; the next file that comes opens it again."""
    tx.execute(runs.update().where(runs.c.id == run_id).values(closed=True, version=runs.c.version + 1))
    notices.post(tx, "run", by_id(tx, run_id).key)


def reopen(tx: Connection, run_id: int) -> None:
    tx.execute(runs.update().where(runs.c.id == run_id).values(closed=False))


def finished_files(tx: Connection, run_id: int) -> list[int]:
    """Ids of the files that are counted whole, in the order of their start."""
    counted = (files.c.run_id == run_id) & files.c.current & files.c.counted & files.c.state.in_(FINISHED)
    return list(tx.scalars(sa.select(files.c.id).where(counted).order_by(files.c.start, files.c.id)))


def forget_elements(tx: Connection, run_id: int) -> None:
    tx.execute(elements.delete().where(elements.c.run_id == run_id))
