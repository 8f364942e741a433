"""Callbacks of one's own account: what is changed is always that of who presses the button."""

from __future__ import annotations

from typing import Any

from dash import ALL, Dash, Input, Output, State, ctx, html, no_update
from flask import request

from dqm.auth import people, signin
from dqm.auth.people import Mistake
from dqm.auth.roles import Actor, NotSignedIn
from dqm.auth.signin import Origin, Refused
from dqm.records import Account
from dqm.views.site import Site
from layouts.components.person import writer
from layouts.pages.account.layout import CONTENT, parts
from layouts.pages.people.callbacks import answered, fields_of, problems_in


def register(app: Dash, site: Site) -> None:
    @app.callback(
        Output("account-changed", "data"),
        problems_in("password"),
        Input("own-password", "n_clicks"),
        fields_of("password"),
        prevent_initial_call=True,
    )
    def change_password(_clicks: int | None, _values: Any) -> Any:
        account = whose(site)
        return answered(lambda fields: another_password(site, account, fields), ctx.outputs_list[1])

    @app.callback(
        Output("account-new", "data"),
        problems_in("token"),
        Input("own-token", "n_clicks"),
        fields_of("token"),
        prevent_initial_call=True,
    )
    def make_token(_clicks: int | None, _values: Any) -> Any:
        account = whose(site)
        return answered(lambda fields: new_token(site, account, fields), ctx.outputs_list[1])

    @app.callback(
        Output("account-did", "data"),
        Input({"type": "person-do", "do": "revoke", "name": ALL}, "n_clicks"),
        State("account-did", "id"),
        prevent_initial_call=True,
    )
    def revoke_own(clicks: list[int | None], _here: Any) -> Any:
        actor = writer(site)
        if not any(clicks) or not ctx.triggered_id:
            return no_update
        return revoked(site, actor, ctx.triggered_id["name"])

    @app.callback(
        Output(CONTENT, "children"),
        Output("account-said", "children"),
        Output("account-token", "children"),
        Input("account-did", "data"),
        Input("account-new", "data"),
        Input("account-changed", "data"),
        prevent_initial_call=True,
    )
    def show_account(did: str | None, new: str | None, changed: str | None) -> Any:
        if ctx.triggered_id == "account-new":
            return parts(site), "", shown_once(new or "")
        return parts(site), (changed if ctx.triggered_id == "account-changed" else did) or "", no_update


def whose(site: Site) -> Account:
    """The account of who presses the button, in a browser; a token cannot make another one."""
    writer(site)
    found = site.auth.visitor(request)
    if found.account is None or found.way == "token":
        raise NotSignedIn("Sign in to change your account.")
    return found.account


def another_password(site: Site, account: Account, fields: dict[str, Any]) -> str:
    if fields.get("password") != fields.get("again"):
        raise Mistake("again", "This is not the same as the new password above.")
    session = site.auth.visitor(request).session
    origin = Origin(request.remote_addr or "")
    try:
        signin.confirm(site.store, account, fields.get("now") or "", origin)
    except Refused as refused:
        wait = f" Wait {refused.wait_s:.0f} s, then try again." if refused.wait_s else ""
        raise Mistake("now", f"This is not your password.{wait}") from None
    people.set_password(site.store, people.actor_of(account), account.name, fields.get("password") or "", session)
    return "Your password is changed; your other browsers are signed out, your tokens revoked."


def revoked(site: Site, actor: Actor, number: str) -> str:
    try:
        token = people.revoke_token(site.store, actor, int(number) if number.isdecimal() and len(number) < 10 else 0)
    except Mistake as mistake:
        return str(mistake)
    return f"The token {token.name} is refused from now on."


def new_token(site: Site, account: Account, fields: dict[str, Any]) -> str:
    scopes = tuple(fields.get("scopes") or ())
    try:
        days = float(fields.get("days") or "")
    except ValueError:
        raise Mistake("days", f"{fields.get('days') or 'nothing'!r} is no number of days.") from None
    most = site.settings.auth.token_days
    shown, _ = people.add_token(
        site.store, people.actor_of(account), account.name, (fields.get("token") or "").strip(), scopes, days, most
    )
    return shown


def shown_once(token: str) -> html.Div:
    return html.Div(
        [html.P(html.B("Copy it now: it is not shown again.")), html.Code(token, className="secret", tabIndex="0")],
        className="notice suspect",
    )
