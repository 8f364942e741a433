"""Alarms of the monitor: those that its leader wrote down, and those that only the web can see, since nobody writes then."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from dqm.checks.alarms import KINDS, Finding, Kind, leader_gone
from dqm.records import Alarm
from dqm.store import alarms, audit, pulses, vitals, watchers
from dqm.views.queries import Actor, NotNow
from dqm.views.site import Site

HISTORY = 50
UNKNOWN = Kind("", "Something is wrong with the monitor", True, "see its log")


@dataclass(frozen=True)
class AlarmList:
    """What is wrong with the monitor now, and what was."""

    open: tuple[Alarm, ...]
    """Those that nobody has acknowledged first."""
    history: tuple[Alarm, ...] = ()

    @property
    def blind(self) -> tuple[Alarm, ...]:
        """Those that make the pages doubtful: nothing new may reach them."""
        return tuple(alarm for alarm in self.open if kind_of(alarm).blind)


def kind_of(alarm: Alarm) -> Kind:
    """Title and advice of an alarm; of a newer Larboard there may be kinds that this one does not know."""
    return KINDS.get(alarm.kind, UNKNOWN)


def alarm_list(site: Site, now: float | None = None, history: int = HISTORY) -> AlarmList:
    """All open alarms, and the last that ended."""
    now = time.time() if now is None else now
    with site.store.read() as tx:
        found = _open(site, tx, now)
        ended = tuple(alarms.history(tx, history)) if history else ()
    return AlarmList(found, ended)


def open_alarms(site: Site, tx: Connection, now: float) -> AlarmList:
    """The open alarms, within a transaction that reads."""
    return AlarmList(_open(site, tx, now))


def _open(site: Site, tx: Connection, now: float) -> tuple[Alarm, ...]:
    written = alarms.open_ones(tx)
    known = {(alarm.kind, alarm.subject) for alarm in written}
    own = [
        Alarm(0, one.kind, one.subject, one.severity, one.reason, now if one.since is None else one.since, now)
        for one in _own(site, tx, now)
        if one.key not in known
    ]
    return (*own, *written)


def _own(site: Site, tx: Connection, now: float) -> Sequence[Finding]:
    """What the leader cannot write down: that there is none, and that the database takes nothing."""
    heard = watchers.alive(tx, 0)
    last_pulse = pulses.newest_time(tx)
    last = max((watcher.beat for watcher in heard), default=None)
    last = last_pulse if last is None else max(last, last_pulse or last)
    leads = any(watcher.leader for watcher in heard)
    found = [leader_gone(last, leads, site.settings.health, now)]
    if refused := vitals.refusal(site.store, tx):
        found.append(Finding("database", "", "bad", refused))
    return [finding for finding in found if finding is not None]


def acknowledge(site: Site, actor: Actor, which: str) -> Alarm | None:
    """Somebody has seen an alarm and cares: `which` is its number, or its kind as long as nobody has written it down.

    None when there is none. Raises NotAllowed, and NotNow when it has ended.
    """
    actor.require("shifter")
    now = time.time()
    with site.store.begin() as tx:
        alarm = _written(site, tx, which, now)
        if alarm is None:
            return None
        if alarm.ended is not None:
            raise NotNow("It has ended: there is nothing to acknowledge.")
        if alarm.acknowledged_at is None:
            alarms.acknowledge(tx, alarm.id, actor.name, now)
            after: dict[str, Any] = {"kind": alarm.kind, "subject": alarm.subject, "reason": alarm.reason}
            audit.note(tx, actor.name, "acknowledge", f"alarm {alarm.id}", None, after)
        return alarms.get(tx, alarm.id)


def _written(site: Site, tx: Connection, which: str, now: float) -> Alarm | None:
    """The row of an alarm; one that only the web has seen gets its row now."""
    if which.isascii() and which.isdecimal():
        return alarms.get(tx, int(which)) if len(which) < 19 else None
    found = next((alarm for alarm in _open(site, tx, now) if alarm.kind == which), None)
    if found is None or found.id:
        return found
    return replace(found, id=alarms.raise_(tx, found))
