"""Browsers that are away at the OpenID provider."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Handshake
from dqm.store.tables import handshakes


def begin(tx: Connection, hash: str, handshake: Handshake) -> None:
    values = {name: getattr(handshake, name) for name in ("state", "nonce", "verifier", "target", "begun")}
    tx.execute(handshakes.insert().values(hash=hash, **values))


def take(tx: Connection, hash: str) -> Handshake | None:
    """The handshake of this hash, which is over with that: nothing is answered twice."""
    row = tx.execute(sa.select(handshakes).where(handshakes.c.hash == hash)).first()
    tx.execute(handshakes.delete().where(handshakes.c.hash == hash))
    return Handshake(row.state, row.nonce, row.verifier, row.target, row.begun) if row else None


def prune(tx: Connection, before: float) -> None:
    tx.execute(handshakes.delete().where(handshakes.c.begun < before))
