"""The site of the API's tests with its door, and people at it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from flask import Flask
from flask.testing import FlaskClient

from dqm.api import register as register_api
from dqm.auth import people, signin
from dqm.auth.roles import LOCAL_ADMIN
from dqm.auth.web import register as register_auth
from dqm.records import Noted
from dqm.store import audit
from dqm.views.site import Site
from tests.api.conftest import filled, site

__all__ = ["filled", "site"]

GOOD = "correct horse battery"
OUTSIDE = {"REMOTE_ADDR": "192.0.2.7"}


@dataclass
class House:
    """A site with ada (admin) and whoever else is let in, and a way to come as one of them."""

    site: Site
    server: Flask

    def add(self, name: str, role: str, subsystems: tuple[str, ...] = ("*",), password: str | None = GOOD) -> None:
        people.add(self.site.store, LOCAL_ADMIN, name, role, subsystems, password)

    def visitor(self, address: str = "192.0.2.7") -> FlaskClient:
        """A browser somewhere, that is not signed in."""
        client = self.server.test_client()
        client.environ_base["REMOTE_ADDR"] = address
        return client

    def signed_in(self, name: str, password: str = GOOD) -> FlaskClient:
        client = self.visitor()
        done = client.post("/sign-in", data={"name": name, "password": password})
        assert done.status_code == 303, done.text
        return client

    def audit(self, **wanted: str) -> list[Noted]:
        with self.site.store.read() as tx:
            return audit.search(tx, audit.Filter(**wanted))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing takes its time on purpose; here it is only tried whether it is done."""
    from argon2 import PasswordHasher

    from dqm.auth import passwords

    monkeypatch.setattr(passwords, "_hasher", lambda: PasswordHasher(time_cost=1, memory_cost=64, parallelism=1))


@pytest.fixture
def house(site: Site) -> House:
    return opened(site)


def opened(site: Site) -> House:
    server = Flask("site")
    register_auth(server, site.auth, "/assets/")
    register_api(server, site)

    @server.get("/")
    def board() -> str:
        return "the board"

    house = House(site, server)
    house.add("ada", "admin")
    return house


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass for sessions, tokens and waits."""
    import time

    now = [time.time()]
    for module in (signin, people):
        monkeypatch.setattr(module.time, "time", lambda: now[0])

    def wait(seconds: float) -> None:
        now[0] += seconds

    return wait
