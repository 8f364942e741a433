"""Blocks of one file through all plots. Reading happens once; a plot that raises is set aside and the others go on."""

from __future__ import annotations

import time
from collections.abc import Container, Iterable
from dataclasses import replace
from typing import Any

from dqm.formats import Packets, Reader
from dqm.formats.packets import DERIVED
from dqm.results import Element
from plots.base import PLUGIN_ERRORS, MergeablePlot, Plot, Trend, check_figure

LEVELS_OF_FORMAT = {"raw": {"raw", "packets"}, "packets": {"packets"}, "sim": {"packets"}, "flow": {"packets"}}
"""Which levels of plots a file of each format feeds today: the packets that a flow file keeps count as packets."""


def prepare(plots: Iterable[type[Plot]], reader: Reader, begun: Container[str] = ()) -> list[Element]:
    """One element for each plot, ready to be fed; those that this file cannot feed say so.

    Of those that have `begun` before, by name, the state has no leaves yet: it will have what is counted now.
    """
    return [_prepare(plot, reader, plot.__name__ in begun) for plot in plots]


def _prepare(plot: type[Plot], reader: Reader, begun: bool) -> Element:
    element = Element(plot)
    try:
        element.made = made = plot()
        element.unavailable = _unavailable(made, reader)
        if element.unavailable:
            return element
        if isinstance(made, MergeablePlot):
            element.state = made.nothing(reader.detector) if begun else made.start(reader.detector)
        else:
            element.figure = made.new_figure()
    except PLUGIN_ERRORS as error:
        element.fail("at the start", error)
    return element


def _unavailable(plot: Plot, reader: Reader) -> str:
    """Why this file cannot feed a plot; empty when it can."""
    if plot.unable:
        return plot.unable
    version = f"{reader.kind.format} file" + (f" of version {reader.kind.version}" if reader.kind.version else "")
    if plot.level not in LEVELS_OF_FORMAT.get(reader.kind.format, set()):
        return f"needs {plot.level} data, this is a {version}"
    missing = plot.missing(reader.columns)
    if missing and missing[0] in DERIVED:
        return f"needs column {missing[0]}, and no known geometry fits the ids of this file"
    return f"needs column {missing[0]}, which a {version} does not have" if missing else ""


def feed(elements: Iterable[Element], packets: Packets) -> None:
    """Gives one block to every element that still works."""
    for element in elements:
        if element.broken or element.unavailable or element.made is None:
            continue
        begun = time.perf_counter()
        try:
            if isinstance(element.made, MergeablePlot):
                assert element.state is not None
                counted = element.made.count(packets)
                element.state.add(counted)
                if element.added is not None:
                    element.added.collect(counted)
            else:
                returned = element.made(packets, element.figure)
                element.figure = element.figure if returned is None else returned
        except PLUGIN_ERRORS as error:
            element.fail(f"counting rows from {packets.first_row:,}", error)
        element.blocks += 1
        element.packets += len(packets)
        element.seconds += time.perf_counter() - begun


def finish(elements: Iterable[Element], detector: Any = None) -> None:
    """Draws the figures of mergeable plots and reads their trends; of those that could not be fed they are null."""
    for element in elements:
        if element.broken or element.made is None:
            continue
        if element.unavailable:
            element.trends = unknown_trends(element.made, element.unavailable, detector)
            continue
        doing = "drawing"
        try:
            if isinstance(element.made, MergeablePlot):
                assert element.state is not None
                element.figure = element.made.figure(element.state)
            check_figure(element.figure)
            doing = "reading its trends"
            if isinstance(element.made, MergeablePlot) and element.state is not None:
                element.trends = element.made.read_trends(element.state)
        except PLUGIN_ERRORS as error:
            element.fail(doing, error)


def unknown_trends(plot: Plot, reason: str, detector: Any) -> dict[str, Trend]:
    """The trends of a plot that could not be fed: null, with the reason."""
    if not isinstance(plot, MergeablePlot):
        return {}
    try:
        declared = plot.read_trends(plot.start(detector))
    except PLUGIN_ERRORS:  # it may ask for the very column that is missing
        return {}
    return {name: replace(trend, value=None, reason=reason) for name, trend in declared.items()}
