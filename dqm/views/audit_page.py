"""The audit trail as admins read it: who, what, when, and what was changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from dqm.auth.roles import Actor
from dqm.records import Noted
from dqm.store import audit
from dqm.store.audit import Filter
from dqm.views.asked import Asked
from dqm.views.run_list import PAGE, Rows
from dqm.views.site import Site


@dataclass(frozen=True)
class Wanted:
    """Rows that somebody asks for; `problems` are sentences about what was not understood."""

    filter: Filter = field(default_factory=Filter)
    problems: tuple[str, ...] = ()

    @property
    def filtered(self) -> bool:
        return self.filter != Filter()


def wanted(query: Mapping[str, str]) -> Wanted:
    """What a query such as ``who=ada&what=sign in&search=run 7&since=2024-07-08`` asks for."""
    asked = Asked(query)
    found = Filter(
        asked.text("who"),
        asked.text("what"),
        asked.text("search"),
        asked.moment("since"),
        asked.moment("until", end=True),
    )
    if found.since is not None and found.until is not None and found.since > found.until:
        asked.problems.append("The first day is after the last one: nothing can fit.")
    return Wanted(found, tuple(asked.problems))


def audit_rows(site: Site, actor: Actor, asked: Wanted, start: int = 0, end: int = 100) -> Rows:
    """Rows `start` to `end` of what fits, newest first. Raises NotAllowed."""
    actor.require("admin")
    with site.store.read() as tx:
        found = audit.search(tx, asked.filter, max(start, 0), min(max(end - start, 0), PAGE))
        return Rows([_row(row) for row in found], audit.count(tx, asked.filter))


@dataclass(frozen=True)
class Choices:
    """Everybody who did something, and everything that was done."""

    actors: list[str]
    actions: list[str]


def choices(site: Site, actor: Actor) -> Choices:
    actor.require("admin")
    with site.store.read() as tx:
        return Choices(audit.actors(tx), audit.actions(tx))


def history(site: Site, actor: Actor, subject: str, most: int = 6) -> list[Noted]:
    """The newest that happened to `subject`."""
    actor.require("admin")
    with site.store.read() as tx:
        return [Noted(**row) for row in audit.of(tx, subject, most)]


def _row(row: Noted) -> dict[str, Any]:
    return {
        "id": str(row.id),
        "time": row.time,
        "actor": row.actor,
        "action": row.action,
        "subject": row.subject.encode("utf-8", "replace").decode(),
        "change": change(row.before, row.after),
    }


def change(before: Any, after: Any) -> str:
    """``role: viewer → admin; days: 90``, what was changed in words."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = dict.fromkeys([*before, *after])
        return "; ".join(f"{name}: {_said(before.get(name))} → {_said(after.get(name))}" for name in names)
    one = before if after is None else after
    if isinstance(one, dict):
        return "; ".join(f"{name}: {_said(value)}" for name, value in one.items())
    return "" if one is None else _said(one)


def _said(value: Any) -> str:
    if value is None or value == "":
        return "–"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
