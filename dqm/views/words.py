"""Numbers and times as people read them."""

from __future__ import annotations

from datetime import datetime

PREFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def number(value: float | int | None) -> str:
    """Three significant digits with an SI prefix, ``12.4 k``; whole numbers below 10,000 in full; a dash for None."""
    if value is None:
        return "–"
    if float(value).is_integer() and abs(value) < 10_000:
        return f"{int(value)}"
    for size, prefix in PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g} {prefix}"
    return f"{value:.3g}"


def quantity(value: float | int | None, unit: str) -> str:
    """A number with its unit: ``21.7 kHz``, ``139 k pixels``, ``0.041 %`` of a fraction is left as a fraction."""
    if value is None:
        return "–"
    text = number(value)
    if value == 1 and unit.endswith("s"):
        unit = unit.removesuffix("s")
    joined = unit == "Hz" and text[-1:] in "GMk"
    return f"{text}{'' if joined else ' '}{unit}"


def time_span(start: datetime | None, end: datetime | None) -> str:
    """``2024-07-08 18:37:42 to 18:37:52 UTC``; what is known of it."""
    if start is None:
        return "time unknown"
    first = f"{start:%Y-%m-%d %H:%M:%S}"
    if end is None:
        return f"{first} UTC (from the name)"
    return f"{first} to {end:%H:%M:%S} UTC" if start.date() == end.date() else f"{first} to {end:%Y-%m-%d %H:%M:%S} UTC"
