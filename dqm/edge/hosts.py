"""Under which names the site answers.

A foreign page can give its own name the address of this host (DNS rebinding), and would then be of the same origin: its
name betrays it. An address instead of a name cannot be taken over in that way, so addresses are always accepted.
"""

from __future__ import annotations

import fnmatch
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Any

from dqm.edge.proxies import HOST
from dqm.edge.refusals import Refusal

EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - to be compared with, not to be bound


def known(bound: str, more: Iterable[str]) -> tuple[str, ...]:
    """Names (or patterns) of this site: the loopback, the host it listens on, and those in the settings."""
    own = {socket.gethostname(), socket.getfqdn()} if bound in EVERYWHERE else {bound}
    return tuple(sorted(name.lower().rstrip(".") for name in {"localhost", *own, *more} if name))


def refusal(environ: dict[str, Any], names: Iterable[str]) -> Refusal | None:
    """Why the name that the client uses is not answered; None when it is."""
    host = environ.get("HTTP_HOST", "")
    if not host:  # HTTP/1.0, which no browser speaks
        return None
    found = HOST.fullmatch(host)
    if not found:
        return Refusal(400, "Host: expected a name or an address, with or without a port, got something else.")
    name = found[1].lower().rstrip(".")
    if is_address(name) or any(fnmatch.fnmatchcase(name, pattern) for pattern in names):
        return None
    detail = f"This site does not answer as {name}. Is that its name? Then put it into [web] hosts of its settings."
    return Refusal(421, detail)


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(re.sub(r"^\[(.*)\]$", r"\1", name))
    except ValueError:
        return False
    return True
