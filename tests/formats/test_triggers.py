"""Data packets beside triggers, against the definition worked out one row at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from itertools import repeat
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dqm.formats import open_file, reader, triggers, words
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.packets import Packets, cut
from dqm.formats.reader import Cursor
from dqm.formats.triggers import AFTER_TICKS, BEFORE_TICKS, SAME_TICKS
from dqm.formats.writers import RawWriter
from tests.conftest import packets_of
from tests.formats.test_clock import row_by_row

Pair = tuple[int, int, int]
"""io_group, ADC and ticks since the trigger of a data packet."""


def one_by_one(rows: np.ndarray, look: int, io_group: int = 0, bit: int = 1) -> tuple[list[Pair], list[int]]:
    """All pairs and the rows of the triggers that are kept, by rules 1 and 2, slow and plain."""
    _, ticks = row_by_row(rows)
    told = [
        n
        for n, row in enumerate(rows)
        if row["packet_type"] == 7 and row["trigger_type"] >> bit & 1 and io_group in (0, row["io_group"])
    ]
    kept = [
        n for n in told if not any(n - look <= m < n and abs(ticks[n] - ticks[m]) < SAME_TICKS for m in told)
    ]  # fmt: skip
    pairs = []
    for i, row in enumerate(rows):
        if row["packet_type"] == 0 and row["valid_parity"] == 1:
            near = [ticks[i] - ticks[n] for n in kept if abs(i - n) <= look]
            own = int(row["io_group"]), int(row["dataword"])
            pairs += [(*own, since) for since in near if -BEFORE_TICKS <= since < AFTER_TICKS]
    return sorted(pairs), kept


def found_in(packets: Packets, io_group: int = 0, bit: int = 1) -> list[Pair]:
    beside = packets.beside_triggers(io_group, bit)
    columns = (beside[name].tolist() for name in ("io_group", "dataword", "trigger_ticks"))
    return list(zip(*columns, strict=True))


@st.composite
def spills(draw: st.DrawFn) -> np.ndarray:
    """Rows around some triggers, of three io_groups in any order, with all that moves a clock."""
    kinds = draw(
        st.lists(
            st.sampled_from(["data", "data", "data", "trigger", "trigger", "both", "light", "S", "stamp", "bad"]),
            min_size=1, max_size=60,
        )
    )  # fmt: skip
    rows = np.zeros(len(kinds), PACKET_DTYPE)
    for number, (row, kind) in enumerate(zip(rows, kinds, strict=True)):
        row["io_group"] = draw(st.integers(1, 3))
        row["dataword"] = number % 256
        row["valid_parity"] = kind != "bad"
        row["timestamp"] = 50_000 + draw(st.integers(0, 30)) * 999 + draw(st.integers(0, 2))
        if kind in ("trigger", "both", "light"):
            row["packet_type"], row["trigger_type"] = 7, {"trigger": 2, "both": 3, "light": 1}[kind]
            row["timestamp"] |= np.uint64(draw(st.sampled_from([0, 1 << 31])))
        elif kind == "S":
            row["packet_type"], row["trigger_type"], row["timestamp"] = 6, ord("S"), 10_000_000
        elif kind == "stamp":
            row["packet_type"], row["timestamp"] = 4, draw(st.sampled_from([1_700_000_000, 1_700_000_001]))
    return rows


@settings(max_examples=300)
@given(
    rows=spills(), sizes=st.lists(st.integers(0, 20), max_size=8), look=st.sampled_from([1, 3, 10, 100]), data=st.data()
)
def test_pairs_are_those_of_the_definition_however_the_rows_are_cut(
    rows: np.ndarray, sizes: list[int], look: int, data: st.DataObject
) -> None:
    which = data.draw(st.tuples(st.integers(0, 3), st.integers(0, 1)))
    pairs, kept = one_by_one(rows, look, *which)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(triggers, "LOOK_ROWS", look)
        blocks = list(cut(rows, sizes))
        assert sorted(pair for block in blocks for pair in found_in(block, *which)) == pairs
        assert sum(block.first_told(*which) for block in blocks) == len(kept)


@settings(max_examples=100)
@given(rows=spills(), sizes=st.lists(st.integers(0, 20), max_size=8))
def test_the_interval_to_the_trigger_before_is_kept_over_all_cuts(rows: np.ndarray, sizes: list[int]) -> None:
    _, ticks = row_by_row(rows)
    expected, last = [], {}
    for n in np.flatnonzero((rows["packet_type"] == 7) & (rows["trigger_type"] & 2 == 2)).tolist():
        group = int(rows["io_group"][n])
        expected.append(ticks[n] - last[group] if group in last else -1)
        last[group] = ticks[n]
    assert [
        interval for block in cut(rows, sizes) for interval in block.triggers()["interval_ticks"].tolist()
    ] == expected


def test_the_trigger_before_may_stand_in_any_block_before() -> None:
    told = packets_of(4, packet_type=7, trigger_type=[2, 2, 1, 2], io_group=[1, 2, 1, 1], timestamp=[10, 50, 70, 100])
    for sizes in ([], [1, 1, 0, 1], [2], [3]):
        found = [ticks for block in cut(told, sizes) for ticks in block.triggers()["interval_ticks"].tolist()]
        assert found == [-1, -1, 90]
    assert [block.triggers(2)["interval_ticks"].tolist() for block in cut(told, [1])] == [[], [-1]]


def a_run(n: int = 20_000) -> np.ndarray:
    """Windows of 20 ms of four io_groups one after the other, a trigger of io_group 3 in every second one."""
    random = np.random.default_rng(3)
    windows = n // 200
    parts = []
    for window in range(windows):
        for io_group in (1, 2, 3, 4):
            stamp = packets_of(1, packet_type=4, io_group=io_group, timestamp=1_700_000_000 + window // 50)
            data = packets_of(40, io_group=io_group, valid_parity=1, dataword=random.integers(0, 256, 40))
            start = window % 50 * 200_000
            data["timestamp"] = np.sort(start + 90_000 + random.integers(0, 20_000, 40))
            data["timestamp"][:5] = np.sort(random.integers(start, start + 90_000, 5))
            words = [stamp, data]
            if io_group == 3 and window % 2 == 0:
                words.insert(1, packets_of(1, packet_type=7, trigger_type=2, io_group=3, timestamp=start + 95_000))
            if window and window % 50 == 0:
                words.insert(1, packets_of(1, packet_type=6, trigger_type=ord("S"), io_group=io_group, timestamp=10**7))
            parts += words
    return np.concatenate(parts)


def in_legs(path: Path, blocks_of_leg: Iterable[int]) -> Iterator[Pair]:
    """Pairs of a file that is opened anew for every leg, with a cursor that went through JSON."""
    cursor = Cursor()
    for many in blocks_of_leg:
        with open_file(path, trusted=True) as again:
            ended = True
            for block in again.blocks(cursor):
                yield from found_in(block)
                many -= 1
                if not many:
                    ended = False
                    break
            cursor = Cursor.from_json(json.loads(json.dumps(again.cursor.to_json())))
            assert len(cursor.marks) <= 4
        if ended:
            return


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks of 400 rows, and a look back over 150: many of both in a small file."""
    look = 150
    monkeypatch.setattr(triggers, "LOOK_ROWS", look)
    monkeypatch.setattr(reader, "LOOK_ROWS", look)
    monkeypatch.setattr(reader, "BLOCK_ROWS", 400)
    return look


@pytest.mark.parametrize("legs", [repeat(-1), repeat(1), iter([1, 3, 2, *[1] * 100])])
@pytest.mark.parametrize("chunk", [100, 64])
def test_a_packet_file_read_in_legs_gives_the_same_pairs(
    packet_file: Callable, small: int, legs: Iterable[int], chunk: int
) -> None:
    rows = a_run(4000)
    path = packet_file(rows, chunk=chunk, compression="gzip")
    pairs, _ = one_by_one(rows, small)
    assert len(pairs) > 500
    assert sorted(in_legs(path, legs)) == pairs


@pytest.mark.parametrize("at_once", [1, 7, 1000])
def test_a_raw_file_read_in_legs_gives_the_same_pairs(
    tmp_path: Path, small: int, at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "MESSAGES_AT_ONCE", at_once)
    random, messages, groups = np.random.default_rng(5), [], []
    for window in range(30):
        for io_group in (1, 2, 3):
            stamps = window * 200_000 + np.sort(random.integers(90_000, 110_000, 25))
            ones = np.ones(25, np.uint8)
            bits = words.encode_bits({"timestamp": stamps, "dataword": random.integers(0, 256, 25)})
            parts = [words.data_words(ones, stamps + 500, bits)]
            if io_group == 2:
                parts.append(words.signal_words(words.TRIGGER_WORD, ones[:1] * 2, ones[:1] * 0, stamps[:1]))
            messages.append(words.message(1_700_000_000, np.concatenate(parts)))
            groups.append(io_group)
    path = tmp_path / "raw_2022_02_09_17_23_09_CET.h5"
    with RawWriter(path) as writer:
        writer.write(messages, np.array(groups))
    with open_file(path) as whole:
        rows = np.concatenate([block.source[0] for block in whole.blocks()])  # type: ignore[index]
    pairs, kept = one_by_one(rows, small)
    assert len(kept) == 30
    assert len(pairs) > 500
    assert sorted(in_legs(path, repeat(1))) == pairs


def test_a_packet_that_stands_before_its_trigger_in_an_earlier_block_is_found() -> None:
    data = packets_of(3, io_group=1, valid_parity=1, dataword=[1, 2, 3], timestamp=[100_500, 101_839, 99_000])
    trigger = packets_of(1, packet_type=7, trigger_type=2, io_group=5, timestamp=100_000)
    first, second = cut(np.concatenate([data, trigger]), [3])
    assert found_in(first) == []
    assert found_in(second) == [(1, 1, 500), (1, 2, 1_839), (1, 3, -1_000)]


def test_one_trigger_told_by_two_io_groups_counts_once_unless_one_is_asked_for() -> None:
    told = packets_of(2, packet_type=7, trigger_type=2, io_group=[1, 2], timestamp=[100_003, 100_000])
    data = packets_of(1, io_group=2, valid_parity=1, timestamp=100_100)
    (block,) = cut(np.concatenate([told, data]))
    assert (found_in(block), block.first_told()) == ([(2, 0, 97)], 1)
    assert (found_in(block, 2), block.first_told(2)) == ([(2, 0, 100)], 1)


def test_a_trigger_that_an_earlier_block_told_of_is_not_told_again() -> None:
    told = packets_of(3, packet_type=7, trigger_type=2, io_group=[1, 2, 1], timestamp=[100_003, 100_000, 101_500])
    data = packets_of(1, io_group=2, valid_parity=1, timestamp=101_600)
    for sizes in ([], [1], [1, 1, 1], [2]):
        blocks = list(cut(np.concatenate([told, data]), sizes))
        assert sum(block.first_told() for block in blocks) == 2
        assert sorted(pair for block in blocks for pair in found_in(block)) == [(2, 0, 100), (2, 0, 1_597)]


def test_the_window_is_closed_before_the_trigger_and_open_behind() -> None:
    trigger = packets_of(1, packet_type=7, trigger_type=2, io_group=1, timestamp=50_000)
    since = [-BEFORE_TICKS - 1, -BEFORE_TICKS, 0, AFTER_TICKS - 1, AFTER_TICKS]
    data = packets_of(5, io_group=1, valid_parity=1, timestamp=[50_000 + ticks for ticks in since])
    for rows in ([trigger, data], [data, trigger]):
        (block,) = cut(np.concatenate(rows))
        assert [ticks for _, _, ticks in found_in(block)] == since[1:4]


def test_a_file_that_grows_gives_the_same_pairs(tmp_path: Path, small: int) -> None:
    """Each leg ends in the middle of what a later one reads again at once."""
    path = tmp_path / "raw_2022_02_09_17_23_09_CET.h5"
    random, ones, cursor, found, parts = np.random.default_rng(6), np.ones(25, np.uint8), Cursor(), [], []
    with RawWriter(path, swmr=True) as writer:
        for window in range(24):
            stamps = window * 200_000 + np.sort(random.integers(90_000, 110_000, 25))
            bits = words.encode_bits({"timestamp": stamps, "dataword": random.integers(0, 256, 25)})
            word = [words.data_words(ones, stamps + 500, bits)]
            if window % 3:  # of the packets of another io_group, which stand before it, or of its own
                when = stamps[:1] - 200_000 * (window % 3 == 1)
                word.append(words.signal_words(words.TRIGGER_WORD, ones[:1] * 2, ones[:1] * 0, when))
            writer.write([words.message(1_700_000_000, np.concatenate(word))], np.array([window % 2 + 1]))
            with open_file(path) as leg:
                for block in leg.blocks(cursor):
                    found += found_in(block)
                    parts.append(block.source[0])  # type: ignore[index]
                cursor = Cursor.from_json(json.loads(json.dumps(leg.cursor.to_json())))
    pairs, kept = one_by_one(np.concatenate(parts), small)
    assert len(kept) == 16
    assert len(pairs) > 100
    assert sorted(found) == pairs


def test_what_stands_too_far_from_its_trigger_in_the_file_is_missed() -> None:
    trigger = packets_of(1, packet_type=7, trigger_type=2, io_group=1, timestamp=100_000)
    data = packets_of(1, io_group=1, valid_parity=1, timestamp=100_500)
    for between, found in ((triggers.LOOK_ROWS - 1, 1), (triggers.LOOK_ROWS, 0)):
        others = packets_of(between, io_group=1, timestamp=5, packet_type=2)
        for rows in ([trigger, others, data], [data, others, trigger]):
            blocks = cut(np.concatenate(rows), [1, 70, 5000])
            assert sum(len(block.beside_triggers()) for block in blocks) == found


@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 100))
def test_garbage_all_over_the_place_is_paired_in_bounded_memory(seed: int) -> None:
    """Half a block of triggers, all at the times of the other half: each packet with the few that are apart."""
    random = np.random.default_rng(seed)
    rows = packets_of(20_000, io_group=random.integers(0, 256, 20_000), valid_parity=1)
    rows["timestamp"] = random.integers(100_000, 110_000, len(rows))
    rows["packet_type"], rows["trigger_type"] = random.integers(0, 2, len(rows)) * 7, 255
    (block,) = cut(rows)
    assert block.first_told() <= (10_000 // SAME_TICKS) + 1
    assert len(block.beside_triggers()) <= len(rows) * (AFTER_TICKS + BEFORE_TICKS) // SAME_TICKS


def test_packets_that_do_not_know_what_stands_before_them_say_so() -> None:
    (block,) = cut(a_run(400))
    with pytest.raises(ValueError, match="what stands before these packets is not known"):
        block.select(np.arange(10)).beside_triggers()
