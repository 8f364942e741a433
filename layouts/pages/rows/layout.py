"""Layout of the packets behind something."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from dash import dcc, html

from dqm.views.rows_behind import ROWS, Search, Wanted, wanted
from dqm.views.site import Site
from layouts.components.asked import notes
from layouts.components.pixels import breadcrumbs
from layouts.components.steady import steady
from layouts.components.words import empty, exact_moment, extra
from layouts.pages.run.layout import no_run, run_link

ASKED, FOUND = "rows-asked", "rows-found"
SHOWN_MOST = 200
"""Of the rows that were found, in the table; a download has all."""
CHOICES = (ROWS, 1000, 10_000)
FIRST = ("file", "row", "unix_time", "packet_type", "io_group", "io_channel", "chip_id", "channel_id", "dataword")


def layout(site: Site, query: dict[str, str], run: str) -> html.Div:
    asked = wanted(site, query)
    above = [(f"run {run}", run_link(run))]
    if query.get("plot"):
        above.append((query["plot"][:80], f"/runs/{quote(run, safe='')}/{quote(query['plot'][:80], safe='')}"))
    if asked.pixel:
        above.append((f"channel {asked.pixel}", f"/channels/{quote(asked.pixel, safe='')}?{urlencode({'run': run})}"))
    return html.Div(
        [
            dcc.Store(id=ASKED, data=[run, query]),
            breadcrumbs(above, "packets"),
            html.Div(
                [html.H2("Packets"), html.Span("" if asked.refused else asked.words, className="weak")],
                className="run-head",
            ),
            *notes(asked.problems),
            steady(FOUND, html.P("Reading the files of the run, for 2 s …", role="status")),
        ],
        className="rows-page",
    )


def cannot(why: str, run: str) -> html.Div:
    up = html.A(f"Go to run {run}", href=run_link(run), className="primary button")
    return empty("These packets cannot be shown", why, up)


def found_rows(found: Search | None, asked: Wanted, run: str) -> list[Any]:
    """How far the search got, downloads, and the first of the rows."""
    if found is None:
        return [no_run(run)]
    said = f"{found.found:,} row{'' if found.found == 1 else 's'}; {found.words}."
    parts: list[Any] = [html.P(said, id="rows-said", role="status"), _tools(found, asked, run)]
    parts += notes(found.problems[:8])
    if not found.found:
        return [*parts, _none_of(found, asked)]
    return [*parts, _table(found)]


def _none_of(found: Search, asked: Wanted) -> html.Div:
    """No row: of what was searched so far, of what can be searched, or of all."""
    so_far, more = "", "Every file of it was searched."
    if found.next:
        so_far, more = " so far", "It goes on where it stopped."
    elif found.unread:
        so_far, more = ", as far as its files can be searched", "What could not be searched is said above."
    return empty(f"No packet of run {found.run.key} fits{so_far}", f"Asked for: {asked.words}. {more}")


def _tools(found: Search, asked: Wanted, run: str) -> html.Div:
    base = f"/runs/{quote(run, safe='')}/rows"
    links: list[Any] = [
        html.A(
            f"{rows:,} rows", href=f"{base}?{urlencode(asked.query(rows=rows))}", className="button",
            **(extra(aria_current="true") if rows == asked.rows else {}),
        )
        for rows in CHOICES
    ]  # fmt: skip
    parts: list[Any] = [html.Span(links, className="window-switch", **extra(role="group", aria_label="Rows at most"))]
    if found.next:
        after = f"{found.next[0]}.{found.next[1]}"
        text = "Next rows" if found.found >= asked.rows else "Search on"
        href = f"{base}?{urlencode(asked.query(after=after))}"
        parts.append(html.A(text, id="rows-next", href=href, className="primary button"))
    if found.found:
        # below the prefix of the site, which the browser knows (assets/links.js)
        api = f"/api/v1/runs/{quote(found.run.key, safe='')}/rows"
        named = {"after": "cursor"}
        query = urlencode({named.get(name, name): value for name, value in asked.query().items()})
        parts += [
            html.A(
                f"Download {name}", id=f"rows-{ending}", href=f"{api}.{ending}?{query}", className="button",
                download=f"rows-of-run-{found.run.key}.{ending}",
            )
            for name, ending in (("CSV", "csv"), ("HDF5", "hdf5"))
        ]  # fmt: skip
    return html.Div(parts, className="acts rows-tools")


def _table(found: Search) -> html.Div:
    names = [*FIRST, *(name for name in found.columns if name not in FIRST)]
    places = [found.columns.index(name) for name in names]
    files, rows = found.names, found.table(SHOWN_MOST)
    head = html.Thead(html.Tr([html.Th(_head(name)) for name in names]))
    body = [
        html.Tr([_cell(name, row[place], files) for name, place in zip(names, places, strict=True)]) for row in rows
    ]
    table = html.Div(html.Table([head, html.Tbody(body)]), className="scroll rows-table", tabIndex="0")
    if found.found <= SHOWN_MOST:
        return html.Div(table)
    return html.Div([html.P(f"The first {SHOWN_MOST:,} of them; a download has all.", className="weak"), table])


def _head(name: str) -> str:
    return {"unix_time": "time", "timestamp": "timestamp [ticks]", "dataword": "dataword [ADC]"}.get(name, name)


def _cell(name: str, value: int, files: dict[str, str]) -> html.Td:
    if name == "file":
        return html.Td(
            html.A(files[str(value)], href=f"/files?file={value}", title=files[str(value)]), className="file"
        )
    if name == "unix_time":
        return html.Td(exact_moment(float(value) if value >= 0 else None))
    return html.Td(str(value), className="value")
