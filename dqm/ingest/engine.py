"""Blocks of one file through all plots. Reading happens once; a plot that raises is set aside and the others go on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from dqm.formats import Packets, Reader
from dqm.records import Element
from plots.base import MergeablePlot, Plot, Trend

LEVELS_OF_FORMAT = {"raw": {"raw", "packets"}, "packets": {"packets"}, "sim": {"packets"}, "flow": {"packets"}}
"""Which levels of plots a file of each format feeds today: the packets that a flow file keeps count as packets."""


def prepare(plots: Iterable[Plot], reader: Reader) -> list[Element]:
    """One element for each plot, ready to be fed; those that this file cannot feed say so."""
    return [_prepare(plot, reader) for plot in plots]


def _prepare(plot: Plot, reader: Reader) -> Element:
    element = Element(plot)
    version = f"{reader.kind.format} file" + (f" of version {reader.kind.version}" if reader.kind.version else "")
    if plot.level not in LEVELS_OF_FORMAT.get(reader.kind.format, set()):
        element.unavailable = f"needs {plot.level} data, this is a {version}"
    elif missing := plot.missing(reader.columns):
        element.unavailable = f"needs column {missing[0]}, which a {version} does not have"
    else:
        try:
            if isinstance(plot, MergeablePlot):
                element.state = plot.start(reader.detector)
            else:
                element.figure = plot.new_figure()
        except (Exception, SystemExit) as error:
            element.fail("at the start", error)
    return element


def feed(elements: Iterable[Element], packets: Packets) -> None:
    """Gives one block to every element that still works."""
    for element in elements:
        if element.broken or element.unavailable:
            continue
        try:
            if isinstance(element.plot, MergeablePlot):
                assert element.state is not None
                element.state.add(element.plot.count(packets))
            else:
                element.figure = _updated(element, packets)
        except (Exception, SystemExit) as error:
            element.fail(f"counting rows from {packets.first_row:,}", error)


def _updated(element: Element, packets: Packets) -> Any:
    returned = element.plot(packets, element.figure)
    return element.figure if returned is None else returned


def finish(elements: Iterable[Element], detector: Any = None) -> None:
    """Draws the figures of mergeable plots and reads their trends; of those that could not be fed they are null."""
    for element in elements:
        plot = element.plot
        if element.broken or not isinstance(plot, MergeablePlot):
            continue
        if element.unavailable:
            element.trends = _unknown_trends(plot, element.unavailable, detector)
            continue
        assert element.state is not None
        doing = "drawing"
        try:
            element.figure = plot.figure(element.state)
            doing = "reading its trends"
            element.trends = plot.read_trends(element.state)
        except (Exception, SystemExit) as error:
            element.fail(doing, error)


def _unknown_trends(plot: MergeablePlot, reason: str, detector: Any) -> dict[str, Trend]:
    """The trends of a plot that could not be fed: null, with the reason."""
    try:
        declared = plot.read_trends(plot.start(detector))
    except (Exception, SystemExit):  # it may ask for the very column that is missing
        return {}
    return {name: replace(trend, value=None, reason=reason) for name, trend in declared.items()}
