"""What many plots ask of a block, counted once for all of them: rows of each kind, and sums of each pixel."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dqm.formats.columns import PacketType
from dqm.kernels import loops_for

if TYPE_CHECKING:
    from dqm.formats.packets import Packets

KINDS = 2 * (PacketType.TRIGGER + 1)
"""Packet types that there are, of valid parity or not."""
MOST_CELLS = 1 << 20
_local = threading.local()


@dataclass(frozen=True)
class Census:
    """How many rows of a block share all of these; each shape (k,), k is some hundred where the block has 65,536 rows."""

    unix_time: np.ndarray
    """-1 before the first timestamp packet."""
    io_group: np.ndarray
    io_channel: np.ndarray
    packet_type: np.ndarray
    valid_parity: np.ndarray
    """bool: whether the column is 1."""
    rows: np.ndarray
    """int64."""

    def of(self, chosen: np.ndarray) -> Census:
        """Those entries alone."""
        return Census(
            self.unix_time[chosen], self.io_group[chosen], self.io_channel[chosen], self.packet_type[chosen],
            self.valid_parity[chosen], self.rows[chosen],
        )  # fmt: skip

    @property
    def data(self) -> Census:
        """Data packets of valid parity."""
        return self.of((self.packet_type == PacketType.DATA) & self.valid_parity)


def take_census(packets: Packets) -> Census:
    """The census of a block, counted."""
    unix, types, parity = packets["unix_time"], packets["packet_type"], packets["valid_parity"]
    group, channel = packets["io_group"], packets["io_channel"]
    if not len(packets):
        return Census(unix, group, channel, types, parity == 1, np.zeros(0, np.int64))
    first, last = int(unix.min()), int(unix.max())
    if first < 0 <= last:  # before the first timestamp packet: as if it were the second before
        later = unix[unix >= 0]
        first = int(later.min()) - 1
    links = np.flatnonzero(_links(group, channel))
    seconds = last - first + 1
    if int(types.max()) > PacketType.TRIGGER or seconds * len(links) * KINDS > MOST_CELLS:
        return _sorted_census(packets)
    place = np.zeros(1 << 16, np.int32)
    place[links] = np.arange(len(links))
    counts = np.zeros((seconds, len(links), KINDS), np.int64)
    if loops := loops_for(len(packets)):
        loops.census(counts, place, unix, first, group, channel, types, parity)
    else:
        cell = np.maximum(unix - first, 0).astype(np.int32) * np.int32(len(links))
        cell += place[group.astype(np.uint16) << 8 | channel]
        cell *= np.int32(KINDS)
        cell += types * np.uint8(2) + (parity == 1)
        counts = np.bincount(cell, minlength=counts.size).reshape(counts.shape)
    second, link, kind = np.nonzero(counts)
    time = second + first
    if int(unix.min()) < 0:
        time[second == 0] = -1
    return Census(
        time, (links[link] >> 8).astype(np.uint8), (links[link] & 255).astype(np.uint8), (kind >> 1).astype(np.uint8),
        (kind & 1).astype(bool), counts[second, link, kind].astype(np.int64),
    )  # fmt: skip


def _links(group: np.ndarray, channel: np.ndarray) -> np.ndarray:
    """Rows of each ``io_group << 8 | io_channel``, shape (65536,)."""
    if loops := loops_for(len(group)):
        seen = np.zeros((256, 256), np.int64)
        loops.tally2(seen, group, channel)
        return seen.ravel()
    return np.bincount(group.astype(np.uint16) << 8 | channel, minlength=1 << 16)


def _sorted_census(packets: Packets) -> Census:
    """The same for rows that a table would be too large for: of unknown types, or of many seconds."""
    names = ("io_group", "io_channel", "packet_type")
    columns = [packets["unix_time"], *(packets[name] for name in names), packets["valid_parity"] == 1]
    key = np.zeros(len(packets), np.int64)
    for column in columns[1:]:
        key = key << 8 | column
    order = np.lexsort((key, columns[0]))
    ordered = [column[order] for column in columns]
    key, unix = key[order], ordered[0]
    first = np.flatnonzero(np.append(True, (key[1:] != key[:-1]) | (unix[1:] != unix[:-1])))
    unix, group, channel, types, parity = (column[first] for column in ordered)
    return Census(unix, group, channel, types, parity, np.diff(first, append=len(key)))


@dataclass(frozen=True)
class PixelSums:
    """Data packets of valid parity and their ADC counts, summed for each pixel that sent some; int64, shape (n_hit,)."""

    size: int
    """Pixels of the detector."""
    index: np.ndarray
    """Their pixels, ascending."""
    packets: np.ndarray
    adc: np.ndarray
    adc_squared: np.ndarray


def sum_pixels(data: Packets) -> PixelSums:
    """Of data packets; those outside the detector are left out."""
    size, pixel, adc = len(data.detector.pixels), data["pixel"], data["dataword"]
    if loops := loops_for(len(data)):
        words = getattr(_local, "words", None)
        if words is None or len(words) != size:
            words = _local.words = np.zeros(size, np.int64)
        full = np.empty((2, len(data) // loops.MOST + 1), np.int64)
        n_hit, n_full = loops.sum_pixels(words, pixel, adc, full)
        found = np.empty((2, n_hit), np.int64)
        loops.empty_words(words, found)
        if n_full:
            found = np.concatenate([found, full[:, :n_full]], axis=1)
        index, word = found
        parts = [word >> loops.ONCE, word >> loops.VALUE & (1 << 20) - 1, word & (1 << 28) - 1]
        if n_full:
            index, place = np.unique(index, return_inverse=True)
            parts = [np.bincount(place, part).astype(np.int64) for part in parts]
        return PixelSums(size, index, *parts)
    inside = pixel >= 0
    if not inside.all():
        pixel, adc = pixel[inside], adc[inside]
    pixel, wide = pixel.astype(np.intp), adc.astype(np.float64)  # sums of a block are exact in a float
    counts = np.bincount(pixel, minlength=size)
    index = np.flatnonzero(counts)
    sums = (np.bincount(pixel, weights, minlength=size)[index].astype(np.int64) for weights in (wide, wide * wide))
    return PixelSums(size, index, counts[index], *sums)


@dataclass(frozen=True)
class Chips:
    """How many data packets of valid parity each chip sent, by the io_channel that read it out; each shape (n_chip,)."""

    io_group: np.ndarray
    io_channel: np.ndarray
    chip_id: np.ndarray
    packets: np.ndarray
    """int64."""


def count_chips(packets: Packets) -> Chips:
    """Of a block; it has few io_channels, so that its chips are counted in a small table."""
    census, data = packets.census.data, packets.data
    links = np.unique(census.io_group.astype(np.int64) << 8 | census.io_channel)
    place = np.zeros(1 << 16, np.int32)
    place[links] = np.arange(len(links))
    counts = np.zeros((len(links), 256), np.int64)
    if loops := loops_for(len(data)):
        loops.chips(counts, place, data["io_group"], data["io_channel"], data["chip_id"])
    else:
        chip = place[data["io_group"].astype(np.uint16) << 8 | data["io_channel"]] << 8 | data["chip_id"]
        counts = np.bincount(chip, minlength=counts.size).reshape(counts.shape)
    link, chip = np.nonzero(counts)
    return Chips(
        (links[link] >> 8).astype(np.uint8), (links[link] & 255).astype(np.uint8), chip.astype(np.uint8),
        counts[link, chip].astype(np.int64),
    )  # fmt: skip
