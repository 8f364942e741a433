"""Packet files of any size for the benchmarks, made once: a stretch of demo packets again and again, while the time goes on.

Two detectors: one like Module 0 (the demo detector: 16 tiles, 78,400 pixels) and one like the 2x2 (four times as many on
8 io_groups).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np

from dqm.demo import DemoRun, demo_rows
from dqm.detector import Detector, Match, demo_detector
from dqm.detector.detector import PixelTable
from dqm.formats import Reader
from dqm.formats.columns import PacketType
from dqm.formats.writers import PacketWriter
from dqm.ingest.oneshot import Sources

DATA = Path(__file__).parent / "data"
STRETCH_S = 32
START_UNIX = 1_720_000_000
LIKE = ("module0", "2x2")
COPIES = 4
"""Of the demo detector in the one that is like the 2x2: two beside each other on an io_group, and other io_groups."""
CHUNKS = {"daq": 8192, "larpix": 864}
"""Rows of a chunk, as the DAQ's direct writer and as larpix-control choose them."""


@cache
def detector(like: str) -> Detector:
    one = demo_detector()
    if like == "module0":
        return one
    table, tiles = one.pixels, len(one.tiles)
    parts = []
    for copy in range(COPIES):
        group, beside = 4 * (copy // 2), copy % 2
        parts.append(
            (
                table.io_group + np.uint8(group), table.io_channel + np.uint8(16 * beside),
                (table.tile + tiles * copy).astype(np.int16), table.chip_id, table.channel_id,
                table.x + 200 * (copy // 2), table.y, table.z + 70 * beside,
            )
        )  # fmt: skip
    pixels = PixelTable(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    channels = np.unique(np.stack([pixels.io_group, pixels.io_channel, pixels.tile], axis=1), axis=0).tolist()
    return Detector("like-2x2", pixels, {(group, channel): tile for group, channel, tile in channels}, 30.27225)


class Known(Sources):
    """The geometry that the file was made with."""

    def match(self, reader: Reader) -> Match:
        like = next((like for like in LIKE if like in reader.path.name), LIKE[0])
        return Match(detector(like), "made with it")


@cache
def stretch(like: str) -> np.ndarray:
    """Packets of STRETCH_S seconds."""
    rows = demo_rows(DemoRun(seed=1, duration_s=STRETCH_S, start_unix=START_UNIX))
    if like == "module0":
        return rows
    # every io_group of the other copies has its own time stamps, syncs and triggers
    signals = rows["packet_type"] >= PacketType.TIMESTAMP
    twice = np.repeat(np.arange(len(rows)), 1 + signals)
    second = np.append(False, twice[1:] == twice[:-1])
    rows, random = rows[twice], np.random.default_rng(1)
    where = random.integers(0, COPIES, len(rows), np.uint8)
    data = rows["packet_type"] == PacketType.DATA
    rows["io_group"][second] += 4
    rows["io_group"][data] += 4 * (where[data] // 2)
    rows["io_channel"][data] += 16 * (where[data] % 2)
    return rows


def rows_of(like: str, packets: int) -> Iterator[np.ndarray]:
    """So many packets, a stretch at a time."""
    rows = stretch(like)
    stamps = np.flatnonzero(rows["packet_type"] == PacketType.TIMESTAMP)
    while packets > 0:
        yield rows[:packets]
        packets -= len(rows)
        rows = rows.copy()
        rows["timestamp"][stamps] += STRETCH_S


def make_file(packets: int, like: str = "module0", compression: str | None = None, chunks: str = "daq") -> Path:
    """The file, made when it is not there."""
    path = DATA / f"packet-{like}-{packets}-{compression or 'plain'}-{chunks}.h5"
    if not path.exists():
        print(f"making {path.name} ...", file=sys.stderr, flush=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".part")
        with PacketWriter(unfinished, compression=compression, chunk_rows=CHUNKS[chunks]) as writer:  # type: ignore[arg-type]
            for rows in rows_of(like, packets):
                writer.write(rows)
        unfinished.rename(path)
    return path
