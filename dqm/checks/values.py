"""The numbers of a plot as records that can be kept, judged and shown without it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dqm.records import TrendValue


def as_values(found: Mapping[str, Any]) -> dict[str, TrendValue]:
    """Trends as plain records, with numbers that JSON has."""
    return {
        name: TrendValue(t.value, t.unit, _plain(t.range), _plain(t.warn), _plain(t.alarm), t.reason)
        for name, t in found.items()
    }


def _plain(limits: Any) -> tuple[float | None, float | None]:
    low, high = (None if limit is None else float(limit) for limit in limits)
    return low, high
