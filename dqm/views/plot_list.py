"""What plots there are, for lists, pages and documents."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from plots.base import PLUGIN_ERRORS, MergeablePlot
from plots.discovery import Broken, Found, Registry


@dataclass(frozen=True)
class Description:
    name: str
    title: str
    level: str
    kind: str
    """``mergeable`` or ``simple``."""
    version: int
    source: str
    fields: tuple[str, ...]
    trends: dict[str, str]
    """Name -> unit."""

    def to_json(self) -> dict:
        return asdict(self)


@dataclass(frozen=True)
class PlotList:
    """All plots in the order of their discovery, and the broken plug-ins."""

    plots: list[Description]
    broken: list[Broken]

    def to_json(self) -> dict:
        broken = [{"name": plugin.name, "source": plugin.source, "reason": plugin.reason} for plugin in self.broken]
        return {"plots": [plot.to_json() for plot in self.plots], "broken": broken}


def plot_list(registry: Registry) -> PlotList:
    """What `registry` found, described."""
    return PlotList([describe(found) for found in registry.plots.values()], registry.broken)


def describe(found: Found) -> Description:
    """The description of a plot; its trends are those of an empty state (none when that raises: the test says so)."""
    plot = found.plot
    trends: dict[str, str] = {}
    if issubclass(plot, MergeablePlot):
        try:
            made = plot()
            trends = {name: trend.unit for name, trend in made.read_trends(made.start()).items()}
        except PLUGIN_ERRORS:  # a plug-in that fails on empty input is still listed
            trends = {}
    kind = "mergeable" if issubclass(plot, MergeablePlot) else "simple"
    return Description(found.name, plot.title, plot.level, kind, plot.version, found.source, tuple(plot.fields), trends)
