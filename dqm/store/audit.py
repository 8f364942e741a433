"""Who changed what, and when. Rows are added and read; the database refuses everything else."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Noted
from dqm.store.tables import audit


def note(tx: Connection, actor: str, action: str, subject: str, before: Any = None, after: Any = None) -> None:
    tx.execute(
        audit.insert().values(time=time.time(), actor=actor, action=action, subject=subject, before=before, after=after)
    )


def of(tx: Connection, subject: str, limit: int = 100) -> list[dict[str, Any]]:
    """What was done to `subject`, newest first."""
    rows = tx.execute(sa.select(audit).where(audit.c.subject == subject).order_by(audit.c.id.desc()).limit(limit))
    return [dict(row._mapping) for row in rows]


@dataclass(frozen=True)
class Filter:
    """Rows that are asked for; empty fields ask for everything."""

    actor: str = ""
    action: str = ""
    words: str = ""
    """All of them in the subject, the actor or the action."""
    since: float | None = None
    until: float | None = None


def search(tx: Connection, wanted: Filter, start: int = 0, limit: int = 100) -> list[Noted]:
    """Rows that fit, newest first."""
    rows = tx.execute(sa.select(audit).where(*_fits(wanted)).order_by(audit.c.id.desc()).offset(start).limit(limit))
    return [Noted(r.id, r.time, r.actor, r.action, r.subject, r.before, r.after) for r in rows]


def count(tx: Connection, wanted: Filter) -> int:
    return tx.scalar(sa.select(sa.func.count()).select_from(audit).where(*_fits(wanted))) or 0


def actions(tx: Connection) -> list[str]:
    """Every kind of action that was noted."""
    return list(tx.scalars(sa.select(audit.c.action).distinct().order_by(audit.c.action)))


def actors(tx: Connection) -> list[str]:
    """Everybody who did something."""
    return list(tx.scalars(sa.select(audit.c.actor).distinct().order_by(audit.c.actor)))


def _fits(wanted: Filter) -> list[Any]:
    conditions: list[Any] = []
    if wanted.actor:
        conditions.append(audit.c.actor == wanted.actor)
    if wanted.action:
        conditions.append(audit.c.action == wanted.action)
    if wanted.since is not None:
        conditions.append(audit.c.time >= wanted.since)
    if wanted.until is not None:
        conditions.append(audit.c.time < wanted.until)
    for word in wanted.words.split():
        conditions.append(
            sa.or_(
                *[
                    column.icontains(word, autoescape=True)
                    for column in (audit.c.subject, audit.c.actor, audit.c.action)
                ]
            )
        )
    return conditions
