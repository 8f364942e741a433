"""The time of each packet, against the definition worked out one row at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dqm.formats.clock import BlockClock, ClockState
from dqm.formats.columns import PACKET_DTYPE
from dqm.formats.packets import cut
from tests.conftest import packets_of, some_packets

SECOND = 10_000_000


def row_by_row(rows: np.ndarray) -> tuple[list[int], list[int]]:
    """The same definition, slow and plain: unix second and ticks of each row."""
    unix, passed, anchors = -1, {}, {}
    seconds, ticks = [], []
    for row in rows:
        group, kind, stamp = int(row["io_group"]), int(row["packet_type"]), int(row["timestamp"])
        if kind == 4:
            unix = stamp if stamp < 2**33 else -1
        seconds.append(unix)
        time = (stamp & 0x7FFFFFFF) + passed.get(group, 0) + anchors.get(group, anchors.get(0, 0))
        if kind == 0 and 0 < row["receipt_timestamp"] < (stamp & 0x7FFFFFFF):
            time -= SECOND
        ticks.append(time if kind in (0, 6, 7) else -1)
        if kind == 4 and unix >= 0:
            anchors.setdefault(group, unix * SECOND)
        if kind == 6 and row["trigger_type"] == ord("S"):
            periods = min(max(round((stamp & 0x7FFFFFFF) / SECOND), 1), 214)
            passed[group] = passed.get(group, 0) + periods * SECOND
    return seconds, ticks


@st.composite
def streams(draw: st.DrawFn) -> np.ndarray:
    """Rows of some io_groups, 0 among them, with every event that moves a clock, in any order."""
    kinds = draw(
        st.lists(st.sampled_from(["data", "late", "S", "H", "missed", "stamp", "garbage", "trigger"]), max_size=40)
    )
    rows = np.zeros(len(kinds), PACKET_DTYPE)
    for row, kind in zip(rows, kinds, strict=True):
        row["io_group"] = draw(st.sampled_from([0, 1, 2]))
        row["timestamp"] = draw(st.integers(1, SECOND))
        row["receipt_timestamp"] = row["timestamp"] + 100
        if kind == "late":
            row["receipt_timestamp"] = draw(st.integers(1, int(row["timestamp"])))
        elif kind in ("S", "H", "missed"):
            row["packet_type"], row["trigger_type"] = 6, ord("H" if kind == "H" else "S")
            row["timestamp"] = SECOND + 3 if kind == "S" else 3 * SECOND + 1
        elif kind == "stamp":
            row["packet_type"], row["timestamp"] = 4, draw(st.integers(0, 2**31))
        elif kind == "garbage":
            row["packet_type"], row["timestamp"] = 4, draw(st.integers(2**33, 2**64 - 1))
        elif kind == "trigger":
            row["packet_type"] = 7
            row["timestamp"] |= np.uint64(1 << 31)
    return rows


@settings(max_examples=400)
@given(streams(), st.lists(st.integers(0, 12), max_size=6))
def test_times_equal_the_definition_whatever_the_cut(rows: np.ndarray, sizes: list[int]) -> None:
    blocks = list(cut(rows, sizes))
    seconds, ticks = row_by_row(rows)
    assert np.concatenate([block["unix_time"] for block in blocks]).tolist() == seconds
    assert np.concatenate([block["time_ticks"] for block in blocks]).tolist() == ticks


def test_data_read_out_after_the_reset_belong_to_the_second_before() -> None:
    rows = packets_of(4, io_group=1)
    rows["packet_type"] = [4, 0, 6, 0]
    rows["trigger_type"][2] = ord("S")
    rows["timestamp"] = [100, 9_999_000, SECOND + 2, 9_999_900]
    rows["receipt_timestamp"] = [0, 9_999_500, 0, 400]
    (block,) = [b for b in cut(rows) if len(b)]
    assert np.diff(block["time_ticks"][[1, 3]]).tolist() == [900]


def test_files_without_receipt_timestamps_are_left_alone() -> None:
    rows = packets_of(2, io_group=1, timestamp=[5_000_000, 6_000_000])
    (block,) = [b for b in cut(rows) if len(b)]
    assert block["time_ticks"].tolist() == [5_000_000, 6_000_000]


def test_a_block_full_of_syncs_takes_no_longer_than_any_other() -> None:
    """The work is linear: 60,000 syncs are a block like any other (a loop over pairs would not end)."""
    rows = packets_of(60_000, io_group=np.arange(60_000) % 250, packet_type=6, trigger_type=ord("S"), timestamp=SECOND)
    (block,) = [b for b in cut(rows) if len(b)]
    assert block["time_ticks"].max() == (60_000 // 250) * SECOND


def test_the_state_survives_json() -> None:
    rows = some_packets(500)
    state = BlockClock(rows, ClockState()).after
    assert set(state.anchors) <= {1, 2}
    assert ClockState.from_json(state.to_json()) == state


def test_a_stamp_without_io_group_speaks_for_all() -> None:
    """LArPix v1 files: one timestamp packet, io_group 0, for every io_group."""
    rows = packets_of(3, packet_type=[4, 0, 0], io_group=[0, 1, 2], timestamp=[50, 7, 8])
    for sizes in ([], [1], [2]):
        ticks = np.concatenate([block["time_ticks"] for block in cut(rows, sizes)])
        assert ticks.tolist() == [-1, 50 * SECOND + 7, 50 * SECOND + 8]
