"""Whom to believe when a request says that it was forwarded: the addresses in the setting ``web.proxies``, nobody else.

From a proxy that is believed, the request becomes what the client sent: its address, scheme and host (as with werkzeug's
ProxyFix, but for each peer). From anybody else these headers are words of a stranger, and nothing is taken from them.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from typing import Any

from dqm.auth.proxies import PEER

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Address = ipaddress.IPv4Address | ipaddress.IPv6Address

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def networks_of(texts: Sequence[str]) -> tuple[Network, ...]:
    """Addresses and networks of the setting; ValueError when one is neither."""
    return tuple(ipaddress.ip_network(text, strict=False) for text in texts)


def believe(environ: dict[str, Any], networks: Sequence[Network]) -> None:
    """Puts what a trusted proxy says in the place of what the connection says."""
    peer = environ.get("REMOTE_ADDR", "")
    environ[PEER] = peer
    if not _is_in(_address(peer), networks):
        return
    client, hops = _client(peer, _parts(environ, "FOR"), networks)
    environ["REMOTE_ADDR"] = client
    scheme = _said(environ, "PROTO", hops).lower()
    if scheme in ("http", "https"):
        environ["wsgi.url_scheme"] = scheme
    host = _said(environ, "HOST", hops)
    if HOST.fullmatch(host):
        environ["HTTP_HOST"] = host


def _client(peer: str, forwarded: Sequence[str], networks: Sequence[Network]) -> tuple[str, int]:
    """The nearest address that is no proxy of ours, and how many of ours the request went through."""
    client, hops = peer, 1
    for text in reversed(forwarded):
        address = _address(text)
        if address is None:  # a word that a proxy of ours did not write
            return client, hops
        client = str(address)
        if not _is_in(address, networks):
            return client, hops
        hops += 1
    return client, hops


def _said(environ: dict[str, Any], name: str, hops: int) -> str:
    """What the outermost of our proxies said; what stands further left is the client's own."""
    parts = _parts(environ, name)
    return parts[-min(hops, len(parts))] if parts else ""


def _parts(environ: dict[str, Any], name: str) -> list[str]:
    return [part.strip() for part in environ.get(f"HTTP_X_FORWARDED_{name}", "").split(",") if part.strip()]


def _address(text: str) -> Address | None:
    """An address, without its port and brackets; one of IPv4 that came through IPv6 is that of IPv4."""
    text = text.strip().strip('"')
    if text.startswith("["):
        text = text[1:].split("]")[0]
    elif text.count(":") == 1:
        text = text.split(":")[0]
    try:
        found = ipaddress.ip_address(text.split("%")[0])
    except ValueError:
        return None
    mapped = getattr(found, "ipv4_mapped", None)
    return mapped or found


def _is_in(address: Address | None, networks: Sequence[Network]) -> bool:
    return address is not None and any(address.version == one.version and address in one for one in networks)
