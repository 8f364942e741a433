"""Detectors from the yaml files of the field: one for the detector, one for the tile layout of each module.

Formula (ndlar_flow, checked against the positions it writes): with pitch p, tile width W = (max ix - min ix + 1) p,
``z = sz (ix p - W/2 + p/2) + tile_z + offset_z``, y likewise, and the anode at ``x = tile_x + offset_x``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml

from dqm.detector.detector import Detector, PixelTable

MAX_YAML_BYTES = 4 * 2**20
LAYOUT_KEYS = ("chip_channel_to_position", "tile_chip_to_io", "tile_positions", "tile_orientations", "pixel_pitch")
DETECTOR_KEYS = ("module_to_io_groups", "tpc_offsets", "drift_length")
MODULE_IN_NAME = re.compile(r"_mod(\d+)(?=[_.])")
TILES_PER_MODULE = 16
SINGLE_MODULE_DRIFT_CM = 30.27225


class BadLayout(ValueError):
    """A geometry file that is not what it should be; the message names file, key and what was expected."""


def read_yaml(path: Path, keys: tuple[str, ...]) -> dict:
    """The mapping in `path`; raises BadLayout when it is unreadable, too large or lacks one of `keys`."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise BadLayout(f"{path}: larger than {MAX_YAML_BYTES >> 20} MiB, expected a geometry file")
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506  (a safe loader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadLayout(f"{path}: cannot be read as yaml: {' '.join(str(error).split())[:200]}") from None
    if not isinstance(content, dict):
        raise BadLayout(f"{path}: expected a mapping with {', '.join(keys)}")
    missing = [key for key in keys if key not in content]
    if missing:
        raise BadLayout(f"{path}: key {missing[0]!r} is missing")
    return content


def kind_of_yaml(path: Path) -> str | None:
    """'layout', 'detector' or None, from the keys at the left margin, without parsing the file."""
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            return None
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None
    has = {key for key in (*LAYOUT_KEYS, *DETECTOR_KEYS) if re.search(rf"^{key}:", text, re.MULTILINE)}
    if has.issuperset(LAYOUT_KEYS):
        return "layout"
    return "detector" if has.issuperset(DETECTOR_KEYS) else None


def module_files(directory: Path) -> dict[int, Path]:
    """Layouts whose name says their module: ``..._mod0_swap....yaml`` is module 1, and so on."""
    found = {}
    for path in sorted(directory.glob("*.yaml")):
        match = MODULE_IN_NAME.search(path.name)
        if match and kind_of_yaml(path) == "layout":
            found[int(match[1]) + 1] = path
    return found


def detector_from_yaml(path: Path, layouts: dict[int, Path] | None = None) -> Detector:
    """The detector described by `path` with the tile layout of each module (number -> file); raises BadLayout."""
    description = read_yaml(path, DETECTOR_KEYS)
    with _one_sentence(path):
        layouts = layouts or module_files(path.parent)
        modules = description["module_to_io_groups"]
        missing = [module for module in modules if module not in layouts]
        if missing:
            expected = f"expected a file named ..._mod{int(missing[0]) - 1}_...yaml"
            raise BadLayout(f"{path}: no tile layout for module {missing[0]}; {expected}")
        parts = [
            _module(layouts[module], module, io_groups, description["tpc_offsets"][module - 1])
            for module, io_groups in modules.items()
        ]
        return _assemble(path.stem, parts, float(description["drift_length"]))


def detector_from_layout(path: Path) -> Detector:
    """A single module at the origin (Module-0, Module-1 ...) from its tile layout; raises BadLayout."""
    with _one_sentence(path):
        name = path.stem.removeprefix("multi_tile_layout-")
        return _assemble(name, [_module(path, 1, (1, 2), (0.0, 0.0, 0.0))], SINGLE_MODULE_DRIFT_CM)


@contextmanager
def _one_sentence(path: Path) -> Iterator[None]:
    """Whatever is wrong inside a geometry file becomes BadLayout."""
    try:
        yield
    except BadLayout:
        raise
    except (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise BadLayout(f"{path}: {type(error).__name__}: {' '.join(str(error).split())[:200]}") from None


Part = tuple[list[tuple[np.ndarray, ...]], dict[tuple[int, int], int]]


def _module(path: Path, module: int, io_groups: tuple[int, ...], offset_cm: tuple[float, ...]) -> Part:
    layout = read_yaml(path, LAYOUT_KEYS)
    keys = np.array(list(layout["chip_channel_to_position"]), np.int64)
    place = np.array(list(layout["chip_channel_to_position"].values()), np.int64)
    chip, channel = np.divmod(keys, 1000)
    pitch = float(layout["pixel_pitch"]) / 10
    extent = (place.max(axis=0) - place.min(axis=0) + 1) * pitch
    local = place * pitch - extent / 2 + pitch / 2
    io_channels: dict[tuple[int, int], int] = {}
    columns: list[tuple[np.ndarray, ...]] = []
    for tile_in_module, chips in layout["tile_chip_to_io"].items():
        tile = tile_in_module + TILES_PER_MODULE * (module - 1)
        _, sy, sz = layout["tile_orientations"][tile_in_module]
        tile_x, tile_y, tile_z = (value / 10 for value in layout["tile_positions"][tile_in_module])
        io = np.zeros(256, np.int64)
        io[list(chips)] = list(chips.values())
        local_group, io_channel = np.divmod(io[chip], 1000)
        io_group = io_groups[int(local_group[0]) - 1]
        # any of a tile's four io_channels may carry any of its chips: the network changes from run to run
        tile_in_tpc = (int(io_channel.min()) - 1) // 4
        for shared in range(4 * tile_in_tpc + 1, 4 * tile_in_tpc + 5):
            io_channels[io_group, shared] = tile
        ones = np.ones(len(chip))
        x = (tile_x + offset_cm[0]) * ones
        y = sy * local[:, 1] + tile_y + offset_cm[1]
        z = sz * local[:, 0] + tile_z + offset_cm[2]
        columns.append((io_group * ones, io_channel, tile * ones, chip, channel, x, y, z))
    return columns, io_channels


def _assemble(name: str, parts: list[Part], drift_length_cm: float) -> Detector:
    columns = [np.concatenate(column) for column in zip(*(row for rows, _ in parts for row in rows), strict=True)]
    types = (np.uint8, np.uint8, np.int16, np.uint8, np.uint8, np.float64, np.float64, np.float64)
    for values, most in zip(columns[:5], (255, 255, 4096, 255, 63), strict=True):
        if not (values.min() >= 0 and values.max() <= most):
            raise ValueError(f"ids from {values.min():g} to {values.max():g}, expected at most {most}")
    if not all(np.isfinite(values).all() for values in columns[5:]):
        raise ValueError("positions that are not numbers")
    table = PixelTable(*(column.astype(kind) for column, kind in zip(columns, types, strict=True)))
    io_channels = {key: tile for _, channels in parts for key, tile in channels.items()}
    return Detector(name, table, io_channels, drift_length_cm)
