"""``larboard plots new``: a copy of a working example under a new name."""

from __future__ import annotations

import keyword
import re
from collections.abc import Container
from pathlib import Path

EXAMPLES = Path(__file__).parent / "examples"
MERGEABLE, SIMPLE = ("mergeable_plot.py", "PacketsPerChip"), ("simple_plot.py", "LatestData")


class BadName(ValueError):
    """Not the name of a new plot; the message says why."""


def write_new_plot(name: str, directory: Path, simple: bool = False, taken: Container[str] = ()) -> Path:
    """Writes ``directory/<name in snake case>.py`` and returns its path; never over an existing file."""
    if not name.isidentifier() or keyword.iskeyword(name) or not name[0].isupper():
        raise BadName(f"{name!r} is not a class name, expected one such as ChargePerTile")
    if name in ("Plot", "MergeablePlot"):
        raise BadName(f"{name} is the name of a base class; choose another one")
    if name in taken:
        raise BadName(f"a plot named {name} is already there; choose another name")
    file, example = SIMPLE if simple else MERGEABLE
    path = directory / f"{snake(name)}.py"
    text = (EXAMPLES / file).read_text(encoding="utf-8").replace(example, name)
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8") as target:
            target.write(text)
    except FileExistsError:
        raise BadName(f"{path} is already there; choose another name or edit that file") from None
    return path


def snake(name: str) -> str:
    """ChargePerTile -> charge_per_tile."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
