"""The pixels of a run at every level: detector, io_group, tile, chip, channel; as numbers and as bytes for a map."""

from __future__ import annotations

import gzip
import hashlib
import math
import re
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any
from urllib.parse import quote

import numpy as np

from dqm.detector import Detector
from dqm.detector.detector import CHANNELS, CHIPS
from dqm.records import Element, Run
from dqm.views.elements import NoFigure, Window, counted, geometry, run_state, window_state
from dqm.views.run_page import RunPage, Tile, run_page
from dqm.views.site import Site
from dqm.views.words import number, quantity
from plots.base import PLUGIN_ERRORS, LiveTime, MergeablePlot
from plots.pixel_map import values_of
from plots.tile_rate import NO_GEOMETRY

PLOT = "PixelMap"
LEVELS = ("detector", "io_group", "tile", "chip", "channel")
MOST_CHILDREN = 300
"""Of a table; no detector has more tiles, chips or channels below one place."""


@dataclass(frozen=True)
class Quantity:
    """What a map can show."""

    name: str
    """As the URL has it."""
    title: str
    """As PixelMap has it."""
    unit: str


QUANTITIES = {
    found.name: found
    for found in (
        Quantity("rate", "Rate", "Hz"), Quantity("mean", "Mean", "ADC"), Quantity("std", "Standard deviation", "ADC"),
    )
}  # fmt: skip


class NoPlace(Exception):
    """There is no such io_group, tile, chip or channel; the message says what there is."""


@dataclass(frozen=True)
class Maps:
    """All pixels of a run, as they are counted now. Arrays have shape (n_pixel,)."""

    run: Run
    element: Element
    detector: Detector
    packets: np.ndarray
    adc: np.ndarray
    adc_squared: np.ndarray
    live: LiveTime
    values: dict[str, np.ndarray]
    """By name of the quantity, float32; nan without a packet."""

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        return sum(array.nbytes for array in (self.packets, self.adc, self.adc_squared, *self.values.values()))


@dataclass(frozen=True)
class Packed:
    """Arrays as bytes, in little endian, compressed once for all who want them."""

    content: bytes
    version: int = 0
    geometry: str = ""
    tag: str = ""
    """By which it is known without looking into it."""

    @property
    def size(self) -> int:
        """Bytes that it takes, compressed too."""
        return 2 * len(self.content)

    @cached_property
    def gzipped(self) -> bytes:
        return gzip.compress(self.content, 1, mtime=0)


def maps(site: Site, run_key: str, in_window: bool = False) -> Maps:
    """The pixels of a run, or of its window; raises NoFigure."""
    found = counted(site, run_key, PLOT, in_window)
    element = found.element
    key = (found.run.id, element.version, element.updated, found.found.source, in_window)
    with site.recent_lock:
        kept: Maps | None = site.maps.get(key)
    if kept is None:
        with site.drawing(key):
            with site.recent_lock:
                kept = site.maps.get(key)
            if kept is None:
                kept = _maps(site, found)
                with site.recent_lock, suppress(ValueError):  # larger than all that is kept
                    site.maps[key] = kept
    return kept


def _maps(site: Site, found: Any) -> Maps:
    made = found.found.plot()
    assert isinstance(made, MergeablePlot)
    try:
        if isinstance(found.live, Window):
            state = window_state(site, made, found.element, found.live)
        else:
            state = run_state(site, made, found.element, found.live)
    except NoFigure:
        raise
    except PLUGIN_ERRORS as error:  # a state that its disk has damaged
        raise NoFigure(f"what was counted cannot be read: {type(error).__name__}", "broken") from None
    if state.detector is None:
        raise NoFigure(f"{NO_GEOMETRY}: without one it is not known where pixels are, nor of which tile and chip")
    values = values_of(state)
    return Maps(
        found.run, found.element, state.detector, state["packets"], state["adc"], state["adc_squared"], state["live"],
        {name: values[one.title].astype(np.float32) for name, one in QUANTITIES.items()},
    )  # fmt: skip


# -- as bytes ----------------------------------------------------------------------------------------------------------


def pixel_values(site: Site, run_key: str, name: str, in_window: bool = False) -> Packed:
    """One quantity of all pixels, float32 in the order of the geometry; raises NoFigure."""
    found = maps(site, run_key, in_window)
    key = ("packed", found.run.id, found.element.version, found.element.updated, name, in_window)
    with site.recent_lock:
        kept: Packed | None = site.maps.get(key)
    if kept is None:
        geometry_id = found.detector.geometry_id
        tag = hashlib.sha256(repr((site.settings.data.directory, geometry_id, key)).encode()).hexdigest()[:24]
        kept = Packed(found.values[name].astype("<f4").tobytes(), found.element.version, geometry_id, tag)
        with site.recent_lock, suppress(ValueError):
            site.maps[key] = kept
    return kept


def pixel_places(site: Site, geometry_id: str) -> Packed | None:
    """Where each pixel is and what it is called, for a map; None for a geometry that nobody knows here.

    u4: number of pixels n; then n times u2 column and n times u2 row in the raster of its io_group (rows upwards), n times
    u2 tile, and n times u1 io_group, io_channel, chip, channel.
    """
    try:
        detector = geometry(site, geometry_id)
    except NoFigure:
        return None
    return _places(detector) if detector else None


@lru_cache(maxsize=4)
def _places(detector: Detector) -> Packed:
    table = detector.pixels
    column, row = np.zeros(len(table), "<u2"), np.zeros(len(table), "<u2")
    for plane in detector.planes:
        column[plane.index], row[plane.index] = plane.column, plane.row
    ids = (table.io_group, table.io_channel, table.chip_id, table.channel_id)
    arrays = [np.array([len(table)], "<u4"), column, row, table.tile.astype("<u2"), *(i.astype("u1") for i in ids)]
    return Packed(b"".join(array.tobytes() for array in arrays), 0, detector.geometry_id, detector.geometry_id)


# -- places ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    """A part of a detector with its pixels."""

    level: str
    text: str
    """As the URL has it: ``1``, ``3``, ``1-5-36``, ``1-5-36-12``; empty for the detector."""
    name: str
    pixels: np.ndarray
    """Indices of its pixels, ascending."""


def place(detector: Detector, level: str, text: str) -> Place:
    """The part of a detector that a URL names; raises NoPlace."""
    table = detector.pixels
    if level == "detector":
        return Place(level, "", f"detector {detector.name}", np.arange(len(table)))
    if level == "io_group":
        (group,) = _numbers(level, text, "1")
        _known(group, detector.io_groups, "io_group", detector)
        return Place(level, str(group), f"io_group {group}", np.flatnonzero(table.io_group == group))
    if level == "tile":
        (tile,) = _numbers(level, text, "3")
        _known(tile, detector.tiles.tolist(), "tile", detector)
        return Place(level, str(tile), f"tile {tile}", np.flatnonzero(table.tile == tile))
    return _chip(detector, text) if level == "chip" else _channel(detector, text)


def _chip(detector: Detector, text: str) -> Place:
    io_group, io_channel, chip = _numbers("chip", text, "1-5-36")
    _below(chip, CHIPS, "chip")
    tile = _tile(detector, io_group, io_channel)
    table = detector.pixels
    pixels = np.flatnonzero((table.tile == tile) & (table.chip_id == chip))
    if not len(pixels):
        ids = np.unique(table.chip_id[table.tile == tile])
        raise NoPlace(f"There is no chip {chip} on tile {tile} of {detector.name}; its chips are {_span(ids)}.")
    # the network of a tile may read a chip out through another of its io_channels: it has one name, that of the geometry
    name = "-".join(detector.labels(pixels[:1])[0].split("-")[:3])
    return Place("chip", name, f"chip {name}", pixels)


def _channel(detector: Detector, text: str) -> Place:
    io_group, io_channel, chip, channel = _numbers("channel", text, "1-5-36-12")
    _below(channel, CHANNELS, "channel")
    of_chip = _chip(detector, f"{io_group}-{io_channel}-{chip}")
    pixels = of_chip.pixels[detector.pixels.channel_id[of_chip.pixels] == channel]
    if not len(pixels):
        ids = np.sort(detector.pixels.channel_id[of_chip.pixels])
        raise NoPlace(f"Channel {channel} of {of_chip.name} has no pixel; those that have one are {_span(ids)}.")
    (name,) = detector.labels(pixels)
    return Place("channel", name, f"channel {name}", pixels)


def _numbers(level: str, text: str, like: str) -> list[int]:
    parts = text.split("-")
    if len(parts) != like.count("-") + 1 or not all(re.fullmatch("[0-9]{1,5}", part) for part in parts):
        what = {"chip": "io_group-io_channel-chip", "channel": "io_group-io_channel-chip-channel"}.get(
            level, "a number"
        )
        raise NoPlace(f"“{text[:40]}” names no {level}: expected {what}, such as {like}.")
    return [int(part) for part in parts]


def _below(value: int, end: int, what: str) -> None:
    if value >= end:
        raise NoPlace(f"There is no {what} {value}: {what}s go from 0 to {end - 1}.")


def _known(value: int, known: Any, what: str, detector: Detector) -> None:
    if value not in known:
        raise NoPlace(f"There is no {what} {value} in {detector.name}; its {what}s are {_span(np.array(known))}.")


def _tile(detector: Detector, io_group: int, io_channel: int) -> int:
    _known(io_group, detector.io_groups, "io_group", detector)
    _below(io_channel, 256, "io_channel")
    tile = int(detector.tile_of(np.array([io_group]), np.array([io_channel]))[0])
    if not tile:
        raise NoPlace(f"There is no io_channel {io_channel} in io_group {io_group} of {detector.name}.")
    return tile


def _span(ids: np.ndarray) -> str:
    """``1 to 16``, ``1, 2, 5``: which ids there are, in few words."""
    ids = np.unique(ids)
    if len(ids) > 2 and int(ids[-1]) - int(ids[0]) == len(ids) - 1:
        return f"{ids[0]} to {ids[-1]}"
    shown = ", ".join(map(str, ids[:12].tolist()))
    return f"{shown} ... {ids[-1]}" if len(ids) > 12 else shown


def link(level: str, text: str, run_key: str, name: str = "rate", in_window: bool = False) -> str:
    """The address of a level, from the root of the site."""
    window = "&window=1" if in_window else ""
    run, value = quote(run_key, safe=""), f"?value={name}{window}"
    if level == "channel":
        return f"/channels/{text}?run={run}{window}"
    return f"/runs/{run}/detector{value}" if level == "detector" else f"/runs/{run}/{level}/{text}{value}"


def seconds(since: float, until: float) -> str:
    """Which packets are of a window, as the page of packets takes it (`dqm.views.rows_behind.conditions_of`)."""
    return f"unix_time:{math.floor(since)}..{math.ceil(until)}"


def condition(detector: Detector, here: Place) -> str:
    """Which packets are of a place, likewise."""
    tile = int(detector.pixels.tile[here.pixels[0]])
    ids = here.text.split("-")
    return {
        "detector": "", "io_group": f"io_group:{ids[0]}", "tile": f"tile:{tile}", "chip": f"tile:{tile},chip_id:{ids[-1]}",
    }[here.level]  # fmt: skip


def trail(detector: Detector, here: Place) -> list[Place]:
    """The places above this one, from the detector down; without itself."""
    if here.level == "detector":
        return []
    table, first = detector.pixels, int(here.pixels[0])
    ids = detector.labels(here.pixels[:1])[0].split("-")
    above = (
        ("detector", ""), ("io_group", ids[0]), ("tile", str(table.tile[first])), ("chip", "-".join(ids[:3])),
    )  # fmt: skip
    return [place(detector, level, text) for level, text in above[: LEVELS.index(here.level)]]


# -- the page of a level -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Child:
    """A part of the place that is shown."""

    text: str
    name: str
    href: str
    shown: tuple[str, ...]
    """Its cells, in the order of `LevelPage.columns`."""
    silent: bool


@dataclass(frozen=True)
class LevelPage:
    """A level of a run: its map, its numbers and what is below it, worst first."""

    page: RunPage
    tile: Tile
    """PixelMap as the run page has it: coverage and age."""
    place: Place
    trail: tuple[Place, ...]
    quantity: Quantity
    numbers: tuple[tuple[str, str], ...]
    below: str
    """Level of the children."""
    columns: tuple[str, ...]
    children: tuple[Child, ...]
    order: str
    """By what they are sorted, in words."""
    geometry: str
    version: int
    where: str
    """Which packets are of the place."""


@dataclass(frozen=True)
class NoLevel:
    """Why there is no map."""

    page: RunPage | None
    """None: there is no such run."""
    reason: str
    state: str


def level_page(
    site: Site, run_key: str, level: str, text: str, name: str, in_window: bool = False
) -> LevelPage | NoLevel:
    """A level of a run (``latest``: of the newest), or of its window."""
    page = run_page(site, run_key, in_window=in_window)
    if page is None:
        return NoLevel(None, f"no run {run_key}", "nodata")
    try:
        found = maps(site, page.run.key, in_window)
        here = place(found.detector, level, text)
    except NoFigure as why:
        return NoLevel(page, why.reason, why.state)
    except NoPlace as why:
        return NoLevel(page, str(why), "unknown")
    tile = next((tile for tile in page.tiles if tile.plot == PLOT), None)
    if tile is None:
        return NoLevel(page, f"run {page.run.key} has no {PLOT}", "nodata")
    below = LEVELS[LEVELS.index(level) + 1]
    chosen = QUANTITIES[name]
    columns, children = _children(found, here, below, chosen, run_key, in_window)
    order = f"without a packet, then furthest from the median {below} by {chosen.title.lower()}"
    where = [condition(found.detector, here), seconds(*page.window) if page.window else ""]
    return LevelPage(
        page, tile, here, tuple(trail(found.detector, here)), chosen, _level_numbers(found, here), below, columns,
        children, order, found.detector.geometry_id, found.element.version, ",".join(filter(None, where)),
    )  # fmt: skip


def _level_numbers(found: Maps, here: Place) -> tuple[tuple[str, str], ...]:
    packets = found.packets[here.pixels]
    silent = int(np.count_nonzero(packets == 0))
    rates = found.values["rate"][here.pixels]
    said = [("pixels", f"{len(packets):,}"), ("packets", number(int(packets.sum())))]
    said.append(("without a packet", f"{silent:,} ({100 * silent / len(packets):.3g} %)"))
    if np.isfinite(rates).any():
        hottest = int(here.pixels[np.nanargmax(rates)])
        said.append(("rate", quantity(float(np.nansum(rates)), "Hz")))
        (label,) = found.detector.labels(np.array([hottest]))
        said.append(("hottest pixel", f"{label}, {quantity(float(np.nanmax(rates)), 'Hz')}"))
    elif packets.any():
        said.append(("rate", "not known: live time below 1 s"))
    mean, std = _mean_and_std(packets.sum(), found.adc[here.pixels].sum(), found.adc_squared[here.pixels].sum())
    return (*said, ("mean", quantity(mean, "ADC")), ("standard deviation", quantity(std, "ADC")))


def _mean_and_std(n: Any, total: Any, squares: Any) -> tuple[float | None, float | None]:
    n, total, squares = int(n), int(total), int(squares)
    return (total / n, max(n * squares - total**2, 0) ** 0.5 / n) if n else (None, None)


def _children(
    found: Maps, here: Place, below: str, chosen: Quantity, run_key: str, in_window: bool
) -> tuple[tuple[str, ...], tuple[Child, ...]]:
    """What is below a place, worst first, and the heads of its columns."""
    table, pixels = found.detector.pixels, here.pixels
    key = {"io_group": table.io_group, "tile": table.tile, "chip": table.chip_id, "channel": table.channel_id}[below]
    _, first, inverse = np.unique(key[pixels], return_index=True, return_inverse=True)
    n = len(first)
    sums = [_sums(inverse, values[pixels], n) for values in (found.packets, found.adc, found.adc_squared)]
    size = np.bincount(inverse, minlength=n)
    silent = np.bincount(inverse, weights=found.packets[pixels] == 0, minlength=n).astype(int)
    rate = np.nan_to_num(found.values["rate"][pixels].astype(float))
    total_rate = np.bincount(inverse, weights=rate, minlength=n)
    unknown = ~np.isfinite(found.values["rate"][pixels]) & (found.packets[pixels] > 0)
    no_rate = np.bincount(inverse, weights=unknown, minlength=n) > 0
    made = []
    for at in range(n):
        packets, adc, squares = (int(one[at]) for one in sums)
        mean, std = _mean_and_std(packets, adc, squares)
        mean_rate = None if no_rate[at] or not packets else float(total_rate[at] / size[at])
        ids = found.detector.labels(pixels[first[at : at + 1]])[0].split("-")
        text = {
            "io_group": ids[0], "tile": str(table.tile[pixels[first[at]]]), "chip": "-".join(ids[:3]),
            "channel": "-".join(ids),
        }[below]  # fmt: skip
        own = {"rate": mean_rate, "mean": mean, "std": std}
        shown = [number(mean_rate), number(mean), number(std), number(packets)]
        if below != "channel":
            shown.append(f"{silent[at]:,}")
        made.append(
            (
                own[chosen.name],
                Child(text, text, link(below, text, run_key, chosen.name, in_window), tuple(shown), not packets),
            )
        )
    known = [value for value, _ in made if value is not None]
    middle = float(np.median(known)) if known else 0.0
    made.sort(key=lambda one: (one[0] is not None, -abs((one[0] or 0.0) - middle), one[1].text))
    per = "" if below == "channel" else "/pixel"
    columns = (below, f"Rate{per} [Hz]", "Mean [ADC]", "Std", "Packets", *(() if below == "channel" else ("Silent",)))
    return columns, tuple(child for _, child in made[:MOST_CHILDREN])


def _sums(inverse: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    total = np.zeros(n, np.int64)
    np.add.at(total, inverse, values)
    return total
