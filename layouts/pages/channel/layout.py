"""Layout of the page of a channel."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from dash import dcc, html

from dqm.views.channel_page import (
    RUNS,
    RUNS_MOST,
    ChannelPage,
    Life,
    NoChannel,
    Wanted,
    channel_page,
    wanted,
)
from dqm.views.pixels import link
from dqm.views.rows_behind import Condition, Search
from dqm.views.site import Site
from dqm.views.words import number, quantity
from layouts.components.asked import notes
from layouts.components.graph import graph
from layouts.components.pixels import breadcrumbs, rows_link
from layouts.components.steady import steady
from layouts.components.words import empty, extra, mark, moment, run_mark
from layouts.pages.channel.figures import HEIGHT_PX
from layouts.pages.run.layout import no_run, run_link, window_switch

ASKED, LIFE, SPECTRUM, OVER_RUNS = "channel-asked", "channel-life", "channel-spectrum", "channel-runs"
NOW = "channel-now"
CHOICES = (10, RUNS, 200, RUNS_MOST)


def layout(site: Site, query: dict[str, str], channel: str) -> html.Div:
    asked = wanted(channel, query)
    found = channel_page(site, asked)
    if isinstance(found, NoChannel):
        return html.Div([*notes(asked.problems), _nothing(found, asked)], **extra(data_up="level"))
    parts = [
        dcc.Store(id=ASKED, data=[found.place.text, asked.run, asked.runs, asked.in_window]),
        dcc.Store(id="channel-spectrum-so-far"),
        *notes(asked.problems),
        *_head(found, asked),
        html.Div(
            [html.Section(steady(NOW, now_of(found)), className="panel"), _spectrum(found)], className="channel-parts"
        ),
        html.Section(_over_runs(found, asked), className="channel-life"),
    ]
    return html.Div(parts, className="channel-page")


def asked_of(data: list[Any]) -> Wanted:
    """What the page that sends this shows."""
    channel, run, runs, in_window = [*data, False][:4]
    return Wanted(str(channel), str(run), min(max(int(runs), 1), RUNS_MOST), in_window=bool(in_window))


def channel_link(channel: str, run: str, runs: int = RUNS, in_window: bool = False) -> str:
    asked = {"run": run} | ({"runs": str(runs)} if runs != RUNS else {}) | ({"window": "1"} if in_window else {})
    return f"/channels/{quote(channel, safe='')}?{urlencode(asked)}"


def _nothing(found: NoChannel, asked: Wanted) -> Any:
    if found.page is None:
        return no_run(asked.run)
    if not found.state:
        up = html.A("Go to the detector", id="up", href=link("detector", "", asked.run), className="primary button")
        return empty("There is no such channel", found.reason, up)
    up = html.A(f"Go to run {found.page.run.key}", id="up", href=run_link(asked.run), className="primary button")
    if asked.in_window:
        href = channel_link(asked.channel, asked.run, asked.runs)
        up = html.A("Show the whole run", id="up", href=href, className="primary button")
    why = html.P([mark(found.state), f" {found.reason}"])
    title = f"Nothing is known of this channel in run {found.page.run.key}"
    return html.Div([html.H3(title), why, up], className="empty-state")


def _head(found: ChannelPage, asked: Wanted) -> list[Any]:
    run = found.page.run
    above = [(f"run {run.key}", run_link(asked.run, asked.in_window))]
    above += [(one.name, link(one.level, one.text, asked.run, in_window=asked.in_window)) for one in found.trail]
    ids = found.place.text.split("-")
    said = f"io_group {ids[0]}, io_channel {ids[1]}, chip {ids[2]}, channel {ids[3]}"
    own = (found.place.text, asked.run, asked.runs)
    title = [
        html.H2(f"Channel {found.place.text}"), html.Span(said, className="weak"),
        window_switch(found.page, channel_link(*own), channel_link(*own, in_window=True)),
    ]  # fmt: skip
    where = f"tile {found.tile}, z {found.z_cm:.2f} cm, y {found.y_cm:.2f} cm"
    return [
        breadcrumbs(above, found.place.name),
        html.Div(title, className="run-head"),
        html.P(where, className="cover"),
    ]


def now_of(found: ChannelPage | NoChannel) -> list[Any]:
    """Its numbers in the run, or in the window of the run."""
    if isinstance(found, NoChannel):
        return [html.P([mark(found.state or "unknown"), f" {found.reason}"])]
    now, run, window = found.now, found.page.run, found.page.window
    rate = quantity(now.rate, "Hz") if now.rate is not None else "not known: live time below 1 s"
    facts = [
        ("packets", number(now.packets)), ("rate", rate), ("mean", quantity(now.mean, "ADC")),
        ("standard deviation", quantity(now.std, "ADC")),
    ]  # fmt: skip
    parts = [part for label, shown in facts for part in (html.Dt(label), html.Dd(shown))]
    asked = {"pixel": found.place.text} | ({"where": found.where} if found.where else {})
    rows = html.A("Its packets", id="channel-rows", href=rows_link(run.key, **asked), className="button")
    of = html.A(run.key, href=run_link(run.key, found.page.in_window))
    head = html.Div([html.H3(["In the last minutes of run " if window else "In run ", of]), run_mark(found.page.state)])
    times = html.P([moment(window[0]), " to ", moment(window[1])], className="weak") if window else None
    return [part for part in (head, times, html.Dl(parts, className="facts-list"), rows) if part is not None]


def _spectrum(found: ChannelPage) -> html.Section:
    which = " Only packets of the last minutes count." if found.page.in_window else ""
    why = f"Spectra of single channels are not kept: this one is read from the files of the run, for 2 s at a time.{which}"
    return html.Section(
        [
            html.H3("ADC spectrum"),
            html.P(why, className="weak"),
            html.Div(
                [
                    html.Button(f"Read it from run {found.page.run.key}", id="channel-read"),
                    dcc.Loading(html.Span(id="channel-spectrum-said", role="status"), type="dot"),
                ],
                className="acts",
            ),
            html.Div(graph(SPECTRUM, style={"height": "260px"}), id="channel-spectrum-area", hidden=True),
        ],
        className="panel",
    )


def _over_runs(found: ChannelPage, asked: Wanted) -> list[Any]:
    choices = [
        html.A(
            f"{runs}", href=channel_link(found.place.text, asked.run, runs, asked.in_window), className="button",
            **(extra(aria_current="true") if runs == asked.runs else {}),
        )
        for runs in CHOICES
    ]  # fmt: skip
    switch = html.Span(choices, className="window-switch", **extra(role="group", aria_label="Number of runs"))
    reading = html.P(f"Reading the newest {asked.runs} runs …", id="channel-said", role="status", className="said-now")
    return [
        html.Div([html.H3("Newest runs"), switch], className="run-head"),
        reading,
        graph(LIFE, style={"height": f"{HEIGHT_PX}px"}),
        steady(OVER_RUNS, None),
    ]


def summary(life: Life) -> list[Any]:
    """Last value and silence, and what was reconfigured."""
    parts: list[Any] = [mark("suspect", "SILENT"), " "] if life.silent else []
    parts.append(life.said)
    if life.changed:
        parts.append(
            f" Registers that changed: {', '.join(life.changed[:8])}{' ...' if len(life.changed) > 8 else ''}."
        )
    return parts


def registers_table(life: Life, asked: Wanted) -> list[Any]:
    """One line for each run: its numbers and the registers; all registers of the newest below."""
    if not life.points:
        return [html.P("No run is known yet.", className="weak")]
    heads = ["Run", "Start", "Packets", "Rate [Hz]", "Mean [ADC]", "Std [ADC]", *life.names, ""]
    body = []
    for point, registers in zip(life.points, life.registers, strict=True):
        changed = [name for name in life.names if name in life.changed]
        cells = [
            html.Th(html.A(point.run, href=channel_link(asked.channel, point.run, asked.runs)), scope="row"),
            html.Td(moment(point.start)),
            *[
                html.Td(number(value), className="value")
                for value in (point.packets, point.rate, point.mean, point.std)
            ],
            *[
                html.Td(str(registers.get(name, "–")), className="value changed" if name in changed else "value")
                for name in life.names
            ],
            html.Td(point.why, className="why"),
        ]
        body.append(html.Tr(cells, className="silent" if point.packets == 0 else ""))
    head = html.Thead(html.Tr([html.Th(word) for word in heads]))
    table = html.Div(html.Table([head, html.Tbody(body)]), className="scroll", tabIndex="0")
    if not life.every:
        none = "No configuration of its chip is known in these runs: their files have none, or none of this chip."
        return [table, html.P(none, className="weak")]
    parts = [part for name, value in life.every.items() for part in (html.Dt(name), html.Dd(str(value)))]
    every = html.Details(
        [html.Summary(f"All {len(life.every)} registers, newest"), html.Dl(parts, className="facts-list many")]
    )
    return [table, every]


def read_so_far(search: Search, packets: int, times: tuple[Condition, ...] = ()) -> list[Any]:
    """How far the reading of the spectrum got, and what was in the way."""
    of = [part for one in times for part in (" from ", moment(one.low), " to ", moment(one.high))]
    said = [f"{packets:,} packets", *of, f"; {search.words}."]
    return [*said, *[html.Span(f" {problem}", className="weak") for problem in search.problems[:3]]]
