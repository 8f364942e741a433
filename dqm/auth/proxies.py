"""Whom to believe about who asks: proxies by their addresses, and never by what they say of themselves."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

FORWARDED = (
    "Forwarded", "Via", "X-Real-IP", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-Server",
    "X-Forwarded-Prefix", "X-Forwarded-Port",
)  # fmt: skip
"""With one of these a request came through a proxy: where it is from, the connection does not say."""
PEER = "larboard.peer"
"""In the environment of a request: the address at the other end of the connection, if REMOTE_ADDR is not that any more."""


def peer_of(environ: Mapping[str, Any]) -> str:
    """The address at the other end of the connection, whatever headers say."""
    return str(environ.get(PEER) or environ.get("REMOTE_ADDR") or "")


def is_trusted(address: str, proxies: Sequence[str]) -> bool:
    """Whether `address` is one of `proxies` (addresses or networks, the setting ``web.proxies``)."""
    found = address_of(address)
    return found is not None and any(found in ipaddress.ip_network(proxy, strict=False) for proxy in proxies)


def is_loopback(host: str) -> bool:
    """Whether a name or address is that of the host itself."""
    found = address_of(host)
    return host == "localhost" or (found is not None and found.is_loopback)


def network_of(address: str) -> str:
    """By what an address is counted: whoever has one of IPv6 has the whole network."""
    found = address_of(address)
    if isinstance(found, ipaddress.IPv6Address):
        found = ipaddress.ip_network((found, 64), strict=False).network_address
    return str(found)


def address_of(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """The address that `text` spells, IPv4 also where it is dressed as IPv6; None when it spells none."""
    try:
        return ipaddress.ip_address(text.split("%")[0].removeprefix("::ffff:"))
    except ValueError:
        return None
