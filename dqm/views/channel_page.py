"""The biography of a channel: what it sent in the newest runs, what its registers were, since when it is silent."""

from __future__ import annotations

import math
import re
import zlib
from dataclasses import dataclass
from typing import Any
from zipfile import BadZipFile

import numpy as np

from dqm.detector import Detector
from dqm.formats.registers import CHANNELS, REGISTERS, names_in, values_in
from dqm.records import DROPPED, Element, ElementState, Run
from dqm.store import StoreProblem, elements, runs
from dqm.store.runs import Search
from dqm.views.asked import Asked, short
from dqm.views.elements import NoFigure, geometry, window_of
from dqm.views.pixels import PLOT, Maps, NoPlace, Place, maps, place, seconds, trail
from dqm.views.run_page import LATEST, RunPage, run_page
from dqm.views.site import Site
from plots.chip_rate import CHANNELS_PER_TILE
from plots.state import leaf_of, place_of

CONFIGURATION = "ChipConfiguration"
RUNS, RUNS_MOST = 50, 500
FOLLOWED = ("channel_mask", "csa_enable", "pixel_trim_dac", "threshold_global")
"""Registers that are shown where a configuration has them; others when they changed."""
SHOWN_MOST = 12
DAMAGED = (LookupError, ValueError, EOFError, BadZipFile, zlib.error)
"""What a state may raise that is not there, or that its disk has damaged."""


@dataclass(frozen=True)
class Wanted:
    """What a URL asks for."""

    channel: str
    run: str
    runs: int
    problems: tuple[str, ...] = ()
    in_window: bool = False
    """Whether the numbers and the spectrum are of the last minutes of the run alone."""


def wanted(channel: str, query: dict[str, str]) -> Wanted:
    asked = Asked(query)
    text = asked.text("runs")
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else 0
    if text and not 1 <= number <= RUNS_MOST:
        asked.problems.append(f"“{short(text)}” is no number of runs from 1 to {RUNS_MOST}: {RUNS} are shown.")
        number = 0
    in_window = query.get("window") == "1"
    return Wanted(channel, asked.text("run") or LATEST, number or RUNS, tuple(asked.problems), in_window)


@dataclass(frozen=True)
class Point:
    """A channel in one run."""

    run: str
    start: float | None
    packets: int | None
    """None: not known, and `why` says so."""
    rate: float | None = None
    mean: float | None = None
    std: float | None = None
    why: str = ""


@dataclass(frozen=True)
class Life:
    """A channel over the newest runs, newest first."""

    points: tuple[Point, ...]
    names: tuple[str, ...]
    """Registers that are shown."""
    registers: tuple[dict[str, int], ...]
    """Of each point; empty where no configuration is known."""
    every: dict[str, int]
    """All registers of the newest run that has a configuration."""
    changed: tuple[str, ...]
    """Registers that were not the same in all runs."""
    said: str
    """Last value, and since when it is silent."""
    silent: bool


@dataclass(frozen=True)
class ChannelPage:
    """A channel in the run from which somebody came."""

    page: RunPage
    place: Place
    trail: tuple[Place, ...]
    now: Point
    tile: int
    z_cm: float
    y_cm: float
    where: str = ""
    """Which packets are of the window; empty for the whole run."""


@dataclass(frozen=True)
class NoChannel:
    """Why there is nothing to show."""

    page: RunPage | None
    reason: str
    state: str


def channel_page(site: Site, asked: Wanted) -> ChannelPage | NoChannel:
    page = run_page(site, asked.run, in_window=asked.in_window)
    if page is None:
        return NoChannel(None, f"There is no run {asked.run}.", "nodata")
    try:
        found = maps(site, page.run.key, asked.in_window)
        here = place(found.detector, "channel", asked.channel)
    except NoFigure as why:
        return NoChannel(page, why.reason, why.state)
    except NoPlace as why:
        return NoChannel(page, str(why), "")
    index, table = int(here.pixels[0]), found.detector.pixels
    above = tuple(trail(found.detector, here))
    where = seconds(*page.window) if page.window else ""
    return ChannelPage(
        page, here, above, _point_of(found, index), int(table.tile[index]), float(table.z[index]),
        float(table.y[index]), where,
    )  # fmt: skip


def window_now(site: Site, asked: Wanted) -> str:
    """Which packets are of the window of the run that is asked for; empty where there is none."""
    with site.store.read() as tx:
        run = runs.latest(tx) if asked.run == LATEST else runs.get(tx, asked.run)
        window = window_of(site, tx, run) if run else None
    return seconds(window.since, window.until) if window else ""


def _point_of(found: Maps, index: int) -> Point:
    live_s = found.live.seconds(int(found.detector.pixels.io_group[index]))
    return _point(found.run, int(found.packets[index]), int(found.adc[index]), int(found.adc_squared[index]), live_s)


def _point(run: Run, packets: int, adc: int, squares: int, live_s: float) -> Point:
    rate = packets / live_s if live_s >= 1 else None
    if not packets:
        return Point(run.key, run.start, 0, rate)
    return Point(
        run.key, run.start, packets, rate, adc / packets, math.sqrt(max(packets * squares - adc**2, 0)) / packets
    )


# -- over the runs -----------------------------------------------------------------------------------------------------


def life(site: Site, asked: Wanted) -> Life:
    """The channel, by its name in the geometry, over the newest runs; ValueError for what is no name.

    One pixel is read out of the state of each run; what was read is kept.
    """
    if not re.fullmatch(r"\d{1,3}(-\d{1,3}){3}", asked.channel, re.ASCII):
        raise ValueError(f"“{short(asked.channel)}” names no channel")
    with site.store.read() as tx:
        newest = runs.search(tx, Search(), (), 0, asked.runs)
        ids = [run.id for run in newest]
        found = elements.of_plot(tx, ids, PLOT)
        configured = elements.of_plot(tx, ids, CONFIGURATION)
    points = tuple(_of_run(site, run, found.get(run.id), asked.channel) for run in newest)
    rows = [_row(site, configured.get(run.id), asked.channel) for run in newest]
    channel = int(asked.channel.rpartition("-")[2])
    registers = tuple(_values(row, channel) for row in rows)
    known = [one for one in registers if one]
    changed = tuple(name for name in REGISTERS if len({one[name] for one in known if name in one}) > 1)
    followed = [name for name in FOLLOWED if any(name in one for one in known)]
    names = tuple(dict.fromkeys([*followed, *changed]))[:SHOWN_MOST]
    said, silent = _silence(points)
    return Life(points, names, registers, known[0] if known else {}, changed, said, silent)


def _of_run(site: Site, run: Run, element: Element | None, channel: str) -> Point:
    def unknown(why: str) -> Point:
        return Point(run.key, run.start, None, why=why)

    if element is None:
        return unknown("not counted")
    if element.state is not ElementState.OK:
        return unknown(element.reason or "no map")
    if element.base == DROPPED:
        return unknown("dropped by a retention rule")
    try:
        detector = geometry(site, element.geometry)
        if detector is None:
            return unknown("no geometry fits")
        index = int(place(detector, "channel", channel).pixels[0])
        if run.growing or not element.base:
            return _point_of(maps(site, run.key), index)
        return _point(run, *_kept(site, element.base, index, detector))
    except NoPlace:
        return unknown("its geometry has no such channel")
    except NoFigure as why:
        return unknown(why.reason)
    except (*DAMAGED, StoreProblem) as error:
        return unknown(f"its state cannot be read: {type(error).__name__}")


def _kept(site: Site, address: str, index: int, detector: Detector) -> tuple[int, int, int, float]:
    """Packets, sums of ADC and of its square, and live time of one pixel; read once out of each state."""
    key = ("pixel", address, index)
    kept: Any = site.cache.get(key)
    if kept is None:
        content = site.store.states.get(address)
        live = leaf_of(content, "live").seconds(int(detector.pixels.io_group[index]))
        kept = (*place_of(content, ("packets", "adc", "adc_squared"), index), live)
        site.cache.set(key, kept)
    return kept


def _row(site: Site, element: Element | None, channel: str) -> bytes:
    """The registers of the chip of a channel as they were last in a run; empty where none are known."""
    if element is None or element.state is not ElementState.OK or not element.base or element.base == DROPPED:
        return b""
    key = ("registers", element.base, channel.rpartition("-")[0])
    kept: bytes | None = site.cache.get(key)
    if kept is None:
        try:
            kept = _read_row(site.store.states.get(element.base), channel)
        except (*DAMAGED, StoreProblem):
            return b""
        site.cache.set(key, kept)
    return kept


def _read_row(content: bytes, channel: str) -> bytes:
    group, io_channel, chip, _ = map(int, channel.split("-"))
    first = (io_channel - 1) // CHANNELS_PER_TILE * CHANNELS_PER_TILE + 1
    # the network of a tile may configure a chip through another of its io_channels
    keys = [group << 16 | one << 8 | chip for one in range(first, first + CHANNELS_PER_TILE)]
    versions = leaf_of(content, "chips")
    mine = np.flatnonzero(np.isin(versions.keys, keys))
    if not len(mine):
        return b""
    last = mine[np.lexsort((versions.first[mine], versions.last[mine]))[-1]]
    return bytes(versions.rows[last].tobytes())


def _values(row: bytes, channel: int) -> dict[str, int]:
    """Registers of a channel: its own, and those of its chip that are single numbers."""
    if not row:
        return {}
    rows = np.frombuffer(row, np.uint8)[None]
    found = {}
    for name in names_in(rows):
        count = REGISTERS[name][0]
        if count in (1, CHANNELS):
            found[name] = int(values_in(rows, name)[0][0, channel if count == CHANNELS else 0])
    return found


def _silence(points: tuple[Point, ...]) -> tuple[str, bool]:
    known = [point for point in points if point.packets is not None]
    if not known:
        return "Nothing is known of it in these runs.", False
    if known[0].packets:
        return f"It sent {known[0].packets:,} packets in run {known[0].run}, the newest that is known.", False
    before = next((at for at, point in enumerate(known) if point.packets), None)
    if before is None:
        return f"It has been silent in all {len(known)} runs that are known.", True
    last, since = known[before], known[before - 1]
    runs_said = "1 run" if before == 1 else f"{before} runs"
    return (
        f"It has been silent since run {since.run} ({runs_said}); it last sent {last.packets:,} packets in run {last.run}.",
        True,
    )
