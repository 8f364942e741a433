"""Masks as people make them: of channels, chips, a pasted JSON, an area of the anode, the hot pixels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dqm.auth.roles import Actor
from dqm.masks import NOTHING, Mask, NoMask, read_mask
from dqm.masks.mask import CHANNELS, check_size, few
from dqm.records import Element, ElementState, Run
from dqm.store import audit, elements, masks, runs
from dqm.views.elements import NoFigure, geometry, known_state
from dqm.views.masks import find, unknown_words, was_saved
from dqm.views.site import Site
from plots.base import PLUGIN_ERRORS
from plots.hot_pixels import HotPixels, hot

CORNERS_MOST = 2000


@dataclass(frozen=True)
class Edit:
    """How a mask is changed; all of it at once, in this order."""

    base: str = ""
    """Address of the mask to begin with; empty: nothing is left out."""
    pasted: str | None = None
    """The disabled-channel JSON, instead of `base`."""
    leave_out: Mapping[str, Any] = field(default_factory=dict)
    """Channels by chip."""
    chips: Sequence[str] = ()
    """``io_group-io_channel-chip``, or ``...-channel`` for one of its channels."""
    area: Area | None = None
    hot: bool = False
    """Leave the hot pixels of the run out."""
    count_again: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Area:
    """A polygon on the anode plane of an io_group [cm]."""

    io_group: int
    z: Sequence[float]
    y: Sequence[float]


@dataclass(frozen=True)
class Made:
    """A mask that was made, and what is to be said of it."""

    mask: Mask
    said: tuple[str, ...]


def change(site: Site, actor: Actor, run_key: str, edit: Edit) -> Made | None:
    """Makes a mask and keeps it; None when there is no such run. Raises NoMask and NotAllowed."""
    actor.require("shifter")
    with site.store.read() as tx:
        run = runs.latest(tx) if run_key == "latest" else runs.get(tx, run_key)
        found = elements.of_run(tx, run.id) if run else {}
    if run is None:
        return None
    made, said = _begun(site, edit)
    wanted, wrong = read_mask(edit.leave_out) if edit.leave_out else (NOTHING, [])
    said += wrong
    for text in edit.chips:
        wanted |= channels_of(text)
    if edit.area is not None:
        wanted |= _inside(site, found, edit.area)
    if edit.hot:
        hot = hot_channels(site, run, found)
        said += [] if len(hot) else ["No pixel of this run is hot: nothing was added."]
        wanted |= hot
    fresh = (made | wanted) - (read_mask(edit.count_again)[0] if edit.count_again else NOTHING)
    check_size(fresh)
    strangers = unknown(site, run, found, fresh - (NOTHING if edit.pasted is not None else made))
    if len(strangers):
        said.append(strangers_words(strangers))
        fresh -= strangers
    _keep(site, actor, run, fresh)
    return Made(fresh, tuple(said))


def strangers_words(strangers: Mask) -> str:
    """Which channels are not known, the first five and how many."""
    one = len(strangers) == 1
    return (
        f"{len(strangers):,} channel{' is' if one else 's are'} not known here: {few(strangers.names)}. No such chip "
        "is in this detector, and nothing came from it; the rest of the mask is used."
    )


def _begun(site: Site, edit: Edit) -> tuple[Mask, list[str]]:
    if edit.pasted is not None:
        return read_mask(edit.pasted)
    if not edit.base:
        return NOTHING, []
    base = find(site, edit.base)
    if base is None:
        raise NoMask(unknown_words(edit.base))
    return base, []


def _keep(site: Site, actor: Actor, run: Run, mask: Mask) -> None:
    if not len(mask):
        return
    with site.store.begin() as tx:
        if masks.save(tx, mask.address, mask.to_json(), len(mask), actor.name):
            audit.note(
                tx, actor.name, "made a mask", f"mask {mask.address}", None, {"channels": len(mask), "run": run.key}
            )
    was_saved(site, mask)


def channels_of(text: str) -> Mask:
    """The channels of ``io_group-io_channel-chip``, or the one of ``...-channel``; raises NoMask."""
    name = text.strip()
    chip, _, channel = name.rpartition("-")
    if name.count("-") == 3 and channel.isascii() and channel.isdecimal() and len(channel) < 4:
        return read_mask({chip: [int(channel)]})[0]
    return read_mask({name: list(range(CHANNELS))})[0]


def detector_of(site: Site, found: Mapping[str, Element]) -> Any:
    """The geometry that a run was counted with; None when there is none here."""
    known = next((element.geometry for element in found.values() if element.geometry), None)
    try:
        return geometry(site, known)
    except NoFigure:
        return None


def unknown(site: Site, run: Run, found: Mapping[str, Element], mask: Mask) -> Mask:
    """Channels of chips that the detector does not have and that sent no data packet in the run."""
    detector = detector_of(site, found)
    strangers = Mask(mask.keys[mask.pixels(detector) < 0])
    if detector is not None and strangers:
        tile = detector.tile_of(strangers.keys >> 24, strangers.keys >> 16 & 255).astype(np.int64)
        chips = np.unique(detector.pixels.tile.astype(np.int64) << 8 | detector.pixels.chip_id)
        strangers = Mask(strangers.keys[~np.isin(tile << 8 | (strangers.keys >> 8 & 255), chips)])
    state = _state_of(site, run, found, HotPixels.__name__) if strangers else None
    return Mask(np.setdiff1d(strangers.keys, state["outside"].keys)) if state is not None else NOTHING


def hot_channels(site: Site, run: Run, found: Mapping[str, Element]) -> Mask:
    """The hot pixels of a run, as their plot defines them."""
    state = _state_of(site, run, found, HotPixels.__name__)
    if state is None:
        raise NoMask("The hot pixels of this run are not counted (yet).")
    return Mask.of(hot(state))


def _state_of(site: Site, run: Run, found: Mapping[str, Element], plot: str) -> Any:
    element, here = found.get(plot), site.registry.plots.get(plot)
    if (
        element is None
        or here is None
        or element.state is not ElementState.OK
        or here.plot.version != element.plot_version
    ):
        return None
    try:
        return known_state(site, run, element, here, None).state
    except (NoFigure, *PLUGIN_ERRORS):
        return None


def _inside(site: Site, found: Mapping[str, Element], area: Area) -> Mask:
    """The pixels inside a polygon."""
    if len(area.z) != len(area.y) or not 3 <= len(area.z) <= CORNERS_MOST:
        raise NoMask(f"Expected an area of 3 to {CORNERS_MOST:,} corners, got {len(area.z)} z and {len(area.y)} y.")
    detector = detector_of(site, found)
    if detector is None:
        raise NoMask("No geometry of this run is known here, so that no channel has a place on the map.")
    table = detector.pixels
    rows = np.flatnonzero(table.io_group == area.io_group)
    chosen = rows[_within(table.z[rows], table.y[rows], np.asarray(area.z), np.asarray(area.y))]
    ids = (table.io_group, table.io_channel, table.chip_id, table.channel_id)
    group, channel, chip, place = (column[chosen].astype(np.int64) for column in ids)
    return Mask.of(((group << 8 | channel) << 8 | chip) << 8 | place)


def _within(x: np.ndarray, y: np.ndarray, corner_x: np.ndarray, corner_y: np.ndarray) -> np.ndarray:
    """Which points lie inside a polygon, shape (n,): a ray from each crosses its edges an odd number of times."""
    inside = np.zeros(len(x), bool)
    if not (np.isfinite(corner_x).all() and np.isfinite(corner_y).all()):
        raise NoMask("Expected corners in cm, got one that is no number.")
    near = np.flatnonzero((x >= corner_x.min()) & (x <= corner_x.max()) & (y >= corner_y.min()) & (y <= corner_y.max()))
    own_x, own_y, odd = x[near], y[near], np.zeros(len(near), bool)
    for x0, y0, x1, y1 in zip(corner_x, corner_y, np.roll(corner_x, 1), np.roll(corner_y, 1), strict=True):
        if y0 != y1:
            odd ^= ((y0 > own_y) != (y1 > own_y)) & (own_x < (x1 - x0) * (own_y - y0) / (y1 - y0) + x0)
    inside[near] = odd
    return inside
