"""The OpenAPI 3.1 document, made of the table of routes and their models."""

from __future__ import annotations

import functools
import re
from http import HTTPStatus
from typing import Any, Literal

import orjson
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

import dqm
from dqm.api import models
from dqm.api.problems import MEDIA
from dqm.api.routes import ROUTES, Route

Mode = Literal["validation", "serialization"]
REFERENCE = "#/components/schemas/{model}"
DESCRIPTION = (
    "Times are ISO 8601 in UTC; what is not known is null. A parameter that is not known is an error. "
    "Changes need a token, or a browser that is signed in."
)
SCHEMES = {"token": {"type": "http", "scheme": "bearer", "description": "larboard token add"}}


@functools.lru_cache(maxsize=8)
def document(root: str = "") -> bytes:
    """The document of an API whose paths begin with `root`."""
    paths: dict[str, dict[str, Any]] = {}
    schemas, components = _schemas()
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas)
    return orjson.dumps(
        {
            "openapi": "3.1.0",
            "info": {"title": "Larboard", "version": dqm.__version__, "description": DESCRIPTION},
            "servers": [{"url": root or "/"}],
            "paths": paths,
            "components": {"schemas": components, "securitySchemes": SCHEMES},
            "security": [{}, {"token": []}],
        }
    )


def _schemas() -> tuple[dict[type[BaseModel], Any], dict[str, Any]]:
    given: set[type[BaseModel]] = {model for route in ROUTES for model in route.gives} | {models.ProblemOut}
    taken: set[type[BaseModel]] = {route.body for route in ROUTES if route.body}
    wanted: list[tuple[type[BaseModel], Mode]] = [(model, "serialization") for model in given]
    wanted += [(model, "validation") for model in taken]
    wanted.sort(key=lambda pair: pair[0].__name__)
    found, definitions = models_json_schema(wanted, ref_template=REFERENCE)
    return {model: found[model, mode] for model, mode in wanted}, definitions["$defs"]


def _operation(route: Route, schemas: dict[type[BaseModel], Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.answer.__name__,
        "summary": route.summary,
        "parameters": [*_in_path(route), *_in_query(route.query)],
        "responses": _responses(route, schemas),
    }
    if route.body:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": schemas[route.body]}}}
    return operation


def _in_path(route: Route) -> list[dict[str, Any]]:
    names = re.findall(r"{(\w+)}", route.path)
    return [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]


def _in_query(query: type[BaseModel]) -> list[dict[str, Any]]:
    schema = query.model_json_schema()
    properties: dict[str, dict[str, Any]] = schema.get("properties", {})
    return [_parameter(name, dict(found), schema.get("$defs", {})) for name, found in properties.items()]


def _parameter(name: str, schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A parameter is left out rather than null."""
    description = schema.pop("description", "")
    schema.pop("title", None)
    if schema.get("default", "") is None:
        del schema["default"]
    for choice in schema.pop("anyOf", []):
        schema |= choice if choice != {"type": "null"} else {}
    if reference := schema.pop("$ref", ""):
        schema |= {key: definitions[reference.split("/")[-1]][key] for key in ("type", "enum")}
    about = {"description": description} if description else {}
    return {"name": name, "in": "query", "required": False, "schema": schema, **about}


def _responses(route: Route, schemas: dict[type[BaseModel], Any]) -> dict[str, Any]:
    of = [schemas[model] for model in route.gives]
    content = {"schema": of[0] if len(of) == 1 else {"anyOf": of}} if of else {}
    responses = {str(route.status): {"description": route.summary, "content": {route.media: content}}}
    for status in sorted({400, 401, 403, 503, *route.refusals}):
        problem = {MEDIA: {"schema": schemas[models.ProblemOut]}}
        responses[str(status)] = {"description": HTTPStatus(status).phrase, "content": problem}
    return responses
