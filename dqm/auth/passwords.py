"""Passwords: which are accepted, how they are kept, how they are compared."""

from __future__ import annotations

import functools
import re
import threading
import unicodedata
from pathlib import Path
from typing import Any

SHORTEST, LONGEST = 10, 256
AT_ONCE = threading.BoundedSemaphore(2)
"""A hash takes 64 MiB: so many are worked out at a time, however many sign in."""
RUNS = ("0123456789" * 3, "9876543210" * 3, "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm")


def problem_of(name: str, password: str) -> str:
    """Why this password is not accepted for this name; empty when it is."""
    if len(password) < SHORTEST:
        return f"The password has {len(password)} characters, expected {SHORTEST} or more; a few words make a good one."
    if len(password) > LONGEST:
        return f"The password has {len(password)} characters, at most {LONGEST} are taken."
    plain = _plain(password)
    if name and _plain(name) in (plain, "".join(c for c in plain if c.isalpha())):
        return "The password is the name itself; choose another."
    if _is_common(plain):
        return "The password is one of the commonest, which are tried first; choose another."
    return ""


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _is_common(plain: str) -> bool:
    word = re.sub(r"^[\W\d_]+|[\W\d_]+$", "", plain).translate(str.maketrans("013457@$!", "oleastasi"))
    letters = "".join(c for c in word if c.isalpha())
    bare = "".join(c for c in plain if c.isalpha())
    repeated = len(set(plain)) <= 2 or (plain.isdigit() and len(plain) <= 12)
    in_a_row = any(plain in run for run in RUNS)
    return repeated or in_a_row or bare in commonest() or (bare != "" and letters in commonest())


@functools.cache
def commonest() -> frozenset[str]:
    """What the commonest passwords are made of, beside digits and signs."""
    return frozenset((Path(__file__).parent / "commonest.txt").read_text(encoding="utf-8").split())


def hashed(password: str) -> str:
    """The password as it is kept: argon2id with the parameters and a salt of its own."""
    with AT_ONCE:
        return str(_hasher().hash(_normal(password)))


def fits(password: str, kept: str | None) -> bool:
    """Whether the password is the one that is kept. It takes as long when none is kept."""
    from argon2.exceptions import InvalidHashError, VerificationError

    with AT_ONCE:
        try:
            return bool(_hasher().verify(kept or _nobodys(), _normal(password[: LONGEST + 1]))) and kept is not None
        except (VerificationError, InvalidHashError):
            return False


def is_old(kept: str) -> bool:
    """Whether it was hashed with other parameters than those of today."""
    return bool(_hasher().check_needs_rehash(kept))


def _normal(password: str) -> str:
    return unicodedata.normalize("NFKC", password)


@functools.cache
def _hasher() -> Any:
    from argon2 import PasswordHasher

    return PasswordHasher()


@functools.cache
def _nobodys() -> str:
    """A hash that no password fits, as costly as any other."""
    import secrets

    return str(_hasher().hash(secrets.token_hex(16)))
