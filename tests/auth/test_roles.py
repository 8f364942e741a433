"""What a role allows, and who is believed."""

from __future__ import annotations

import pytest

from dqm.auth.proxies import is_loopback, is_trusted, peer_of
from dqm.auth.roles import ALL, ROLES, SUBSYSTEMS, Actor, NotAllowed, subsystem_of


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
