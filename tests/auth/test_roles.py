"""What a role allows, and who is believed."""

from __future__ import annotations

import pytest

from dqm.auth import people
from dqm.auth.proxies import is_loopback, is_trusted, peer_of
from dqm.auth.roles import ALL, LOCAL_ADMIN, ROLES, SUBSYSTEMS, Actor, NotAllowed, subsystem_of
from dqm.views.board import board
from dqm.views.site import Site
from layouts.pages.board.layout import board_of


@pytest.mark.parametrize("has", ROLES)
@pytest.mark.parametrize("needs", ROLES)
def test_a_role_allows_what_those_below_it_allow_and_nothing_more(has: str, needs: str) -> None:
    actor = Actor("ada", has)
    allowed = ROLES.index(has) >= ROLES.index(needs)
    assert actor.may(needs) is allowed
    if not allowed:
        with pytest.raises(NotAllowed, match=f"ada is an? {has}; this needs the role {needs}"):
            actor.require(needs)


def test_an_expert_of_one_subsystem_is_none_of_the_others_nor_of_the_whole() -> None:
    charge = Actor("ada", "expert", ("charge",))
    assert charge.may("expert", "charge")
    assert charge.may("shifter")
    assert not charge.may("expert", "light")
    with pytest.raises(NotAllowed, match="ada is an expert of charge; this needs the role expert of everything"):
        charge.require("expert", ALL)
    assert all(Actor("eve", "manager", ()).may("expert", subsystem) for subsystem in (*SUBSYSTEMS, ALL))
    assert not Actor("bob", "shifter", ("charge",)).may("expert", "charge")


def test_a_file_belongs_to_the_experts_of_its_subsystem() -> None:
    assert [subsystem_of(name) for name in ("raw", "packets", "light", "unknown")] == ["charge", "charge", "light", ALL]


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("127.0.0.1", True), ("::ffff:127.0.0.1", True), ("10.1.2.3", True), ("10.2.0.1", False), ("::1", False),
        ("fd00::5", True), ("", False), ("127.0.0.1.evil.example", False), ("10.1.2.3, 8.8.8.8", False),
    ],
)  # fmt: skip
def test_a_proxy_is_known_by_its_address(address: str, trusted: bool) -> None:
    assert is_trusted(address, ["127.0.0.1", "10.1.0.0/16", "fd00::/8"]) is trusted
    assert not is_trusted(address, [])


def test_the_peer_is_the_end_of_the_connection_also_after_headers_were_believed() -> None:
    assert peer_of({"REMOTE_ADDR": "10.0.0.1"}) == "10.0.0.1"
    assert peer_of({"REMOTE_ADDR": "8.8.8.8", "larboard.peer": "10.0.0.1"}) == "10.0.0.1"
    assert is_loopback("::1")
    assert not is_loopback("localhost.example")


@pytest.mark.parametrize(
    ("host", "proxies", "is_open"),
    [("127.0.0.1", [], False), ("localhost", [], False), ("0.0.0.0", [], True), ("127.0.0.1", ["10.0.0.1"], True)],
)
def test_a_site_that_others_reach_and_nobody_can_sign_in_to_is_said_on_the_board(
    site: Site, host: str, proxies: list[str], is_open: bool
) -> None:
    site.settings.web.host, site.settings.web.proxies = host, proxies
    assert board(site).open is is_open
    assert ("Nobody can sign in" in str(board_of(board(site)))) is is_open
    people.add(site.store, LOCAL_ADMIN, "ada", "admin", password="correct horse battery")
    assert board(site).open is False
