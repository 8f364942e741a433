"""Signing in with a password, and the sessions that come of any way to sign in."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from dqm.auth import passwords, secret
from dqm.auth.people import subject
from dqm.auth.proxies import network_of
from dqm.auth.roles import NOBODY
from dqm.records import Account, Session
from dqm.settings import AuthSettings
from dqm.store import Store, accounts, attempts, audit, sessions

FREE = {"both": 5, "address": 20, "name": 50}
"""So many failures in a row cost nothing but time; after each further one there is a wait, twice as long as the last.

One name from one address, everything from one address, one name from anywhere: who knows a name can keep its owner out
only by coming from his address, or from many.
"""
LONGEST_WAIT_S = 900.0
FORGET_S = 24 * 3600
AGENT = 200
HOUR_S = 3600.0


class Refused(Exception):
    """No sign-in, and why is not said; with `wait_s` the password was not even looked at."""

    def __init__(self, wait_s: float = 0):
        super().__init__("Name or password is wrong.")
        self.wait_s = wait_s


@dataclass(frozen=True)
class Origin:
    """Where a browser is, and what it says it is."""

    address: str
    agent: str = ""


def with_password(store: Store, settings: AuthSettings, name: str, password: str, origin: Origin, old: str = "") -> str:
    """Signs in; gives what the cookie must hold. `old` is what it held before: that is over. Raises Refused.

    A name that nobody has takes as long and gets the same answer.
    """
    account = _counted(store, name, origin)
    right = passwords.fits(password, account.password if account else None)
    reason = _reason(account, right)
    if account is None or reason:
        with store.begin() as tx:
            _note(tx, account, "sign-in failed", {"reason": reason, "address": origin.address})
        raise Refused
    newer = passwords.hashed(password) if passwords.is_old(account.password or "") else None
    with store.begin() as tx:
        _was_right(tx, name, origin)
        if newer:
            accounts.update(tx, account.id, password=newer)
        return begin(tx, settings, account, "password", origin, old)


def _counted(store: Store, name: str, origin: Origin) -> Account | None:
    """The account of this name, unless there is a wait. Each attempt counts before the password is looked at.

    So who asks a hundred times at once has asked a hundred times.
    """
    now, keys = time.time(), _keys(name, origin.address)
    with store.begin() as tx:
        attempts.prune(tx, now - FORGET_S)
        had = attempts.of(tx, keys.values())
        wait = max(_wait(FREE[kind], *had.get(key, (0, 0.0)), now) for kind, key in keys.items())
        if wait <= 0:
            for key in keys.values():
                attempts.note(tx, key, had.get(key, (0, 0.0))[0] + 1, now)
            return accounts.named(tx, name)
    raise Refused(wait)


def _was_right(tx: Connection, name: str, origin: Origin) -> None:
    """An attempt that was none. What an address did wrong stays: who tries names has an account of his own, perhaps."""
    keys = _keys(name, origin.address)
    attempts.forget(tx, [keys["both"], keys["name"]])
    attempts.take_back(tx, keys["address"])


def _keys(name: str, address: str) -> dict[str, str]:
    """By what failures are counted. Names are hashed: a password that was typed in their place is not kept."""
    found, who = network_of(address), secret.kept(accounts.key_of(name))
    return {"both": f"{who} {found}", "address": found, "name": who}


def _wait(free: int, failures: int, last: float, now: float) -> float:
    if failures < free:
        return 0.0
    return min(2.0 ** min(failures - free, 30), LONGEST_WAIT_S) - (now - last)


def _reason(account: Account | None, right: bool) -> str:
    if account is None:
        return "no such account"
    if not right:
        return "wrong password" if account.password else "has no password"
    return "is disabled" if account.disabled else ""


def _note(tx: Connection, account: Account | None, action: str, after: dict[str, object]) -> None:
    """Of a name that nobody has nothing is kept: it may be a password."""
    who = subject(account.name) if account else "sign-in"
    audit.note(tx, NOBODY.name, action, who, None, after)


def begin(tx: Connection, settings: AuthSettings, account: Account, way: str, origin: Origin, old: str = "") -> str:
    """A new session; gives what its cookie must hold, which only the browser keeps. Whatever it held before is over."""
    now, shown = time.time(), secret.new()
    if old:
        sessions.end(tx, secret.kept(old))
    sessions.prune(tx, now - settings.idle_h * HOUR_S, now - settings.absolute_h * HOUR_S)
    agent = "".join(c for c in origin.agent if c.isprintable())[:AGENT]
    sessions.add(tx, Session(secret.kept(shown), account.id, way, origin.address, agent, now, now))
    accounts.update(tx, account.id, seen=now)
    audit.note(tx, account.name, "sign in", subject(account.name), None, {"way": way, "address": origin.address})
    return shown


def end(store: Store, shown: str) -> None:
    """The session whose cookie holds this is over."""
    with store.begin() as tx:
        found = sessions.get(tx, secret.kept(shown))
        if found:
            sessions.end(tx, secret.kept(shown))
            audit.note(tx, found[1].name, "sign out", subject(found[1].name))


def is_over(session: Session, settings: AuthSettings, now: float) -> bool:
    """Whether it was not used for too long, or is too old."""
    return now - session.used > settings.idle_h * HOUR_S or now - session.begun > settings.absolute_h * HOUR_S


def confirm(store: Store, account: Account, password: str, origin: Origin) -> None:
    """Raises Refused unless this is the password of the account; failures count as those of a sign-in."""
    _counted(store, account.name, origin)
    if not passwords.fits(password, account.password):
        raise Refused
    with store.begin() as tx:
        _was_right(tx, account.name, origin)
