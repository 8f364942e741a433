"""Who asks, and whether he may: one answer for pages, callbacks and the API.

A token in ``Authorization`` goes before a trusted proxy's header, that before a session. Until the first account exists
whoever sits at the host itself may change what is no person; the first account is made by command.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dqm.auth import claims, secret
from dqm.auth.claims import Standing, is_name
from dqm.auth.people import RESERVED, actor_of, subject
from dqm.auth.proxies import FORWARDED, is_loopback, is_trusted, network_of, peer_of
from dqm.auth.roles import FIRST_ADMIN, LOCAL_MANAGER, NOBODY, Actor, NotAllowed, NotSignedIn
from dqm.auth.signin import is_over
from dqm.records import Account
from dqm.settings import Settings
from dqm.store import Store, StoreProblem, accounts, audit, sessions, tokens

if TYPE_CHECKING:
    from flask import Request
    from sqlalchemy.engine import Connection

KEPT = "larboard.visitor"
TOUCH_S = 60
"""How often it is written down that a session or a token was used."""
NOTED_OF_ADDRESS, NOTED_OF_ACCOUNT = 10, 30
"""So many refusals a minute are written down of a person at one address, and of a person; strangers count as one."""
BEARER = "bearer "
LOCAL_ONLY = "Until the first account exists, changes are accepted only"


@dataclass(frozen=True)
class Visitor:
    """Who asks, and how that is known."""

    actor: Actor
    way: str = "nobody"
    """nobody, local, session, token or proxy."""
    account: Account | None = None
    session: str = field(default="", repr=False)
    """Hash of the session."""
    scopes: tuple[str, ...] | None = None
    """Of a token: what it is for."""


class Door:
    """Looks who comes. One for each site."""

    def __init__(self, settings: Settings, store: Store):
        self._settings = settings
        self._store = store
        self._has_people = False
        self._noted: dict[tuple[str, str, str], float] = {}
        self._lock = threading.Lock()

    @property
    def store(self) -> Store:
        return self._store

    @property
    def settings(self) -> Settings:
        return self._settings

    def has_people(self) -> bool:
        """Whether there is an account; they are never removed, so that it is asked no more once there is one."""
        if not self._has_people:
            with self._store.read() as tx:
                self._has_people = accounts.any_there(tx)
        return self._has_people

    def is_open(self) -> bool:
        """Whether the site can be reached from elsewhere and nobody has an account."""
        web = self._settings.web
        return (not is_loopback(web.host) or bool(web.proxies)) and not self.has_people()

    # who asks

    def visitor(self, request: Request) -> Visitor:
        """Who asks; looked at once for each request. Raises NotSignedIn for a token or a person that is refused."""
        if KEPT not in request.environ:
            request.environ[KEPT] = self._visitor(request)
        found: Visitor = request.environ[KEPT]
        return found

    def _visitor(self, request: Request) -> Visitor:
        if token := bearer(request):
            return self._by_token(token)
        if name := self._proxied_name(request):
            return self._by_proxy(name, request)
        if shown := request.cookies.get(cookie_name(request)):
            found = self._by_session(shown)
            if found:
                return found
        if not self._why_not_local(request) and not self.has_people():
            return Visitor(LOCAL_MANAGER, "local")
        return Visitor(NOBODY)

    def _why_not_local(self, request: Request) -> str:
        """A proxy that says nothing looks like somebody at the host: a site that is set up for others has no such."""
        web = self._settings.web
        if not is_loopback(web.host) or web.proxies or web.hosts or web.prefix:
            settings = "(settings web.host, proxies, hosts and prefix)"
            return f"on a site that is set up for nobody else {settings}; on its host run: {FIRST_ADMIN}"
        return why_not_local(request)

    def _by_token(self, shown: str) -> Visitor:
        now = time.time()
        with self._store.read() as tx:
            found = tokens.get(tx, secret.kept(shown))
        if found is None:
            raise NotSignedIn("This token is not known.")
        token, account = found
        if token.revoked is not None or account.disabled or (token.expires is not None and token.expires <= now):
            over = "was revoked" if token.revoked is not None else "belongs to a disabled account"
            raise NotSignedIn(
                f"This token {'has expired' if token.revoked is None and not account.disabled else over}."
            )
        if now - (token.used or 0) > TOUCH_S:
            self._touch(lambda tx: tokens.touch(tx, token.id, now))
        actor = actor_of(account)
        named = Actor(f"{actor.name} (token {token.name})", actor.role, actor.subsystems)
        return Visitor(named, "token", account, scopes=token.scopes)

    def _by_session(self, shown: str) -> Visitor | None:
        now, hash = time.time(), secret.kept(shown)
        with self._store.read() as tx:
            found = sessions.get(tx, hash)
        if found is None:
            return None
        session, account = found
        if account.disabled or is_over(session, self._settings.auth, now):
            return None
        if now - session.used > TOUCH_S:
            self._touch(lambda tx: sessions.touch(tx, hash, now))
            self._touch(lambda tx: accounts.update(tx, account.id, seen=now))
        return Visitor(actor_of(account), "session", account, hash)

    def _touch(self, write: Callable[[Connection], None]) -> None:
        """Writes down that something was used, if that is possible at once: who reads does not wait for a writer."""
        with contextlib.suppress(StoreProblem), self._store.begin(wait=False) as tx:
            write(tx)

    def _proxied_name(self, request: Request) -> str:
        """Whom a proxy names; nothing from anybody else."""
        wanted = self._settings.auth.header
        if not wanted or not is_trusted(peer_of(request.environ), self._settings.web.proxies):
            return ""
        return request.headers.get(wanted, "").strip(" \t")

    def _by_proxy(self, name: str, request: Request) -> Visitor:
        auth = self._settings.auth
        if not is_name(name):
            raise NotSignedIn(f"The proxy names somebody whose name is not possible, in {auth.header}.")
        listed = request.headers.get(auth.groups_header, "") if auth.groups_header else ""
        standing = claims.standing_of([group.strip() for group in listed.split(",")], auth)
        if standing is None:
            raise NotSignedIn(f"{name} is in no group that may come in here.")
        check_free(name)
        account = proxied_account(self._store, name, standing, bool(auth.roles))
        if account.disabled:
            raise NotSignedIn(f"The account {account.name} is disabled.")
        return Visitor(actor_of(account), "proxy", account)

    # whether he may

    def reader(self, request: Request, what: str = "read") -> Actor:
        """Who reads; raises NotSignedIn when that is not for everybody."""
        auth = self._settings.auth
        free = auth.anonymous or (what == "metrics" and auth.open_metrics)
        if free and not bearer(request):
            return NOBODY
        found = self.visitor(request)
        if found.way == "nobody" and not free:
            raise NotSignedIn("Sign in to see this.")
        if found.scopes is not None and "read" not in found.scopes:
            if not free:
                raise NotAllowed(f"The token of {found.actor.name} is not for reading.")
            return NOBODY  # what everybody may read, and nothing more
        return found.actor

    def writer(self, request: Request, what: str = "") -> Actor:
        """Who changes something; `what` is the noun, as of the scopes of tokens. Raises NotAllowed and NotSignedIn."""
        found = self.visitor(request)
        if found.way == "nobody" and not self.has_people():
            raise NotAllowed(f"{LOCAL_ONLY} {self._why_not_local(request)}.")
        if found.scopes is None:
            check_same_site(request)
        elif not {"write", f"{what}:write"} & {*found.scopes}:
            raise NotAllowed(f"The token of {found.actor.name} is not for this, but for {', '.join(found.scopes)}.")
        if found.way == "nobody":
            raise NotSignedIn("Sign in to change something.")
        return found.actor

    def refused(self, request: Request, reason: str) -> None:
        """Notes in the audit trail that somebody was refused; the same of the same person once a minute."""
        kept = request.environ.get(KEPT)
        who = kept.actor.name if kept else NOBODY.name
        account = kept.account.name if kept and kept.account else ""
        what = f"{request.method} {request.path if account else request.url_rule or 'nothing'}"[:200]
        if not self._is_noted(account, network_of(request.environ.get("REMOTE_ADDR", "")), what):
            return
        try:
            with self._store.begin() as tx:
                after = {"reason": reason, "address": request.environ.get("REMOTE_ADDR", "")}
                audit.note(tx, who, "refused", what, None, after)
        except StoreProblem:  # the answer is no in any case
            return

    def _is_noted(self, account: str, address: str, what: str) -> bool:
        """Whether this is written down: not twice in a minute, and not more than the share of a person and an address.

        Strangers have one share together, so that nobody can fill the trail, nor use up what is for people.
        """
        now = time.time()
        with self._lock:
            self._noted = {key: at for key, at in self._noted.items() if now - at < TOUCH_S}
            of_account = [key for key in self._noted if key[0] == account]
            of_address = [key for key in of_account if key[1] == address]
            full = len(of_account) >= NOTED_OF_ACCOUNT or len(of_address) >= NOTED_OF_ADDRESS
            if full or (account, address, what) in self._noted:
                return False
            self._noted[account, address, what] = now
            return True


def proxied_account(store: Store, name: str, standing: Standing, by_groups: bool) -> Account:
    """The account of whom a proxy names, made when he comes for the first time; its role follows the groups."""
    now = time.time()
    with store.read() as tx:
        account = accounts.named(tx, name)
    if account and not _differs(account, standing, by_groups):
        if now - (account.seen or 0) >= 10 * TOUCH_S:
            with contextlib.suppress(StoreProblem), store.begin(wait=False) as tx:
                accounts.update(tx, account.id, seen=now)
        return account
    with store.begin() as tx:
        account = accounts.named(tx, name)
        number = account.id if account else first_time(tx, name, standing, "proxy")
        account = follow(tx, number, standing, by_groups)
        accounts.update(tx, number, seen=now)
        return account


def first_time(tx: Any, name: str, standing: Standing, way: str, identity: str | None = None) -> int:
    """Somebody who signs in elsewhere comes for the first time. Raises NotSignedIn for a name that is Larboard's own."""
    check_free(name)
    number = accounts.add(tx, name, standing.role, standing.subsystems, time.time(), identity=identity)
    audit.note(tx, name, "add account", subject(name), None, {"role": standing.role, "way": way})
    return number


def follow(tx: Any, number: int, standing: Standing, by_groups: bool) -> Account:
    """Gives an account the role of its groups; one with a password, or without groups in the settings, keeps its own."""
    account = accounts.by_id(tx, number)
    assert account
    if not _differs(account, standing, by_groups):
        return account
    accounts.update(tx, number, role=standing.role, subsystems=standing.subsystems)
    before = {"role": account.role, "expert of": list(account.subsystems)}
    after = {"role": standing.role, "expert of": list(standing.subsystems), "by": "groups"}
    audit.note(tx, account.name, "change role", subject(account.name), before, after)
    changed = accounts.by_id(tx, number)
    assert changed
    return changed


def _differs(account: Account, standing: Standing, by_groups: bool) -> bool:
    here = account.password is not None  # whose role is given here is not taken away elsewhere
    return by_groups and not here and (account.role, account.subsystems) != (standing.role, standing.subsystems)


def check_free(name: str) -> None:
    """Raises NotSignedIn for a name under which the audit trail has somebody else."""
    if accounts.key_of(name) in RESERVED:
        raise NotSignedIn(f"The name {name} is kept for Larboard itself; nobody can sign in with it.")


def refuse_token(visitor: Visitor) -> None:
    """Raises NotAllowed for a token: what is about people is for people in a browser."""
    if visitor.way == "token":
        raise NotAllowed(f"This is not for tokens, as that of {visitor.actor.name}; sign in with a browser.")


def bearer(request: Request) -> str:
    """The token of a program; other words in ``Authorization`` are for a proxy."""
    said = request.headers.get("Authorization", "")
    return said[len(BEARER) :].strip() if said[: len(BEARER)].lower() == BEARER else ""


def cookie_name(request: Request) -> str:
    """Cookies do not tell ports apart: two sites on one host have two names."""
    port = _port(request.host)
    return f"larboard_session_{port}" if port else "larboard_session"


def _port(host: str) -> int | None:
    try:
        return urlsplit(f"//{host}").port
    except ValueError:
        return None


def why_not_local(request: Request) -> str:
    """Why this is not somebody at the host itself; empty when it is."""
    direct = is_loopback(peer_of(request.environ)) and is_loopback(request.environ.get("REMOTE_ADDR", ""))
    if not direct or any(name in request.headers for name in FORWARDED):
        return "from 127.0.0.1, the host of Larboard itself"
    # a foreign page may give its own name this address: its Host betrays it
    if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        return "under the name 127.0.0.1 or localhost"
    return ""


def check_same_site(request: Request) -> None:
    """Raises NotAllowed for what the page of another site has sent."""
    fetched = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if fetched is not None:  # pages cannot write this header; behind a proxy it is surer than a comparison of names
        crossed = fetched not in ("same-origin", "none")
        crossed |= origin == "null"
    else:
        crossed = origin is not None and origin != f"{request.scheme}://{request.host}"
    if crossed:
        raise NotAllowed("Changes are not accepted from the pages of another site.")
