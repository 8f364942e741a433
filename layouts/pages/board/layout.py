"""Layout of the board: the run in a line, what is wrong, the rate, and whether the monitor itself lives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dash import html

from dqm.views.alarm_list import kind_of
from dqm.views.board import Board, Ingest, Line, board
from dqm.views.run_list import span
from dqm.views.site import Site
from dqm.views.words import number
from layouts.components.alarms import alarm_list
from layouts.components.graph import figure_area, plot_link
from layouts.components.steady import steady
from layouts.components.words import WORDS, age, empty, mark, moment, run_mark, so_far

BOARD = "board"
RATE_HEIGHT = 230
FIGURES = 3
SHOWN = 8
"""Lines of what is wrong that are not folded."""
ALARMS = 2
"""Alarms of the monitor that the board has room for."""


def layout(site: Site, query: dict[str, str]) -> html.Div:
    return steady(BOARD, board_of(board(site)))


def board_of(found: Board) -> list[Any]:
    """The whole board."""
    if found.run is None:
        return [html.Div(_warnings(found), className="notices"), _nothing_yet(found)]
    return [
        _banner(found),
        html.Div(_warnings(found), className="notices"),
        html.Div(
            [
                html.Div([_wrong(found), _not_known(found), _calm(found)], className="column"),
                html.Div(_right(found), className="column"),
            ],
            className="board-grid",
        ),
        _figures(found),
    ]


def _right(found: Board) -> list[Any]:
    """An alarm of the monitor that nobody has seen stands before everything that can wait."""
    rest = [_rate(found), _call(found)]
    unseen = any(alarm.acknowledged_at is None for alarm in found.alarms.open)
    return [_monitor(found), *rest] if unseen else [*rest, _monitor(found)]


def _nothing_yet(found: Board) -> html.Div:
    ways = html.Ul(
        [
            html.Li([html.Code("larboard demo"), " shows a detector that is not real, with everything running"]),
            html.Li(
                [html.Code('[ingest] roots = ["/where/the/files/are"]'), " in ", html.Code("larboard.toml"), ", and ",
                 html.Code("larboard watch"), " to read files as they come"]
            ),
        ]
    )  # fmt: skip
    waiting = f" {found.waiting} files wait to be read." if found.waiting else ""
    return empty(
        "The newest run will be here", f"No file has been counted yet, so there is nothing to judge.{waiting}", ways
    )


def _banner(found: Board) -> html.Section:
    run = found.run
    assert run is not None
    counts = [mark(state, f"{count} {WORDS[state]}") for state, count in _tally(found.wrong)]
    words = "nothing was outside its limits" if found.doubtful else "nothing outside its limits"
    verdict = counts or [mark("nodata" if found.doubtful else "good", words)]
    facts = [
        html.Span([html.B(number(run.packets)), " packets"]),
        html.Span(_coverage(found)),
        html.Span(["last data ", age(run.updated)], className="stale-words" if found.stale else ""),
    ]
    return html.Section(
        [
            html.H2(
                [html.A(f"Run {run.key}", href=f"/runs/{run.key}"), " ", html.Span(run.category, className="category")]
            ),
            run_mark(found.run_state),
            so_far(run.start, run.end, run.updated, found.run_state == "running"),
            *facts,
            html.Span(verdict, className="counts"),
        ],
        className="banner",
    )


def _tally(lines: Sequence[Line]) -> list[tuple[str, int]]:
    states = [line.state for line in lines]
    return [(state, states.count(state)) for state in ("bad", "suspect", "broken") if state in states]


def _coverage(found: Board) -> str:
    percent = f"coverage {100 * found.share:.0f} %"
    return f"{percent} ({found.unread.words})" if found.unread.words else percent


def _warnings(found: Board) -> list[Any]:
    """What makes everything else doubtful, loud."""
    warnings: list[Any] = []
    if found.ingest.state == "broken":
        since = [" for ", age(found.ingest.last_beat, ago=False)] if found.ingest.last_beat else ""
        start = html.Span([" New files are not read. Start it with ", html.Code("larboard watch"), "."])
        warnings.append(html.Div([mark("broken", "MONITOR"), html.B([f" {found.ingest.words}", *since, "."]), start],
                                 className="notice broken", role="alert"))  # fmt: skip
    for alarm in found.alarms.blind:
        if found.ingest.state == "broken" and alarm.kind == "leader":
            continue  # said above
        what = html.B([f" {kind_of(alarm).title} for ", age(alarm.since, ago=False), "."])
        why = html.Span([f" {alarm.reason}. What is shown may be old, or not all. ", html.A("Health", href="/monitor")])
        warnings.append(html.Div([mark("broken", "MONITOR"), what, why], className="notice broken", role="alert"))
    if found.open:
        why = html.Span([" This site can be reached from other hosts. Make an account: ",
                         html.Code("larboard user add NAME --role admin"), "."])  # fmt: skip
        warnings.append(
            html.Div([mark("suspect", "NO ACCOUNTS"), html.B(" Nobody can sign in."), why], className="notice suspect")
        )
    if found.stale and found.run is not None:
        words = html.B([" No new data for ", age(found.run.updated, ago=False), "."])
        rest = " What is judged below is old: the verdicts are the last ones."
        warnings.append(html.Div([mark("stale"), words, rest], className="notice stale", role="status"))
    return warnings


def _wrong(found: Board) -> html.Section:
    wrong = found.wrong
    if not wrong:
        words = "Nothing was outside its limits." if found.doubtful else "Nothing is outside its limits."
        return html.Section([html.H3("Needs attention"), html.P(words, className="calm")], className="panel")
    more = (
        [html.Details([html.Summary(f"{len(wrong) - SHOWN} more"), _list(found, wrong[SHOWN:])])]
        if wrong[SHOWN:]
        else []
    )
    return html.Section([html.H3("Needs attention"), _list(found, wrong[:SHOWN]), *more], className="panel")


def _list(found: Board, lines: Sequence[Line]) -> html.Ul:
    return html.Ul([_line(found, line) for line in lines], className="lines")


def _line(found: Board, line: Line) -> html.Li:
    run = found.run
    assert run is not None
    # a plug-in that does not load has no plot to go to
    href = "/plots" if line.state == "broken" else plot_link(run.key, line.plot)
    stale = found.stale and line.state != "broken"
    shown = _stale_mark(line) if stale else mark(line.state)
    return html.Li(
        [shown, html.Div([html.A(line.title, href=href), html.Span([": ", line.words, *_since_when(line)])])],
        className=f"line {line.state}{' stale' if stale else ''}",
    )


def _stale_mark(line: Line) -> html.Span:
    return html.Span([html.Span(className="mark stale"), f" STALE, was {WORDS[line.state]}"], className="state stale")


def _since_when(line: Line) -> list[Any]:
    if line.since is None or line.state == "good":
        return []
    files = f" ({line.files} file{'s' if line.files != 1 else ''})"
    if line.whole_run and line.files > 1:
        return [", since the run began (", moment(line.since), ")", files]
    return [", since ", moment(line.since), files]


def _not_known(found: Board) -> Any:
    lines = found.waiting_lines
    if not lines:
        return None
    alike: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        alike.setdefault((line.state, line.words), []).append(line)
    rows = [_alike(found, of_one_reason) for of_one_reason in alike.values()]
    return html.Section([html.H3("Not known"), html.Ul(rows, className="lines")], className="panel")


def _alike(found: Board, lines: Sequence[Line]) -> html.Li:
    """Plots of which nothing is known for the same reason, in one line."""
    if len(lines) == 1:
        return _line(found, lines[0])
    run, one = found.run, lines[0]
    assert run is not None
    shown = _stale_mark(one) if found.stale else mark(one.state)
    words = html.Div([*_links(run.key, lines, ""), html.Span(f": {one.words}")])
    return html.Li([shown, words], className=f"line {one.state}{' stale' if found.stale else ''}")


def _calm(found: Board) -> Any:
    """What is all right, in one quiet line, with the plots folded into it."""
    run, good = found.run, [line for line in found.calm if line.state == "good"]
    free = [line for line in found.calm if line.state == ""]
    if run is None or not found.calm:
        return None
    word = "were inside their limits" if found.doubtful else "inside their limits"
    shown = _stale_word(f"{len(good)} {word}") if found.doubtful else mark("good", f"{len(good)} {word}")
    rows = [html.P(_links(run.key, good))] if good else []
    rows += [html.P([html.Span("No limits are set for: "), *_links(run.key, free)], className="weak")] if free else []
    without = html.Span(f"{', ' if good else ''}{len(free)} without limits", className="weak")
    summary = html.Summary([*([shown] if good else []), *([without] if free else [])])
    return html.Section(html.Details([summary, *rows]), className="panel calm")


def _stale_word(words: str) -> html.Span:
    return html.Span([html.Span(className="mark stale"), f" {words}"], className="state stale")


def _links(run_key: str, lines: Sequence[Line], look: str = "quiet") -> list[Any]:
    parts: list[Any] = []
    for line in lines:
        parts += [", "] if parts else []
        parts.append(html.A(line.title, href=plot_link(run_key, line.plot), className=look))
    return parts


def _rate(found: Board) -> Any:
    run = found.run
    if run is None or found.rate_plot is None:
        return None
    area = figure_area(run.key, found.rate_plot, found.rate_version, height=RATE_HEIGHT)
    head = html.H3(html.A(found.rate_title, href=plot_link(run.key, found.rate_plot)))
    return html.Section([head, area], className=f"panel rate{' stale' if found.stale else ''}")


def _figures(found: Board) -> html.Div:
    """What is wrong as figures, worst first, where a screen has room for them."""
    run = found.run
    assert run is not None
    titles = {line.plot: line.title for line in found.lines if line.state not in ("broken", "nodata")}
    plots = [plot for plot in titles if plot != found.rate_plot][:FIGURES]
    panels = [
        html.Section(
            [html.H3(html.A(titles[plot], href=plot_link(run.key, plot))), figure_area(run.key, plot)],
            className=f"panel rate{' stale' if found.stale else ''}",
        )
        for plot in plots
    ]
    return html.Div(panels, className="board-figures")


def _monitor(found: Board) -> html.Section:
    """The monitor itself: who reads files, what waits, how late it is."""
    rows = [_ingest(found.ingest)]
    rows += [html.P([mark("suspect", "PROBLEM"), f" {problem}"]) for problem in found.ingest.problems]
    last = found.last_file
    if last is not None:
        lag = f", {number(round(last.lag_s, 1))} s after it was written" if last.lag_s is not None else ""
        rows.append(html.P(["Last file counted ", age(last.done), lag]))
    rows.append(
        html.P(
            [
                _files(found.waiting, "waiting", "waiting"),
                ", ",
                _files(found.quarantined, "in quarantine", "quarantined"),
            ]
        )
    )
    alarms = [alarm_list(found.alarms.open[:ALARMS])] if found.alarms.open else []
    more = len(found.alarms.open) - ALARMS
    if more > 0:
        alarms.append(html.P(html.A(f"{more} more alarm{'s' if more != 1 else ''} on Health", href="/monitor")))
    return html.Section([html.H3(html.A("Monitor", href="/monitor")), *alarms, *rows], className="panel monitor")


def _files(count: int, words: str, state: str) -> Any:
    text = f"{count} file{'s' if count != 1 else ''} {words}"
    link = html.A(text, href=f"/files?state={state}")
    return html.Span([html.Span(className="mark suspect"), " ", link]) if count and state == "quarantined" else link


def _ingest(ingest: Ingest) -> html.P:
    if ingest.state == "broken":
        return html.P([mark("broken", "NOT RUNNING"), " nobody reads files"])
    lead = ingest.watchers[0]
    queue = f", {lead.queue} file{'s' if lead.queue != 1 else ''} to count" if lead.queue else ""
    backlog = f", about {span(lead.backlog_s)} of work" if lead.backlog_s and lead.backlog_s >= 1 else ""
    others = f", {len(ingest.watchers) - 1} more ready to take over" if len(ingest.watchers) > 1 else ""
    return html.P([mark(ingest.state, "READS FILES" if ingest.state == "good" else "WITH PROBLEMS"),
                   f" {ingest.words} on {lead.host}{queue}{backlog}{others}"])  # fmt: skip


def _call(found: Board) -> Any:
    words: Any = found.contact or html.Span(
        ["Nobody is named. Set ", html.Code('contact = "..."'), " under [web] in larboard.toml."], className="weak"
    )
    return html.Section([html.H3("Whom to call"), html.P(words)], className="panel call")
