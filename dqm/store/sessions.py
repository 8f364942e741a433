"""Browsers that are signed in, by a hash of what their cookie holds."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Account, Session
from dqm.store import accounts
from dqm.store.tables import sessions


def add(tx: Connection, session: Session) -> None:
    values = {
        name: getattr(session, name) for name in ("hash", "account_id", "way", "address", "agent", "begun", "used")
    }
    tx.execute(sessions.insert().values(values))


def get(tx: Connection, hash: str) -> tuple[Session, Account] | None:
    """The session of this hash and whose it is."""
    row = tx.execute(sa.select(sessions).where(sessions.c.hash == hash)).first()
    account = accounts.by_id(tx, row.account_id) if row else None
    return (_session(row), account) if account else None


def touch(tx: Connection, hash: str, now: float) -> None:
    tx.execute(sessions.update().where(sessions.c.hash == hash).values(used=now))


def of_account(tx: Connection, account_id: int | None = None) -> list[Session]:
    """Sessions of an account (None: of all), the one that was used last first."""
    wanted = sa.select(sessions).order_by(sessions.c.used.desc())
    rows = tx.execute(wanted if account_id is None else wanted.where(sessions.c.account_id == account_id))
    return [_session(row) for row in rows]


def end(tx: Connection, hash: str) -> None:
    tx.execute(sessions.delete().where(sessions.c.hash == hash))


def end_all(tx: Connection, account_id: int, but: str = "") -> int:
    """Ends the sessions of an account, except that of the hash `but`; gives how many these were."""
    which = (sessions.c.account_id == account_id) & (sessions.c.hash != but)
    return tx.execute(sessions.delete().where(which)).rowcount


def prune(tx: Connection, used_before: float, begun_before: float) -> None:
    """Forgets those that are over."""
    tx.execute(sessions.delete().where((sessions.c.used < used_before) | (sessions.c.begun < begun_before)))


def _session(r: Any) -> Session:
    return Session(r.hash, r.account_id, r.way, r.address, r.agent, r.begun, r.used)
