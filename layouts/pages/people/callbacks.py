"""Callbacks of the people page. Each looks who presses the button, on the server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, no_update

from dqm.auth import people
from dqm.auth.people import Mistake
from dqm.auth.roles import Actor
from dqm.views.live import StoreProblem
from dqm.views.site import Site
from layouts.components.person import problems_of, writer
from layouts.pages.people.layout import DETAIL, TABLE, counted, parts

Fields = dict[str, Any]


def fields_of(form: str) -> State:
    return State({"type": "person-field", "form": form, "field": ALL}, "value")


def problems_in(form: str) -> Output:
    return Output({"type": "person-problem", "form": form, "field": ALL}, "children")


def register(app: Dash, site: Site) -> None:
    @app.callback(
        Output("people-new", "data"),
        problems_in("add"),
        Input("person-add", "n_clicks"),
        fields_of("add"),
        prevent_initial_call=True,
    )
    def add_person(clicks: int | None, _values: Any) -> Any:
        actor = writer(site)
        return answered(lambda fields: _add(site, actor, fields), ctx.outputs_list[1])

    @app.callback(
        Output("people-did", "data"),
        problems_in("edit"),
        Input({"type": "person-do", "do": ALL, "name": ALL}, "n_clicks"),
        fields_of("edit"),
        prevent_initial_call=True,
    )
    def change_person(clicks: list[int | None], _values: Any) -> Any:
        actor = writer(site)
        if not any(clicks) or not ctx.triggered_id:
            return no_update, [no_update] * len(ctx.outputs_list[1])
        do, name = ctx.triggered_id["do"], ctx.triggered_id["name"]
        return answered(lambda fields: ACTIONS[do](site, actor, name, fields), ctx.outputs_list[1])

    @app.callback(
        Output(TABLE, "children"),
        Output(DETAIL, "children"),
        Output(DETAIL, "hidden"),
        Output("people-said", "children"),
        Input("people-did", "data"),
        Input("people-new", "data"),
        State("people-chosen", "data"),
        prevent_initial_call=True,
    )
    def show_people(did: str | None, new: str | None, chosen: str | None) -> Any:
        table, detail = parts(site, chosen or "")
        return table, detail, not detail, (new if ctx.triggered_id == "people-new" else did) or ""


def answered(act: Callable[[Fields], str], places: list[Any]) -> Any:
    """What was done, in words, or what was wrong, under the field where it was."""
    fields = {one["id"]["field"]: one.get("value") for one in ctx.states_list[0]}
    try:
        return act(fields), [""] * len(places)
    except Mistake as mistake:
        return no_update, problems_of(places, mistake.field, str(mistake))
    except StoreProblem as problem:
        return no_update, problems_of(places, "", str(problem))


def _add(site: Site, actor: Actor, fields: Fields) -> str:
    of = tuple(fields.get("subsystems") or ())
    made = people.add(
        site.store, actor, fields.get("name") or "", fields.get("role") or "", of, fields.get("password") or None
    )
    return f"{made.name} is {people.actor_of(made).words} now."


def _role(site: Site, actor: Actor, name: str, fields: Fields) -> str:
    of = tuple(fields.get("subsystems") or ())
    changed = people.set_role(site.store, actor, name, fields.get("role") or "", of)
    return f"{name} is {people.actor_of(changed).words} now."


def _password(site: Site, actor: Actor, name: str, fields: Fields) -> str:
    people.set_password(site.store, actor, name, fields.get("password") or "")
    return f"{name} has a new password."


def _sessions(site: Site, actor: Actor, name: str, _fields: Fields) -> str:
    ended = people.end_sessions(site.store, actor, name)
    return f"{name} is signed out of {counted(ended, 'browser')}."


def _revoke(site: Site, actor: Actor, number: str, _fields: Fields) -> str:
    token = people.revoke_token(site.store, actor, int(number) if number.isdecimal() and len(number) < 10 else 0)
    return f"The token {token.name} is refused from now on."


def _disable(site: Site, actor: Actor, name: str, _fields: Fields) -> str:
    people.disable(site.store, actor, name)
    return f"{name} is disabled."


def _enable(site: Site, actor: Actor, name: str, _fields: Fields) -> str:
    people.enable(site.store, actor, name)
    return f"{name} is enabled again."


ACTIONS: dict[str, Callable[[Site, Actor, str, Fields], str]] = {
    "role": _role,
    "password": _password,
    "sessions": _sessions,
    "revoke": _revoke,
    "disable": _disable,
    "enable": _enable,
}
