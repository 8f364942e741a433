"""What a file says about itself, beside its packets: for plots of how a run was taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from dqm.formats.configuration import NOTHING, Configuration


@dataclass
class About:
    """Comes with the first block of a file (``packets.file``), so that it is counted once for each file."""

    name: str = ""
    format: str = ""
    version: str | None = None
    run: int | None = None
    """Run and subrun as the name of the file gives them."""
    subrun: int | None = None
    time: int = -1
    """When it was begun [unix s]: by its name, else as it says when it was made; -1 when neither tells."""
    _read: Callable[[], Configuration] | None = field(default=None, repr=False, compare=False)

    @cached_property
    def configuration(self) -> Configuration:
        """How the chips were configured; read when it is first asked for."""
        return self._read() if self._read else NOTHING

    def __getstate__(self) -> dict:
        """For another process: with the configuration, for the file stays here."""
        _ = self.configuration
        return self.__dict__ | {"_read": None}
