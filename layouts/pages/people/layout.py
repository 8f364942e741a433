"""Layout of the people page: everybody in a table, the chosen one beside it."""

from __future__ import annotations

import time
from typing import Any
from urllib.parse import quote

from dash import dcc, html

from dqm.auth.people import People, actor_of, everybody, state_of, subject
from dqm.auth.roles import ALL
from dqm.records import Account, Token
from dqm.views.audit_page import history
from dqm.views.site import Site
from layouts.components.asked import named as label
from layouts.components.person import first_account, named, problem, reader, role_fields, text_field, visitor
from layouts.components.words import age, extra, moment

NUMBERS = ("Browsers", "Tokens")
TABLE, DETAIL = "people-table", "person-detail"


def layout(site: Site, query: dict[str, str]) -> html.Div:
    if visitor(site).way == "local":
        return first_account()
    chosen = query.get("name", "")
    table, detail = parts(site, chosen)
    return html.Div(
        [
            html.Div([html.H2("People"), html.Span(id="people-said", role="status")], className="title-line"),
            html.Div(
                [
                    html.Div([html.Div(table, id=TABLE, className="scroll"), _add()], className="people-list"),
                    html.Aside(detail, id=DETAIL, hidden=not detail, **label("The chosen person")),
                ],
                className="people-and-detail",
            ),
            dcc.Store(id="people-chosen", data=chosen),
            *[dcc.Store(id=f"people-{name}") for name in ("did", "new")],
        ],
        className="people-page",
    )


def parts(site: Site, chosen: str) -> tuple[Any, list[Any]]:
    """The table of everybody, and all about the chosen one; raises NotAllowed."""
    found = everybody(site.store, reader(site))
    account = next((one for one in found.accounts if one.name == chosen), None)
    if account is None:
        return _table(found, chosen), _no_such(chosen) if chosen else []
    return _table(found, chosen), _about(site, found, account)


def _table(found: People, chosen: str) -> Any:
    titles = ("Name", "Role", "Signs in with", "Last seen", "Browsers", "Tokens", "State")
    heads = [html.Th(title, scope="col", className="value" if title in NUMBERS else "") for title in titles]
    head = html.Thead(html.Tr(heads))
    return html.Table([head, html.Tbody([_row(found, one, one.name == chosen) for one in found.accounts])])


def _row(found: People, account: Account, chosen: bool) -> html.Tr:
    link: Any = html.A(
        account.name, href=f"/people?name={quote(account.name)}", **(extra(aria_current="true") if chosen else {})
    )
    valid = [token for token in _tokens(found, account) if state_of(token, time.time()) == "valid"]
    return html.Tr(
        [
            html.Th(link, scope="row"),
            html.Td(actor_of(account).words.split(" ", 1)[1]),
            html.Td(_way(account)),
            html.Td(age(account.seen)),
            html.Td(str(_sessions(found, account) or "–"), className="value"),
            html.Td(str(len(valid) or "–"), className="value"),
            html.Td(
                html.Span([html.Span(className="mark bad"), " DISABLED"], className="state bad")
                if account.disabled
                else "enabled"
            ),
        ],
        className="chosen" if chosen else "",
    )


def _way(account: Account) -> str:
    return "OpenID" if account.identity else "a password" if account.password else "a proxy"


def _sessions(found: People, account: Account) -> int:
    return sum(session.account_id == account.id for session in found.sessions)


def _tokens(found: People, account: Account) -> list[Token]:
    return [token for token in found.tokens if token.account_id == account.id]


def _add() -> html.Details:
    return html.Details(
        [
            html.Summary("Add a person …"),
            text_field(
                "Name", named("add", "name"), "letters, digits, . _ @ + -", problem=problem("add", "name"), maxLength=64
            ),
            *role_fields("add", "viewer", (ALL,)),
            text_field(
                "Password", named("add", "password"), "10 characters or more; empty for somebody whom a proxy names",
                problem=problem("add", "password"), type="password", autoComplete="new-password",
            ),
            html.Button("Add this person", id="person-add", className="primary"),
        ],
        id="person-form",
    )  # fmt: skip


def _no_such(chosen: str) -> list[Any]:
    return [html.H3("Nobody of this name"), html.P(f"There is no account {chosen[:64]}.")]


def _about(site: Site, found: People, account: Account) -> list[Any]:
    close = html.A("Close", href="/people", className="button")
    groups = site.settings.auth.roles and (account.identity or not account.password)
    note = [html.P("The groups of this person set the role anew at every sign-in.", className="weak")] if groups else []
    return [
        html.Div([html.H3(account.name), close], className="head"),
        html.P([f"{actor_of(account).words}, made ", moment(account.created)]),
        *role_fields("edit", account.role, account.subsystems),
        *note,
        _do("Save the role", "role", account.name),
        *_password(account),
        *_signed_in(found, account),
        *token_list(_tokens(found, account), time.time()),
        *_state(found, account),
        *_history(site, account),
    ]


def _do(word: str, do: str, name: str, **options: Any) -> html.Button:
    return html.Button(word, id={"type": "person-do", "do": do, "name": name}, **options)


def _password(account: Account) -> list[Any]:
    field = text_field(
        "New password", named("edit", "password"), "You give it to the person; browsers are signed out, tokens end.",
        problem=problem("edit", "password"), type="password", autoComplete="new-password",
    )  # fmt: skip
    return [html.Details([html.Summary("Set a password …"), field, _do("Set this password", "password", account.name)])]


def _signed_in(found: People, account: Account) -> list[Any]:
    mine = [session for session in found.sessions if session.account_id == account.id]
    if not mine:
        return [html.H4("Browsers"), html.P("Not signed in anywhere.", className="weak")]
    lines = [
        html.Li(
            [
                f"{one.address}, by {one.way}, since ",
                moment(one.begun),
                ", used ",
                age(one.used),
                html.Small(one.agent, className="weak agent"),
            ]
        )
        for one in mine
    ]
    return [html.H4("Browsers"), html.Ul(lines), _do("Sign out everywhere", "sessions", account.name)]


def token_list(tokens: list[Token], now: float) -> list[Any]:
    """Tokens with what they are for, and a button to revoke each."""
    if not tokens:
        return [html.H4("Tokens"), html.P("None.", className="weak")]
    return [html.H4("Tokens"), html.Ul([_token(token, state_of(token, now)) for token in tokens])]


def _token(token: Token, state: str) -> html.Li:
    ends = [" until ", moment(token.expires)] if token.expires else []
    words: list[Any] = [html.B(token.name), f": {', '.join(token.scopes)}; {state}", *ends, ", used ", age(token.used)]
    if state == "valid":
        words += [" ", html.Button("Revoke", id={"type": "person-do", "do": "revoke", "name": str(token.id)})]
    return html.Li(words)


def _state(found: People, account: Account) -> list[Any]:
    if account.disabled:
        return [
            html.H4("Disabled"),
            html.P("It cannot be used. What it did stays in the audit trail."),
            _do("Enable again", "enable", account.name),
        ]
    n, tokens = _sessions(found, account), len([one for one in _tokens(found, account) if one.revoked is None])
    touched = f"{account.name} is signed out of {counted(n, 'browser')}; {counted(tokens, 'token')} will be revoked."
    return [
        html.Details(
            [
                html.Summary("Disable …"),
                html.P(f"{touched} Nothing is removed; enabling again lets in, without the tokens."),
                _do("Disable this account", "disable", account.name),
            ]
        )
    ]


def counted(n: int, noun: str) -> str:
    return f"{n} {noun}{'' if n == 1 else 's'}"


def _history(site: Site, account: Account) -> list[Any]:
    lines = [
        html.Li([f"{row.action} by {row.actor}, ", age(row.time)])
        for row in history(site, reader(site), subject(account.name))
    ]
    more = html.A("all of it", href=f"/audit?search={quote(subject(account.name))}")
    return [html.H4("Newest in the audit trail"), html.Ul(lines), html.P(more)]
