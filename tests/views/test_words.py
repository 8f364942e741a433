"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from dqm.views.words import number, quantity, time_span


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (5, "5"),
        (9999, "9999"),
        (12_400, "12.4 k"),
        (2.1e6, "2.1 M"),
        (3e9, "3 G"),
        (0.000_41, "0.00041"),
        (None, "–"),
    ],
)
def test_numbers_have_three_digits_and_a_prefix(value: float | None, text: str) -> None:
    assert number(value) == text


def test_units_follow_their_prefix() -> None:
    assert quantity(21_700, "Hz") == "21.7 kHz"
    assert quantity(4.2, "Hz") == "4.2 Hz"
    assert quantity(139_000, "pixels") == "139 k pixels"
    assert quantity(None, "Hz") == "–"


def test_times_have_their_zone() -> None:
    start, end = (datetime(2024, 7, 8, 18, 37, second, tzinfo=UTC) for second in (42, 52))
    assert time_span(start, end) == "2024-07-08 18:37:42 to 18:37:52 UTC"
    assert time_span(start, None) == "2024-07-08 18:37:42 UTC (from the name)"
    assert time_span(None, None) == "time unknown"
    assert time_span(start, end.replace(day=9)) == "2024-07-08 18:37:42 to 2024-07-09 18:37:52 UTC"
