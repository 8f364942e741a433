"""Masks by their address: nobody changes what a link names, and it stays for as long as somebody looks at it."""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.rows import insert
from dqm.store.tables import masks


def save(tx: Connection, address: str, content: str, channels: int, author: str, comment: str = "") -> bool:
    """Keeps a mask; False when it is known already: who made it first is its author."""
    values = {"address": address, "content": content, "channels": channels, "author": author, "comment": comment}
    now = time.time()
    added = insert(tx, masks).values(created=now, used=now, **values).on_conflict_do_nothing(index_elements=["address"])
    if tx.scalar(added.returning(masks.c.address)) is not None:  # the rowcount of PostgreSQL does not tell
        return True
    use(tx, address, now)
    return False


def use(tx: Connection, address: str, now: float) -> bool:
    """Notes that somebody looks at it; False when there is no such mask."""
    found = tx.execute(masks.update().where(masks.c.address == address).values(used=now))
    return bool(found.rowcount)


def content(tx: Connection, address: str) -> str | None:
    """The channels of a mask as JSON; None when there is no such mask."""
    return tx.scalar(sa.select(masks.c.content).where(masks.c.address == address))
