"""The frame that every page stands in: header, navigation, the way from a URL to a page, and what keeps pages live."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import plotly
from dash import ClientsideFunction, Dash, Input, Output, dcc, html, no_update
from dash.fingerprint import build_fingerprint
from werkzeug.exceptions import HTTPException
from werkzeug.routing import Map, MapAdapter, Rule

from dqm.auth.roles import NotAllowed, NotSignedIn
from dqm.views.live import RunStrip, Shared, StoreProblem, last_notice, run_strip, seq_of
from dqm.views.site import Site
from layouts.components.person import badge, rights, visitor
from layouts.components.words import empty, extra, failure, mark, run_mark, so_far
from layouts.pages import PAGES

TOPICS = ("run", "element", "file", "plots", "ingest", "alarm", "pulse")
TICK_MS = 30_000
WORKER = "notices-worker.js"
NOT_LOADED = r"(report|early|notices-worker)\.js"
"""Assets that are not scripts of the page: for `assets_ignore`."""

INDEX = """<!DOCTYPE html>
<html lang="en" data-base="BASE">
  <head>
    {%metas%}
    <meta name="viewport" content="width=device-width, initial-scale=1">
    <title>{%title%}</title>
    <link rel="icon" type="image/svg+xml" href="ASSETS/favicon.svg">
    <link id="plotly" rel="prefetch" as="script" href="PLOTLY">
    <script src="ASSETS/early.js"></script>
    {%css%}
  </head>
  <body>
    <noscript>This page needs JavaScript, which is switched off in this browser.</noscript>
    {%app_entry%}
    <footer hidden>
      {%config%}
      {%scripts%}
      {%renderer%}
    </footer>
  </body>
</html>
"""

KEYS = (
    ("/", "search runs"),
    ("j, k", "next and previous plot"),
    ("e or Enter", "enlarge the plot that is chosen"),
    ("Esc", "back to where you were"),
    ("[ and ]", "previous and next run"),
    ("g b", "board"),
    ("g r", "runs"),
    ("g t", "trends"),
    ("g f", "files"),
    ("g p", "plots"),
    ("g h", "health of the monitor"),
    ("a", "acknowledge an alarm of the monitor"),
    ("?", "this list"),
)


def register(app: Dash, site: Site) -> None:
    """Gives `app` its layout and the callbacks of the shell and of all pages."""
    base = app.config.requests_pathname_prefix or "/"
    index = INDEX.replace("ASSETS/", app.get_asset_url("")).replace("PLOTLY", _plotly_url(app))
    app.index_string = index.replace("BASE", base)
    app.layout = lambda: shell(app, site)
    routes = Map([Rule(page.rule, endpoint=page) for page in PAGES]).bind("")

    app.clientside_callback(
        ClientsideFunction("larboard", "route"),
        Output("route", "storage_type"),  # never set: a clientside callback must have an output
        Input("url", "pathname"),
    )

    @app.callback(Output("content", "children"), Output("page-title", "data"), Input("route", "data"))
    def show_page(route: dict[str, str] | None) -> Any:
        if not route:
            return no_update, no_update
        return page_at(site, routes, below(base, route["path"]), route["search"])

    app.clientside_callback(
        ClientsideFunction("larboard", "arrived"), Output("arrived", "data"), Input("page-title", "data")
    )

    strip = Shared(strip_of)

    @app.callback(Output("run-strip", "children"), Input("notice-run", "data"), Input("tick", "n_intervals"))
    def show_run_strip(notice: Any, _tick: Any) -> Any:
        try:
            return strip(site, seq=seq_of([notice]))
        except StoreProblem:
            return mark("broken", "no database")

    for page in PAGES:
        if page.register:
            page.register(app, site)


def shell(app: Dash, site: Site) -> html.Div:
    """Everything around a page. What the browser must know stands in its attributes."""
    zone = site.settings.detector.zone
    try:
        seq = last_notice(site)
    except StoreProblem:  # the page itself says so
        seq = 0
    facts: Any = {
        "data-base": app.config.requests_pathname_prefix or "/",
        "data-worker": f"{app.get_asset_url(WORKER)}?v={_changed(app, WORKER)}",
        "data-zone": zone,
        "data-title": site.settings.web.title,
        "data-seq": str(seq),
        **rights(site),
    }
    return html.Div(
        [
            html.A("Skip to the page", href="#content", className="skip"),
            _header(site, zone),
            html.Div(
                [_navigation(site), html.Main(_skeleton(), id="content", tabIndex="-1")],
                className="body",
            ),
            _late(),
            html.Div(id="refusal", role="alert"),
            _keys_dialog(),
            dcc.Location(id="url", refresh="callback-nav"),
            dcc.Interval(id="tick", interval=TICK_MS),
            *[dcc.Store(id=name) for name in ("route", "page-title", "arrived")],
            dcc.Store(id="zone", data="UTC"),
            dcc.Store(id="theme"),
            *[dcc.Store(id=f"notice-{topic}") for topic in TOPICS],
        ],
        id="shell",
        **facts,
    )


def _plotly_url(app: Dash) -> str:
    """Where Dash serves plotly.js, with its version, so that browsers may keep it."""
    package = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    name = build_fingerprint("package_data/plotly.min.js", plotly.__version__, int(package.stat().st_mtime))
    return f"{app.config.requests_pathname_prefix}_dash-component-suites/plotly/{name}"


def _changed(app: Dash, asset: str) -> int:
    """When an asset was changed: its address changes with it, since browsers keep workers."""
    return int((Path(app.config.assets_folder) / asset).stat().st_mtime)


def _header(site: Site, zone: str) -> html.Header:
    field = dcc.Input(id="search", type="search", placeholder="Search runs  ( / )", debounce=True, autoComplete="off")
    label = html.Label([html.Span("Search runs", className="unseen"), field])
    search = html.Form(label, id="search-form", role="search")
    zones = html.Button(
        [html.Span("UTC", **extra(data_name="UTC")), html.Span(_short(zone), **extra(data_name=zone))],
        id="zone-switch",
        hidden=zone == "UTC",
    )
    return html.Header(
        [
            html.Button(html.Span(className="sign sign-menu"), id="fold", **_named("Fold the navigation")),
            html.H1(html.A(site.settings.web.title, href="/")),
            html.Div(id="run-strip"),
            search,
            html.Span("connecting …", id="live", role="status", className="live"),
            html.Span("UTC", id="zone-name", className="zone", hidden=zone != "UTC", title="Times are UTC"),
            zones,
            html.Button("Dark", id="theme-switch", title="Light or dark colours"),
            html.Button("?", id="keys-button", **_named("Keys")),
            badge(site),
        ]
    )


def _navigation(site: Site) -> html.Nav:
    actor = visitor(site).actor
    links = [
        html.A(
            [html.Span(className=f"sign sign-{page.name}"), html.Span(page.nav, className="word")],
            href=page.rule,
            title=page.nav,
            **extra(data_page=page.name),
        )
        for page in PAGES
        if page.nav and actor.may(page.role)
    ]
    return html.Nav(links, id="navigation", **extra(aria_label="Pages"))


def _late() -> html.Div:
    words = "This page has not come for 8 s. It is asked for again as soon as the server answers. "
    return html.Div([words, html.Button("Try now", className="retry-page")], id="late", role="status")


def _keys_dialog() -> html.Dialog:
    rows = [html.Tr([html.Td(html.Kbd(keys)), html.Td(what)]) for keys, what in KEYS]
    close = html.Button("Close", id="keys-close")
    return html.Dialog([html.H2("Keys"), html.Table(html.Tbody(rows)), close], id="keys")


def _skeleton() -> html.Div:
    return html.Div(
        [html.Div(className="bone wide"), *[html.Div(className="bone") for _ in range(6)]], className="skeleton"
    )


def below(base: str, path: str) -> str:
    """A path of the address bar as one of the site: without the prefix."""
    return "/" + path.removeprefix(base) if path.startswith(base) else path


def page_at(site: Site, routes: MapAdapter, path: str, search: str) -> tuple[Any, str]:
    """The page of a path and its title; 404 in words, and a failure as a page that says what, since when, and retry."""
    try:
        page, found = routes.match("/" + "/".join(part for part in path.split("/") if part))
    except HTTPException:
        return _not_found(unquote(path))
    parts = {name: unquote(text) for name, text in found.items()}
    title = page.title.format(**parts)
    try:
        return page.layout(site, dict(parse_qsl(search.removeprefix("?"))), **parts), title
    except StoreProblem as problem:
        return failure(f"{title} cannot be shown", str(problem)), title
    except NotAllowed as refusal:
        word = "Sign in" if isinstance(refusal, NotSignedIn) else "Sign in as somebody else"
        link = html.A(word, href="/sign-in", className="primary button to-sign-in")
        return empty(f"{title} is not for everybody", f"{refusal}.".replace("..", "."), link), title


def _not_found(path: str) -> tuple[Any, str]:
    board = html.A("Go to the board", href="/", className="primary button")
    why = f"Nothing lives at {path}. Perhaps the link is old, or was cut."
    return empty("There is no such page", why, board), "No such page"


def _short(zone: str) -> str:
    return zone.rsplit("/", 1)[-1].replace("_", " ")


def _named(name: str) -> Any:
    return {"title": name, "aria-label": name}


def strip_of(site: Site) -> Any:
    """The newest run in the header."""
    strip = run_strip(site)
    return _strip(strip) if strip else html.Span("no run yet", className="weak")


def _strip(strip: RunStrip) -> html.A:
    how_long = so_far(strip.start, strip.end, strip.updated, strip.state == "running")
    parts = [html.Span(f"Run {strip.key}", className="number"), run_mark(strip.state), how_long]
    if not strip.monitored:
        parts.append(mark("broken", "FILES ARE NOT READ"))
    return html.A(parts, href="/runs/latest", title="The newest run")
