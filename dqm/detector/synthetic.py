"""The demo detector: built in, needs no outside file."""

from __future__ import annotations

from functools import cache

import numpy as np

from dqm.detector.detector import Detector, PixelTable

NAME = "demo"
PITCH_CM = 0.4434
DRIFT_LENGTH_CM = 30.27225
FIRST_CHIP = 11
CHIPS_PER_SIDE = 10
PIXELS_PER_CHIP_SIDE = 7
# A LArPix-v2a chip has 49 routed channels of 64: these are not.
UNROUTED = (6, 7, 8, 9, 22, 23, 24, 25, 38, 39, 40, 54, 55, 56, 57)
TILES_PER_PLANE = 4
IO_CHANNELS_PER_TILE = 4
TILE_GAP_CM = 0.02
MODULES = 2


@cache
def demo_detector() -> Detector:
    """Two modules of two drift volumes (io_groups 1 to 4), each anode 2 x 2 tiles of 4,900 pixels: 78,400 pixels."""
    channels = np.array([channel for channel in range(64) if channel not in UNROUTED])
    chip, pad = np.divmod(np.arange(CHIPS_PER_SIDE**2 * len(channels)), len(channels))
    column = chip % CHIPS_PER_SIDE * PIXELS_PER_CHIP_SIDE + pad % PIXELS_PER_CHIP_SIDE
    row = chip // CHIPS_PER_SIDE * PIXELS_PER_CHIP_SIDE + pad // PIXELS_PER_CHIP_SIDE
    side = CHIPS_PER_SIDE * PIXELS_PER_CHIP_SIDE
    half_tile = (side * PITCH_CM + TILE_GAP_CM) / 2
    local_z = (column - (side - 1) / 2) * PITCH_CM
    local_y = (row - (side - 1) / 2) * PITCH_CM

    parts: list[tuple[np.ndarray, ...]] = []
    io_channels: dict[tuple[int, int], int] = {}
    for io_group in range(1, 2 * MODULES + 1):
        module = (io_group - 1) // 2
        drift_sign = -1 if io_group % 2 else 1
        for tile_of_plane in range(TILES_PER_PLANE):
            tile = (io_group - 1) * TILES_PER_PLANE + tile_of_plane + 1
            first_channel = IO_CHANNELS_PER_TILE * tile_of_plane + 1
            for io_channel in range(first_channel, first_channel + IO_CHANNELS_PER_TILE):
                io_channels[io_group, io_channel] = tile
            z = drift_sign * -1 * local_z + (tile_of_plane % 2 * 2 - 1) * half_tile
            y = local_y + (1 - tile_of_plane // 2 * 2) * half_tile
            x = (2 * module - (MODULES - 1)) * (DRIFT_LENGTH_CM + 3.0) + drift_sign * DRIFT_LENGTH_CM
            ones = np.ones(len(chip))
            # 25 chips on each of the four io_channels of a tile
            io_channel_of = first_channel + chip // (CHIPS_PER_SIDE**2 // IO_CHANNELS_PER_TILE)
            parts.append(
                (io_group * ones, io_channel_of, tile * ones, chip + FIRST_CHIP, channels[pad], x * ones, y, z)
            )
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    types = (np.uint8, np.uint8, np.int16, np.uint8, np.uint8, np.float64, np.float64, np.float64)
    table = PixelTable(*(column.astype(kind) for column, kind in zip(columns, types, strict=True)))
    return Detector(NAME, table, io_channels, DRIFT_LENGTH_CM)
