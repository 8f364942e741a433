"""Tokens of programs: ``token add | list | revoke``."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from dqm.commands.common import Json, print_json, say
from dqm.commands.people import desk, moment

app = typer.Typer(help="Tokens of programs.", no_args_is_help=True)


@app.command("add")
def add(
    owner: Annotated[str, typer.Argument(help="The account whose role it has.")],
    name: Annotated[str, typer.Argument(help="What it is for, such as daq.")],
    scopes: Annotated[
        str, typer.Option("--scopes", help="read, write, files:write, runs:write, alarms:write; commas between.")
    ] = "read",
    days: Annotated[float | None, typer.Option(help="Life in days; without it the longest of the settings.")] = None,
) -> None:
    """Makes a token and prints it, once."""
    from dqm.auth import people

    with desk() as (settings, store, actor):
        wanted = tuple(scope.strip() for scope in scopes.split(",") if scope.strip())
        shown, made = people.add_token(store, actor, owner, name, wanted, days, settings.auth.token_days)
    say(f"token {made.id} ({made.name}) until {moment(made.expires)}; it is not shown again:", err=True)
    say(shown)


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Lists the tokens, without what proves them."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        found = people.everybody(store, actor)
    names = {account.id: account.name for account in found.accounts}
    rows: list[dict[str, Any]] = [
        {
            "number": token.id, "owner": names[token.account_id], "name": token.name, "scopes": list(token.scopes),
            "state": people.state_of(token, time.time()), "created": moment(token.created),
            "expires": moment(token.expires), "used": moment(token.used),
        }
        for token in found.tokens
    ]  # fmt: skip
    if as_json:
        print_json(rows)
        return
    for row in rows:
        used = f"used {row['used']}" if row["used"] else "never used"
        said = f"{row['owner']}/{row['name']}"
        say(f"{row['number']:4} {said:30} {','.join(row['scopes']):20} {row['state']} until {row['expires']}, {used}")
    if not rows:
        say("there are no tokens; one is made by: larboard token add NAME PURPOSE")


@app.command("revoke")
def revoke(number: Annotated[int, typer.Argument(help="Number of the token, by `token list`.")]) -> None:
    """The token is refused from now on."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        token = people.revoke_token(store, actor, number)
    say(f"token {token.id} ({token.name}) is revoked")
