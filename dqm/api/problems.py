"""Errors as RFC 9457 problems: what was wrong, what was expected, what came."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson
from flask import Response
from pydantic import ValidationError

MEDIA = "application/problem+json"
SHOWN = 100
"""So many characters of what somebody sent are repeated to him."""


class Problem(Exception):
    """An answer that is no success; `detail` is a sentence for people, `members` go into the JSON beside it."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None, **members: Any):
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}
        self.members = members

    def response(self) -> Response:
        title = HTTPStatus(self.status).phrase
        content = {"type": "about:blank", "title": title, "status": self.status, "detail": self.detail, **self.members}
        return Response(orjson.dumps(_clean(content)), self.status, self.headers, mimetype=MEDIA)


def bad_request(errors: list[dict[str, str]]) -> Problem:
    """400 for wrong parameters or members, each with what was expected and what came."""
    sentences = [f"{error['parameter']}: expected {error['expected']}, got {error['got']}" for error in errors]
    return Problem(400, "; ".join(sentences), errors=errors)


def wrong(parameter: str, expected: str, got: Any) -> dict[str, str]:
    text = "nothing" if got is None else repr(got)
    return {"parameter": parameter, "expected": expected, "got": text if len(text) <= SHOWN else text[:SHOWN] + "..."}


def of_validation(error: ValidationError, known: list[str], what: str) -> Problem:
    """What pydantic found wrong with the query or the body, in these words."""
    errors = []
    for found in error.errors(include_url=False):
        name = ".".join(str(part) for part in found["loc"]) or "body"
        if found["type"] == "extra_forbidden":
            expected = f"one of the {what}s {', '.join(known)}" if known else f"no {what}s here"
            errors.append(wrong(name, expected, name))
        elif found["type"] == "missing":
            errors.append(wrong(name, "a value", None))
        else:
            message = found["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
            errors.append(wrong(name, message, found["input"]))
    return bad_request(errors)


def _clean(value: Any) -> Any:
    """Text that came in broken must not break the answer that speaks of it."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {name: _clean(item) for name, item in value.items()}
    return [_clean(item) for item in value] if isinstance(value, list) else value
