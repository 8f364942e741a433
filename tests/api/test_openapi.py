"""The OpenAPI document is true: what it promises is what comes, and everything in it is documented."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dqm.api import models
from dqm.api.routes import ROUTES, Route
from dqm.detector import demo_detector
from dqm.masks import read_mask
from dqm.records import Alarm
from dqm.store import alarms
from dqm.views.site import Site

DOCUMENT = Path(__file__).parents[2] / "docs/api.md"
ONE_MASK = {"run": "7", "leave_out": {"1-1-11": [0]}}
VALUES = {
    "run": "7",
    "plot": "AdcSpectrum",
    "file": "1",
    "alarm": "1",
    "geometry": demo_detector().geometry_id,
    "mask": read_mask(ONE_MASK["leave_out"])[0].address,
}
BODIES = {"/api/v1/runs/{run}": {"comment": "x"}, "/api/v1/masks": ONE_MASK}
EXAMPLES = {"name": "PacketRate.data_rate_hz", "after": "3", "cursor": None, "file": "1"}


@pytest.fixture(autouse=True)
def an_alarm(site: Site) -> None:
    """One alarm is open."""
    with site.store.begin() as tx:
        assert alarms.raise_(tx, Alarm(0, "slow", "", "suspect", "a write took 4 s", 1e9, 1e9)) == 1


@pytest.fixture
def openapi(client: FlaskClient) -> dict[str, Any]:
    found = client.get("/api/v1/openapi.json").json
    assert found
    return found


def test_it_has_every_route_of_the_server_and_no_other(openapi: dict[str, Any], server: Flask) -> None:
    rules = {re.sub(r"<(\w+)>", r"{\1}", rule.rule) for rule in server.url_map.iter_rules()}
    others = {"/api", "/api/", "/api/<path:rest>", "/static/<path:filename>"}
    assert set(openapi["paths"]) == rules - others


def test_every_route_and_parameter_is_in_the_document(openapi: dict[str, Any]) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            assert f"`{method.upper()} {path}`" in text, path
            for parameter in operation["parameters"]:
                assert parameter["in"] == "path" or f"`{parameter['name']}`" in text, parameter["name"]


def test_every_reference_leads_somewhere(openapi: dict[str, Any]) -> None:
    assert openapi["openapi"] == "3.1.0"
    for name in re.findall(r"#/components/schemas/(\w+)", str(openapi)):
        assert name in openapi["components"]["schemas"]
    names = [op["operationId"] for operations in openapi["paths"].values() for op in operations.values()]
    assert len(names) == len(set(names))


def address(route: Route) -> str:
    return re.sub(r"{(\w+)}", lambda found: VALUES[found[1]], route.path)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_an_answer_is_what_was_promised(route: Route, client: FlaskClient) -> None:
    body = {"json": BODIES[route.path]} if route.body else {}
    if "{mask}" in route.path:
        client.post("/api/v1/masks", json=ONE_MASK)
    if route.path.endswith("/release"):
        client.post(address(route).replace("/release", "/ignore"))
    response = client.open(address(route), method=route.method, **body)  # type: ignore[arg-type]
    assert (response.status_code, response.mimetype) == (route.status, route.media)
    if route.gives:
        route.gives[0].model_validate_json(response.data)
    response.close()


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_a_problem_is_one_that_was_promised(route: Route, client: FlaskClient) -> None:
    attempts = [(address(route) + "?nonsense=1", 400)]
    if "{" in route.path:
        attempts.append((re.sub(r"{(\w+)}", "none-such", route.path), 404))
    for path, status in attempts:
        response = client.open(path, method=route.method, json=BODIES.get(route.path) if route.body else None)
        assert response.status_code == status
        assert status in {400, 503, *route.refusals}
        models.ProblemOut.model_validate_json(response.data)


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.query is not models.NoQuery and not route.writes], ids=lambda r: r.path
)
def test_each_documented_value_of_a_parameter_is_taken(
    route: Route, client: FlaskClient, openapi: dict[str, Any]
) -> None:
    for parameter in openapi["paths"][route.path]["get"]["parameters"]:
        if parameter["in"] == "path":
            continue
        name, schema = parameter["name"], parameter["schema"]
        values = schema.get("enum") or [schema.get("default", "2024-07-08T00:00:00Z")]
        for value in [EXAMPLES[name]] if name in EXAMPLES else values:
            if value in (None, ""):
                continue
            needed = {"name": EXAMPLES["name"]} if route.path.endswith("/trends") else {}
            response = client.get(address(route), query_string={**needed, name: value})
            assert response.status_code == 200, (name, value, response.text if response.status_code != 200 else "")
            response.close()
