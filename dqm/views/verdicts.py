"""Verdicts as pages tell them: what is outside which limit, in one sentence, worst first."""

from __future__ import annotations

from dataclasses import dataclass

from dqm.checks.range_check import Judged, Quality, judge
from dqm.views.words import number, quantity

ORDER = {"bad": 0, "suspect": 1, "broken": 2, "unknown": 3, "nodata": 4, "": 5, "good": 6}
"""States, worst first; empty: nothing to judge by."""
NOTEWORTHY = ("bad", "suspect")
MEASURES = ("Hz", "s", "ticks")


@dataclass(frozen=True)
class Value:
    """A number with its limits: what a range check needs."""

    value: float | int | None
    unit: str
    warn: tuple[float | None, float | None]
    alarm: tuple[float | None, float | None]
    reason: str = ""


def state_of(trend: Judged) -> str:
    """good, suspect, bad, unknown; empty without limits."""
    verdict = judge(trend)
    return verdict.quality.name.lower() if verdict else ""


def has_limits(trend: Judged) -> bool:
    return any(limit is not None for limit in (*trend.warn, *trend.alarm))


def amount(value: float | int | None, unit: str) -> str:
    """A value with its unit; a fraction needs no unit."""
    return number(value) if unit in ("fraction", "") else quantity(value, unit)


def named_amount(label: str, value: float | int | None, unit: str) -> str:
    """A value behind its name: ``hot pixels 5``; the unit is not said twice."""
    return f"{label} {number(value) if unit in label.split() else amount(value, unit)}"


def beyond(trend: Judged) -> str:
    """``above 0.001 (bad)``; what it is when it is inside: the limits."""
    verdict = judge(trend)
    if verdict is None or trend.value is None:
        return trend.reason
    if verdict.quality not in (Quality.BAD, Quality.SUSPECT):
        return "inside its limits"
    low, high = trend.alarm if verdict.quality is Quality.BAD else trend.warn
    word = verdict.quality.name.lower()
    if low is not None and trend.value < low:
        return f"below {amount(low, trend.unit)} ({word})"
    return f"above {amount(high, trend.unit)} ({word})"


def limits_words(trend: Judged) -> str:
    """``suspect above 0.0001, bad above 0.001``; empty without limits."""
    words = []
    for word, (low, high) in (("suspect", trend.warn), ("bad", trend.alarm)):
        sides = [f"below {amount(low, trend.unit)}"] if low is not None else []
        sides += [f"above {amount(high, trend.unit)}"] if high is not None else []
        words += [f"{word} {' or '.join(sides)}"] if sides else []
    return ", ".join(words)


def trend_words(name: str, unit: str) -> str:
    """``max_abs_dt_ticks`` as people say it: a unit of measure at its end is in the value already."""
    measure = f"_{unit.lower()}"
    return (name.removesuffix(measure) if unit in MEASURES else name).replace("_", " ")
