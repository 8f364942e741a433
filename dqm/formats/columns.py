"""The columns of a packet, and how each version of LArPix+HDF5 stores them.

Source: the dtype tables of larpix-control (``larpix/format/hdf5format.py``) as really written by 3.7.0; a 2020 file of
version 2.3 has ``shared_fifo_events`` as u1. The version string never decides: the names of the columns do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import numpy as np

from dqm.kernels import loops_for

TICKS_PER_SECOND = 10_000_000
"""The counter of an io_group runs at 10 MHz and is reset by each PPS."""

TIMESTAMP_MASK = (1 << 31) - 1
"""LArPix timestamps have 31 bits; a trigger word may carry an unrelated flag in bit 31."""


class PacketType(IntEnum):
    DATA = 0
    TEST = 1
    CONFIG_WRITE = 2
    CONFIG_READ = 3
    TIMESTAMP = 4
    MESSAGE = 5
    SYNC = 6
    TRIGGER = 7


class SyncKind(IntEnum):
    """``trigger_type`` of a sync packet: the ASCII code of its kind."""

    PPS = ord("S")
    HEARTBEAT = ord("H")
    CLOCK_SWITCH = ord("C")


PACKET_DTYPE = np.dtype(
    [
        ("io_group", "u1"),
        ("io_channel", "u1"),
        ("chip_id", "u1"),
        ("packet_type", "u1"),
        ("downstream_marker", "u1"),
        ("parity", "u1"),
        ("valid_parity", "u1"),
        ("channel_id", "u1"),
        ("timestamp", "<u8"),
        ("dataword", "u1"),
        ("trigger_type", "u1"),
        ("local_fifo", "u1"),
        ("shared_fifo", "u1"),
        ("register_address", "u1"),
        ("register_data", "u1"),
        ("direction", "u1"),
        ("local_fifo_events", "u1"),
        ("shared_fifo_events", "<u2"),
        ("counter", "<u4"),
        ("fifo_diagnostics_enabled", "u1"),
        ("first_packet", "u1"),
        ("receipt_timestamp", "<u4"),
    ]
)
"""The 22 columns of a packet file of version 2.x; 36 bytes a row."""

REQUIRED = ("io_group", "io_channel", "chip_id", "packet_type", "valid_parity", "channel_id", "timestamp", "dataword")

# LArPix v1 (files of version 0.0 and 1.0): old name -> the name of the same thing today.
V1_NAMES = {
    "type": "packet_type",
    "chipid": "chip_id",
    "channel": "channel_id",
    "adc_counts": "dataword",
    "register": "register_address",
    "value": "register_data",
    "parity": "parity",
    "valid_parity": "valid_parity",
    "timestamp": "timestamp",
    "counter": "counter",
    "direction": "direction",
}
V1_FIFO = ("fifo_half", "fifo_full")
V1_COLUMNS = (*V1_NAMES.values(), "io_group", "io_channel", "shared_fifo")


class WrongColumns(ValueError):
    """The dataset is not a table of packets; the message says which column is wrong and how."""


def known_columns(dtype: np.dtype) -> tuple[str, ...]:
    """Names of the packet columns that rows of `dtype` can give, in today's words; raises WrongColumns."""
    names = dtype.names
    if not names:
        raise WrongColumns(f"packets is a plain array of {dtype}, expected a table with columns such as packet_type")
    if "chip_key" in names:
        missing = [name for name in (*V1_NAMES, *V1_FIFO) if name not in names and name != "direction"]
        if missing:
            raise WrongColumns(f"packets has no column {missing[0]!r}, which a file of version 0.0 or 1.0 has")
        _integers_only(dtype, [name for name in (*V1_NAMES, *V1_FIFO) if name in names], "iub")
        if dtype["chip_key"].kind != "S":
            raise WrongColumns(f"column 'chip_key' of packets is {dtype['chip_key']}, expected text such as 1-32-94")
        return tuple(column for column in V1_COLUMNS if column != "direction" or "direction" in names)
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise WrongColumns(f"packets has no column {missing[0]!r}, got {', '.join(names[:6])}...")
    present = [name for name in PACKET_DTYPE.names or () if name in names]
    _integers_only(dtype, present)
    return tuple(present)


def _integers_only(dtype: np.dtype, names: list[str], kinds: str = "ui") -> None:
    for name in names:
        column = dtype[name]
        if column.kind not in kinds or column.shape:
            raise WrongColumns(f"column {name!r} of packets is {column}, expected an integer")


def to_today(rows: np.ndarray) -> np.ndarray:
    """Rows as stored, any version, to rows whose columns have today's names and types; no copy when they already have.

    Raises WrongColumns when a wider integer column holds a value that the field cannot have.
    """
    names = rows.dtype.names or ()
    if "chip_key" in names:
        return _from_v1(rows)
    if all(rows.dtype[name] == PACKET_DTYPE[name] for name in names if name in (PACKET_DTYPE.names or ())):
        return rows
    present = [name for name in PACKET_DTYPE.names or () if name in names]
    today = np.empty(len(rows), dtype=[(name, PACKET_DTYPE[name]) for name in present])
    for name in present:
        today[name] = rows[name].astype(PACKET_DTYPE[name])
        if not np.array_equal(today[name], rows[name]):
            raise WrongColumns(f"column {name!r} of packets holds values outside {PACKET_DTYPE[name]}")
    return today


def _from_v1(rows: np.ndarray) -> np.ndarray:
    names = [name for name in V1_NAMES if name in (rows.dtype.names or ())]
    columns = [(V1_NAMES[name], PACKET_DTYPE[V1_NAMES[name]]) for name in names]
    columns += [(name, PACKET_DTYPE[name]) for name in ("io_group", "io_channel", "shared_fifo")]
    today = np.zeros(len(rows), dtype=columns)
    for name in names:
        today[V1_NAMES[name]] = rows[name]
    # one FIFO per chip in LArPix v1, in the bits of the shared FIFO of v2: 1 = half, 2 = full
    today["shared_fifo"] = (rows["fifo_half"] & 1) | ((rows["fifo_full"] & 1) << 1)
    keys, inverse = np.unique(rows["chip_key"], return_inverse=True)
    ids = np.array([_chip_key_ids(key) for key in keys], dtype="u1").reshape(-1, 2)
    today["io_group"], today["io_channel"] = ids[inverse, 0], ids[inverse, 1]
    return today


def _chip_key_ids(key: bytes) -> tuple[int, int]:
    """(io_group, io_channel) of a chip key ``b'1-32-94'``; (0, 0) for the empty key of rows without a chip."""
    parts = key.split(b"-")
    if len(parts) != 3 or not all(part.isdigit() and int(part) < 256 for part in parts):
        return 0, 0
    return int(parts[0]), int(parts[1])


TOGETHER_ROWS = 8192
"""Rows of which columns are taken out together: 288 KiB of them stay in the cache of a core."""


class Columns:
    """Columns of rows by name, each in one piece: those that were `wanted` of blocks before are all taken out at once.

    `wanted` is added to, for the next block.
    """

    def __init__(self, rows: np.ndarray, wanted: set[str] | None = None):
        self.rows = rows
        self._wanted = set[str]() if wanted is None else wanted
        self._taken: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        return name in (self.rows.dtype.names or ())

    def __getitem__(self, name: str) -> np.ndarray:
        if name not in self._taken:
            self._wanted.add(name)
            self._take([one for one in self._wanted if one in self and one not in self._taken])
        return self._taken[name]

    def _take(self, names: list[str]) -> None:
        loops = loops_for(len(self.rows))
        # rows with references in them have no bytes that may be looked at
        if loops and self.rows.flags.c_contiguous and not self.rows.dtype.hasobject:
            single = [name for name in names if self.rows.dtype[name] == np.uint8]
            # columns that begin a power of two apart would be in each other's place in the cache
            made = np.empty((len(single), len(self.rows) + 192), np.uint8)[:, : len(self.rows)]
            places: Any = self.rows.dtype.fields
            offsets = np.array([places[name][1] for name in single], np.int64)
            loops.take_bytes(self.rows.view(np.uint8).reshape(len(self.rows), -1), offsets, made)
            self._taken |= dict(zip(single, made, strict=True))
            names = [name for name in names if name not in self._taken]
        fields = [(self.rows[name], np.empty(len(self.rows), self.rows.dtype[name])) for name in names]
        for start in range(0, len(self.rows), TOGETHER_ROWS):
            for field, column in fields:
                column[start : start + TOGETHER_ROWS] = field[start : start + TOGETHER_ROWS]
        self._taken |= {name: column for name, (_, column) in zip(names, fields, strict=True)}

    def forget(self) -> None:
        """Drops what was taken out."""
        self._taken = {}
