"""Chunks decompressed ahead are the rows that HDF5 reads, or are left to HDF5."""

from __future__ import annotations

from collections.abc import Callable

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import chunks, open_file
from dqm.formats.chunks import ChunksAhead, DamagedChunk, chunks_ahead
from tests.conftest import some_packets

ROWS = some_packets(1234)


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ranges=st.lists(st.tuples(st.integers(0, 1233), st.integers(1, 700)), max_size=6), shuffle=st.booleans())
def test_any_range_in_any_order_is_what_hdf5_reads(packet_file: Callable, ranges: list, shuffle: bool) -> None:
    path = packet_file(ROWS, chunk=100, compression="gzip", shuffle=shuffle)
    with h5py.File(path) as file:
        ahead = ChunksAhead(file["packets"], threads=2)
        for start, length in ranges:
            stop = min(start + length, len(ROWS))
            np.testing.assert_array_equal(ahead.rows(start, stop), ROWS[start:stop])
        ahead.close()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "lzf"},
        {"compression": "gzip", "fletcher32": True},
        {"compression": "gzip", "scaleoffset": None},
    ],
)
def test_what_is_not_surely_understood_is_left_to_hdf5(packet_file: Callable, options: dict) -> None:
    path = packet_file(ROWS, chunk=100, **options)
    with h5py.File(path) as file:
        ahead = chunks_ahead(file["packets"])
        assert (ahead is None) == (options.get("compression") != "gzip" or "fletcher32" in options)
        if ahead:
            ahead.close()


def test_a_chunk_that_was_never_written_is_left_to_hdf5(packet_file: Callable) -> None:
    path = packet_file(ROWS, chunk=100, compression="gzip")
    with h5py.File(path, "a") as file:
        file["packets"].resize((1500,))
    with h5py.File(path) as file:
        ahead = ChunksAhead(file["packets"], threads=2)
        with pytest.raises(DamagedChunk):
            ahead.rows(1250, 1450)
        ahead.close()


def test_a_chunk_that_claims_more_than_it_may_hold_is_refused(packet_file: Callable) -> None:
    import zlib

    path = packet_file(np.tile(ROWS, 3), chunk=3000, compression="gzip")
    bomb = zlib.compress(bytes(20_000_000))
    with h5py.File(path) as file:
        info = file["packets"].id.get_chunk_info(0)
    assert len(bomb) < info.size
    with open(path, "r+b") as file:
        file.seek(info.byte_offset)
        file.write(bomb)
    with h5py.File(path) as file:
        ahead = ChunksAhead(file["packets"], threads=2)
        with pytest.raises(DamagedChunk, match="does not hold 108000 bytes"):
            ahead.rows(0, 3000)
        ahead.close()


def test_a_large_compressed_file_is_read_ahead_and_equal(
    packet_file: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = some_packets(200_000)
    used = []
    read = ChunksAhead.rows
    monkeypatch.setattr(ChunksAhead, "rows", lambda self, a, b: used.append((a, b)) or read(self, a, b))
    monkeypatch.setattr(chunks.os, "sched_getaffinity", lambda pid: {0, 1})
    with open_file(packet_file(rows, chunk=8192, compression="gzip")) as reader:
        stamps = np.concatenate([block["timestamp"] for block in reader.blocks()])
    np.testing.assert_array_equal(stamps, rows["timestamp"])
    assert used == [(0, 131_072), (131_072, 200_000)]
