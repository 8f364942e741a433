"""A number against its limits."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

Limits = tuple[float | None, float | None]


class Quality(StrEnum):
    """The four verdicts, in the words that pages show."""

    GOOD = "GOOD"
    SUSPECT = "SUSPECT"
    BAD = "BAD"
    UNKNOWN = "NOT YET"


class Judged(Protocol):
    """What a range check needs of a trend."""

    @property
    def value(self) -> float | int | None: ...

    @property
    def unit(self) -> str: ...

    @property
    def warn(self) -> Limits: ...

    @property
    def alarm(self) -> Limits: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Verdict:
    """A quality and the sentence that says why; None instead of a verdict means that there are no limits to judge by."""

    quality: Quality
    reason: str


def judge(trend: Judged) -> Verdict | None:
    """Bad outside `alarm`, suspect outside `warn`, good inside both; None when neither is set."""
    if all(limit is None for limit in (*trend.warn, *trend.alarm)):
        return None
    if trend.value is None:
        return Verdict(Quality.UNKNOWN, trend.reason or "not enough data to decide")
    for quality, (low, high) in ((Quality.BAD, trend.alarm), (Quality.SUSPECT, trend.warn)):
        if low is not None and trend.value < low:
            return Verdict(quality, f"below {low:g} {trend.unit}")
        if high is not None and trend.value > high:
            return Verdict(quality, f"above {high:g} {trend.unit}")
    return Verdict(Quality.GOOD, "inside its limits")


SEVERITY = (Quality.BAD, Quality.SUSPECT, Quality.UNKNOWN, Quality.GOOD)
"""Worst first."""


def worst(verdicts: Iterable[Verdict]) -> str | None:
    """The worst quality in lower case (good, suspect, bad, unknown); None when there is nothing to judge."""
    found = {verdict.quality for verdict in verdicts}
    return next((quality.name.lower() for quality in SEVERITY if quality in found), None)
