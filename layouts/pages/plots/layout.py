"""Layout of the plots page."""

from __future__ import annotations

from dash import html

from dqm.views.plot_list import Broken, Description, PlotList


def plots_page(listed: PlotList) -> list:
    """Broken plug-ins first, since somebody waits for them; then all plots in the order of their discovery."""
    broken = [html.H2("Broken"), *[_broken(plugin) for plugin in listed.broken]] if listed.broken else []
    plots = html.Div([_plot(plot) for plot in listed.plots], className="grid")
    return [*broken, html.H2(f"{len(listed.plots)} plots"), plots]


def _plot(plot: Description) -> html.Article:
    trends = [html.Li(f"{name} [{unit}]") for name, unit in plot.trends.items()]
    return html.Article(
        [
            html.H3(plot.title),
            html.P(f"{plot.name}, {plot.level}, {plot.kind}, version {plot.version}, {plot.source}", className="cover"),
            html.Ul(trends) if trends else html.P("no trends", className="cover"),
        ],
        className="tile",
    )


def _broken(plugin: Broken) -> html.Div:
    parts: list = [
        html.Span(className="mark broken"),
        html.B(" BROKEN "),
        f"{plugin.name} ({plugin.source}): {plugin.reason}",
    ]
    if plugin.traceback:
        parts.append(html.Details([html.Summary("Traceback, for its author"), html.Pre(plugin.traceback)]))
    return html.Div(parts, className="why-not")
