"""People. Names are compared without regard to case; nobody is ever removed."""

from __future__ import annotations

import unicodedata
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Account
from dqm.store.tables import accounts


def key_of(name: str) -> str:
    """Names that look alike (full width, ligatures) are one."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).strip().casefold())


def add(tx: Connection, name: str, role: str, subsystems: tuple[str, ...], now: float, **values: Any) -> int:
    """A new account; the caller has looked whether the name is free."""
    row = {"key": key_of(name), "name": name, "role": role, "subsystems": list(subsystems), "created": now, **values}
    return tx.execute(accounts.insert().values(row).returning(accounts.c.id)).scalar_one()


def any_there(tx: Connection) -> bool:
    """Whether there is anybody, disabled ones too."""
    return tx.scalar(sa.select(accounts.c.id).limit(1)) is not None


def listed(tx: Connection) -> list[Account]:
    """All accounts by name."""
    return [_account(row) for row in tx.execute(sa.select(accounts).order_by(accounts.c.key))]


def named(tx: Connection, name: str) -> Account | None:
    return _one(tx, accounts.c.key == key_of(name))


def by_id(tx: Connection, account_id: int) -> Account | None:
    return _one(tx, accounts.c.id == account_id)


def identified(tx: Connection, identity: str) -> Account | None:
    """Whom an OpenID provider calls so."""
    return _one(tx, accounts.c.identity == identity)


def update(tx: Connection, account_id: int, **values: Any) -> None:
    if "subsystems" in values:
        values["subsystems"] = list(values["subsystems"])
    tx.execute(accounts.update().where(accounts.c.id == account_id).values(values))


def other_admins(tx: Connection, account_id: int) -> int:
    """How many admins there are besides this account that are not disabled."""
    others = (accounts.c.role == "admin") & ~accounts.c.disabled & (accounts.c.id != account_id)
    return tx.scalar(sa.select(sa.func.count()).select_from(accounts).where(others)) or 0


def _one(tx: Connection, condition: Any) -> Account | None:
    row = tx.execute(sa.select(accounts).where(condition)).first()
    return _account(row) if row else None


def _account(r: Any) -> Account:
    return Account(
        r.id, r.name, r.role, tuple(r.subsystems), r.password, r.identity, bool(r.disabled), r.created, r.seen
    )
