"""From what a provider or a proxy says of a person to a name and a role, by the settings."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from dqm.auth.roles import ALL, ROLES
from dqm.settings import AuthSettings

NAME = re.compile(r"[\w.@+-]{1,64}")


def is_name(text: str) -> bool:
    """Whether an account may be called so; what only looks like another name (full width, ligatures) is none."""
    return NAME.fullmatch(text) is not None and unicodedata.is_normalized("NFKC", text)


@dataclass(frozen=True)
class Standing:
    """A role, and of an expert the subsystems."""

    role: str
    subsystems: tuple[str, ...] = (ALL,)


def standing_of(groups: Iterable[str], settings: AuthSettings) -> Standing | None:
    """The highest role that any of the groups gives; else the role of everybody; None: not let in."""
    given = [standing(settings.roles[group]) for group in groups if group in settings.roles]
    if not given:
        return Standing(settings.default_role) if settings.default_role else None
    best = max(given, key=lambda found: ROLES.index(found.role))
    of = dict.fromkeys(name for found in given if found.role == best.role for name in found.subsystems)
    return Standing(best.role, (ALL,) if ALL in of else tuple(of))


def standing(text: str) -> Standing:
    """``expert:charge,light`` as role and subsystems; the settings have looked whether it is right."""
    role, _, of = text.partition(":")
    return Standing(role, tuple(of.split(",")) if of else (ALL,))


def groups_of(claims: dict[str, Any], path: str) -> list[str]:
    """The texts at a claim such as ``groups`` or ``realm_access.roles``; a single text counts as a list of one."""
    found: Any = claims
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    many = found if isinstance(found, list) else [found]
    return [text for text in many if isinstance(text, str)]


def name_of(claims: dict[str, Any], wanted: str) -> str:
    """A name for people to read; it proves nothing, the subject does."""
    for claim in (wanted, "preferred_username", "email", "name", "sub"):
        text = claims.get(claim)
        if isinstance(text, str) and (
            name := re.sub(r"[^\w.@+-]+", "_", unicodedata.normalize("NFKC", text).strip())[:64]
        ):
            return name
    return "somebody"
