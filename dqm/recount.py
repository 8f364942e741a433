"""Counts files of a run as if some channels had sent nothing: a process by itself, ``python -m dqm.recount``.

What is wanted comes as JSON on its standard input; what each plot made of it goes into files of a directory, and how far it
is, a line each, to its standard output. It ends with its standard input, that is with whoever wanted it.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dqm.formats import UnreadableFile, open_file
from dqm.formats.reader import inside
from dqm.ingest.engine import feed, prepare
from dqm.masks import Mask, read_mask
from dqm.results import Element
from dqm.worker import MakeBench
from plots.base import PLUGIN_ERRORS, State, check_figure

MB = 2**20
NICENESS = 15


class Gone(Exception):
    """A file is not any more what was counted; the message says how."""


def main() -> int:
    wish = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_it, daemon=True).start()
    os.nice(NICENESS)
    limit = wish["memory_mb"] * MB
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        made = count(wish, lambda done: _say({"done": done}))
    except Gone as gone:
        _say({"cannot": str(gone)})
        return 1
    except MemoryError:
        _say({"cannot": f"it takes more than {wish['memory_mb']:,} MB of memory"})
        return 1
    _say({"made": made})
    return 0


def count(wish: Mapping[str, Any], progress: Callable[[int], None]) -> dict[str, dict[str, str]]:
    """What became of each plot: kind (state, figure, broken) and why; states and figures lie in ``wish["into"]``."""
    bench, into = MakeBench(wish["settings"])(), Path(wish["into"])
    known, mask = bench.plots(), read_mask(wish["mask"])[0]
    roots = [Path(root) for root in wish["roots"]]
    chosen = [known[name] for name, version in wish["plots"] if name in known and known[name].version == version]
    detector = bench.sources.find(*wish["geometry"]) if wish["geometry"] else None
    if wish["geometry"] and detector is None:
        raise Gone(f"geometry {wish['geometry'][1]} is not on this host")
    sums: dict[str, State] = {}
    for name, version in wish["plots"]:
        if (begun := into / f"{name}.npz").exists():
            sums[name] = State.from_bytes(
                begun.read_bytes(), name, version, wish["geometry"][0] if detector else None, detector
            )
    made: dict[str, dict[str, str]] = {}
    for place, (path, size, mtime_ns) in enumerate(wish["files"]):
        progress(place)
        for element in _counted(Path(path), roots, (size, mtime_ns), chosen, detector, mask):
            made[element.name] = _added(element, sums, into, made.get(element.name, {}))
    for name, state in sums.items():
        if made.setdefault(name, {"kind": "state"})["kind"] == "state":
            (into / f"{name}.npz").write_bytes(state.to_bytes())
    return made


def _counted(
    path: Path, roots: list[Path], stamp: tuple[int, int], chosen: list[Any], detector: Any, mask: Mask
) -> list[Element]:
    try:
        info = path.stat()
    except OSError as error:
        raise Gone(f"the files of the run cannot be read from here ({path.name}: {error.strerror})") from None
    if (info.st_size, info.st_mtime_ns) != stamp:
        raise Gone(f"{path.name} is not any more what was counted")
    try:
        with open_file(inside(path, roots)) as reader:
            reader.detector = detector
            elements = prepare(chosen, reader)
            for packets in reader.blocks():
                feed(elements, mask.without(packets))
                packets.forget()
            return elements
    except UnreadableFile as error:
        raise Gone(f"the files of the run cannot be read from here ({path.name}: {error.reason})") from None


def _added(element: Element, sums: dict[str, State], into: Path, before: Mapping[str, str]) -> dict[str, str]:
    """Adds what a plot made of one file; a plot that failed in one is broken in all."""
    if before.get("kind") == "broken":
        return dict(before)
    if element.unavailable:
        return dict(before) or {"kind": "unavailable", "why": element.unavailable}
    try:
        if element.broken:
            return {"kind": "broken", "why": element.broken}
        if element.state is not None:
            if element.name in sums:
                sums[element.name].merge(element.state)
            else:
                sums[element.name] = element.state
            return {"kind": "state"}
        check_figure(element.figure)
        (into / f"{element.name}.json").write_bytes(element.figure.to_json(engine="orjson").encode())
        return {"kind": "figure"}
    except PLUGIN_ERRORS as error:
        return {"kind": "broken", "why": f"{type(error).__name__}: {error}"}


def _say(what: Mapping[str, Any]) -> None:
    print(json.dumps(what), flush=True)


def _end_with_it() -> None:
    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    sys.exit(main())
