"""Whom a reverse proxy names: believed from the addresses in web.proxies, and from nobody else."""

from __future__ import annotations

import pytest
from flask.testing import FlaskClient

from dqm.auth import people
from dqm.auth.roles import LOCAL_ADMIN
from dqm.store import accounts
from tests.auth.conftest import House

PROXY = "10.1.0.5"
WRITE = "/api/v1/runs/7"


@pytest.fixture
def house(house: House) -> House:
    settings = house.site.settings
    settings.auth.header, settings.auth.groups_header = "X-Remote-User", "X-Remote-Groups"
    settings.auth.roles = {"experts": "expert", "chiefs": "manager"}
    settings.web.proxies = ["10.1.0.0/16"]
    return house


def tried(house: House, address: str, **headers: str) -> int:
    client: FlaskClient = house.visitor(address)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(WRITE, json={"comment": "x"}, headers=named).status_code


def test_a_trusted_proxy_names_who_asks_and_their_groups(house: House) -> None:
    assert tried(house, PROXY, X_Remote_User="bob", X_Remote_Groups="others, experts") == 200
    assert tried(house, PROXY, X_Remote_User="bob", X_Remote_Groups="others") == 403
    assert tried(house, PROXY) == 401
    assert house.audit(action="edit run")[0].actor == "bob"
    assert [row.after.get("role") for row in house.audit(actor="bob", action="change role")] == ["viewer"]


@pytest.mark.parametrize("address", ["192.0.2.7", "10.2.0.5", "127.0.0.1", "::1", "::ffff:10.2.0.1"])
def test_the_same_header_of_anybody_else_is_nothing(house: House, address: str) -> None:
    assert tried(house, address, X_Remote_User="ada") == 401
    assert tried(house, address, X_Remote_User="bob", X_Remote_Groups="chiefs") == 401
    with house.site.store.read() as tx:
        assert accounts.named(tx, "bob") is None


def test_a_forwarded_address_makes_nobody_a_proxy(house: House) -> None:
    assert tried(house, "192.0.2.7", X_Remote_User="ada", X_Forwarded_For=PROXY) == 401
    # behind the edge REMOTE_ADDR is whom the proxy spoke for, the peer is still the proxy
    client = house.visitor("192.0.2.7")
    headers = {"X-Remote-User": "bob", "X-Remote-Groups": "experts"}
    environ = {"larboard.peer": PROXY}
    assert client.patch(WRITE, json={"comment": "x"}, headers=headers, environ_overrides=environ).status_code == 200


@pytest.mark.parametrize("name", ["a,b", "ada, bob", "<b>x</b>", "a b", "x" * 65, "ada\u00a0"])
def test_a_name_that_is_none_is_refused(house: House, name: str) -> None:
    assert tried(house, PROXY, X_Remote_User=name) == 401


@pytest.mark.parametrize("name", ["anonymous", "Anonymous", "admin@127.0.0.1", "\uff41da", "\ufb01x"])
def test_nobody_is_called_like_larboard_itself_nor_like_somebody_else(house: House, name: str) -> None:
    encoded = name.encode().decode("latin-1")  # as headers come
    assert tried(house, PROXY, X_Remote_User=encoded, X_Remote_Groups="chiefs") == 401
    with house.site.store.read() as tx:
        assert [one.name for one in accounts.listed(tx)] == ["ada"]
        assert accounts.named(tx, "\uff21DA") == accounts.named(tx, "ada")
    for other in (name, "\uff41da"):
        with pytest.raises(people.Mistake):
            people.add(house.site.store, LOCAL_ADMIN, other, "viewer")


def test_a_disabled_account_stays_out_also_behind_the_proxy(house: House) -> None:
    headers = {"X_Remote_User": "bob", "X_Remote_Groups": "experts"}
    assert tried(house, PROXY, **headers) == 200
    people.disable(house.site.store, LOCAL_ADMIN, "bob")
    assert tried(house, PROXY, **headers) == 401
    done = house.visitor(PROXY).get("/sign-in", headers={"X-Remote-User": "bob"})
    assert (done.status_code, "is disabled" in done.text) == (403, True)


def test_an_account_with_a_password_keeps_the_role_that_it_was_given_here(house: House) -> None:
    assert tried(house, PROXY, X_Remote_User="ada", X_Remote_Groups="others") == 200
    with house.site.store.read() as tx:
        ada = accounts.named(tx, "ada")
    assert ada
    assert ada.role == "admin"


def test_who_is_in_no_group_can_be_kept_out(house: House) -> None:
    house.site.settings.auth.default_role = ""
    assert tried(house, PROXY, X_Remote_User="eve", X_Remote_Groups="others") == 401
    assert tried(house, PROXY, X_Remote_User="eve", X_Remote_Groups="chiefs") == 200


def test_without_the_setting_no_header_is_believed(house: House) -> None:
    house.site.settings.auth.header = ""
    assert tried(house, PROXY, X_Remote_User="ada") == 401


def test_behind_a_proxy_nobody_is_the_local_admin(house: House) -> None:
    """The first account is there already; a fresh site is tried in tests/api/test_problems.py."""
    assert tried(house, "127.0.0.1") == 401


def test_other_sites_get_nothing_through_the_proxy(house: House) -> None:
    headers = {"X_Remote_User": "bob", "X_Remote_Groups": "experts"}
    assert tried(house, PROXY, **headers, Sec_Fetch_Site="cross-site") == 403
    assert tried(house, PROXY, **headers, Origin="https://evil.example") == 403
    assert tried(house, PROXY, **headers, Sec_Fetch_Site="same-origin", Origin="https://site.example") == 200
