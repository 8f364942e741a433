"""Every callback and every endpoint, with everybody: the tables below say who may what, and nothing is missing from them.

A new callback or endpoint that stands in no table fails here: say who may use it, and this test tries whether it is true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from dash import Dash
from flask import Flask
from flask.testing import FlaskClient

from app import create_app, warm
from dqm.api import register as register_api
from dqm.api.routes import ROUTES
from dqm.auth import people, signin
from dqm.auth.roles import LOCAL_ADMIN, LOCAL_MANAGER, ROLES, NotAllowed
from dqm.auth.signin import Origin
from dqm.auth.web import register as register_auth
from dqm.store import accounts, audit
from dqm.views.site import Site
from tests.auth.conftest import GOOD

ALWAYS, READ, SIGNED_IN = "always", "read", "signed in"
"""Everybody in any case; everybody as far as reading is for everybody; whoever is signed in, of his own. Else: a role."""
OF_EVERYTHING = "expert of everything"

CALLBACKS = {
    "account.change_password": SIGNED_IN,
    "account.make_token": SIGNED_IN,
    "account.revoke_own": SIGNED_IN,
    "account.show_account": READ,
    "audit.show_audit": "admin",
    "audit.show_audit_problems": READ,  # words about what was typed, nothing else
    "board.show_board": READ,
    "channel.show_life": READ,
    "channel.show_now": READ,
    "channel.show_spectrum": READ,
    "files.show_counts": READ,
    "files.show_detail": READ,
    "files.show_problems": READ,
    "files.show_rows": READ,
    "level.show_level": READ,
    "monitor.show_monitor": READ,
    "people.add_person": "admin",
    "people.change_person": "admin",
    "people.show_people": "admin",
    "plot.show_plot": READ,
    "plots.retry": OF_EVERYTHING,
    "plots.show_plots": READ,
    "rows.show_rows_behind": READ,
    "run.show_run": READ,
    "runs.show_problems": READ,
    "runs.show_rows": READ,
    "shell.show_page": READ,
    "shell.show_run_strip": READ,
    "trends.download": READ,
    "trends.show_controls": READ,
    "trends.show_picture": READ,
    "trends.zoom_to": READ,
}
ENDPOINTS = {
    "GET /api/v1/alarms": READ,
    "GET /api/v1/changes": READ,
    "GET /api/v1/events": READ,
    "GET /api/v1/files": READ,
    "GET /api/v1/files/{file}": READ,
    "GET /api/v1/ingest": READ,
    "GET /api/v1/masks/{mask}": READ,
    "GET /api/v1/masks/{mask}/csv": READ,
    "GET /api/v1/openapi.json": READ,
    "GET /api/v1/plots": READ,
    "GET /api/v1/runs": READ,
    "GET /api/v1/runs/{run}": READ,
    "GET /api/v1/runs/{run}/elements": READ,
    "GET /api/v1/runs/{run}/elements/{plot}/figure": READ,
    "GET /api/v1/runs/{run}/pixels": READ,
    "GET /api/v1/runs/{run}/rows": READ,
    "GET /api/v1/runs/{run}/rows.csv": READ,
    "GET /api/v1/runs/{run}/rows.hdf5": READ,
    "GET /api/v1/geometries/{geometry}/pixels": READ,
    "GET /api/v1/trends": READ,
    "GET /health": ALWAYS,
    "GET /metrics": READ,
    "GET /ready": ALWAYS,
    "PATCH /api/v1/runs/{run}": "expert",
    "POST /api/v1/alarms/{alarm}/acknowledge": "shifter",
    "POST /api/v1/files/{file}/retry": "shifter",
    "POST /api/v1/masks": "shifter",
    "POST /api/v1/files/{file}/ignore": "expert",
    "POST /api/v1/files/{file}/release": "expert",
}
PAGES = {
    "GET /": READ,
    "GET /<path:path>": READ,
    "GET /_dash-component-suites/<string:package_name>/<path:fingerprinted_path>": READ,
    "GET /_dash-dependencies": READ,
    "GET /_dash-layout": READ,
    "GET /_favicon.ico": READ,
    "GET /_reload-hash": READ,
    "GET /api": READ,
    "GET /api/": READ,
    "GET /api/<path:rest>": READ,
    "GET /assets/<path:filename>": ALWAYS,
    "GET /sign-in": ALWAYS,
    "GET /sign-in/openid": ALWAYS,
    "GET /sign-in/openid/back": ALWAYS,
    "GET /static/<path:filename>": READ,
    "POST /sign-in": ALWAYS,
    "POST /sign-out": ALWAYS,
}
BODIES: dict[str, Any] = {
    "PATCH /api/v1/runs/{run}": {"comment": "tried"},
    "POST /api/v1/masks": {"run": "7", "chips": ["1-1-11-7"]},
}
PARTS = {
    "run": "7", "alarm": "1", "plot": "AdcSpectrum", "file": "1", "geometry": "none", "mask": "0" * 24,
    "path:path": "runs", "path:filename": "site.css",
    "string:package_name": "dash", "path:fingerprinted_path": "dcc/dash_core_components.js", "path:rest": "nothing",
}  # fmt: skip
VALUES: dict[str, Any] = {
    "plot-shown.data": ["7", "AdcSpectrum"],
    "run-key.data": "7",
    "channel-asked.data": ["1-5-36-12", "7", 50],
    "channel-read.n_clicks": 1,
    "rows-asked.data": ["7", {}],
    "level-shown.data": ["7", "detector", "", "rate"],
    "file-chosen.data": "1",
    "runs-grid.getRowsRequest": {"startRow": 0, "endRow": 9},
    "files-grid.getRowsRequest": {"startRow": 0, "endRow": 9},
    "route.data": {"path": "/", "search": "", "n": 1},
    "audit-grid.getRowsRequest": {"startRow": 0, "endRow": 9},
}
"""Inputs that must have a value for anything to happen."""
PEOPLE = ("nobody", *ROLES, "charge expert")


@dataclass
class House:
    site: Site
    app: Dash
    visitors: dict[str, FlaskClient]


@pytest.fixture(params=[True, False], ids=["everybody may read", "nobody reads without signing in"])
def house(request: pytest.FixtureRequest, site: Site) -> Iterator[House]:
    """A whole site with one person of each role, each signed in."""
    site.settings.auth.anonymous = request.param
    app = create_app(site.settings, site.store)
    warm(app)
    people.add(site.store, LOCAL_ADMIN, "root", "admin", password=GOOD)
    visitors = {}
    for who in PEOPLE:
        client = app.server.test_client()
        client.environ_base["REMOTE_ADDR"] = "192.0.2.7"
        if who != "nobody":
            name = who.replace(" ", ".")
            role, of = ("expert", ("charge",)) if who == "charge expert" else (who, ("*",))
            made = people.add(site.store, LOCAL_ADMIN, name, role, of, GOOD)
            with site.store.begin() as tx:
                shown = signin.begin(tx, site.settings.auth, made, "password", Origin("192.0.2.7"))
            client.set_cookie("larboard_session", shown)
        visitors[who] = client
    yield House(site, app, visitors)
    app.server.config["LARBOARD_SITE"].close()


def allowed(site: Site, who: str, rule: str) -> bool:
    if rule == ALWAYS:
        return True
    if who == "nobody":
        return rule == READ and site.settings.auth.anonymous
    if rule in (READ, SIGNED_IN):
        return True
    if who == "charge expert" and rule == OF_EVERYTHING:
        return False
    role, rule = "expert" if who == "charge expert" else who, rule.split()[0]
    return ROLES.index(role) >= ROLES.index(rule)


def check(house: House, who: str, rule: str, what: str, status: int, location: str = "") -> None:
    """Who may, is answered; who may not, is told so in the right way."""
    if allowed(house.site, who, rule):
        assert status not in (401, 403), f"{who}, {what}: {status}"
        assert status < 500, f"{who}, {what}: {status}"
        assert "/sign-in?next=" not in location, f"{who}, {what}"
    elif status == 302:  # a page
        assert who == "nobody", what
        assert location.startswith("/sign-in?next="), f"{who}, {what}"
    else:
        assert status == (401 if who == "nobody" else 403), f"{who}, {what}: {status}"


# callbacks ------------------------------------------------------------------------------------------------------------


def name_of(app: Dash, output: str) -> str:
    function = app.callback_map[output]["callback"]
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    module = function.__module__.removesuffix(".callbacks").rpartition(".")[2]
    return f"{module}.{function.__name__}"


def server_callbacks(app: Dash) -> dict[str, dict[str, Any]]:
    listed = app.server.test_client().get("/_dash-dependencies", environ_overrides={"larboard.own": True}).json
    assert listed
    on_server = [one for one in listed if not one.get("clientside_function")]
    return {name_of(app, one["output"]): one for one in on_server}


def asked(dependency: dict[str, Any], token: int = 999) -> dict[str, Any]:
    """What a browser sends when an input of a callback has changed; where it is a button, that which revokes a token."""
    BUTTON["name"] = str(token)
    return {
        "output": dependency["output"],
        "outputs": outputs_of(dependency["output"]),
        "inputs": [value_of(one) for one in dependency["inputs"]],
        "changedPropIds": [changed(dependency["inputs"][0])],
        "state": [value_of(one) for one in dependency["state"]],
    }


def outputs_of(text: str) -> Any:
    parts = re.findall(r"((?:\{.*?\}|[^.{}]+))\.([\w]+)(?:@\w+)?(?:\.\.|$)", text.removeprefix("..")) or []
    made = [wild(part.lstrip("."), prop) for part, prop in parts]
    return made if text.startswith("..") else made[0]


def wild(name: str, prop: str) -> Any:
    """One output; of a pattern a list with nothing that fits."""
    return [] if name.startswith("{") else {"id": name, "property": prop}


def value_of(one: dict[str, str]) -> Any:
    if not one["id"].startswith("{"):
        return {"id": one["id"], "property": one["property"], "value": VALUES.get(f"{one['id']}.{one['property']}")}
    button = button_of(one)
    return [{"id": button, "property": one["property"], "value": 1}] if button else []


BUTTON = {"type": "person-do", "do": "revoke", "name": "999"}
RETRY = {"type": "plot-retry", "plot": "AdcSpectrum"}


def button_of(one: dict[str, str]) -> dict[str, str] | None:
    return next((button for button in (BUTTON, RETRY) if button["type"] in one["id"]), None)


def changed(one: dict[str, str]) -> str:
    button = button_of(one) or BUTTON
    name = json.dumps(button, sort_keys=True, separators=(",", ":")) if one["id"].startswith("{") else one["id"]
    return f"{name}.{one['property']}"


def test_every_callback_stands_in_the_table(house: House) -> None:
    assert set(server_callbacks(house.app)) == set(CALLBACKS)


@pytest.mark.parametrize("who", PEOPLE)
def test_every_callback_lets_in_whom_the_table_says_and_nobody_else(house: House, who: str) -> None:
    for name, dependency in server_callbacks(house.app).items():
        number = 999
        if name == "account.revoke_own" and who != "nobody":
            owner = who.replace(" ", ".")
            number = people.add_token(house.site.store, LOCAL_ADMIN, owner, "own", ("read",), 1, 365)[1].id
        done = house.visitors[who].post("/_dash-update-component", json=asked(dependency, number))
        check(house, who, CALLBACKS[name], name, done.status_code)


@pytest.fixture
def fresh(site: Site) -> Iterator[House]:
    """A site where nobody has an account, and a client that comes as a proxy on this host does that says nothing."""
    app = create_app(site.settings, site.store)
    warm(app)
    client = app.server.test_client()
    client.environ_base["REMOTE_ADDR"] = "127.0.0.1"
    yield House(site, app, {"local": client})
    app.server.config["LARBOARD_SITE"].close()


def test_the_first_admin_is_not_made_by_the_web_whoever_sits_at_the_host(fresh: House) -> None:
    client, known = fresh.visitors["local"], server_callbacks(fresh.app)
    for name in ("people.add_person", "people.change_person", "people.show_people", "audit.show_audit"):
        assert client.post("/_dash-update-component", json=asked(known[name])).status_code == 403, name
    body = asked(known["shell.show_page"])
    for path in ("/people", "/audit", "/account"):
        body["inputs"][0]["value"] = {"path": path, "search": "", "n": 1}
        shown = client.post("/_dash-update-component", json=body).text
        assert "larboard user add NAME --role admin" in shown, path
        assert "person-add" not in shown
        assert "audit-grid" not in shown
    for call in (
        lambda actor: people.add(fresh.site.store, actor, "eve", "admin", password=GOOD),
        lambda actor: people.set_password(fresh.site.store, actor, "eve", GOOD),
        lambda actor: people.add_token(fresh.site.store, actor, "eve", "x", ("read",), 1, 365),
    ):
        with pytest.raises(NotAllowed):
            call(LOCAL_MANAGER)
    assert client.patch("/api/v1/runs/7", json={"comment": "mine"}).status_code == 200


@pytest.mark.parametrize(
    ("setting", "value"),
    [("host", "0.0.0.0"), ("proxies", ["10.0.0.1"]), ("hosts", ["daq.example.org"]), ("prefix", "/larboard")],
)
def test_on_a_site_that_is_set_up_for_others_nobody_sits_at_the_host(site: Site, setting: str, value: object) -> None:
    setattr(site.settings.web, setting, value)
    server = Flask("site")
    register_auth(server, site.auth, "/assets/")
    register_api(server, site)
    done = server.test_client().patch("/api/v1/runs/7", json={"comment": "mine"})
    assert done.status_code == 403
    assert done.json
    assert "larboard user add NAME --role admin" in done.json["detail"]


# endpoints ------------------------------------------------------------------------------------------------------------


def path_of(rule: str) -> str:
    return re.sub(r"[{<]([\w:]+)[}>]", lambda match: PARTS[match[1]], rule)


def test_every_endpoint_stands_in_a_table(house: House) -> None:
    assert {f"{route.method} {route.path}" for route in ROUTES} == set(ENDPOINTS)
    api = {re.sub(r"{(\w+)}", r"<\1>", name.split()[1]) for name in ENDPOINTS}
    others = {
        f"{method} {rule.rule}"
        for rule in house.app.server.url_map.iter_rules()
        for method in (rule.methods or set()) & {"GET", "POST"}
        if rule.rule not in api
        and rule.rule != "/_dash-update-component"
        and not (rule.rule.startswith("/api") and method == "POST")
    }
    assert others == set(PAGES)


@pytest.mark.parametrize("who", PEOPLE)
def test_every_endpoint_lets_in_whom_the_table_says_and_nobody_else(house: House, who: str) -> None:
    for name, rule in (ENDPOINTS | PAGES).items():
        if name in ("POST /sign-out", "POST /sign-in"):  # see test_sign_in.py
            continue
        if who == "charge expert" and rule == "expert":
            continue
        method, path = name.split()
        done = house.visitors[who].open(path_of(path), method=method, json=BODIES.get(name), buffered=False)
        check(house, who, rule, name, done.status_code, done.headers.get("Location", ""))
        done.close()


def test_an_expert_of_charge_acts_on_files_of_charge_and_not_on_runs_nor_on_light(house: House) -> None:
    client = house.visitors["charge expert"]
    assert client.post("/api/v1/files/1/ignore").status_code == 202
    assert client.patch("/api/v1/runs/7", json={"comment": "x"}).status_code == 403
    with house.site.store.begin() as tx:
        tx.exec_driver_sql("UPDATE files SET format = 'light', state = 'done' WHERE id = 1")
    assert client.post("/api/v1/files/1/release").status_code == 403
    assert house.visitors["expert"].post("/api/v1/files/1/release").status_code == 202


@pytest.mark.parametrize("who", PEOPLE)
def test_pages_for_admins_show_nothing_to_others(house: House, who: str) -> None:
    dependency = server_callbacks(house.app)["shell.show_page"]
    for path in ("/people", "/people?name=root", "/audit"):
        body = asked(dependency)
        base, _, query = path.partition("?")
        body["inputs"][0]["value"] = {"path": base, "search": f"?{query}" if query else "", "n": 1}
        done = house.visitors[who].post("/_dash-update-component", json=body)
        if done.status_code == 401:
            assert who == "nobody"
            continue
        assert ("people-table" in done.text or "audit-grid" in done.text) is (who == "admin"), (who, path)
        assert ("not for everybody" in done.text) is (who != "admin")
    layout = house.visitors[who].get("/_dash-layout").text
    assert ('"data-page":"people"' in layout) is (who == "admin")


def test_who_is_refused_changes_nothing_and_stands_in_the_audit_trail(house: House) -> None:
    with house.site.store.read() as tx:
        before = (accounts.listed(tx), audit.count(tx, audit.Filter(action="edit run")))
    dependency = server_callbacks(house.app)["people.add_person"]
    for who in ("nobody", "viewer", "shifter", "expert", "manager"):
        house.visitors[who].post("/_dash-update-component", json=asked(dependency))
    for who in ("nobody", "viewer", "shifter"):
        house.visitors[who].patch("/api/v1/runs/7", json={"comment": "mine"})
    with house.site.store.read() as tx:
        assert (accounts.listed(tx), audit.count(tx, audit.Filter(action="edit run"))) == before
        refused = {(row.actor, row.subject) for row in audit.search(tx, audit.Filter(action="refused"))}
    assert {("viewer", "PATCH /api/v1/runs/7"), ("shifter", "PATCH /api/v1/runs/7")} <= refused
    assert ("anonymous", "PATCH /api/v1/runs/<run>") in refused
    assert ("manager", "POST /_dash-update-component") in refused


# tokens ---------------------------------------------------------------------------------------------------------------


def with_token(house: House, owner: str, *scopes: str) -> dict[str, str]:
    shown, _ = people.add_token(house.site.store, LOCAL_ADMIN, owner, "try", scopes, 1, 365)
    return {"Authorization": f"Bearer {shown}"}


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize(
    "scopes",
    [("read",), ("write",), ("read", "write"), ("files:write",), ("runs:write",), ("alarms:write",), ("masks:write",)],
)
def test_a_token_does_what_its_scopes_and_its_owner_may(house: House, role: str, scopes: tuple[str, ...]) -> None:
    headers, client = with_token(house, role, *scopes), house.visitors["nobody"]
    for name, rule in ENDPOINTS.items():
        method, path = name.split()
        done = client.open(path_of(path), method=method, json=BODIES.get(name), headers=headers, buffered=False)
        noun = path.split("/")[3] if path.startswith("/api/v1/") else ""
        if method == "GET":
            may = rule == ALWAYS or "read" in scopes or house.site.settings.auth.anonymous
        else:
            may = bool({"write", f"{noun}:write"} & {*scopes}) and allowed(house.site, role, rule)
        assert (done.status_code not in (401, 403)) is may, (name, done.status_code, done.text if not may else "")
        done.close()


def test_a_token_that_is_over_is_refused_even_for_what_everybody_may(house: House) -> None:
    headers = with_token(house, "expert", "read", "write")
    with house.site.store.begin() as tx:
        tx.exec_driver_sql("UPDATE tokens SET expires = 1")
    client = house.visitors["nobody"]
    assert client.get("/api/v1/runs", headers=headers).status_code == 401
    assert "has expired" in client.get("/api/v1/runs", headers=headers).text
    headers = with_token(house, "expert", "read", "write")
    people.revoke_token(house.site.store, LOCAL_ADMIN, 2)
    done = client.patch("/api/v1/runs/7", json={"comment": "x"}, headers=headers)
    assert (done.status_code, done.headers["WWW-Authenticate"]) == (401, "Bearer")
    headers = with_token(house, "expert", "read", "write")
    people.disable(house.site.store, LOCAL_ADMIN, "expert")
    assert client.get("/api/v1/runs", headers=headers).status_code == 401
    assert client.get("/api/v1/runs", headers={"Authorization": "Bearer nonsense"}).status_code == 401
    # other words in this header are for a proxy
    status = 200 if house.site.settings.auth.anonymous else 401
    assert client.get("/api/v1/runs", headers={"Authorization": "Basic YTpi"}).status_code == status


def test_a_token_gets_nothing_that_is_about_people(house: House) -> None:
    headers, client, known = (
        with_token(house, "admin", "read", "write"),
        house.visitors["nobody"],
        server_callbacks(house.app),
    )
    for name, rule in CALLBACKS.items():
        if name.partition(".")[0] in ("people", "account", "audit") and rule != READ:
            done = client.post("/_dash-update-component", json=asked(known[name]), headers=headers)
            assert done.status_code == 403, name
    body = asked(known["account.show_account"])
    assert "Browsers" not in client.post("/_dash-update-component", json=body, headers=headers).text
    body = asked(known["shell.show_page"])
    body["inputs"][0]["value"] = {"path": "/people", "search": "", "n": 1}
    assert "people-table" not in client.post("/_dash-update-component", json=body, headers=headers).text
    for data in ({}, {"everywhere": "yes"}):
        assert client.post("/sign-out", data=data, headers=headers).status_code == 403
    assert (
        house.visitors["admin"].post("/_dash-update-component", json=asked(known["people.show_people"])).status_code
        == 200
    )


def test_a_token_that_is_not_for_reading_sees_what_everybody_sees(house: House) -> None:
    headers, client = with_token(house, "admin", "files:write"), house.visitors["nobody"]
    free = house.site.settings.auth.anonymous
    assert client.get("/_dash-layout", headers=headers).status_code == (200 if free else 403)
    assert client.get("/api/v1/runs", headers=headers).status_code == (200 if free else 403)


@pytest.mark.parametrize("what", ["password", "disable"])
def test_tokens_end_with_the_password_and_with_the_account(house: House, what: str) -> None:
    headers = with_token(house, "expert", "read", "write")
    client = house.visitors["nobody"]
    assert client.get("/api/v1/runs", headers=headers).status_code == 200
    if what == "password":
        people.set_password(house.site.store, LOCAL_ADMIN, "expert", "battery staple correct")
    else:
        people.disable(house.site.store, LOCAL_ADMIN, "expert")
        people.enable(house.site.store, LOCAL_ADMIN, "expert")
    assert "was revoked" in client.get("/api/v1/runs", headers=headers).text


# refusals in the audit trail ------------------------------------------------------------------------------------------


def refusals(house: House, actor: str) -> list[str]:
    with house.site.store.read() as tx:
        return [row.subject for row in audit.search(tx, audit.Filter(actor=actor, action="refused"), 0, 500)]


def test_strangers_cannot_fill_the_trail_nor_keep_people_out_of_it(house: House) -> None:
    stranger = house.app.server.test_client()
    for number in range(200):
        stranger.environ_base["REMOTE_ADDR"] = f"198.51.100.{number}"
        stranger.patch(f"/api/v1/runs/{number}", json={"comment": "x"})
    told = refusals(house, "anonymous")
    assert 10 <= len(told) <= 30
    assert set(told) == {"PATCH /api/v1/runs/<run>"}
    for _ in range(3):
        house.visitors["viewer"].patch("/api/v1/runs/7", json={"comment": "x"})
    assert refusals(house, "viewer") == ["PATCH /api/v1/runs/7"]
    for number in range(50):  # nor can one person use up the share of another
        house.visitors["shifter"].patch(f"/api/v1/runs/{number}", json={"comment": "x"})
    assert len(refusals(house, "shifter")) == 10
    house.visitors["viewer"].patch("/api/v1/runs/8", json={"comment": "x"})
    assert "PATCH /api/v1/runs/8" in refusals(house, "viewer")


# what no page sends ---------------------------------------------------------------------------------------------------


def odd_bodies(known: dict[str, dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Bodies that a program sends, with what is odd about them."""
    yield "a list", b"[1, 2]"
    yield "nothing", b""
    yield "null", b"null"
    yield "a text", b'"x"'
    yield "deep", b"[" * 100_000 + b"]" * 100_000
    yield "deep objects", b'{"a":' * 50_000 + b"1" + b"}" * 50_000
    yield "no output", b"{}"
    body = asked(known["runs.show_rows"])
    yield "an output that is not there", json.dumps(body | {"output": "nothing.children"}).encode()
    yield "an output that is a number", json.dumps(body | {"output": 7}).encode()
    yield "outputs of another shape", json.dumps(body | {"outputs": 7}).encode()
    yield "inputs of another shape", json.dumps(body | {"inputs": {"a": 1}}).encode()
    yield "changed properties of another shape", json.dumps(body | {"changedPropIds": [7]}).encode()
    for name in ("runs.show_rows", "files.show_rows"):
        for value in ({"startRow": 10**30, "endRow": 10**30 + 9}, {"startRow": "x"}, [], 7, {"startRow": None}):
            body = asked(known[name])
            body["inputs"][0]["value"] = value
            yield f"{name} {value}", json.dumps(body).encode()
        for value in ([], [1], 7, "x", {"search": ["a"]}, {"search": {"a": 1}}):
            body = asked(known[name])
            body["state"][0]["value"] = value
            yield f"{name} asked {value}", json.dumps(body).encode()
    body = asked(known["shell.show_page"])
    body["inputs"][0]["value"] = {"path": ["/"], "search": 7}
    yield "a path that is a list", json.dumps(body).encode()


def test_what_no_page_sends_is_a_problem_and_no_failure(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.app.server.config["PROPAGATE_EXCEPTIONS"] = False
    client = house.visitors["admin"]
    for what, body in odd_bodies(server_callbacks(house.app)):
        done = client.post("/_dash-update-component", data=body, content_type="application/json")
        assert done.status_code < 500, what
        if done.status_code == 400:
            assert done.mimetype == "application/problem+json", what
    assert not [one for one in caplog.records if one.levelname == "ERROR"]


def test_a_failure_elsewhere_stays_a_failure(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.app.server.config["PROPAGATE_EXCEPTIONS"] = False

    def fail(*_: object) -> str:
        raise KeyError("x")

    monkeypatch.setitem(house.app.server.view_functions, "sign out", fail)
    assert house.visitors["admin"].post("/sign-out").status_code == 500


def test_no_cache_on_the_way_keeps_what_names_a_person(house: House) -> None:
    client = house.visitors["admin"]
    body = asked(server_callbacks(house.app)["shell.show_page"])
    for done in (client.get("/_dash-layout"), client.post("/_dash-update-component", json=body)):
        assert done.headers["Cache-Control"] == "private, no-store"


@pytest.mark.parametrize(
    "path", ["/assets//../api/v1/runs", "/assets/../api/v1/runs", "/assets/%2e%2e/api/v1/runs", "/assets//x"]
)
def test_a_path_that_leaves_the_assets_is_none_of_them(house: House, path: str) -> None:
    if house.site.settings.auth.anonymous:
        return
    assert house.visitors["nobody"].get(path).status_code in (401, 404)
    with house.visitors["nobody"].get("/assets/site.css") as asset:
        assert asset.status_code == 200
