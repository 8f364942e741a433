"""People: ``user add | list | role | password | remove | enable``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from dqm.commands.common import Json, fail, print_json, say
from dqm.commands.people import desk, moment, subsystems

app = typer.Typer(help="People and what they may do.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="Name of the account.")]
Role = Annotated[str, typer.Option(help="viewer, shifter, expert, manager or admin.")]
Of = Annotated[str | None, typer.Option("--expert-of", help="Of an expert: charge, light, timing; without it all.")]
Stdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from the standard input.")]


@app.command("add")
def add(
    name: Name,
    role: Role = "viewer",
    expert_of: Of = None,
    password_stdin: Stdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="For somebody whom a proxy names.")] = False,
) -> None:
    """Makes an account; the password is asked for on the terminal."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        password = None if no_password else _asked(name, password_stdin)
        account = people.add(store, actor, name, role, subsystems(expert_of), password)
    say(f"{account.name} is {people.actor_of(account).words}")


@app.command("list")
def list_all(as_json: Json = False) -> None:
    """Lists the accounts."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        found = people.everybody(store, actor)
    sessions = [session.account_id for session in found.sessions]
    if as_json:
        rows = [
            {
                "name": one.name, "role": one.role, "expert_of": list(one.subsystems) if one.role == "expert" else None,
                "state": "disabled" if one.disabled else "enabled", "password": one.password is not None,
                "created": moment(one.created), "seen": moment(one.seen), "sessions": sessions.count(one.id),
            }
            for one in found.accounts
        ]  # fmt: skip
        print_json(rows)
        return
    for one in found.accounts:
        seen = f"seen {moment(one.seen)}" if one.seen else "never seen"
        state = ", disabled" if one.disabled else ""
        say(f"{one.name:20} {people.actor_of(one).words:24} {seen}, {sessions.count(one.id)} signed in{state}")
    if not found.accounts:
        say("nobody has an account; the first: larboard user add NAME --role admin")


@app.command("role")
def role(name: Name, role: Annotated[str, typer.Argument(help="The new role.")], expert_of: Of = None) -> None:
    """Gives an account another role."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        account = people.set_role(store, actor, name, role, subsystems(expert_of))
    say(f"{account.name} is {people.actor_of(account).words}")


@app.command("password")
def password(name: Name, password_stdin: Stdin = False) -> None:
    """Sets another password; wherever the account is signed in, it is signed out."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        account = people.set_password(store, actor, name, _asked(name, password_stdin))
    say(f"{account.name} has a new password")


@app.command("remove")
def remove(name: Name) -> None:
    """Disables an account; what it did stays in the audit trail, and `enable` undoes it."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        account = people.disable(store, actor, name)
    say(f"{account.name} is disabled; `larboard user enable {account.name}` undoes it")


@app.command("enable")
def enable(name: Name) -> None:
    """Enables an account again."""
    from dqm.auth import people

    with desk() as (_, store, actor):
        account = people.enable(store, actor, name)
    say(f"{account.name} is enabled")


def _asked(name: str, from_stdin: bool) -> str:
    """The password: twice from the terminal, or a line of the standard input; never an argument, which others can see."""
    import getpass

    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    if not sys.stdin.isatty():
        fail("no terminal to ask for the password on; use --password-stdin")
    first = getpass.getpass(f"Password of {name}: ")
    if getpass.getpass("Once more: ") != first:
        fail("the two passwords differ; nothing was changed")
    return first
