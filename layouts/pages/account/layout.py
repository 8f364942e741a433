"""Layout of the page of one's own account."""

from __future__ import annotations

import time
from typing import Any

from dash import dcc, html

from dqm.auth.people import Own, own
from dqm.views.site import Site
from layouts.components.person import first_account, named, problem, text_field, visitor
from layouts.components.words import age, empty, moment
from layouts.pages.people.layout import token_list

CONTENT = "account-content"


def layout(site: Site, query: dict[str, str]) -> html.Div:
    found = visitor(site)
    if found.way == "local":
        return first_account()
    if found.account is None:
        link = html.A("Sign in", href="/sign-in", className="primary button to-sign-in")
        return empty("Nobody is signed in", "Your password, your browsers and your tokens are here when you are.", link)
    return html.Div(
        [
            html.Div(
                [html.H2(found.account.name), html.Span(f"{found.actor.words}", role="status")], className="title-line"
            ),
            html.Div(
                [
                    html.Div(parts(site), id=CONTENT),
                    html.Div([*_password(bool(found.account.password)), *_new_token(site)]),
                ],
                className="account-columns",
            ),
            html.Div(id="account-said", role="status"),
            *[dcc.Store(id=f"account-{name}") for name in ("did", "new", "changed")],
        ],
        className="account-page",
    )


def parts(site: Site) -> list[Any]:
    """Browsers and tokens of who looks."""
    found = visitor(site)
    if found.account is None:
        return []
    mine = own(site.store, found.account)
    return [*_browsers(mine, found.session), *token_list(mine.tokens, time.time())]


def _browsers(mine: Own, this: str) -> list[Any]:
    lines = [
        html.Li([
            html.B("this browser, ") if one.hash == this else "", f"{one.address}, by {one.way}, since ", moment(one.begun),
            ", used ", age(one.used), html.Small(one.agent, className="weak agent"),
        ])
        for one in mine.sessions
    ]  # fmt: skip
    if not lines:
        return [
            html.H4("Browsers"),
            html.P("The proxy of this site signs you in; there is nothing to sign out of.", className="weak"),
        ]
    everywhere = dcc.Input(type="hidden", name="everywhere", value="yes")
    form = html.Form([everywhere, html.Button("Sign out everywhere")], action="/sign-out", method="POST")
    return [html.H4("Browsers that are signed in"), html.Ul(lines), form]


def _password(there: bool) -> list[Any]:
    if not there:
        return []
    fields = [
        text_field(
            label, named("password", name), help, problem=problem("password", name), type="password", autoComplete=fill
        )
        for label, name, help, fill in (
            ("Password now", "now", "", "current-password"),
            ("New password", "password", "10 characters or more; a few words make a good one", "new-password"),
            ("New password once more", "again", "", "new-password"),
        )
    ]
    return [
        html.Details(
            [
                html.Summary("Another password …"),
                *fields,
                html.Button("Change the password", id="own-password", className="primary"),
            ]
        )
    ]


def _new_token(site: Site) -> list[Any]:
    scopes = [
        {"label": "read", "value": "read"},
        {"label": "write: all that you may", "value": "write"},
        {"label": "files", "value": "files:write"},
        {"label": "runs", "value": "runs:write"},
        {"label": "alarms", "value": "alarms:write"},
        {"label": "masks", "value": "masks:write"},
    ]
    most = site.settings.auth.token_days
    choice = html.Div(
        [
            html.Div(
                [
                    html.Span("For", className="weak"),
                    dcc.Checklist(scopes, ["read"], id=named("token", "scopes"), inline=True, className="pills"),
                ]
            ),
            html.Div(id=problem("token", "scopes"), className="problem", role="alert"),
        ],
        className="form-field",
    )
    return [
        html.Details(
            [
                html.Summary("A token for a program …"),
                text_field(
                    "What it is for",
                    named("token", "token"),
                    "such as daq or logbook",
                    problem=problem("token", "token"),
                    maxLength=64,
                ),
                choice,
                text_field(
                    "Days",
                    named("token", "days"),
                    f"at most {most:g}",
                    problem=problem("token", "days"),
                    value=f"{min(most, 90):g}",
                ),
                html.Button("Make this token", id="own-token", className="primary"),
            ]
        ),
        html.Div(id="account-token", role="status"),
    ]
