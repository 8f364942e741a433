"""Straight tracks through the drift volumes: which pixels they cross, how far from the anode, over what length."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dqm.detector import Detector
from dqm.detector.detector import NO_PIXEL, Plane

# A pixel that sees charge for longer than this drift distance triggers again: 1.3 cm is 8 us, one integration window.
INTEGRATION_CM = 1.3
SHORTEST_CM = 1e-4
BEAM_SPREAD = 0.06


@dataclass(frozen=True)
class Volume:
    """The drift volume in front of an anode plane: a box [cm], with the edges of its pixels and integration windows."""

    io_group: int
    anode_x: float
    low: np.ndarray
    high: np.ndarray
    edges: tuple[np.ndarray, np.ndarray, np.ndarray]
    """Edges along x (drift), y and z [cm], ascending."""
    pixels: np.ndarray
    """Pixel index of each row (y) and column (z); NO_PIXEL where there is none."""


@dataclass(frozen=True)
class Lines:
    """Straight tracks: a point [cm] and a unit vector each, shapes (n, 3) as x y z, and a time [ticks], shape (n,)."""

    point: np.ndarray
    direction: np.ndarray
    time: np.ndarray


@dataclass(frozen=True)
class Crossings:
    """Pieces of lines, each in front of one pixel; arrays of shape (n,)."""

    line: np.ndarray
    pixel: np.ndarray
    drift_cm: np.ndarray
    length_cm: np.ndarray


def volumes_of(detector: Detector) -> tuple[Volume, ...]:
    """The drift volumes of a detector, one for each io_group."""
    anodes = {plane.io_group: float(detector.pixels.x[plane.index[0]]) for plane in detector.planes}
    volumes = []
    for plane in detector.planes:
        # a module is a pair of io_groups 2m-1, 2m whose anodes face each other across one cathode
        partner = plane.io_group + 1 if plane.io_group % 2 else plane.io_group - 1
        anode = anodes[plane.io_group]
        sign = np.sign(anodes.get(partner, 0.0) - anode)
        volumes.append(_volume(plane, anode, anode + sign * detector.drift_length_cm))
    return tuple(volumes)


def _volume(plane: Plane, anode: float, cathode: float) -> Volume:
    windows = max(round(abs(cathode - anode) / INTEGRATION_CM), 1)
    edges = (np.sort(np.linspace(anode, cathode, windows + 1)), _edges(plane.y), _edges(plane.z))
    pixels = np.full((len(plane.y), len(plane.z)), NO_PIXEL, np.int32)
    pixels[plane.row, plane.column] = plane.index
    low, high = (np.array([edge[side] for edge in edges]) for side in (0, -1))
    return Volume(plane.io_group, anode, low, high, edges, pixels)


def _edges(centres: np.ndarray) -> np.ndarray:
    middle = (centres[1:] + centres[:-1]) / 2
    half = (centres[1] - centres[0]) / 2
    return np.concatenate([[centres[0] - half], middle, [centres[-1] + half]])


def cosmics(rng: np.random.Generator, volumes: tuple[Volume, ...], time: np.ndarray) -> Lines:
    """Downgoing muons with a cos^2 zenith distribution through random points of the detector, one for each time."""
    low, high = bounding_box(volumes)
    n = len(time)
    point = rng.uniform(low, high, (n, 3))
    cosine = rng.random(n) ** (1 / 3)
    azimuth = rng.uniform(0, 2 * np.pi, n)
    sine = np.sqrt(1 - cosine**2)
    direction = np.stack([sine * np.cos(azimuth), -cosine, sine * np.sin(azimuth)], axis=1)
    return Lines(point, direction, time)


def beam_tracks(rng: np.random.Generator, volumes: tuple[Volume, ...], time: np.ndarray) -> Lines:
    """Muons from upstream, along z within a few degrees, one for each time."""
    low, high = bounding_box(volumes)
    n = len(time)
    point = rng.uniform(low, high, (n, 3))
    slope = np.concatenate([rng.normal(0, BEAM_SPREAD, (n, 2)), np.ones((n, 1))], axis=1)
    return Lines(point, slope / np.linalg.norm(slope, axis=1, keepdims=True), time)


def bounding_box(volumes: tuple[Volume, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest corner of all volumes together [cm], shapes (3,)."""
    return np.min([volume.low for volume in volumes], axis=0), np.max([volume.high for volume in volumes], axis=0)


def cross(volume: Volume, lines: Lines) -> Crossings:
    """The pieces of all lines inside a volume, cut at the edges of pixels and integration windows."""
    tiny = np.abs(lines.direction) < 1e-9
    direction = np.where(tiny, 1e-9, lines.direction)
    to_low = (volume.low - lines.point) / direction
    to_high = (volume.high - lines.point) / direction
    enter = np.minimum(to_low, to_high).max(axis=1)
    leave = np.maximum(to_low, to_high).min(axis=1)
    through = np.flatnonzero(leave > enter)
    point, direction = lines.point[through], direction[through]
    enter, leave = enter[through, None], leave[through, None]
    # where each line meets each edge, as a distance along the line; outside the volume it collapses to nothing
    cuts = [(edge - point[:, axis, None]) / direction[:, axis, None] for axis, edge in enumerate(volume.edges)]
    along = np.sort(np.clip(np.concatenate(cuts, axis=1), enter, leave), axis=1)
    length = np.diff(along, axis=1)
    line, piece = np.nonzero(length > SHORTEST_CM)
    middle = (along[line, piece] + along[line, piece + 1]) / 2
    x, y, z = (point[line, axis] + middle * direction[line, axis] for axis in range(3))
    row = np.searchsorted(volume.edges[1], y) - 1
    column = np.searchsorted(volume.edges[2], z) - 1
    pixel = volume.pixels[row, column]
    hit = pixel != NO_PIXEL
    drift = np.abs(x - volume.anode_x)
    return Crossings(through[line[hit]], pixel[hit], drift[hit], length[line, piece][hit])
