"""Who may change something. Until people can log in: whoever sits at the host itself, as the local admin."""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Request

from dqm.api.problems import Problem
from dqm.auth.proxies import FORWARDED, is_loopback
from dqm.auth.roles import LOCAL_ADMIN, Actor


def actor_of(request: Request) -> Actor:
    """The actor of a request that changes something. Raises Problem 403."""
    if not is_loopback(request.remote_addr or "") or any(name in request.headers for name in FORWARDED):
        raise Problem(403, "Changes are accepted only from 127.0.0.1, the host of Larboard itself.")
    # a foreign page may give its own name this address: its Host betrays it
    if not is_loopback(urlsplit(f"//{request.host}").hostname or ""):
        raise Problem(403, "Changes are accepted only under the name 127.0.0.1 or localhost.")
    origin = request.headers.get("Origin")
    crossed = request.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")
    if crossed or (origin is not None and origin != f"{request.scheme}://{request.host}"):
        raise Problem(403, "Changes are not accepted from the pages of another site.")
    return LOCAL_ADMIN
