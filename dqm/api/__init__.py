"""REST ``/api/v1``, the event stream, and what watches the process: ``/health``, ``/ready``, ``/metrics``.

`register` puts them on the site's server. Everything goes through one view, so that whatever happens below ``/api`` is
answered in JSON, and nothing that happens elsewhere is touched.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, Response, request
from pydantic import BaseModel, ValidationError
from werkzeug.exceptions import HTTPException

from dqm.api.events import Broadcaster, streams_for
from dqm.api.models import Asked
from dqm.api.presence import SignsOfLife
from dqm.api.problems import Problem, bad_request, of_validation, wrong
from dqm.api.routes import AGAIN_S, PREFIX, ROUTES, Call, Route
from dqm.auth.roles import Actor, NotAllowed, NotSignedIn
from dqm.views.presence import Presence
from dqm.views.queries import StoreProblem
from dqm.views.site import Site

__all__ = ["EXTENSION", "register"]

log = logging.getLogger("larboard.api")

PRESENCE = "larboard.presence"
"""Under this name they hold what a worker calls to tell that it lives."""
EXTENSION = "larboard.events"
"""Under this name the server's extensions hold the Broadcaster; its `stop` ends all streams."""
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def register(server: Flask, site: Site) -> None:
    """Adds the API over `site` to `server`."""
    broadcaster = Broadcaster(site, streams_for(site.settings.web.threads))
    server.extensions[EXTENSION] = broadcaster
    site.told = broadcaster.told
    server.extensions[PRESENCE] = SignsOfLife(Presence(site, broadcaster.most), broadcaster)
    by_path: dict[str, dict[str, Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, {})[route.method] = route
    for path, routes in by_path.items():
        _add(server, re.sub(r"{(\w+)}", r"<\1>", path), _view(routes, site, broadcaster))
    for index, path in enumerate(("/api", "/api/", "/api/<path:rest>")):
        _add(server, path, _no_endpoint, f"api nothing {index}")


def _add(server: Flask, rule: str, view: Callable[..., Response], name: str = "") -> None:
    server.add_url_rule(rule, name or f"api {rule}", view, methods=METHODS, provide_automatic_options=False)


def _no_endpoint(**_path: str) -> Response:
    known = f"{request.script_root}{PREFIX}/openapi.json lists what there is"
    return Problem(404, f"There is no {request.script_root}{request.path}; {known}.").response()


def _view(routes: dict[str, Route], site: Site, broadcaster: Broadcaster) -> Callable[..., Response]:
    allowed = ", ".join(sorted({*routes, "OPTIONS", *(["HEAD"] if "GET" in routes else [])}))

    def view(**path: str) -> Response:
        route = routes.get("GET" if request.method == "HEAD" else request.method)
        if request.method == "OPTIONS":
            return Response(status=204, headers={"Allow": allowed})
        if route is None:
            detail = f"{request.path} does not take {request.method}, but {allowed}."
            return Problem(405, detail, {"Allow": allowed}).response()
        response = _answer(route, path, site, broadcaster)
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers.setdefault("X-Content-Type-Options", "nosniff")
        return response

    return view


def _answer(route: Route, path: dict[str, str], site: Site, broadcaster: Broadcaster) -> Response:
    """The answer, or the problem as an answer: nothing is raised."""
    try:
        actor = site.auth.writer(request, route.noun) if route.writes else None
        answer = route.answer(_call(route, path, site, broadcaster, actor))
        return _json(answer, route.status) if isinstance(answer, BaseModel) else answer
    except Exception as error:
        if isinstance(error, NotAllowed):
            site.auth.refused(request, str(error))
        problem = _problem(error)
        if route.path.endswith(("/figure", "/runs/{run}/pixels")):  # a tile always gets a word to show
            word = {404: "nodata", 503: "unknown"}.get(problem.status, "broken")
            problem.members = {"state": word, "traceback": ""} | problem.members
        return problem.response()


def _call(route: Route, path: dict[str, str], site: Site, broadcaster: Broadcaster, actor: Actor | None) -> Call:
    if any(ord(character) < 32 for text in path.values() for character in text):
        raise Problem(404, "There is nothing of a name with control characters in it.")
    if not route.body and request.stream.read(route.body_most).strip() not in (b"", b"{}"):
        asked = ", ".join(route.query.model_fields) or "none"
        raise Problem(400, f"A body is not taken here, and would not be read; parameters of the query: {asked}.")
    return Call(
        site, broadcaster, path, _query(route.query), _body(route.body, route.body_most) if route.body else None, actor
    )


def _query(model: type[Asked]) -> Asked:
    given: dict[str, str] = {}
    for name, values in request.args.lists():
        if len(values) > 1:
            raise bad_request([wrong(name, "one value", values)])
        given[name] = values[0]
    return _validated(model, given, "parameter")


def _body(model: type[Asked], most: int) -> Asked:
    if request.mimetype != "application/json":
        raise Problem(415, f"Expected application/json, got {request.mimetype or 'no Content-Type'}.")
    if (request.content_length or 0) > most:
        raise Problem(413, f"The body has {request.content_length} bytes, at most {most} are taken.")
    content = request.stream.read(most + 1)
    if len(content) > most:
        raise Problem(413, f"The body has more than the {most} bytes that are taken.")
    try:
        return _validated(model, orjson.loads(content), "member")
    except orjson.JSONDecodeError as error:
        raise bad_request([wrong("body", f"JSON ({error})", content.decode("utf-8", "replace"))]) from None


def _validated(model: type[Asked], given: Any, what: str) -> Asked:
    try:
        return model.model_validate(given)
    except ValidationError as error:
        raise of_validation(error, list(model.model_fields), what) from None


def _json(answer: BaseModel, status: int) -> Response:
    return Response(answer.model_dump_json(), status, mimetype="application/json")


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case NotSignedIn():
            return Problem(401, str(error), {"WWW-Authenticate": "Bearer"})
        case NotAllowed():
            return Problem(403, str(error))
        case StoreProblem():
            return Problem(503, str(error), {"Retry-After": str(AGAIN_S)})
        case HTTPException() if error.code and 400 <= error.code < 600:
            return Problem(error.code, error.description or error.name)
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return Problem(500, "Larboard failed at this; its log says how.")
