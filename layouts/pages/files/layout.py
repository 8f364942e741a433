"""Layout of the files page."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dqm.auth.roles import subsystem_of
from dqm.views.file_page import STATES, Count, Detail, Progress, Wanted, counts, detail, progress, wanted
from dqm.views.site import Site
from layouts.components.asked import field, named, notes, search_field
from layouts.components.grid import column, long_table
from layouts.components.person import needs
from layouts.components.words import age, empty, moment

GRID = "files-grid"
SHAPES = {"good": "●", "suspect": "▲", "bad": "■", "nodata": "–", "ring": "◌", "dots": "⋯", "lost": "?"}
"""The shapes of states as characters."""

LEAVE = {"ignore": "Ignore", "release": "Release"}
NEEDS = {"retry": "shifter", "ignore": "expert", "release": "expert"}
"""The role that each act asks for; `dqm.views.file_actions` asks the actor."""

COLUMNS: list[dict[str, Any]] = [
    column("path", "File", cellRenderer="FileName", width=244, pinned="left"),
    {"field": "run", "headerName": "Run", "cellRenderer": "RunLink", "width": 66},
    column("state", "State", cellRenderer="StateMark", width=160),
    {
        "field": "reason",
        "headerName": "Why",
        "cellRenderer": "Titled",
        "cellClass": "said",
        "minWidth": 330,
        "flex": 1,
    },
    column("format", "Format", width=106),
    column("rows", "Rows", cellRenderer="Reading", type="rightAligned", width=96),
    column("start", "Start", cellRenderer="Moment", width=142),
    column("size", "Size", type="rightAligned", width=78),
    {
        "field": "done",
        "headerName": "Lag",
        "headerTooltip": "From the last change of the file to the end of counting",
        "type": "rightAligned",
        "width": 95,
    },
    column("changed", "Changed", cellRenderer="Moment", width=135),
]


def layout(site: Site, query: dict[str, str]) -> html.Div:
    """Counts by state, filters as the URL has them, the table, and the chosen file beside it."""
    asked = wanted(query)
    table = long_table(
        GRID,
        [dict(one) for one in COLUMNS],
        asked.order,
        "id",
        rowHeight=50,
        rowSelection={"mode": "multiRow", "checkboxes": True, "headerCheckbox": False, "enableClickSelection": False},
        selectionColumnDef={"pinned": "left", "width": 44, "minWidth": 44},
        listeners={"cellKeyDown": ["larboardOpenFile(params)"]},
    )
    chosen = query.get("file", "")
    return html.Div(
        [
            html.Div([html.H2("Files"), html.Span(id="files-found", role="status")], className="title-line"),
            html.Div(doing(progress(site)), id="files-progress"),
            html.Div(_filters(site, asked), className="filters"),
            html.Div(notes(asked.problems), id="files-problems"),
            _bar(),
            html.Div(
                [
                    html.Div(table, id="files-table", className="table-area", **named("Files")),
                    html.Div(id="files-empty"),
                    html.Aside(
                        [html.Div(about(site, chosen), id="file-about"), html.P(id="file-said", role="status")],
                        id="file-detail",
                        hidden=not chosen,
                        **named("The chosen file"),
                    ),
                ],
                className="table-and-detail",
            ),
            dcc.Store(id="files-asked", data=given(asked)),
            dcc.Store(id="file-chosen", data=chosen),
            *[dcc.Store(id=f"files-{name}") for name in ("order", "again", "fresh", "shown")],
        ],
        className="list-page",
    )


def _filters(site: Site, asked: Wanted) -> list[Any]:
    options = states(counts(site), asked.state)
    return [
        field("Search", search_field("files-search", asked.words, "name, reason, format"), wide=True),
        field("Run", dcc.Input(id="files-run", value=asked.run, debounce=0.3, placeholder="any", size="10")),
        html.Fieldset(
            [
                html.Legend("State"),
                dcc.RadioItems(options, asked.state, id="files-state", inline=True, className="pills"),
            ]
        ),
        html.Button("Clear filters", id="files-clear", hidden=not asked.filtered),
    ]


def states(found: list[Count], chosen: str) -> list[dict[str, Any]]:
    """One choice for each state that files are in, with how many they are; the chosen one in any case.

    Plain text: Dash loses its way to components in options when an option comes or goes.
    """
    every = sum(count.files for count in found if count.state != "replaced")
    options = [{"label": f"all {every:,}", "value": ""}]
    for count in found:
        label = f"{SHAPES[count.shape]} {count.word} {count.files:,}"
        options.append({"label": label, "value": count.state, "title": count.means})
    if chosen and chosen not in (option["value"] for option in options):
        word = next((word for state, word in STATES.items() if state.value == chosen), None)
        label = f"{SHAPES[word.shape]} {word.word} 0" if word else f"{chosen} 0"
        options.append({"label": label, "value": chosen})
    return options


def given(asked: Wanted) -> dict[str, str]:
    """The filters as the browser keeps them: those that ask for something."""
    values = {"search": asked.words, "state": asked.state, "run": asked.run}
    return {name: value for name, value in values.items() if value}


def doing(now: Progress) -> list[Any]:
    """What ingest does, and what it complains about."""
    first = html.P(now.text, className="weak") if now.alive else notes([now.text])[0]
    return [first, *notes(now.problems)]


def nothing(site: Site, filtered: bool) -> html.Div:
    """What stands in place of an empty table."""
    if filtered and counts(site):
        clear = html.Button("Clear filters", id={"type": "clear", "list": "files"}, className="primary")
        return empty("No file fits", "No file has all that you ask for above.", clear)
    roots = [str(root) for root in site.settings.ingest.roots]
    if not roots:
        how = html.P(["Say where data files are: in larboard.toml, ", html.Code('[ingest]  roots = ["/data"]')])
        return empty("No files yet", "Every file that ingest sees stands here. No directory is watched so far.", how)
    how = html.P(["Look at them now: ", html.Code("larboard watch")])
    return empty("No files yet", f"Nothing was seen in {', '.join(roots)} so far.", how)


def about(site: Site, chosen: str) -> list[Any]:
    """The chosen file with all facts, and reading it again; empty when none is chosen."""
    if not chosen:
        return []
    found = detail(site, chosen)
    close = html.Button("Close", id={"type": "file-close", "place": "detail"}, title="Close (Esc)")
    if found is None:
        return [
            html.Div([html.H3("No such file"), close], className="head"),
            html.P("The ledger has no file of this number."),
        ]
    return [
        html.Div([html.H3(found.name), close], className="head"),
        html.P(
            html.Span(
                [html.Span(className=f"mark {found.word.shape}"), f" {found.word.word}"],
                className=f"state {found.word.shape}",
            )
        ),
        html.P(found.reason or found.word.means, className="reason"),
        *_links(found),
        html.Dl(_facts(found), className="facts-list"),
        *_faults(found),
        html.Details(_again(found), id="file-again"),
        html.Details(_leave(found), id="file-leave"),
        *_changes(found),
    ]


def _links(found: Detail) -> list[Any]:
    links = []
    if found.file.run_key:
        links.append(
            html.P(
                ["Belongs to ", html.A(f"run {found.file.run_key}", href=f"/runs/{quote(found.file.run_key, safe='')}")]
            )
        )
    if found.same_as:
        other, name = found.same_as
        links.append(html.P(["Same data as ", html.A(name, href=f"/files?file={other}")]))
    return links


def _facts(found: Detail) -> list[Any]:
    facts: list[Any] = [(name, text) for name, text in found.facts]
    facts += [(name, moment(unix)) for name, unix in found.times]
    return [part for name, value in facts for part in (html.Dt(name), html.Dd(value))]


def _faults(found: Detail) -> list[Any]:
    if not found.file.faults:
        return []
    return [html.H4("Faults found in it"), html.Ul([html.Li(fault) for fault in found.file.faults])]


def _again(found: Detail) -> list[Any]:
    if found.refusal:
        return [html.Summary("Read again"), html.P(found.refusal, className="weak")]
    key = {"type": "file-read", "file": str(found.file.id)}
    button = html.Button("Read it again", id=key, className="primary", **needs(NEEDS["retry"]))
    return [html.Summary("Read again …"), html.P(found.confirmation), button]


def _leave(found: Detail) -> list[Any]:
    """Ignoring and releasing, with a reason; what it does is said before."""
    words = [word for act, word in LEAVE.items() if act in found.can]
    if not words:
        return []
    key, of = str(found.file.id), subsystem_of(found.file.format)
    why = dcc.Input(
        id={"type": "file-why", "file": key}, placeholder="why (for the audit trail)", maxLength=200, className="why"
    )
    buttons = [
        html.Button(f"{LEAVE[act]} it", id={"type": "file-do", "act": act, "file": key}, **needs(NEEDS[act], of))
        for act in LEAVE
        if act in found.can
    ]
    return [html.Summary(f"{' or '.join(words)} …"), html.P(found.leaving), why, html.Div(buttons, className="acts")]


def _bar() -> html.Div:
    """What can be done with all rows that are selected; shown when some are."""
    words = {"retry": "Read again", **LEAVE}
    buttons = [html.Button(word, id=f"files-do-{act}", **needs(NEEDS[act])) for act, word in words.items()]
    why = dcc.Input(id="files-why", placeholder="why (for the audit trail)", maxLength=200, className="why")
    acts = html.Div([html.Span(id="files-selected"), *buttons, why], id="files-acts", hidden=True, className="acts")
    undo = html.Button("Undo", id="files-undo", hidden=True)
    return html.Div([acts, html.Span(id="files-said", role="status"), undo, dcc.Store(id="files-done")], id="files-bar")


def _changes(found: Detail) -> list[Any]:
    if not found.changes:
        return []
    lines = [html.Li([f"{what} by {who}, ", age(when)]) for when, who, what in found.changes]
    return [html.H4("Done by people"), html.Ul(lines)]
