"""What the leader does in quiet moments so that the store stays small: retention rules, states that nothing names."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dqm.records import RetentionRule
from dqm.settings import RetentionSettings
from dqm.store import Store, notices, parts, retention, watchers

AT_ONCE_S = 1.0
"""So long the rules are kept in one look at the house; the rest follows in the next ones."""

Begin = Callable[[], AbstractContextManager[Any]]


def rules_of(settings: RetentionSettings) -> list[RetentionRule]:
    return [RetentionRule(**rule.model_dump()) for rule in settings.rules]


def keep_small(store: Store, settings: RetentionSettings, begin: Begin, now: float) -> None:
    """Drops what the rules say for a second at most, old notices, and states that nothing names."""
    drop(store, settings, begin, now, AT_ONCE_S)
    with begin() as tx:
        notices.prune(tx, settings.notices)
    collect(store, now)


def drop(
    store: Store,
    settings: RetentionSettings,
    begin: Begin,
    now: float,
    at_most_s: float,
    told: Callable[[str], None] = lambda what: None,
) -> None:
    """Applies the rules, bite by bite, each a short transaction of its own."""
    until = time.monotonic() + at_most_s
    rules = rules_of(settings)
    for kind in ("points", "states"):
        with store.read() as tx:
            due = retention.due(tx, rules, kind, now)
        for found in due:
            told(f"{kind} of run {found.run.key}")
            more = True
            while more:
                if time.monotonic() > until:
                    return
                with begin() as tx:
                    more = retention.bite(tx, found)
    for name, days, due_of, drop_of in (
        ("hours of trends", settings.hours_days, retention.hours_due, retention.drop_hours),
        ("masks", settings.masks_days, retention.masks_due, retention.drop_masks),
    ):
        with store.read() as tx:  # whoever has nothing to drop does not wait to write
            left = due_of(tx, days, now)
        while left > 0 and time.monotonic() < until:
            told(name)
            with begin() as tx:
                dropped = drop_of(tx, days, now)
            left -= dropped or left


@dataclass(frozen=True)
class Report:
    """What the rules would drop now."""

    due: list[retention.Due]
    hours: int
    masks: int
    masks_days: int
    rules: int

    @property
    def empty(self) -> bool:
        return not (self.due or self.hours or self.masks)

    def lines(self) -> list[str]:
        """One for each kind and age."""
        said = []
        if not self.rules:
            said.append("no retention rules are set: everything is kept of all runs (settings, [[retention.rules]])")
        for (kind, days), found in self._by_age().items():
            if kind == "points":
                what = f"{_sum(found, 'points'):,} points of {_sum(found, 'files'):,} files; their hours and days stay"
            else:
                what = f"{_sum(found, 'states'):,} states, {_sum(found, 'bytes') / 1e6:,.1f} MB; their numbers stay"
            said.append(f"{kind} older than {days} days: {len(found):,} runs, {what}")
        if self.hours:
            said.append(f"hours of dropped points: {self.hours:,}; their days stay")
        if self.masks:
            said.append(f"masks that nobody looked at for {self.masks_days} days: {self.masks:,}")
        return said or ["nothing is old enough to be dropped"]

    def _by_age(self) -> dict[tuple[str, int], list[retention.Due]]:
        found: dict[tuple[str, int], list[retention.Due]] = {}
        for one in self.due:
            found.setdefault((one.kind, one.days), []).append(one)
        return found

    def to_json(self) -> dict[str, Any]:
        names = ("kind", "days", "files", "points", "states", "bytes")
        return {
            "runs": [{"run": one.run.key} | {name: getattr(one, name) for name in names} for one in self.due],
            "hours": self.hours,
            "masks": self.masks,
        }


def _sum(found: list[retention.Due], name: str) -> int:
    return sum(getattr(one, name) for one in found)


def report(store: Store, settings: RetentionSettings, now: float) -> Report:
    rules = rules_of(settings)
    with store.read() as tx:
        found = [one for kind in ("points", "states") for one in retention.due(tx, rules, kind, now)]
        measured = [retention.measured(tx, store.states, one) for one in found]
        masks = retention.masks_due(tx, settings.masks_days, now)
        hours = retention.hours_due(tx, settings.hours_days, now)
        return Report(measured, hours, masks, settings.masks_days, len(rules) + settings.hours_days)


def collect(store: Store, now: float | None = None) -> int:
    """Removes states that nothing names, unless a backup is just copying what an older moment names; gives how many."""
    with store.read() as tx:
        if watchers.backing_up(tx, time.time()):
            return 0
        named = parts.addresses(tx)
    return store.states.collect(named, now)
