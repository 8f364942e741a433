"""Layout of the Health page: alarms first, then how far behind, how fast, what fails, and the house."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any
from urllib.parse import urlencode

from dash import dcc, html

from dqm.records import BacklogFacts, DiskFacts, Facts, PlaceFacts
from dqm.views.file_page import size
from dqm.views.monitor_page import Cost, Failure, Monitor, Speed, monitor
from dqm.views.run_list import span
from dqm.views.site import Site
from dqm.views.words import number
from layouts.components.alarms import alarm_list, ended_list
from layouts.components.steady import steady
from layouts.components.words import age, empty, extra, mark, moment

MONITOR = "monitor"
TICK = "monitor-tick"
TICK_MS = 10_000
STEPS = 12
"""So many heights a bar can have."""
SHOWN = 8


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """The page, and a clock of its own: that nobody measures any more is told by no notice."""
    found = monitor(site)
    return html.Div([steady(MONITOR, monitor_of(found), className="monitor-page"), dcc.Interval(TICK, TICK_MS)])


def monitor_of(found: Monitor) -> list[Any]:
    """Everything on the page."""
    if not found.started:
        return [_title(found), _nothing_yet()]
    facts = found.facts
    return [
        _title(found),
        _old(found),
        html.Div(
            [
                html.Div([_alarms(found), _lag(facts), _failures(found), _plugins(found)], className="column"),
                html.Div(
                    [_backlog(facts), _queue(found), _speed(found), _who(found), _disks(facts)], className="column"
                ),
            ],
            className=f"board-grid{'' if found.fresh else ' old'}",
        ),
        _history(found),
    ]


def _title(found: Monitor) -> html.Div:
    open_now = [alarm for alarm in found.alarms.open if alarm.acknowledged_at is None]
    seen = len(found.alarms.open) - len(open_now)
    if found.alarms.blind:
        said = mark("broken", "THE MONITOR IS BLIND")
    elif open_now:
        said = mark("bad" if any(a.severity == "bad" for a in open_now) else "suspect", _many(len(open_now), "ALARM"))
    elif not found.started:
        said = mark("unknown", "NOT STARTED YET")
    elif seen:
        said = mark("suspect", f"{_many(seen, 'alarm')} acknowledged")
    else:
        said = mark("good", "ALL WELL")
    return html.Div([html.H2("Health"), html.Span("of the monitor itself", className="weak"), said],
                    className="title-line", role="status")  # fmt: skip


def _many(count: int, word: str, plural: str = "") -> str:
    several = plural or word + ("S" if word.isupper() else "s")
    return f"{count:,} {word if count == 1 else several}"


def _nothing_yet() -> html.Div:
    how = html.P(["Start it: ", html.Code("larboard watch"), ", or everything: ", html.Code("larboard up")])
    why = "No ingest has run on this database yet, so nothing is measured: lag, speed, failures, disks and alarms."
    return empty("How the monitor does will be here", why, how)


def _old(found: Monitor) -> Any:
    if found.fresh or found.facts is None:
        return None
    words = [" The ingest measured itself last ", age(found.facts.time), ": what stands below is of then."]
    return html.Div([mark("stale"), html.B(words)], className="notice stale", role="status")


def _alarms(found: Monitor) -> html.Section:
    return html.Section(
        [html.H3("Alarms"), alarm_list(found.alarms.open, found.contact)], className="panel", id="monitor-alarms"
    )


def _history(found: Monitor) -> Any:
    if not found.alarms.history:
        return None
    words = html.Summary(f"Alarms that are over ({len(found.alarms.history)})")
    return html.Details([words, ended_list(found.alarms.history)], className="panel ended-alarms")


# what waits -----------------------------------------------------------------------------------------------------------


def _backlog(facts: Facts | None) -> Any:
    backlog = facts.backlog if facts else None
    if backlog is None:
        return None
    bar = html.Progress(value=str(backlog.done), max=str(max(backlog.files, 1)), **extra(aria_label="Files done"))
    left = f"about {span(backlog.left_s)} left" if backlog.left_s is not None else "time left not known yet"
    words: list[Any] = [
        html.B(f"{backlog.done:,}"),
        f" of {backlog.files:,} files done, ",
        html.B(f"{backlog.left:,}"),
        " left",
    ]
    return html.Section(
        [
            html.H3("Backlog"),
            html.P([html.Span(words), html.Span([f"{_percent(backlog)}, ", html.B(left)])], className="apart"),
            bar,
            html.P(["Newest first; since ", moment(backlog.began), "."], className="weak"),
        ],
        className="panel backlog",
    )


def _percent(backlog: BacklogFacts) -> str:
    return f"{100 * backlog.done / max(backlog.files, 1):.0f} %"


def _queue(found: Monitor) -> html.Section:
    waiting = found.facts.queue if found.facts else 0
    rows = [
        html.Tr(
            [
                html.Th(
                    html.Span([html.Span(className=f"mark {line.shape}"), f" {line.word}"],
                              className=f"state {line.shape}"), scope="row"),
                html.Td(html.A(f"{line.files:,}", href=f"/files?state={line.state}"), className="value"),
            ]
        )
        for line in found.queue
    ]  # fmt: skip
    words = "No file waits to be counted." if not waiting else f"{_many(waiting, 'file')} to be counted now."
    return html.Section([html.H3("Queue"), html.P(words), _columns(rows)], className="panel")


def _columns(rows: list[html.Tr]) -> html.Div:
    half = (len(rows) + 1) // 2
    parts = [part for part in (rows[:half], rows[half:]) if part]
    return html.Div([html.Table(html.Tbody(part), className="numbers") for part in parts], className="side-by-side")


def _lag(facts: Facts | None) -> html.Section:
    places = facts.places if facts else ()
    if not places:
        return html.Section([html.H3("Lag"), html.P("No data root is set.", className="weak")], className="panel")
    head = html.Tr([html.Th(title, scope="col") for title in ("Data root, directory", "Lag", "Waiting", "Oldest")])
    shown = [place for place in places if not place.directory or place.directory != place.root]
    rows = [_place(place) for place in shown[:SHOWN]]
    table = html.Table([html.Thead(head), html.Tbody(rows)], className="numbers wide")
    more = _folded(shown[SHOWN:], "directory", "directories", head, _place)
    note = html.P("From the last change of the newest file to the end of counting.", className="weak")
    return html.Section([html.H3("Lag"), html.Div(table, className="scroll"), more, note], className="panel")


def _folded(rest: Sequence[Any], one: str, many: str, head: html.Tr, row: Callable[[Any], html.Tr]) -> Any:
    if not rest:
        return None
    table = html.Table([html.Thead(head), html.Tbody([row(item) for item in rest])], className="numbers wide")
    words = f"{len(rest)} more {one if len(rest) == 1 else many}"
    return html.Details([html.Summary(words), html.Div(table, className="scroll")])


def _place(place: PlaceFacts) -> html.Tr:
    name = place.directory.removeprefix(place.root).strip("/") if place.directory else place.root
    if place.lag_s is None:
        lag: Any = html.Span("–", title="No file has been counted yet")
    else:
        lag = f"{span(place.lag_s)}, waits" if place.counting else _seconds(place.lag_s)
    oldest = age(place.oldest_waiting, unknown="–", ago=False)
    return html.Tr(
        [
            html.Th(name, scope="row", className="path inside" if place.directory else "path"),
            html.Td(lag, className="value"),
            html.Td(f"{place.waiting:,}" if place.waiting else "–", className="value"),
            html.Td(oldest, className="value"),
        ]
    )


def _seconds(seconds: float) -> str:
    return span(seconds) if seconds >= 10 else f"{seconds:.1f} s"


# how fast -------------------------------------------------------------------------------------------------------------


def _speed(found: Monitor) -> html.Section:
    now = found.speed if found.fresh else Speed(found.now)
    lines = [
        _series("Files", now.files_min, "per min", [one.files_min for one in found.series]),
        _series("Packets", now.packets_s, "per s", [one.packets_s for one in found.series]),
        _series("Data", now.mb_s, "MB/s", [one.mb_s for one in found.series]),
        _series("Queue", now.queue, "files", [one.queue for one in found.series]),
    ]
    total = found.pulse
    sums = f"In all {number(total.files)} files and {number(total.packets)} packets. " if total else ""
    note = html.P(f"{sums}The last 30 minutes, one bar a minute; a gap: nobody measured.", className="weak")
    return html.Section([html.H3("Throughput"), *lines, note], className="panel")


def _series(name: str, now: float | int | None, unit: str, values: Sequence[float | int | None]) -> html.Div:
    highest = max((value for value in values if value is not None), default=0) or 1
    bars = [html.I(className="none" if value is None else f"h{_height(value, highest)}") for value in values]
    words = f"{name}, the last 30 minutes: at most {number(highest)} {unit}"
    return html.Div(
        [
            html.Span(name),
            html.Span([html.B(number(now)), f" {unit}"], className="value"),
            html.Span(bars, className="bars", role="img", title=words, **extra(aria_label=words)),
        ],
        className="series",
    )


def _height(value: float, highest: float) -> int:
    return 0 if value <= 0 else max(1, round(STEPS * min(value / highest, 1)))


# what fails -----------------------------------------------------------------------------------------------------------


def _failures(found: Monitor) -> html.Section:
    if not found.failures:
        words = html.P([mark("good", "none"), " Every file that was seen could be read."])
        return html.Section([html.H3("Failures by reason"), words], className="panel")
    rows = [_failure(failure) for failure in found.failures]
    return html.Section([html.H3("Failures by reason"), html.Ul(rows, className="lines reasons")], className="panel")


def _failure(failure: Failure) -> html.Li:
    asked = urlencode({"state": failure.state, "search": _searchable(failure.reason)})
    link = html.A(_many(failure.files, "file"), href=f"/files?{asked}")
    shown = html.Span(
        [html.Span(className=f"mark {failure.shape}"), f" {failure.word}"], className=f"state {failure.shape}"
    )
    return html.Li([shown, html.Div([link, f": {failure.reason}"])], className="line")


def _searchable(reason: str) -> str:
    """So much of a reason as a search takes."""
    words = reason.split()
    while len(" ".join(words)) > 150:
        words.pop()
    return " ".join(words)


def _plugins(found: Monitor) -> html.Section:
    if not found.costs:
        return html.Section(
            [html.H3("Plug-ins"), html.P("None was looked for yet.", className="weak")], className="panel"
        )
    titles = ("Plot", "µs per packet", "Time", "Failures")
    head = html.Tr([html.Th(title, scope="col") for title in titles])
    table = html.Table(
        [html.Thead(head), html.Tbody([_cost(cost) for cost in found.costs[:SHOWN]])], className="numbers wide"
    )
    more = _folded(found.costs[SHOWN:], "plot", "plots", head, _cost)
    title = html.H3(html.A("Plug-ins", href="/plots"))
    return html.Section([title, html.Div(table, className="scroll"), more], className="panel")


def _cost(cost: Cost) -> html.Tr:
    if cost.broken or cost.rests:
        word = "DOES NOT RUN" if cost.broken else "RESTS"
        spent: list[Any] = [html.Td(mark("broken", word), colSpan="2", title=cost.broken or cost.rests)]
    else:
        spent = [
            html.Td(number(cost.us_per_packet), className="value"),
            html.Td("–" if cost.share is None else f"{100 * cost.share:.0f} %", className="value"),
        ]
    failed: Any = f"{cost.failures:,}" if cost.failures else "–"
    cell = html.Td(failed, className="value", title=cost.last_failure)
    return html.Tr([html.Th(cost.title, scope="row"), *spent, cell])


# the house ------------------------------------------------------------------------------------------------------------


def _who(found: Monitor) -> html.Section:
    rows = [
        html.Tr(
            [
                html.Th([mark("good", "LEADS") if watcher.leader else mark("ended", "STANDS BY")], scope="row"),
                html.Td([f"{watcher.host}, process {watcher.pid}: {watcher.state}"], className="said"),
                html.Td(age(watcher.beat), className="value"),
            ]
        )
        for watcher in found.watchers
    ]
    if not rows:
        words = ["nobody reads files; last sign of life ", age(found.last_beat)]
        rows = [html.Tr([html.Th(mark("broken", "NOBODY"), scope="row"), html.Td(words, colSpan="2")])]
    web = found.workers
    hosts = ", ".join(dict.fromkeys(worker.host for worker in web))
    most = sum(worker.most for worker in web)
    said = f"{_many(len(web), 'process', 'processes')} on {hosts}" if web else ""
    rows.append(
        html.Tr(
            [
                html.Th("Site", scope="row"),
                html.Td(said or html.Span("not served by larboard serve", className="weak"), className="said"),
                html.Td(f"{found.streams} of {most} streams" if web else "–", className="value"),
            ]
        )
    )
    rows += _database(found.facts)
    return html.Section(
        [
            html.H3("Processes and database"),
            html.Div(html.Table(html.Tbody(rows), className="numbers wide"), className="scroll"),
        ],
        className="panel",
    )


def _database(facts: Facts | None) -> list[html.Tr]:
    if facts is None:
        return []
    database = facts.database
    large = size(database.size) if database.size is not None else "size not known"
    write = "–" if database.write_s is None else f"a write {_milliseconds(database.write_s)}"
    words = f"{database.engine}, {large}, tables of revision {database.schema}"
    return [
        html.Tr([html.Th("Database", scope="row"), html.Td(words, className="said"), html.Td(write, className="value")])
    ]


def _milliseconds(seconds: float) -> str:
    return f"{1000 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.2g} s"


def _disks(facts: Facts | None) -> Any:
    if facts is None:
        return None
    titles = ("Disk", "Free", "Of", "Full in")
    head = html.Thead(html.Tr([html.Th(title, scope="col") for title in titles]))
    table = html.Table([head, html.Tbody([_disk(disk) for disk in facts.disks])], className="numbers wide")
    words = {"states": "states of plots", "cache": "drawn figures", "database": "database"}
    used = ", ".join(f"{words.get(name, name)} {size(amount)}" for name, amount in facts.used.items())
    note = html.P(f"Larboard keeps: {used or 'not measured yet'}.", className="weak")
    return html.Section([html.H3("Disks"), html.Div(table, className="scroll"), note], className="panel")


def _disk(disk: DiskFacts) -> html.Tr:
    name = html.Th([html.Span(disk.path, className="path"), html.Span(disk.what, className="weak")], scope="row")
    if disk.problem:
        return html.Tr([name, html.Td(mark("broken", disk.problem.upper()), colSpan="3")])
    free = f"{size(disk.free)} ({_part(disk)} %)"
    left = "–" if disk.days_left is None else span(86400 * disk.days_left) if disk.days_left < 1000 else "years"
    return html.Tr([name, *[html.Td(text, className="value") for text in (free, size(disk.total), left)]])


def _part(disk: DiskFacts) -> str:
    """Percent free: ``31``, ``0.036``."""
    percent = 100 * disk.free / disk.total
    return f"{percent:.0f}" if percent >= 10 else f"{percent:.2g}"
