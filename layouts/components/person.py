"""Who looks at a page, and forms in which people are changed: fields with their errors under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dash import dcc, html
from flask import request

from dqm.auth.door import Visitor, refuse_token
from dqm.auth.roles import FIRST_ADMIN, NOBODY, ROLES, SUBSYSTEMS, Actor, NotAllowed, NotSignedIn
from dqm.views.live import StoreProblem
from dqm.views.site import Site
from layouts.components.words import empty

OF = [{"label": name, "value": name} for name in ("*", *SUBSYSTEMS)]
OF[0]["label"] = "everything"


def visitor(site: Site) -> Visitor:
    """Who looks, for what a page shows of it; nobody where that cannot be found out."""
    try:
        found = site.auth.visitor(request)
    except (StoreProblem, NotAllowed):
        return Visitor(NOBODY)
    return Visitor(NOBODY) if found.way == "token" else found  # pages are for people


def reader(site: Site) -> Actor:
    """Who looks, for what not everybody may see; a token does not. Raises NotSignedIn and NotAllowed."""
    found = site.auth.visitor(request)
    refuse_token(found)
    if found.way == "nobody":
        raise NotSignedIn("Sign in to see this.")
    return found.actor


def writer(site: Site) -> Actor:
    """Who presses a button that changes something; raises NotAllowed, also for tokens and the pages of other sites."""
    refuse_token(site.auth.visitor(request))
    return site.auth.writer(request)


def rights(site: Site) -> dict[str, str]:
    """What the browser must know to say which buttons are not for who looks (assets/rights.js)."""
    found = visitor(site)
    signed_in = found.account is not None or found.way == "local"
    return {
        "data-roles": " ".join(ROLES),
        "data-role": found.actor.role,
        "data-expert-of": " ".join(found.actor.subsystems),
        "data-person": f"you are {found.actor.words}" if signed_in else "you are not signed in",
    }


def needs(role: str, of: str = "") -> Any:
    """Attributes of a button that is for a role and those above; `of`: for experts of one subsystem, where it is known."""
    return {"data-needs": role, **({"data-needs-of": of} if of else {})}


def badge(site: Site) -> html.Div:
    """Who is signed in, and the way in or out; stands in the header."""
    found = visitor(site)
    if found.way == "local":
        why = "Nobody has an account yet: whoever sits at this host may change runs and files, nobody else anything"
        return html.Div(html.A("local manager", href="/account", title=why, className="who"), id="person")
    if found.account is None:
        return html.Div(html.A("Sign in", href="/sign-in", className="button to-sign-in"), id="person")
    name = html.A(found.account.name, href="/account", title=f"{found.actor.words}: your account", className="who")
    out = html.Form(html.Button("Sign out"), action="/sign-out", method="POST")
    return html.Div([name, out] if found.way == "session" else [name], id="person")


def first_account() -> html.Div:
    """What stands in place of people as long as there are none: how the first account is made, not here."""
    how = html.P(["On the host of this site: ", html.Code(FIRST_ADMIN)])
    why = "Until then whoever sits at the host itself may change runs and files, and nobody else anything."
    return empty("Nobody has an account yet", why, how)


def text_field(label: str, id: Any, help: str = "", *, problem: Any = None, **options: Any) -> html.Div:
    """A field with its word above, help below and a place for what is wrong with it."""
    return _field(label, dcc.Input(id=id, autoComplete=options.pop("autoComplete", "off"), **options), help, problem)


def role_fields(prefix: str, role: str, subsystems: tuple[str, ...]) -> list[html.Div]:
    """A role, and of what an expert is one."""
    choice = dcc.Dropdown(list(ROLES), role, id=named(prefix, "role"), clearable=False, searchable=False)
    of = dcc.Checklist(OF, list(subsystems), id=named(prefix, "subsystems"), inline=True, className="pills")
    return [
        _field("Role", choice, "", problem(prefix, "role")),
        _field("An expert of", of, "counts for experts only", problem(prefix, "subsystems")),
    ]


def named(form: str, field: str) -> dict[str, str]:
    return {"type": "person-field", "form": form, "field": field}


def problem(form: str, field: str) -> dict[str, str]:
    """The id of the place under a field that says what is wrong with it."""
    return {"type": "person-problem", "form": form, "field": field}


def problems_of(wanted: list[Mapping[str, Any]], field: str, text: str) -> list[Any]:
    """What stands under each field of `wanted` (Dash's list of outputs): the text under its own, nothing elsewhere."""
    there = [one["id"]["field"] for one in wanted]
    place = field if field in there else next(iter(there), "")
    return [text if name == place else "" for name in there]


def _field(label: str, control: Any, help: str, problem_id: Any) -> html.Div:
    parts: list[Any] = [html.Label([html.Span(label), control], className="field")]
    if help:
        parts.append(html.Small(help, className="weak"))
    if problem_id:
        parts.append(html.Div(id=problem_id, className="problem", role="alert"))
    return html.Div(parts, className="form-field")
