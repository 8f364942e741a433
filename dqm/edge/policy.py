"""Headers of every answer, errors and assets included: a page is kept to its own host."""

from __future__ import annotations

from collections.abc import Iterable

HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
Headers = list[tuple[str, str]]


def complete(headers: Headers, content_policy: str) -> Headers:
    """The headers of an answer with those that it lacks."""
    there = {name.lower() for name, _ in headers}
    wanted = {**HEADERS, "Content-Security-Policy": content_policy}
    return headers + [(name, value) for name, value in wanted.items() if name.lower() not in there]


def content_policy(hashes: Iterable[str]) -> str:
    """The Content-Security-Policy, with the hashes of Dash's inline scripts.

    Plotly's WebGL and Dash need eval and inline styles; scripts are known by their hash.
    """
    rules = {
        "default-src": "'self'",
        "script-src": f"'self' 'unsafe-eval' {' '.join(dict.fromkeys(hashes))}".strip(),
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "worker-src": "'self' blob:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    return "; ".join(f"{name} {value}" for name, value in rules.items())


NOTHING = "default-src 'none'; frame-ancestors 'none'"
"""The policy of answers that load nothing."""
