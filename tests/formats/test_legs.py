"""A damaged file that is read in legs: the same rows, damage and faults as in one reading, wherever it was left off."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain, repeat
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import Cursor, open_file, words
from dqm.formats.reader import join_faults
from dqm.ingest.oneshot import Sources
from dqm.ingest.work import Bench, Count, Examine, Look, Tally
from tests.conftest import some_packets

COLUMNS = ("timestamp", "dataword", "io_group", "unix_time", "time_ticks")
ROWS, CHUNK = 40_000, 1600
MESSAGES = 2300
CUTS = st.lists(st.integers(1, 3), max_size=40)
EXAMPLES = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dqm.formats.reader.BLOCK_ROWS", 4 * CHUNK)
    monkeypatch.setattr("dqm.formats.reader.MESSAGES_AT_ONCE", 256)


@dataclass
class Whole:
    """A file without damage, and where its chunks lie, by dataset."""

    content: bytes
    chunks: dict[str, list[tuple[int, int]]]

    @classmethod
    def of(cls, path: Path) -> Whole:
        chunks = {}
        with h5py.File(path) as file:
            for name in ("packets", "msgs", "msg_headers"):
                if name in file:
                    infos = [file[name].id.get_chunk_info(n) for n in range(file[name].id.get_num_chunks())]
                    chunks[name] = [(info.byte_offset, info.size) for info in infos]
        return cls(path.read_bytes(), chunks)

    def damaged(self, path: Path, **chunks: set[int]) -> Path:
        """A copy of it in which these chunks are garbage, long closed."""
        content = bytearray(self.content)
        for name, numbers in chunks.items():
            for number in numbers:
                place, size = self.chunks[name][number]
                content[place : place + size] = b"\xff" * size
        path.write_bytes(content)
        os.utime(path, (1_700_000_000,) * 2)
        return path


@pytest.fixture(scope="module")
def packets(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp("legs") / "packets.h5"
    with h5py.File(path, "w") as file:
        file.create_group("_header").attrs["version"] = "2.4"
        file.create_dataset("packets", data=some_packets(ROWS), chunks=(CHUNK,), compression="gzip")
    return Whole.of(path)


def payloads() -> Iterator[np.ndarray]:
    """Messages of many lengths, one longer than a block (as set below); some cut short, some not even a header long."""
    random = np.random.default_rng(4)
    for number in range(MESSAGES):
        length = 3000 if number == 40 else int(random.integers(0, 20))
        bits = words.encode_bits({"timestamp": np.arange(length) + number, "dataword": np.arange(length) % 256})
        message = words.message(
            1_700_000_000 + number // 50, words.data_words(np.full(length, 3), np.arange(length) + 200, bits)
        )
        cut = {0: 5, 1: len(message) - 3}.get(int(random.integers(0, 40)), 0)
        yield message[: len(message) - cut]


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    path = tmp_path_factory.mktemp("legs") / "raw.h5"
    with h5py.File(path, "w") as file:
        dtype = h5py.vlen_dtype(np.uint8)
        msgs = file.create_dataset("msgs", (MESSAGES,), dtype, chunks=(50,), compression="gzip")
        for number, payload in enumerate(payloads()):
            msgs[number] = payload
        headers = np.zeros(MESSAGES, [("io_groups", "u1")])
        headers["io_groups"] = np.arange(MESSAGES) % 4 + 1
        file.create_dataset("msg_headers", data=headers, chunks=(70,), compression="gzip")
    return Whole.of(path)


@dataclass
class Outcome:
    """What reading gave, and how it ended."""

    rows: dict[str, np.ndarray]
    end: int
    damaged: bool
    faults: list[str]
    legs: int


def read(path: Path, cuts: Iterator[int]) -> Outcome:
    """The file by one reader after the other, each for so many blocks as the next of `cuts` says."""
    cursor, blocks, faults, damaged, legs = Cursor(), [], [], False, 0
    for many in cuts:
        ended, legs = True, legs + 1
        with open_file(path, trusted=True) as reader:
            for block in reader.blocks(cursor):
                blocks.append({name: np.array(block[name]) for name in COLUMNS})
                many -= 1
                if not many:
                    ended = False
                    break
            # as a task of the ingest: what the reader says when it was left off is all that anybody hears of it
            cursor = Cursor.from_json(json.loads(json.dumps(reader.cursor.to_json())))
            faults, damaged = join_faults(faults, reader.faults), damaged or reader.partial
        if ended:
            break
    rows = {
        name: np.concatenate([np.zeros(0, np.int64), *(b[name].astype(np.int64) for b in blocks)]) for name in COLUMNS
    }
    return Outcome(rows, cursor.row, damaged, faults, legs)


def assert_as_one_reading(path: Path, cuts: list[int]) -> Outcome:
    once, legs = read(path, repeat(-1)), read(path, chain(cuts, repeat(1)))
    for name in COLUMNS:
        np.testing.assert_array_equal(once.rows[name], legs.rows[name], err_msg=name)
    assert (legs.end, legs.damaged, sorted(legs.faults)) == (once.end, once.damaged, sorted(once.faults))
    return once


@EXAMPLES
@given(broken=st.sets(st.integers(0, 24), max_size=12), cuts=CUTS, most=st.sampled_from([3, 1000]))
def test_a_damaged_packet_file_in_legs_is_as_in_one_reading(
    packets: Whole, tmp_path: Path, broken: set[int], cuts: list[int], most: int
) -> None:
    path = packets.damaged(tmp_path / "packets.h5", packets=broken)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dqm.formats.reader.MAX_DAMAGED_CHUNKS", most)
        once = assert_as_one_reading(path, cuts)
    assert once.damaged == bool(broken)
    gave_up = any("gave up" in fault for fault in once.faults)
    assert gave_up == (len(broken) > most)
    if not gave_up:
        expected = some_packets(ROWS)["timestamp"].reshape(-1, CHUNK)
        np.testing.assert_array_equal(once.rows["timestamp"], np.delete(expected, sorted(broken), axis=0).ravel())


@EXAMPLES
@given(
    msgs=st.sets(st.integers(0, 45), max_size=3), headers=st.sets(st.integers(0, 32), max_size=2),
    cuts=CUTS, most=st.sampled_from([2, 20]), at_once=st.sampled_from([20_000, 4 * 2**20]),
)  # fmt: skip
def test_a_damaged_raw_file_in_legs_is_as_in_one_reading(
    raw: Whole, tmp_path: Path, msgs: set[int], headers: set[int], cuts: list[int], most: int, at_once: int
) -> None:
    path = raw.damaged(tmp_path / "raw.h5", msgs=msgs, msg_headers=headers)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dqm.formats.reader.MAX_DAMAGED_BLOCKS", most)
        patch.setattr("dqm.formats.reader.BYTES_AT_ONCE", at_once)
        patch.setattr("dqm.formats.reader.BLOCK_ROWS", 1000)
        once = assert_as_one_reading(path, cuts)
    assert once.damaged  # some of its messages are cut short in any case
    if msgs or headers:
        assert any("cannot be read" in fault for fault in once.faults)


def test_messages_that_are_cut_short_are_counted_once_over_all_legs(raw: Whole, tmp_path: Path) -> None:
    path = raw.damaged(tmp_path / "raw.h5")
    short = sum(map(int, words.are_cut_short(list(payloads()))))
    legs = read(path, repeat(1))
    assert legs.legs > 2
    assert legs.faults == [f"{short} messages are cut short, or have bytes beyond their last whole word"]


def test_only_the_messages_from_the_damage_to_the_end_of_its_block_are_lost(raw: Whole, tmp_path: Path) -> None:
    path = raw.damaged(tmp_path / "raw.h5", msgs={30})  # messages 1500 to 1549, read in groups of 32
    assert "messages 1,472 to 1,535 cannot be read" in " ".join(read(path, repeat(-1)).faults)


def test_a_cursor_of_before_damage_was_counted_is_read() -> None:
    old = Cursor(5).to_json()
    del old["damaged"], old["cut_short"]
    assert Cursor.from_json(old) == Cursor(5)


def counted(path: Path, for_s: float) -> tuple[int, bool, list[str], int]:
    """(end row, damaged, faults, legs) of the tasks of the ingest."""
    bench = Bench(Sources(), dict)
    look = Examine(str(path)).run(bench)
    assert isinstance(look, Look)
    cursor, damaged, faults, legs = Cursor().to_json(), False, [], 0
    while True:
        tally = Count(str(path), look, cursor, (), for_s=for_s, scan={}).run(bench)
        assert isinstance(tally, Tally)
        cursor, damaged, legs = tally.cursor, damaged or tally.damaged, legs + 1
        faults = join_faults(faults, tally.faults)
        if tally.ended:
            return cursor["row"], damaged, faults, legs


def test_tasks_of_the_ingest_forget_no_damage_between_legs(packets: Whole, raw: Whole, tmp_path: Path) -> None:
    bad = packets.damaged(tmp_path / "packets.h5", packets={2, 3, 15})
    short = raw.damaged(tmp_path / "raw.h5")
    for path in (bad, short):
        once, legs = counted(path, 1000.0), counted(path, 0.0)
        assert once[:3] == legs[:3]
        assert once[1]
        assert (once[3], legs[3] > 2) == (1, True)


def test_legs_of_a_file_that_was_looked_at_do_not_ask_the_doorkeeper_again_unless_it_changed(
    packets: Whole, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = packets.damaged(tmp_path / "packets.h5")
    bench, asked = Bench(Sources(), dict), []
    look = Examine(str(path)).run(bench)
    assert isinstance(look, Look)
    note: Callable = lambda *about: asked.append(about) or ""  # noqa: E731
    monkeypatch.setattr("dqm.formats.reader.DOORKEEPER.objection", note)
    count = Count(str(path), look, Cursor().to_json(), (), for_s=0.0)
    assert isinstance(count.run(bench), Tally)
    assert not asked
    os.utime(path, (1_700_000_001,) * 2)
    count.run(bench)
    assert asked
