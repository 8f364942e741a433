"""Files to blocks: aligned, bounded, resumable, whatever the version."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import Cursor, Reader, open_file, words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.reader import BLOCK_ROWS
from dqm.formats.writers import RawWriter
from tests.conftest import packets_of, some_packets

TIMES = ("unix_time", "time_ticks")


def columns_of(reader: Reader, start: Cursor | int = 0) -> dict[str, np.ndarray]:
    """All columns and times from `start` to the end, blocks joined."""
    blocks = list(reader.blocks(start))
    names = [name for name in reader.columns if name not in ("tile", "pixel")]
    return {name: np.concatenate([block[name] for block in blocks]) if blocks else np.zeros(0) for name in names}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray], skip: int = 0) -> None:
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name][skip:], err_msg=name)


@pytest.fixture
def raw_file(tmp_path: Path) -> Path:
    """A raw file with messages of many lengths, one of them longer than a block."""
    random = np.random.default_rng(3)
    lengths = [0, 1, 50, 3, 70_000, 2, *random.integers(0, 80, 2500).tolist()]
    path = tmp_path / "raw_2022_02_09_17_23_09_CET.h5"
    with RawWriter(path) as writer:
        payloads = []
        for number, length in enumerate(lengths):
            bits = words.encode_bits({"timestamp": np.arange(length) + number, "dataword": np.arange(length) % 256})
            data = words.data_words(np.full(length, 3), np.arange(length) + number + 200, bits)
            payloads.append(words.message(1_700_000_000 + number // 50, data))
        writer.write(payloads, np.arange(len(payloads)) % 4 + 1)
    return path


@pytest.mark.parametrize("chunk", [1, 864, 8192, 65_536, 100_000])
def test_blocks_hold_whole_rows_not_too_many_and_begin_at_chunks(packet_file: Callable, chunk: int) -> None:
    rows = packets_of(150_000, dataword=np.arange(150_000) % 256, timestamp=np.arange(150_000))
    with open_file(packet_file(rows, chunk=chunk)) as reader:
        blocks = list(reader.blocks())
        assert sum(map(len, blocks)) == 150_000
        assert max(map(len, blocks)) <= BLOCK_ROWS
        if chunk <= BLOCK_ROWS:
            assert all(block.first_row % chunk == 0 for block in blocks)
        np.testing.assert_array_equal(np.concatenate([block["timestamp"] for block in blocks]), rows["timestamp"])


def test_a_column_is_read_once_and_shared(packet_file: Callable) -> None:
    with open_file(packet_file(some_packets())) as reader:
        (block,) = reader.blocks()
        assert block["dataword"] is block["dataword"]
        assert block["time_ticks"] is block["time_ticks"]
        assert block.data is block.data


def test_an_unknown_column_names_those_that_there_are(packet_file: Callable) -> None:
    with open_file(packet_file(some_packets())) as reader:
        (block,) = reader.blocks()
        with pytest.raises(KeyError, match=r"no column 'charge'.*dataword"):
            block["charge"]


@pytest.mark.parametrize("start", [0, 1, 63, 64, 777, 1999, 2000])
def test_resuming_at_a_row_gives_the_same_as_never_having_stopped(packet_file: Callable, start: int) -> None:
    with open_file(packet_file(some_packets(2000), chunk=64)) as reader:
        whole = columns_of(reader)
        assert_same(columns_of(reader, start), whole, skip=start)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(stop_after=st.integers(0, 4), via_json=st.booleans())
def test_a_raw_file_goes_on_from_its_cursor(raw_file: Path, stop_after: int, via_json: bool) -> None:
    with open_file(raw_file) as reader:
        whole = columns_of(reader)
        blocks = reader.blocks()
        for _ in range(stop_after):
            next(blocks, None)
        cursor = reader.cursor
        done = cursor.row
    cursor = Cursor.from_json(json.loads(json.dumps(cursor.to_json()))) if via_json else cursor
    with open_file(raw_file) as again:
        assert_same(columns_of(again, cursor), whole, skip=done)


@pytest.mark.parametrize("start", [0, 1, 2, 100, 70_056, 70_059, 71_000])
def test_a_raw_file_resumes_at_any_row(raw_file: Path, start: int) -> None:
    with open_file(raw_file) as reader:
        whole = columns_of(reader)
        assert_same(columns_of(reader, start), whole, skip=start)
        assert reader.rows == len(whole["timestamp"])


def test_raw_blocks_are_bounded_too(raw_file: Path) -> None:
    with open_file(raw_file) as reader:
        assert max(len(block) for block in reader.blocks()) <= BLOCK_ROWS


def test_a_raw_file_without_messages_is_empty_not_broken(tmp_path: Path) -> None:
    with RawWriter(tmp_path / "raw.h5"):
        pass
    with open_file(tmp_path / "raw.h5") as reader:
        assert list(reader.blocks()) == []
        assert (reader.state, reader.rows, reader.faults) == ("ok", 0, [])


def test_a_swmr_writer_can_be_followed_while_it_writes(tmp_path: Path) -> None:
    path = tmp_path / "raw_2022_02_09_17_23_09_CET.h5"
    word = words.data_words(np.array([1]), np.array([9]), words.encode_bits({"dataword": np.array([4])}))
    with RawWriter(path, swmr=True) as writer:
        writer.write([words.message(5, word)], np.array([1]))
        with open_file(path) as reader:
            assert reader.state == "growing"
            assert [len(block) for block in reader.blocks()] == [2]
            first = reader.cursor
        writer.write([words.message(6, word), words.message(7, word)], np.array([1, 2]))
        with open_file(path) as reader:
            more = columns_of(reader, first)
            assert more["unix_time"].tolist() == [6, 6, 7, 7]


def test_wider_integers_are_taken_when_their_values_fit(packet_file: Callable) -> None:
    wide = np.dtype([(name, "<i8") for name in PACKET_DTYPE.names or ()])
    rows = some_packets(300)
    with open_file(packet_file(rows.astype(wide))) as reader, open_file(packet_file(rows, "narrow.h5")) as narrow:
        assert_same(columns_of(reader), columns_of(narrow))


def test_big_endian_files_read_the_same(packet_file: Callable) -> None:
    rows = some_packets(300)
    big = rows.astype(PACKET_DTYPE.newbyteorder(">"))
    with open_file(packet_file(big)) as reader, open_file(packet_file(rows, "little.h5")) as little:
        assert_same(columns_of(reader), columns_of(little))


@pytest.mark.parametrize(
    "options", [{"compression": "gzip"}, {"compression": "lzf"}, {"compression": "gzip", "shuffle": True}]
)
def test_compressed_files_read_the_same(packet_file: Callable, options: dict) -> None:
    rows = some_packets(3000)
    with open_file(packet_file(rows, **options)) as reader:
        assert columns_of(reader)["dataword"].tolist() == rows["dataword"].tolist()


def test_filters_of_hdf5plugin_are_there(tmp_path: Path) -> None:
    import hdf5plugin

    rows = some_packets(500)
    with h5py.File(tmp_path / "z.h5", "w") as file:
        file.create_group("_header").attrs["version"] = "2.4"
        file.create_dataset("packets", data=rows, chunks=(100,), **hdf5plugin.Zstd())
    with open_file(tmp_path / "z.h5") as reader:
        assert columns_of(reader)["timestamp"].tolist() == rows["timestamp"].tolist()
