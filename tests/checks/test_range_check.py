"""A number against its limits, in words."""

from __future__ import annotations

import pytest

from dqm.checks.range_check import Quality, judge
from plots.base import Trend


@pytest.mark.parametrize(
    ("value", "quality", "reason"),
    [
        (50, Quality.GOOD, "inside its limits"),
        (100, Quality.GOOD, "inside its limits"),
        (100.5, Quality.SUSPECT, "above 100 ADC"),
        (201, Quality.BAD, "above 200 ADC"),
        (4, Quality.SUSPECT, "below 5 ADC"),
        (0.5, Quality.BAD, "below 1 ADC"),
        (None, Quality.UNKNOWN, "no data packets"),
    ],
)
def test_a_number_is_judged_by_the_worst_limit_it_is_outside_of(
    value: float | None, quality: Quality, reason: str
) -> None:
    verdict = judge(Trend(value, "ADC", warn=(5, 100), alarm=(1, 200), reason="no data packets"))
    assert verdict is not None
    assert (verdict.quality, verdict.reason) == (quality, reason)


def test_without_limits_there_is_no_verdict() -> None:
    assert judge(Trend(3, "packets")) is None


def test_zero_is_a_limit_too() -> None:
    verdict = judge(Trend(1, "tiles", alarm=(None, 0)))
    assert verdict is not None
    assert verdict.quality is Quality.BAD
