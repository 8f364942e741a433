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
    """How many rows of a block share all of these; each shape (k,), k is some hundred where the block has 131,072 rows."""

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
    loops = loops_for(len(packets))
    if loops:
        place = np.zeros(1 << 16, np.int32)
        links, first, last, untimed, highest = loops.kinds(unix, group, channel, types, place)
    else:
        links = np.flatnonzero(np.bincount(group.astype(np.uint16) << 8 | channel, minlength=1 << 16))
        untimed, last, highest = int(unix.min()) < 0, int(unix.max()), int(types.max())
        first = int(unix.min(initial=last, where=unix >= 0)) if untimed else int(unix.min())
    if untimed:  # as if it were the second before
        first = max(first, 0) - 1
    seconds = last - first + 1
    if highest > PacketType.TRIGGER or seconds * len(links) * KINDS > MOST_CELLS:
        return _sorted_census(packets)
    if loops:
        place -= 1
        counts = np.zeros((seconds, len(links), KINDS), np.int64)
        loops.census(counts, place, unix, first, group, channel, types, parity)
    else:
        place = np.zeros(1 << 16, np.int32)
        place[links] = np.arange(len(links))
        cell = np.maximum(unix - first, 0).astype(np.int32) * np.int32(len(links))
        cell += place[group.astype(np.uint16) << 8 | channel]
        cell *= np.int32(KINDS)
        cell += types * np.uint8(2) + (parity == 1)
        counts = np.bincount(cell, minlength=seconds * len(links) * KINDS).reshape(seconds, len(links), KINDS)
    second, link, kind = np.nonzero(counts)
    time = second + first
    if untimed:
        time[second == 0] = -1
    return Census(
        time, (links[link] >> 8).astype(np.uint8), (links[link] & 255).astype(np.uint8), (kind >> 1).astype(np.uint8),
        (kind & 1).astype(bool), counts[second, link, kind].astype(np.int64),
    )  # fmt: skip


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
        words, _local.words = getattr(_local, "words", None), None  # they come back only if they are 0 again
        if words is None or len(words) != size:
            words = np.zeros(size, np.int64)
        full = np.empty((2, len(data) // loops.MOST + 1), np.int64)
        n_hit, n_full = loops.sum_pixels(words, pixel, adc, full)
        found = np.empty((4, n_hit + n_full), np.int64)
        loops.empty_words(words, full[:, :n_full], found)
        _local.words = words
        index, *parts = found
        if n_full:  # a pixel may be there more than once
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
    """How many data packets of valid parity each chip sent, by the io_channel that read it out."""

    io_group: np.ndarray
    """Of each io_channel that sent any, ascending by both, shape (n_channel,)."""
    io_channel: np.ndarray
    packets: np.ndarray
    """int64, shape (n_channel, 256), by chip_id."""


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
        counts = np.bincount(chip, minlength=counts.size).reshape(counts.shape).astype(np.int64, copy=False)
    return Chips((links >> 8).astype(np.uint8), (links & 255).astype(np.uint8), counts)
