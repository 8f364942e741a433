"""Pedestals of single channels from the JSON files of the field."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MAX_BYTES = 64 * 2**20
MAX_MV = 5_000.0


class BadPedestals(ValueError):
    """A pedestal file cannot be used; the message says what is wrong in one sentence."""


@dataclass(frozen=True)
class Keys:
    """How the key of a channel is made of its ids: the numbers that io_group, place, chip and channel count in."""

    words: str
    place: str
    """Its second number: ``tile_of_plane`` (1 to 8, by io_channel), ``io_channel``, or ``tile`` of the geometry."""
    io_group: int
    of_place: int
    chip: int

    def encode(self, io_group: np.ndarray, place: np.ndarray, chip: np.ndarray, channel: np.ndarray) -> np.ndarray:
        """Keys of channels, int64, shape (n,)."""
        return (
            io_group.astype(np.int64) * self.io_group
            + place.astype(np.int64) * self.of_place
            + chip.astype(np.int64) * self.chip
            + channel
        )

    def is_key(self, key: int) -> bool:
        """Whether some channel has this key."""
        io_group, rest = divmod(key, self.io_group)
        place, rest = divmod(rest, self.of_place)
        chip, channel = divmod(rest, self.chip)
        return 0 < io_group < 256 and 0 < place < 1 << 15 and chip < 256 and channel < 64


SCHEMES = {
    "tile": Keys("((io_group * 256 + tile) * 256 + chip) * 64 + channel", "tile_of_plane", 1 << 22, 1 << 14, 64),
    "io_channel": Keys(
        "((io_group * 256 + io_channel) * 256 + chip) * 64 + channel", "io_channel", 1 << 22, 1 << 14, 64
    ),
    "flow": Keys(
        "((io_group * 100000 + io_channel) * 1000 + chip) * 64 + channel", "io_channel", 6_400_000_000, 64_000, 64
    ),
    "flow_tile": Keys(
        "io_group * 1000000000 + tile_id * 100000 + chip * 100 + channel", "tile", 1_000_000_000, 100_000, 100
    ),
}
"""Schemes in use: arcube_nearline; larpix-monitor and older pedestal files; ndlar_flow; its branch for data."""


@dataclass(frozen=True)
class Pedestals:
    """Pedestals by key, ascending."""

    keys: np.ndarray
    mv: np.ndarray
    scheme: str

    def of(self, packets: Any, default_mv: float) -> tuple[np.ndarray, np.ndarray]:
        """Pedestal of the channel of each packet [mV] and whether the file has it, each shape (n,)."""
        keys = SCHEMES[self.scheme]
        io_channel = packets["io_channel"]
        place = {
            "io_channel": lambda: io_channel,
            "tile_of_plane": lambda: (io_channel.astype(np.int64) - 1) // 4 + 1,
            "tile": lambda: packets["tile"] if packets.detector is not None else np.zeros(len(packets), np.int64),
        }[keys.place]()
        wanted = keys.encode(packets["io_group"], place, packets["chip_id"], packets["channel_id"])
        at = np.minimum(np.searchsorted(self.keys, wanted), len(self.keys) - 1)
        known = self.keys[at] == wanted
        return np.where(known, self.mv[at], default_mv), known


def load_pedestals(path: Path, scheme: str) -> tuple[Pedestals, str]:
    """The pedestals of a file and a fingerprint of it; raises BadPedestals.

    ``{"<key>": {"pedestal_mv": 580.0}, ...}``; other fields beside `pedestal_mv` are left alone.
    """

    def bad(what: str) -> BadPedestals:
        return BadPedestals(f"pedestal file {path} {what}")

    try:
        if not path.is_file():
            raise bad("is not a file" if path.exists() else "is not there")
        if path.stat().st_size > MAX_BYTES:
            raise bad(f"has {path.stat().st_size:,} bytes, at most {MAX_BYTES:,} are read")
        content = path.read_bytes()
    except OSError as error:
        raise bad(f"cannot be read: {error.strerror or error}") from None
    try:
        table = json.loads(content)
    except (ValueError, RecursionError):
        raise bad("is not JSON") from None
    if not isinstance(table, dict) or not table:
        raise bad('has no pedestals, expected {"<key>": {"pedestal_mv": 580.0}, ...}')
    is_key = SCHEMES[scheme].is_key
    pairs = sorted((_key(text, scheme, is_key, bad), _mv(text, entry, bad)) for text, entry in table.items())
    keys, mv = (np.array(column) for column in zip(*pairs, strict=True))
    if (np.diff(keys) == 0).any():
        raise bad(f"has two entries for channel {keys[np.flatnonzero(np.diff(keys) == 0)[0]]}")
    digest = hashlib.sha256(content).hexdigest()
    return Pedestals(keys.astype(np.int64), mv.astype(np.float64), scheme), digest


def _key(text: str, scheme: str, is_key: Callable[[int], bool], bad: Callable[[str], BadPedestals]) -> int:
    if text.isascii() and text.isdigit() and len(text) <= 18 and is_key(int(text)):
        return int(text)
    raise bad(
        f"has the key {_short(text)}, which no channel has in the scheme {scheme!r} ({SCHEMES[scheme].words}); "
        "is plots.pedestal_keys right?"
    )


def _mv(text: str, entry: Any, bad: Callable[[str], BadPedestals]) -> float:
    if not isinstance(entry, dict) or "pedestal_mv" not in entry:
        got = ", ".join(map(_short, entry)) if isinstance(entry, dict) and entry else type(entry).__name__
        raise bad(f"has no pedestal_mv for key {_short(text)}, got {got[:100]}")
    value = entry["pedestal_mv"]
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise bad(f"has pedestal_mv {_short(value)} for key {_short(text)}, expected a number")
    if not 0 <= value <= MAX_MV:
        raise bad(f"has pedestal_mv {_short(value)} for key {_short(text)}, expected 0 to {MAX_MV:,.0f} mV")
    return float(value)


def _short(value: Any) -> str:
    """A value out of a file, short and without characters that steer anything."""
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
