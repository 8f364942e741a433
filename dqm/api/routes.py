"""The endpoints: one function each, and the table of them all."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from flask import Response, request
from pydantic import BaseModel

import dqm
from dqm.api import events, metrics, models, paging
from dqm.api.events import Broadcaster, TooMany
from dqm.api.problems import Problem, bad_request, wrong
from dqm.auth.roles import NotAllowed
from dqm.masks import Mask, NoMask
from dqm.views import alarm_list, elements, file_actions, mask_changes, masks, pixels, queries, rows_behind
from dqm.views.elements import NoFigure
from dqm.views.mask_changes import Area, Edit
from dqm.views.queries import Actor, NotNow, Search, StoreProblem
from dqm.views.site import Site

PREFIX = "/api/v1"
JSON = "application/json"
BINARY = "application/octet-stream"
HDF5 = "application/x-hdf5"
BODY_MOST = 64 * 1024
AGAIN_S = 5
"""After so many seconds a client may try again."""


@dataclass(frozen=True)
class Call:
    """A request, read and found right."""

    site: Site
    broadcaster: Broadcaster
    path: dict[str, str]
    query: Any
    body: Any = None
    actor: Actor | None = None


@dataclass(frozen=True)
class Route:
    """One method of one path."""

    method: str
    path: str
    """As in OpenAPI: ``/api/v1/runs/{run}``."""
    summary: str
    answer: Callable[[Call], BaseModel | Response]
    gives: tuple[type[BaseModel], ...] = ()
    query: type[models.Asked] = models.NoQuery
    body: type[models.Asked] | None = None
    status: int = 200
    media: str = JSON
    refusals: tuple[int, ...] = ()
    """Statuses of problems beside 400, 401, 403 and 503, which all have."""

    body_most: int = BODY_MOST
    """Bytes of a body."""

    @property
    def writes(self) -> bool:
        return self.method not in ("GET", "HEAD")

    @property
    def noun(self) -> str:
        """``runs`` of ``/api/v1/runs/{run}``: what the scopes of tokens name."""
        return self.path.removeprefix(PREFIX).strip("/").split("/")[0]


# runs -----------------------------------------------------------------------------------------------------------------


def list_runs(call: Call) -> BaseModel:
    query: models.RunsQuery = call.query
    _in_order("since", query.since, "until", query.until)
    search = Search(query.search, query.category or "", query.quality or "", query.since, query.until)
    page = queries.run_page(call.site, search, query.columns, query.limit, paging.place_of(query))
    following = paging.cursor_to(page.next, query)
    return models.RunsOut(runs=[models.RunOut.of(run) for run in page.rows], total=page.total, next=following)


def one_run(call: Call) -> BaseModel:
    found = queries.run_of(call.site, call.path["run"])
    if found is None:
        raise _no_run(call)
    return models.OneRunOut.found(found)


def change_run(call: Call) -> BaseModel:
    changes = call.body.given
    if not changes:
        known = ", ".join(models.RunChanges.model_fields)
        raise bad_request([wrong("body", f"at least one of {known}", changes)])
    assert call.actor
    found = queries.edit_run(call.site, call.actor, call.path["run"], changes)
    if found is None:
        raise _no_run(call)
    return models.OneRunOut.found(found)


def _no_run(call: Call) -> Problem:
    return Problem(404, f"There is no run {call.path['run']}.")


# plots of runs --------------------------------------------------------------------------------------------------------


def list_elements(call: Call) -> BaseModel:
    found = queries.judged_elements(call.site, call.path["run"])
    if found is None:
        raise _no_run(call)
    run, judged = found
    base = f"{request.script_root}{PREFIX}/runs/{quote(run.key, safe='')}/elements"
    made = [models.ElementOut.of(one, f"{base}/{quote(one.element.plot, safe='')}/figure") for one in judged]
    return models.ElementsOut(run=run.key, elements=made)


def figure(call: Call) -> Response:
    run, plot, zone, window = call.path["run"], call.path["plot"], call.query.zone, call.query.window
    mark = queries.figure_mark(call.site, run, plot, zone, window, call.query.mask)
    if mark and _has(mark.tag):
        return _figure_response(Response(status=304), mark.version, mark.tag)
    try:
        drawn = elements.figure(call.site, run, plot, zone, mark.tag if mark else "", window, call.query.mask)
    except NoFigure as reason:
        # not 5xx: proxies would put a page of their own in the place of the reason
        status = 404 if reason.state == "nodata" else 409
        raise Problem(status, reason.reason, state=reason.state, traceback=reason.traceback) from None
    tag = mark.tag if mark and mark.version == drawn.version else ""
    if not request.accept_encodings.quality("gzip"):
        return _figure_response(Response(drawn.content, mimetype=JSON), drawn.version, tag)
    response = Response(drawn.gzipped, mimetype=JSON, headers={"Content-Encoding": "gzip"})
    return _figure_response(response, drawn.version, f"{tag}:gzip" if tag else "")


def _has(tag: str) -> bool:
    """Whether the browser has this figure; compression has put its own name behind the tag."""
    return any(known.split(":")[0] == tag for known in request.if_none_match.as_set(include_weak=True))


def _figure_response(response: Response, version: int, tag: str) -> Response:
    response.headers["X-Larboard-Version"] = str(version)
    response.headers["Cache-Control"] = "private, no-cache"
    response.vary.add("Accept-Encoding")
    if tag:
        response.set_etag(tag)
    return response


# pixels ---------------------------------------------------------------------------------------------------------------


def pixel_values(call: Call) -> Response:
    try:
        found = pixels.pixel_values(call.site, call.path["run"], call.query.value, call.query.window)
    except NoFigure as reason:
        status = 404 if reason.state == "nodata" else 409
        raise Problem(status, reason.reason, state=reason.state, traceback=reason.traceback) from None
    return _packed(found, "private, no-cache")


def pixel_places(call: Call) -> Response:
    found = pixels.pixel_places(call.site, call.path["geometry"])
    if found is None:
        raise Problem(404, f"There is no geometry {call.path['geometry']} on this host.")
    # its name changes with its content
    return _packed(found, "private, max-age=31536000, immutable")


def _packed(found: pixels.Packed, keep: str) -> Response:
    compressed = bool(request.accept_encodings.quality("gzip"))
    if _has(found.tag):
        answer = Response(status=304)
    else:
        answer = Response(found.gzipped if compressed else found.content, mimetype=BINARY)
        if compressed:
            answer.headers["Content-Encoding"] = "gzip"
    answer.headers["Cache-Control"] = keep
    answer.headers["X-Larboard-Version"] = str(found.version)
    answer.headers["X-Larboard-Geometry"] = found.geometry
    answer.vary.add("Accept-Encoding")
    answer.set_etag(f"{found.tag}:gzip" if compressed else found.tag)
    return answer


# rows -----------------------------------------------------------------------------------------------------------------


def rows(call: Call) -> BaseModel:
    return models.RowsOut.of(_rows(call))


def rows_csv(call: Call) -> Response:
    return _download(rows_behind.as_csv(_rows(call)), "text/csv", f"rows-of-run-{_plain(call.path['run'])}.csv")


def rows_hdf5(call: Call) -> Response:
    return _download(rows_behind.as_hdf5(_rows(call)), HDF5, f"rows-of-run-{_plain(call.path['run'])}.hdf5")


def _rows(call: Call) -> rows_behind.Search:
    asked = rows_behind.wanted(call.site, call.query.given)
    if problems := [asked.refused] if asked.refused else list(asked.problems):
        raise Problem(400, " ".join(problems))
    try:
        found = rows_behind.search(call.site, call.path["run"], asked)
    except rows_behind.CannotSearch as why:
        raise Problem(409, str(why)) from None
    if found is None:
        raise _no_run(call)
    return found


def _plain(text: str) -> str:
    """Letters, digits and dashes of a key: what a file name may be made of."""
    return "".join(letter for letter in text if letter.isascii() and (letter.isalnum() or letter == "-"))[:40]


def _download(content: str | bytes, media: str, name: str) -> Response:
    return Response(content, mimetype=media, headers={"Content-Disposition": f'attachment; filename="{name}"'})


# masks ----------------------------------------------------------------------------------------------------------------


def make_mask(call: Call) -> BaseModel:
    assert call.actor
    body: models.MaskEdit = call.body
    area = Area(body.area.io_group, body.area.z, body.area.y) if body.area else None
    given = body.model_dump(include={"base", "pasted", "leave_out", "chips", "hot", "count_again"})
    try:
        made = mask_changes.change(call.site, call.actor, body.run, Edit(area=area, **given))
    except NoMask as reason:
        raise Problem(400, str(reason)) from None
    if made is None:
        raise Problem(404, f"There is no run {body.run}.")
    mask = made.mask
    return models.MaskOut(mask=mask.address, channels=len(mask), chips=len(mask.by_chip), said=list(made.said))


def one_mask(call: Call) -> Response:
    return _as_file(call, lambda mask: mask.to_json(), "json", JSON)


def mask_table(call: Call) -> Response:
    return _as_file(call, lambda mask: mask.to_csv(), "csv", "text/csv")


def _as_file(call: Call, write: Callable[[Mask], str], ending: str, media: str) -> Response:
    address = call.path["mask"]
    mask = masks.find(call.site, address)
    if mask is None:
        raise Problem(404, masks.unknown_words(address))
    headers = {"Content-Disposition": f'attachment; filename="disabled-channels-{mask.address}.{ending}"'}
    return Response(write(mask), mimetype=media, headers=headers)


# trends ---------------------------------------------------------------------------------------------------------------


def trends(call: Call) -> BaseModel:
    query: models.TrendsQuery = call.query
    if query.name is None:
        given = sorted(query.model_fields_set)
        if given:
            raise bad_request([wrong("name", f"a trend, as {', '.join(given)} is given", None)])
        return models.TrendNamesOut(trends=[models.TrendNameOut.of(name) for name in queries.trend_names(call.site)])
    _in_order("start", query.start, "end", query.end)
    resolution = None if query.resolution == "auto" else query.resolution
    found = queries.followed(call.site, query.name, query.start, query.end, query.points, resolution)
    if found is None:
        raise Problem(404, f"There is no trend {query.name}; {request.script_root}{PREFIX}/trends lists them.")
    return models.FollowedOut.found(found)


def _in_order(first: str, start: float | None, last: str, end: float | None) -> None:
    if start is not None and end is not None and start > end:
        raise bad_request([wrong(first, f"a time before {last}", models.moment(start))])


# files, plots, ingest -------------------------------------------------------------------------------------------------


def list_files(call: Call) -> BaseModel:
    query: models.FilesQuery = call.query
    wanted = {"words": query.search, "state": query.state or "", "run": query.run or "", "history": query.history}
    page = queries.file_page(call.site, wanted, query.columns, query.limit, paging.place_of(query))
    following = paging.cursor_to(page.next, query)
    return models.FilesOut(files=[models.FileOut.of(file) for file in page.rows], total=page.total, next=following)


def one_file(call: Call) -> BaseModel:
    found = queries.file_of(call.site, _file_id(call))
    if found is None:
        raise _no_file(call)
    return models.FileOut.of(found)


def retry_file(call: Call) -> BaseModel:
    return _done_to_file(call, file_actions.retry)


def ignore_file(call: Call) -> BaseModel:
    return _done_to_file(call, file_actions.ignore)


def release_file(call: Call) -> BaseModel:
    return _done_to_file(call, file_actions.release)


def _done_to_file(call: Call, act: Callable[..., Any]) -> BaseModel:
    assert call.actor
    try:
        found = act(call.site.store, call.actor, _file_id(call), call.query.reason)
    except NotNow as reason:
        raise Problem(409, str(reason)) from None
    if found is None:
        raise _no_file(call)
    return models.FileOut.of(found)


def _file_id(call: Call) -> int:
    text = call.path["file"]
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _no_file(call)
    return int(text)


def _no_file(call: Call) -> Problem:
    return Problem(404, f"There is no file {call.path['file']}.")


def plots(call: Call) -> BaseModel:
    listed, costs = queries.known_plots(call.site)
    made = []
    for plot in listed.plots:
        cost = costs.get((plot.name, plot.source))
        spent: dict[str, Any] = {
            "packets": cost.packets if cost else 0,
            "us_per_packet": cost.us_per_packet if cost else None,
            "failures": cost.failures if cost else 0,
            "last_failure": cost.last_failure if cost else "",
        }
        made.append(models.PlotOut(**plot.to_json(), **spent))
    broken = [models.BrokenOut(name=one.name, source=one.source, reason=one.reason) for one in listed.broken]
    return models.PlotsOut(plots=made, broken=broken)


def ingest(call: Call) -> BaseModel:
    return models.IngestOut.found(queries.ingest(call.site), time.time())


# alarms of the monitor ------------------------------------------------------------------------------------------------


def list_alarms(call: Call) -> BaseModel:
    query: models.AlarmsQuery = call.query
    found = alarm_list.alarm_list(call.site, history=query.limit if query.history else 0)
    rows = ([models.AlarmOut.of(alarm) for alarm in alarms] for alarms in (found.open, found.history))
    return models.AlarmsOut(open=next(rows), ended=next(rows))


def acknowledge_alarm(call: Call) -> BaseModel:
    assert call.actor
    try:
        found = alarm_list.acknowledge(call.site, call.actor, call.path["alarm"])
    except NotNow as reason:
        raise Problem(409, str(reason)) from None
    if found is None:
        raise Problem(404, f"There is no alarm {call.path['alarm']}.")
    return models.AlarmOut.of(found)


# news -----------------------------------------------------------------------------------------------------------------


def changes(call: Call) -> BaseModel:
    after = call.query.after
    if after is None:
        return models.ChangesOut(seq=queries.last_news(call.site), notices=[], gap=False)
    return models.ChangesOut.found(queries.changes(call.site, after))


def event_stream(call: Call) -> Response:
    after = _seen_last(call)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream", headers=headers)
    socket = request.environ.get("gunicorn.socket") or request.environ.get("werkzeug.socket")
    try:
        listener = call.broadcaster.join(socket, request.environ.get("REMOTE_ADDR", ""))
    except TooMany as full:
        instead = f"{request.script_root}{PREFIX}/changes"
        detail = f"{full}; ask {instead} instead, or try again."
        raise Problem(503, detail, {"Retry-After": str(AGAIN_S)}) from None
    try:
        content = events.stream(call.site, listener, after)
    except BaseException:
        call.broadcaster.leave(listener)
        raise
    events.limit_sending(socket)
    response = Response(content, mimetype="text/event-stream", headers=headers)
    response.call_on_close(lambda: call.broadcaster.leave(listener))
    return response


def _seen_last(call: Call) -> int | None:
    """Last-Event-ID wins: the browser sends it when it comes back, with the address that it began with."""
    text = request.headers.get("Last-Event-ID", "")
    if not text:
        return call.query.after
    if not (text.isascii() and text.isdecimal() and len(text) < 20 and int(text) <= models.LARGEST):
        raise bad_request([wrong("Last-Event-ID", "the number of a notice", text)])
    return int(text)


# the process ----------------------------------------------------------------------------------------------------------


def health(call: Call) -> BaseModel:
    return models.HealthOut(status="ok", version=dqm.__version__)


def ready(call: Call) -> BaseModel:
    named = _may_read(call)
    try:
        queries.check_ready(call.site)
        blind = alarm_list.alarm_list(call.site, history=0).blind
    except StoreProblem as problem:
        detail = str(problem) if named else "The database cannot be used; whoever is signed in is told why."
        raise Problem(503, detail, {"Retry-After": str(AGAIN_S)}) from None
    said = [alarm.reason if named else alarm.kind for alarm in blind]
    return models.ReadyOut(status="ok", version=dqm.__version__, blind=said)


def _may_read(call: Call) -> bool:
    """Whether who asks may know of paths and hosts."""
    try:
        call.site.auth.reader(request)
    except (NotAllowed, StoreProblem):
        return False
    return True


def prometheus(call: Call) -> Response:
    return Response(metrics.scrape(call.site, call.broadcaster.listeners), content_type=metrics.MEDIA)


def openapi(call: Call) -> Response:
    from dqm.api.openapi import document

    return Response(document(request.script_root), mimetype=JSON)


ROUTES = (
    Route("GET", f"{PREFIX}/runs", "Runs, newest first", list_runs, (models.RunsOut,), models.RunsQuery),
    Route("GET", f"{PREFIX}/runs/{{run}}", "One run", one_run, (models.OneRunOut,), refusals=(404,)),
    Route(
        "PATCH", f"{PREFIX}/runs/{{run}}", "Change category, tags or comment", change_run, (models.OneRunOut,),
        body=models.RunChanges, refusals=(404, 413, 415),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/elements", "Its plots, with trends and verdicts", list_elements,
        (models.ElementsOut,), refusals=(404,),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/elements/{{plot}}/figure", "A plot as a Plotly figure", figure,
        query=models.FigureQuery, refusals=(404, 409),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/pixels", "One quantity of every pixel (float32, little endian)", pixel_values,
        query=models.PixelsQuery, media=BINARY, refusals=(404, 409),
    ),
    Route(
        "GET", f"{PREFIX}/geometries/{{geometry}}/pixels", "Where each pixel is and what it is called", pixel_places,
        media=BINARY, refusals=(404,),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/rows", "The first rows of packets that fit, from the files of a run", rows,
        (models.RowsOut,), models.RowsQuery, refusals=(404, 409),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/rows.csv", "The same as CSV, numbers alone", rows_csv, query=models.RowsQuery,
        media="text/csv", refusals=(404, 409),
    ),
    Route(
        "GET", f"{PREFIX}/runs/{{run}}/rows.hdf5", "The same as a packet file", rows_hdf5, query=models.RowsQuery,
        media=HDF5, refusals=(404, 409),
    ),
    Route(
        "POST", f"{PREFIX}/masks", "Make a mask: channels to look at a run without", make_mask, (models.MaskOut,),
        body=models.MaskEdit, status=201, refusals=(404, 413, 415), body_most=2**20,
    ),
    Route(
        "GET", f"{PREFIX}/masks/{{mask}}", "A mask as the disabled-channel JSON of LArPix", one_mask, refusals=(404,)
    ),
    Route(
        "GET", f"{PREFIX}/masks/{{mask}}/csv", "A mask as CSV", mask_table, media="text/csv", refusals=(404,)
    ),
    Route(
        "GET", f"{PREFIX}/trends", "The numbers that can be followed, or one of them over time", trends,
        (models.TrendNamesOut, models.FollowedOut), models.TrendsQuery, refusals=(404,),
    ),
    Route("GET", f"{PREFIX}/files", "Files, newest first", list_files, (models.FilesOut,), models.FilesQuery),
    Route("GET", f"{PREFIX}/files/{{file}}", "One file", one_file, (models.FileOut,), refusals=(404,)),
    Route(
        "POST", f"{PREFIX}/files/{{file}}/retry", "Read a file again from its first row", retry_file,
        (models.FileOut,), models.ReasonQuery, status=202, refusals=(404, 409),
    ),
    Route(
        "POST", f"{PREFIX}/files/{{file}}/ignore", "Leave a file out; what was counted of it is taken out of its run",
        ignore_file, (models.FileOut,), models.ReasonQuery, status=202, refusals=(404, 409),
    ),
    Route(
        "POST", f"{PREFIX}/files/{{file}}/release", "Read a file again that was ignored, or is in quarantine",
        release_file, (models.FileOut,), models.ReasonQuery, status=202, refusals=(404, 409),
    ),
    Route("GET", f"{PREFIX}/plots", "Plots of this host, and broken plug-ins", plots, (models.PlotsOut,)),
    Route("GET", f"{PREFIX}/ingest", "Who counts files, and how far they are", ingest, (models.IngestOut,)),
    Route(
        "GET", f"{PREFIX}/alarms", "What is wrong with the monitor itself", list_alarms, (models.AlarmsOut,),
        models.AlarmsQuery,
    ),
    Route(
        "POST", f"{PREFIX}/alarms/{{alarm}}/acknowledge", "Say that an alarm was seen", acknowledge_alarm,
        (models.AlarmOut,), refusals=(404, 409),
    ),
    Route("GET", f"{PREFIX}/changes", "What changed since a notice", changes, (models.ChangesOut,), models.EventsQuery),
    Route(
        "GET", f"{PREFIX}/events", "Notices as they come (server-sent events)", event_stream,
        query=models.EventsQuery, media="text/event-stream",
    ),
    Route("GET", f"{PREFIX}/openapi.json", "This document", openapi),
    Route("GET", "/health", "The process is up", health, (models.HealthOut,)),
    Route("GET", "/ready", "The database can be used", ready, (models.ReadyOut,)),
    Route("GET", "/metrics", "Metrics for Prometheus", prometheus, media="text/plain"),
)  # fmt: skip

__all__ = ["ROUTES", "Call", "Route", "StoreProblem"]
