"""How much a request may bring, and how long it may take to come.

Nothing behind the edge waits for a slow client: a body is taken whole before the site sees the request, or refused. One
that says its length is refused without being read; one that does not (chunked) as soon as it is too long.
"""

from __future__ import annotations

from io import BytesIO
from typing import Any

from dqm.edge.refusals import Refusal


def refusal(environ: dict[str, Any], most: int) -> Refusal | None:
    """Takes the body into memory; why it is refused, or None."""
    said = environ.get("CONTENT_LENGTH") or ""
    if said and not (said.isascii() and said.isdecimal()):
        return Refusal(400, "Content-Length: expected a number of bytes, got something else.")
    if said and int(said[:20]) > most:
        return Refusal(413, f"The request has {said[:20]} bytes, at most {most} are taken.")
    if not said and not environ.get("wsgi.input_terminated"):
        return None
    try:
        content = _read(environ["wsgi.input"], int(said) if said else most + 1)
    except TimeoutError:
        return Refusal(408, "The request did not come in time.")
    except OSError:
        return Refusal(400, "The request broke off.")
    if len(content) > most:
        return Refusal(413, f"The request has more than the {most} bytes that are taken.")
    if said and len(content) < int(said):
        return Refusal(400, f"The request broke off after {len(content)} of {said} bytes.")
    environ["wsgi.input"] = BytesIO(content)
    environ.pop("HTTP_TRANSFER_ENCODING", None)
    if content or said:
        environ["CONTENT_LENGTH"] = str(len(content))
    return None


def _read(stream: Any, most: int) -> bytes:
    """At most so many bytes; fewer when the body ends before."""
    parts: list[bytes] = []
    left = most
    while left > 0:
        part = stream.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
