"""Alarms of the monitor itself: one open row for each kind and subject, and the history of those that ended."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from dqm.records import Alarm
from dqm.store import notices
from dqm.store.tables import alarms


def _alarm(row: Any) -> Alarm:
    return Alarm(**{name: getattr(row, name) for name in Alarm.__slots__})


def open_ones(tx: Connection) -> list[Alarm]:
    """Alarms that have not ended: those that nobody has acknowledged first, then the oldest."""
    rows = tx.execute(sa.select(alarms).where(alarms.c.ended.is_(None)))
    return sorted(map(_alarm, rows), key=lambda alarm: (alarm.acknowledged_at is not None, alarm.since, alarm.id))


def history(tx: Connection, limit: int = 50, start: int = 0) -> list[Alarm]:
    """Alarms that have ended, the last one first."""
    ended = sa.select(alarms).where(alarms.c.ended.is_not(None)).order_by(alarms.c.ended.desc(), alarms.c.id.desc())
    return [_alarm(row) for row in tx.execute(ended.limit(limit).offset(start))]


def get(tx: Connection, alarm_id: int) -> Alarm | None:
    row = tx.execute(sa.select(alarms).where(alarms.c.id == alarm_id)).first()
    return _alarm(row) if row else None


def raise_(tx: Connection, alarm: Alarm) -> int:
    """Writes a new alarm down (its `id` does not matter); a notice says so."""
    values = {name: getattr(alarm, name) for name in Alarm.__slots__ if name != "id"}
    made = tx.execute(alarms.insert().values(values)).inserted_primary_key
    assert made is not None
    notices.post(tx, "alarm", str(made[0]))
    return made[0]


def seen(tx: Connection, alarm_id: int, now: float, reason: str, severity: str) -> None:
    """It is still so; the reason may tell other numbers now, which is no news."""
    values = {"seen": now, "reason": reason, "severity": severity}
    tx.execute(alarms.update().where(alarms.c.id == alarm_id).values(values))


def end(tx: Connection, alarm_id: int, now: float) -> None:
    tx.execute(alarms.update().where(alarms.c.id == alarm_id, alarms.c.ended.is_(None)).values(ended=now))
    notices.post(tx, "alarm", str(alarm_id))


def acknowledge(tx: Connection, alarm_id: int, actor: str, now: float) -> None:
    """Somebody has seen it and cares; the first one stays named."""
    fresh = (alarms.c.id == alarm_id) & alarms.c.acknowledged_at.is_(None)
    tx.execute(alarms.update().where(fresh).values(acknowledged_by=actor, acknowledged_at=now))
    notices.post(tx, "alarm", str(alarm_id))
