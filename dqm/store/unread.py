"""Files of a run that are known and not wholly counted: the number that a run keeps of them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import FileState
from dqm.store import notices
from dqm.store.tables import files, runs

UNREAD = (FileState.WAITING, FileState.QUARANTINED, FileState.PARTIAL)


def count(tx: Connection, run_id: int) -> int:
    wanted = (files.c.run_id == run_id) & files.c.current & files.c.state.in_(UNREAD)
    return tx.scalar(sa.select(sa.func.count()).select_from(files).where(wanted)) or 0


def refresh(tx: Connection, run_id: int | None) -> None:
    """Brings the number of a run up to date; a notice says so when it changed."""
    if run_id is None:
        return
    now = count(tx, run_id)
    changed = (runs.c.id == run_id) & (runs.c.unread != now)
    if tx.execute(runs.update().where(changed).values(unread=now, version=runs.c.version + 1)).rowcount:
        run = tx.execute(sa.select(runs.c.key, runs.c.version).where(runs.c.id == run_id)).one()
        notices.post(tx, "run", run.key, run.version)


def adopt(tx: Connection, run_id: int, number: int) -> None:
    """Files that were only seen, and whose names say this number, belong to the run: it is not covered without them."""
    waiting = (files.c.run_number == number) & files.c.run_id.is_(None) & files.c.current
    tx.execute(files.update().where(waiting).values(run_id=run_id))
