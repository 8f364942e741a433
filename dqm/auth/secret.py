"""What is shown to prove something, and what is kept of it."""

from __future__ import annotations

import hashlib
import secrets

TOKEN = "lbd_"  # noqa: S105 - by it a token is known for one where it was left lying
"""How tokens of programs begin."""


def new() -> str:
    """256 bits that nobody can guess."""
    return secrets.token_urlsafe(32)


def kept(secret: str) -> str:
    """What is kept of a secret, from which it cannot be found again: it is as random as it is long, so no salt is needed."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()
