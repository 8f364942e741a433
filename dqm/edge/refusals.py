"""Answers that the edge gives itself, as problems of RFC 9457 like those of the API."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Refusal:
    """Why a request goes no further; `detail` is a sentence for people."""

    status: int
    detail: str
    headers: tuple[tuple[str, str], ...] = field(default=())

    @property
    def line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"

    @property
    def content(self) -> bytes:
        title = HTTPStatus(self.status).phrase
        problem = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail}
        return json.dumps(problem).encode()

    @property
    def all_headers(self) -> list[tuple[str, str]]:
        described = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(self.content)))]
        return [*described, ("Cache-Control", "no-store"), *self.headers]

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        """As a WSGI application."""
        start(self.line, self.all_headers)
        return [] if environ.get("REQUEST_METHOD") == "HEAD" else [self.content]

    def as_http(self, more: Iterable[tuple[str, str]]) -> bytes:
        """As it goes over the wire, where there is no application to send it; the connection ends with it."""
        lines = [f"HTTP/1.1 {self.line}", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in more]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.content
