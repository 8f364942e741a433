"""Accounts and tokens: what may be done to them, by whom, and that it is noted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from dqm.auth import passwords, secret
from dqm.auth.claims import is_name
from dqm.auth.roles import ALL, LOCAL_ADMIN, NOBODY, ROLES, SUBSYSTEMS, Actor
from dqm.records import Account, Session, Token
from dqm.store import Store, accounts, audit, sessions, tokens

SCOPES = ("read", "write", "files:write", "runs:write", "alarms:write", "masks:write")
"""What a token may be for; ``write`` is whatever the role of its owner allows."""
RESERVED = (LOCAL_ADMIN.name, NOBODY.name)
DAY_S = 86400.0


class Mistake(ValueError):
    """What was asked for cannot be done; `field` is where that was said."""

    def __init__(self, field: str, text: str):
        super().__init__(text)
        self.field = field


@dataclass(frozen=True)
class People:
    """Everybody, at one moment."""

    accounts: list[Account]
    sessions: list[Session]
    tokens: list[Token]


def everybody(store: Store, actor: Actor) -> People:
    actor.require("admin")
    with store.read() as tx:
        return People(accounts.listed(tx), sessions.of_account(tx), tokens.listed(tx))


def actor_of(account: Account) -> Actor:
    """Who an account is when it does something."""
    return Actor(account.name, account.role, account.subsystems if account.role == "expert" else (ALL,))


def subject(name: str) -> str:
    """What the audit trail calls an account."""
    return f"account {name}"


# accounts -------------------------------------------------------------------------------------------------------------


def add(
    store: Store, actor: Actor, name: str, role: str, subsystems: tuple[str, ...] = (ALL,), password: str | None = None
) -> Account:
    """A new account; without a password it can only sign in elsewhere. Raises Mistake and NotAllowed."""
    actor.require("admin")
    name = name.strip()
    if not is_name(name) or accounts.key_of(name) in RESERVED:
        raise Mistake("name", f"{name!r} is no name, expected up to 64 letters, digits, or . _ @ + - (no blanks).")
    _check_role(role, subsystems)
    kept = _hash_of(name, password) if password is not None else None
    with store.begin() as tx:
        if accounts.named(tx, name):
            raise Mistake("name", f"There is an account {name} already.")
        if role != "admin" and not accounts.any_there(tx):
            raise Mistake("role", "The first account must be that of an admin: from then on everybody signs in.")
        number = accounts.add(tx, name, role, subsystems, time.time(), password=kept)
        audit.note(tx, actor.name, "add account", subject(name), None, _standing(role, subsystems))
        return _there(tx, number)


def set_role(store: Store, actor: Actor, name: str, role: str, subsystems: tuple[str, ...] = (ALL,)) -> Account:
    """Another role; the last admin stays one."""
    actor.require("admin")
    _check_role(role, subsystems)
    with store.begin() as tx:
        account = _named(tx, name)
        if role != "admin":
            _keep_an_admin(tx, account)
        before, after = _standing(account.role, account.subsystems), _standing(role, subsystems)
        if before != after:
            accounts.update(tx, account.id, role=role, subsystems=subsystems)
            audit.note(tx, actor.name, "change role", subject(account.name), before, after)
        return _there(tx, account.id)


def disable(store: Store, actor: Actor, name: str) -> Account:
    """The account cannot be used any more: its sessions end, its tokens are revoked. `enable` gives neither back."""
    actor.require("admin")
    with store.begin() as tx:
        account = _named(tx, name)
        _keep_an_admin(tx, account)
        if not account.disabled:
            accounts.update(tx, account.id, disabled=True)
            ended = sessions.end_all(tx, account.id)
            revoked = tokens.revoke_all(tx, account.id, time.time())
            after = {"sessions ended": ended, "tokens revoked": revoked}
            audit.note(tx, actor.name, "disable account", subject(account.name), None, after)
        return _there(tx, account.id)


def enable(store: Store, actor: Actor, name: str) -> Account:
    """The account may be used again; its tokens stay revoked."""
    actor.require("admin")
    with store.begin() as tx:
        account = _named(tx, name)
        if account.disabled:
            accounts.update(tx, account.id, disabled=False)
            audit.note(tx, actor.name, "enable account", subject(account.name))
        return _there(tx, account.id)


def set_password(store: Store, actor: Actor, name: str, password: str, but: str = "") -> Account:
    """Another password, by an admin or by the person; every session but the one of the hash `but` ends, every token."""
    if actor.name != name:
        actor.require("admin")
    kept = _hash_of(name, password)
    with store.begin() as tx:
        account = _named(tx, name)
        accounts.update(tx, account.id, password=kept)
        ended = sessions.end_all(tx, account.id, but)
        revoked = tokens.revoke_all(tx, account.id, time.time())
        after = {"sessions ended": ended, "tokens revoked": revoked}
        audit.note(tx, actor.name, "set password", subject(account.name), None, after)
        return _there(tx, account.id)


def end_sessions(store: Store, actor: Actor, name: str) -> int:
    """Signs an account out everywhere; gives how many sessions ended."""
    if actor.name != name:
        actor.require("admin")
    with store.begin() as tx:
        account = _named(tx, name)
        ended = sessions.end_all(tx, account.id)
        audit.note(tx, actor.name, "sign out everywhere", subject(account.name), None, {"sessions ended": ended})
        return ended


def _hash_of(name: str, password: str) -> str:
    if problem := passwords.problem_of(name, password):
        raise Mistake("password", problem)
    return passwords.hashed(password)


def _check_role(role: str, subsystems: tuple[str, ...]) -> None:
    if role not in ROLES:
        raise Mistake("role", f"{role!r} is no role, expected one of {', '.join(ROLES)}.")
    unknown = [name for name in subsystems if name not in (ALL, *SUBSYSTEMS)]
    if unknown or not subsystems:
        known = ", ".join(SUBSYSTEMS)
        raise Mistake(
            "subsystems", f"{', '.join(unknown) or 'nothing'} is no subsystem, expected {ALL} or some of {known}."
        )


def _standing(role: str, subsystems: tuple[str, ...]) -> dict[str, Any]:
    return {"role": role} | ({"expert of": list(subsystems)} if role == "expert" else {})


def _named(tx: Connection, name: str) -> Account:
    account = accounts.named(tx, name)
    if account is None:
        raise Mistake("name", f"There is no account {name}.")
    return account


def _there(tx: Connection, number: int) -> Account:
    account = accounts.by_id(tx, number)
    assert account
    return account


def _keep_an_admin(tx: Connection, account: Account) -> None:
    if account.role == "admin" and not account.disabled and not accounts.other_admins(tx, account.id):
        raise Mistake("role", f"{account.name} is the only admin; make another one first.")


# tokens ---------------------------------------------------------------------------------------------------------------


def add_token(
    store: Store, actor: Actor, owner: str, name: str, scopes: tuple[str, ...], days: float | None, longest_days: float
) -> tuple[str, Token]:
    """A new token and its row; the token itself is shown now and never again. Raises Mistake and NotAllowed."""
    if actor.name != owner:
        actor.require("admin")
    if not is_name(name):
        raise Mistake("token", f"{name!r} is no name of a token, expected up to 64 letters, digits, or . _ @ + -.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise Mistake("scopes", f"{', '.join(unknown) or 'nothing'} is no scope, expected some of {', '.join(SCOPES)}.")
    days = longest_days if days is None else days
    if not 0 < days <= longest_days:
        raise Mistake("days", f"{days:g} days are not possible, expected more than 0, at most {longest_days:g}.")
    shown, now = secret.TOKEN + secret.new(), time.time()
    with store.begin() as tx:
        account = _named(tx, owner)
        if account.disabled:
            raise Mistake("name", f"The account {account.name} is disabled.")
        number = tokens.add(tx, secret.kept(shown), account.id, name, scopes, now, now + days * DAY_S)
        after = {"token": name, "number": number, "scopes": list(scopes), "days": days}
        audit.note(tx, actor.name, "add token", subject(account.name), None, after)
        made = tokens.by_id(tx, number)
    assert made
    return shown, made


def revoke_token(store: Store, actor: Actor, number: int) -> Token:
    """The token is refused from now on. Raises Mistake and NotAllowed."""
    with store.begin() as tx:
        token = tokens.by_id(tx, number)
        owner = accounts.by_id(tx, token.account_id) if token else None
        if owner is None or actor.name != owner.name:
            actor.require("admin")
        if token is None or owner is None:
            raise Mistake("token", f"There is no token {number}.")
        if token.revoked is None:
            tokens.revoke(tx, number, time.time())
            audit.note(tx, actor.name, "revoke token", subject(owner.name), {"token": token.name, "number": number})
        after = tokens.by_id(tx, number)
    assert after
    return after


def state_of(token: Token, now: float) -> str:
    """valid, expired or revoked."""
    if token.revoked is not None:
        return "revoked"
    return "expired" if token.expires is not None and token.expires <= now else "valid"


@dataclass(frozen=True)
class Own:
    """What a person has: browsers that are signed in, and tokens."""

    sessions: list[Session]
    tokens: list[Token]


def own(store: Store, account: Account) -> Own:
    with store.read() as tx:
        return Own(sessions.of_account(tx, account.id), tokens.listed(tx, account.id))
