"""Times of a figure in another zone: Plotly draws the strings as they are, so they are moved here."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

STAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?")


def in_zone(figure: Any, zone: str) -> Any:
    """`figure` with its UTC time strings, and the words of its axes, in `zone`; the same object for UTC."""
    if zone == "UTC":
        return figure
    there = ZoneInfo(zone)
    for trace in figure.data:
        x = trace.x if "x" in trace else None
        if x is not None and len(x) and isinstance(x[0], str) and STAMP.fullmatch(x[0]):
            trace.x = [_moved(stamp, there) for stamp in x]
        if trace.hovertemplate and "UTC" in str(trace.hovertemplate):
            trace.hovertemplate = str(trace.hovertemplate).replace("UTC", zone)
    for name in figure.layout:
        axis = figure.layout[name]
        if name.startswith("xaxis") and axis.title.text and "UTC" in axis.title.text:
            axis.title.text = axis.title.text.replace("UTC", zone)
            if axis.range and isinstance(axis.range[0], str) and STAMP.fullmatch(axis.range[0]):
                axis.range = [_moved(stamp, there) for stamp in axis.range]
    return figure


def _moved(stamp: str, zone: ZoneInfo) -> str:
    moment = datetime.fromisoformat(stamp).replace(tzinfo=UTC).astimezone(zone)
    return moment.strftime("%Y-%m-%d %H:%M:%S.%f" if moment.microsecond else "%Y-%m-%d %H:%M:%S")
