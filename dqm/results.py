"""What rooms hand to each other: one plot of a file, one file. Data and words, no work."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from dqm.detector import Detector
from plots.base import Increment, Plot, State, Stopped, Trend, traceback_of


def plain(text: str) -> str:
    """A text that any database and any page can hold, whatever a plug-in wrote."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


@dataclass
class Element:
    """One plot of one file: its figure and trends, or why there are none.

    `broken` is a sentence when the plot raised, `unavailable` when the file cannot feed it.
    """

    plot: type[Plot]
    made: Plot | None = None
    """The object that works: made for this file, None when it could not be."""
    state: State | None = None
    figure: Any = None
    packed: bytes | None = None
    """The figure as it is kept, where a worker has written it already."""
    trends: dict[str, Trend] = field(default_factory=dict)
    broken: str = ""
    unavailable: str = ""
    traceback: str = ""
    increment: Increment | None = None
    """What the last leg has added, where that and the state saved before are the state to the last bit."""
    added: Increment | None = None
    """What the last leg has added, where the window of the run wants to know."""
    blocks: int = 0
    packets: int = 0
    seconds: float = 0.0
    """What counting has cost."""

    @property
    def name(self) -> str:
        return self.plot.__name__

    @property
    def stopped(self) -> bool:
        """Whether its plug-in went over a limit: then it rests for a while. Told by its words, as workers hand them on."""
        return self.broken.partition(": ")[2].startswith(f"{Stopped.__name__}: ")

    def release(self) -> None:
        """Drops state and figure once they are written; trends and words stay."""
        self.state, self.figure = None, None

    def fail(self, doing: str, error: BaseException) -> None:
        """Marks the element broken; nothing of what it showed is kept, since it may be wrong."""
        text = " ".join(plain(str(error)).split())
        self.broken = f"{doing}: {type(error).__name__}{': ' + text if text else ''}"
        self.traceback = plain(traceback_of(error))
        self.state, self.figure, self.packed, self.trends = None, None, None, {}


@dataclass
class FileReport:
    """What a file is and holds, in the words of ``inspect --json``; with its elements when plots were run over it."""

    path: Path
    format: str = "unknown"
    version: str | None = None
    rows: int | None = None
    state: str = "ok"
    faults: list[str] = field(default_factory=list)
    run: int | None = None
    subrun: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    geometry: str | None = None
    geometry_reason: str = ""
    lacks_geometry: bool = False
    """Whether a geometry that the settings name could not be used."""
    unwritten: str = ""
    """Why its figures could not be written."""
    elements: list[Element] = field(default_factory=list)
    detector: Detector | None = None

    @property
    def readable(self) -> bool:
        """Whether packets could be read from it."""
        return self.rows is not None

    @property
    def reason(self) -> str | None:
        return "; ".join(self.faults) or None

    @property
    def broken(self) -> list[Element]:
        return [element for element in self.elements if element.broken]

    def to_json(self) -> dict:
        return {
            "path": str(self.path),
            "format": self.format,
            "version": self.version,
            "rows": self.rows,
            "state": self.state,
            "reason": self.reason,
            "run": self.run,
            "subrun": self.subrun,
            "start": _iso(self.start),
            "end": _iso(self.end),
            "geometry": self.geometry,
            "faults": self.faults,
        }


def _iso(time: datetime | None) -> str | None:
    return time.isoformat().replace("+00:00", "Z") if time else None
