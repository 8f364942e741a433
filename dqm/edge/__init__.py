"""What stands between the network and the site: whom to believe, under which name, how much, and how long.

`Edge` wraps the WSGI application of the site, so that nothing gets past it: pages, assets, callbacks, API, streams, errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from dqm.edge import bodies, hosts, policy, prefix, proxies
from dqm.settings import WebSettings

__all__ = ["Edge"]

Environ = dict[str, Any]
Start = Callable[..., Any]


class Edge:
    """A WSGI application around another one; `content_policy` gives the Content-Security-Policy once all is registered."""

    def __init__(self, inner: Callable[..., Iterable[bytes]], web: WebSettings, content_policy: Callable[[], str]):
        self._inner = inner
        self._web = web
        self._networks = proxies.networks_of(web.proxies)
        self._known = hosts.known(web.host, web.hosts)
        self._content_policy = content_policy

    def __call__(self, environ: Environ, start: Start) -> Iterable[bytes]:
        proxies.believe(environ, self._networks)
        answer: Any = (
            prefix.apply(environ, self._web.prefix)
            or hosts.refusal(environ, self._known)
            or bodies.refusal(environ, self._web.body_kb * 1024)
            or self._inner
        )
        return answer(environ, self._with_headers(start))

    def _with_headers(self, start: Start) -> Start:
        def begin(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            return start(status, policy.complete(headers, self._content_policy()), *error)

        return begin
