"""Masks by their address: what a link names stays, and nobody changes it."""

from __future__ import annotations

import time

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.rows import insert
from dqm.store.tables import masks


def save(tx: Connection, address: str, content: str, channels: int, author: str, comment: str = "") -> bool:
    """Keeps a mask; False when it is known already: who made it first is its author."""
    values = {"address": address, "content": content, "channels": channels, "author": author, "comment": comment}
    added = insert(tx, masks).values(created=time.time(), **values).on_conflict_do_nothing(index_elements=["address"])
    return bool(tx.execute(added).rowcount)


def content(tx: Connection, address: str) -> str | None:
    """The channels of a mask as JSON; None when there is no such mask."""
    return tx.scalar(sa.select(masks.c.content).where(masks.c.address == address))
