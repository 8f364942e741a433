"""Who changed what, and when."""

from __future__ import annotations

import time
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.store.tables import audit


def note(tx: Connection, actor: str, action: str, subject: str, before: Any = None, after: Any = None) -> None:
    tx.execute(
        audit.insert().values(time=time.time(), actor=actor, action=action, subject=subject, before=before, after=after)
    )


def of(tx: Connection, subject: str, limit: int = 100) -> list[dict[str, Any]]:
    """What was done to `subject`, newest first."""
    rows = tx.execute(sa.select(audit).where(audit.c.subject == subject).order_by(audit.c.id.desc()).limit(limit))
    return [dict(row._mapping) for row in rows]
