"""Roles, and whoever does something."""

from __future__ import annotations

from dataclasses import dataclass

from dqm.settings import ROLES, SUBSYSTEMS

__all__ = [
    "ALL",
    "FIRST_ADMIN",
    "LOCAL_ADMIN",
    "LOCAL_MANAGER",
    "NOBODY",
    "ROLES",
    "SUBSYSTEMS",
    "Actor",
    "NotAllowed",
    "NotSignedIn",
    "subsystem_of",
]

ALL = "*"
"""Every subsystem; what concerns the detector as a whole."""
OF_FORMAT = {"raw": "charge", "packets": "charge", "flow": "charge", "sim": "charge", "light": "light"}


class NotAllowed(Exception):
    """The actor lacks the role; the message says which."""


class NotSignedIn(NotAllowed):
    """Nobody is signed in, and this is not for everybody."""


@dataclass(frozen=True)
class Actor:
    """Who does something; his role is one of `ROLES`. An expert may be one of some subsystems only."""

    name: str
    role: str
    subsystems: tuple[str, ...] = (ALL,)

    def may(self, role: str, subsystem: str = ALL) -> bool:
        """Whether the actor has this role or a higher one, as an expert for this subsystem (``*``: for all of them)."""
        if (self.role, role) != ("expert", "expert"):
            return ROLES.index(self.role) >= ROLES.index(role)
        return ALL in self.subsystems or subsystem in self.subsystems

    def require(self, role: str, subsystem: str = ALL) -> None:
        """Raises NotAllowed unless the actor `may`."""
        if self.may(role, subsystem):
            return
        of = (
            " of everything"
            if subsystem == ALL and self.role == role
            else f" of {subsystem}"
            if subsystem != ALL
            else ""
        )
        raise NotAllowed(f"{self.name} is {self.words}; this needs the role {role}{of}")

    @property
    def words(self) -> str:
        """``a shifter``, ``an expert of charge``."""
        article = "an" if self.role[0] in "ae" else "a"
        of = "" if self.role != "expert" or ALL in self.subsystems else f" of {', '.join(self.subsystems) or 'nothing'}"
        return f"{article} {self.role}{of}"


LOCAL_ADMIN = Actor("admin@127.0.0.1", "admin")
"""Who has the database in his hands: not the web."""
LOCAL_MANAGER = Actor(LOCAL_ADMIN.name, "manager")
"""Whoever sits at the host itself and comes by the web, until the first account exists: people are not for him."""
FIRST_ADMIN = "larboard user add NAME --role admin"
"""The command that makes the first account."""
NOBODY = Actor("anonymous", "viewer", ())
"""Whoever is not signed in."""


def subsystem_of(format: str) -> str:
    """Whose experts may act on a file of this format; ``*`` when that cannot be told."""
    return OF_FORMAT.get(format, ALL)
