"""One detector: its pixels in dense order, and tables that turn the ids of packets into tiles and pixels."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from dqm.kernels import loops_for

CHIPS = 256
CHANNELS = 64
NO_TILE = 0
NO_PIXEL = -1


@dataclass(frozen=True)
class PixelTable:
    """All pixels of a detector, one row each; the row number is the pixel index. Arrays of shape (n_pixel,).

    `x`, `y`, `z` [cm]: position of the pixel, x on its anode plane along the drift, y up, z along the beam.
    `io_channel` is the nominal one: the network of a tile may route a chip through any channel of the tile.
    """

    io_group: np.ndarray
    io_channel: np.ndarray
    tile: np.ndarray
    chip_id: np.ndarray
    channel_id: np.ndarray
    x: np.ndarray
    y: np.ndarray
    z: np.ndarray

    def __len__(self) -> int:
        return len(self.tile)


@dataclass(frozen=True)
class Plane:
    """The raster of one anode plane (one io_group): pixel `index` lies in `row`, `column` of an image; edges in cm."""

    io_group: int
    index: np.ndarray
    row: np.ndarray
    column: np.ndarray
    z: np.ndarray
    """Centres of the columns [cm], shape (n_column,)."""
    y: np.ndarray
    """Centres of the rows [cm], shape (n_row,)."""

    def image(self, values: np.ndarray) -> np.ndarray:
        """Values of all pixels, shape (n_pixel,), as an image, shape (n_row, n_column); nan where there is no pixel."""
        picture = np.full((len(self.y), len(self.z)), np.nan, np.float32)
        picture[self.row, self.column] = values[self.index]
        return picture


class Detector:
    """Pixels and id tables of a detector.

    `io_channels` maps (io_group, io_channel) to a tile id: every io_channel of a tile, whatever chip it is nominal for.
    """

    def __init__(self, name: str, pixels: PixelTable, io_channels: dict[tuple[int, int], int], drift_length_cm: float):
        self.name = name
        self.pixels = pixels
        self.drift_length_cm = drift_length_cm
        self.tiles = np.unique(pixels.tile)
        """Tile ids, ascending, shape (n_tile,)."""
        self.io_groups: tuple[int, ...] = tuple(np.unique(pixels.io_group).tolist())
        self._tile_of = np.zeros(1 << 16, np.int16)
        for (io_group, io_channel), tile in io_channels.items():
            self._tile_of[io_group << 8 | io_channel] = tile
        self.tile_place = np.full(int(self.tiles[-1]) + 1, -1, np.int32)
        """Place in `tiles` of each tile id; -1 for ids that no tile has."""
        self.tile_place[self.tiles] = np.arange(len(self.tiles))
        slots = np.zeros(int(self.tiles[-1]) + 1, np.int32)
        slots[self.tiles] = np.arange(1, len(self.tiles) + 1)  # slot 0: outside the detector
        self._slot_of = slots[self._tile_of]
        table = np.full((len(self.tiles) + 1, CHIPS, CHANNELS), NO_PIXEL, np.int32)
        table[slots[pixels.tile], pixels.chip_id, pixels.channel_id] = np.arange(len(pixels), dtype=np.int32)
        self._pixel_of = table.ravel()

    def __repr__(self) -> str:
        return f"Detector({self.name!r}, {len(self.pixels):,} pixels)"

    @cached_property
    def geometry_id(self) -> str:
        """Name and fingerprint of all ids and positions: states of different geometries never merge."""
        digest = hashlib.sha256()
        table = self.pixels
        for column in (table.io_group, table.io_channel, table.tile, table.chip_id, table.channel_id):
            digest.update(column.astype(np.int16).tobytes())
        for column in (table.x, table.y, table.z):
            digest.update(np.rint(column * 1e4).astype(np.int32).tobytes())
        return f"{self.name}-{digest.hexdigest()[:12]}"

    def tile_of(self, io_group: np.ndarray, io_channel: np.ndarray) -> np.ndarray:
        """Tile ids, int16, shape (n,); 0 outside the detector."""
        return self._tile_of[io_group.astype(np.int32) << 8 | io_channel]

    def pixel_of(
        self, io_group: np.ndarray, io_channel: np.ndarray, chip_id: np.ndarray, channel_id: np.ndarray
    ) -> np.ndarray:
        """Dense pixel indices, int32, shape (n,); -1 outside the detector."""
        ids = (io_group, io_channel, chip_id, channel_id)
        if (loops := loops_for(len(io_group))) and all(column.dtype == np.uint8 for column in ids):
            found = np.empty(len(io_group), np.int32)
            loops.pixels(*ids, self._slot_of, self._pixel_of, found)
            return found
        slot = self._slot_of[io_group.astype(np.int32) << 8 | io_channel]
        key = (slot << 14) | (chip_id.astype(np.int32) << 6) | (channel_id & (CHANNELS - 1))
        pixel = self._pixel_of[key]
        if (channel_id >= CHANNELS).any():
            pixel = np.where(channel_id < CHANNELS, pixel, NO_PIXEL)
        return pixel

    def labels(self, pixels: np.ndarray) -> list[str]:
        """``io_group-io_channel-chip-channel`` of pixel indices."""
        table = self.pixels
        columns = (table.io_group, table.io_channel, table.chip_id, table.channel_id)
        return ["-".join(map(str, ids)) for ids in zip(*(column[pixels].tolist() for column in columns), strict=True)]

    @cached_property
    def tile_io_group(self) -> np.ndarray:
        """io_group of each tile of `tiles`, shape (n_tile,)."""
        _, first = np.unique(self.pixels.tile, return_index=True)
        return self.pixels.io_group[first]

    @cached_property
    def planes(self) -> tuple[Plane, ...]:
        """The anode planes, one for each io_group."""
        return tuple(self._plane(io_group) for io_group in self.io_groups)

    def _plane(self, io_group: int) -> Plane:
        index = np.flatnonzero(self.pixels.io_group == io_group)
        z, column = _raster(self.pixels.z[index])
        y, row = _raster(self.pixels.y[index])
        return Plane(io_group, index, row, column, z, y)


def _raster(position_cm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct positions, ascending, and the place of each pixel among them (equal to within 1 um)."""
    _, first, inverse = np.unique(np.rint(position_cm * 1e4), return_index=True, return_inverse=True)
    return position_cm[first], inverse
