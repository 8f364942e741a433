"""Tokens of programs, by a hash of each."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Account, Token
from dqm.store import accounts
from dqm.store.tables import tokens


def add(
    tx: Connection, hash: str, account_id: int, name: str, scopes: tuple[str, ...], now: float, expires: float | None
) -> int:
    values = {"hash": hash, "account_id": account_id, "name": name, "scopes": list(scopes), "created": now}
    return tx.execute(tokens.insert().values(**values, expires=expires).returning(tokens.c.id)).scalar_one()


def get(tx: Connection, hash: str) -> tuple[Token, Account] | None:
    """The token of this hash and whose it is, also one that is over."""
    row = tx.execute(sa.select(tokens).where(tokens.c.hash == hash)).first()
    account = accounts.by_id(tx, row.account_id) if row else None
    return (_token(row), account) if account else None


def by_id(tx: Connection, token_id: int) -> Token | None:
    row = tx.execute(sa.select(tokens).where(tokens.c.id == token_id)).first()
    return _token(row) if row else None


def listed(tx: Connection, account_id: int | None = None) -> list[Token]:
    """Tokens of an account (None: of all), newest first."""
    wanted = sa.select(tokens).order_by(tokens.c.id.desc())
    rows = tx.execute(wanted if account_id is None else wanted.where(tokens.c.account_id == account_id))
    return [_token(row) for row in rows]


def touch(tx: Connection, token_id: int, now: float) -> None:
    tx.execute(tokens.update().where(tokens.c.id == token_id).values(used=now))


def revoke(tx: Connection, token_id: int, now: float) -> None:
    tx.execute(tokens.update().where((tokens.c.id == token_id) & tokens.c.revoked.is_(None)).values(revoked=now))


def revoke_all(tx: Connection, account_id: int, now: float) -> int:
    """Revokes every token of an account; gives how many these were."""
    which = (tokens.c.account_id == account_id) & tokens.c.revoked.is_(None)
    return tx.execute(tokens.update().where(which).values(revoked=now)).rowcount


def _token(r: Any) -> Token:
    return Token(r.id, r.account_id, r.name, tuple(r.scopes), r.created, r.expires, r.used, r.revoked)
