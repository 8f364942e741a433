"""What the query of a URL asks for, read with care: what cannot be understood becomes a sentence and is left out."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

Order = tuple[tuple[str, bool], ...]
"""(column, descending), the first decides."""
LONGEST = 200


@dataclass
class Asked:
    """Reads values of a query one by one and collects what was wrong with them."""

    query: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, name: str) -> str:
        """Free words, cut where nobody would have typed more."""
        return " ".join(self.query.get(name, "").split())[:LONGEST]

    def one_of(self, name: str, known: Collection[str], what: str) -> str:
        """One of `known`, or empty."""
        value = self.text(name)
        if value and value not in known:
            self.problems.append(f"“{short(value)}” is no {what}: known are {', '.join(known)}. It was left out.")
            return ""
        return value

    def moment(self, name: str, *, end: bool = False) -> float | None:
        """Unix seconds of a date or time (UTC unless it says otherwise); with `end` a date means the end of that day."""
        value = self.text(name)
        if not value:
            return None
        found = moment_of(value, end=end)
        if found is None:
            self.problems.append(
                f"“{short(value)}” is no date: write {name}=2024-07-08 or {name}=2024-07-08T13:30. It was left out."
            )
        return found

    def order(self, name: str, known: Iterable[str]) -> Order:
        """``-start,run`` as (column, descending) pairs."""
        columns = set(known)
        asked = [part.strip() for part in self.text(name).split(",") if part.strip()]
        wrong = [part for part in asked if part.lstrip("-") not in columns]
        if wrong:
            self.problems.append(f"“{short(wrong[0])}” is no column to sort by. It was left out.")
        return tuple((part.lstrip("-"), part.startswith("-")) for part in asked if part not in wrong)


def moment_of(text: str, *, end: bool = False) -> float | None:
    """Unix seconds of an ISO date or time, UTC when it has no zone; None when it is neither."""
    try:
        found = datetime.fromisoformat(text)
        if end and len(text) <= len("2024-07-08"):
            found += timedelta(days=1, microseconds=-1)
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return seconds if math.isfinite(seconds) else None


def iso(unix: float) -> str:
    """A time as URLs and files have it, ``2024-07-08T18:37:42Z``."""
    return datetime.fromtimestamp(round(unix), UTC).isoformat().replace("+00:00", "Z")


def short(text: str) -> str:
    """So much of what somebody typed that he knows it again."""
    return text if len(text) <= 40 else text[:39] + "…"


def day_of(unix: float | None) -> str:
    """The UTC day of a time, ``2024-07-08``, as calendars have it; empty for None."""
    return "" if unix is None else f"{datetime.fromtimestamp(unix, UTC):%Y-%m-%d}"
