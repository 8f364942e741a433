"""To which run a file belongs, and what kind of run that is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from dqm.formats.names import parse_name
from dqm.settings import RunSettings

SIMULATED = "simulation"


@dataclass(frozen=True)
class Belonging:
    """The run of a file: its key (what stands in URLs), number, category and tags; and the subrun that the file is."""

    key: str
    number: int | None
    subrun: int | None
    category: str
    tags: tuple[str, ...]


def belonging(path: str, format: str, root: str, settings: RunSettings, start: float | None = None) -> Belonging:
    """By the run number in the name; without one, by the start in the name or in the content; else by the name itself."""
    name = parse_name(Path(path))
    category, tags = kind_of_run(Path(path), root, settings, format == "sim")
    begun = name.start.timestamp() if name.start else start
    if name.run is not None:
        key = str(name.run)
    elif format != "sim" and begun is not None:
        key = f"{datetime.fromtimestamp(begun, UTC):%Y%m%dT%H%M%SZ}"
    else:
        key = _slug(Path(path))
    return Belonging(key, name.run, name.subrun, category, tags)


def kind_of_run(path: Path, root: str, settings: RunSettings, simulated: bool) -> tuple[str, tuple[str, ...]]:
    """Category by the first rule that fits and has one; tags of all that fit."""
    below = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
    fitting = [rule for rule in settings.rules if re.search(rule.match, below)]
    default = SIMULATED if simulated else settings.category
    category = next((rule.category for rule in fitting if rule.category), default)
    return category, tuple(dict.fromkeys(tag for rule in fitting for tag in rule.tags))


def _slug(path: Path) -> str:
    """The name without its index and endings, with nothing in it that a URL or a page would mind."""
    stem = re.sub(r"\.\d{7}(?=\.|$)", "", path.name.split(".hdf5")[0].split(".h5")[0])
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stem).strip("._")[:80] or "unnamed"
