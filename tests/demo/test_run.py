"""The parameters of a run, and that they alone decide what is in it."""

from __future__ import annotations

import math
from itertools import islice
from typing import Any

import numpy as np
import pytest

from dqm.demo import DemoRun, demo_rows, slices
from dqm.demo.run import PACKETS_PER_SECOND
from dqm.formats.columns import PacketType, SyncKind
from tests.demo.runs import rows_of, small_run


def test_the_same_seed_gives_the_same_packets() -> None:
    assert np.array_equal(demo_rows(small_run()), demo_rows(small_run()))


def test_another_seed_gives_others() -> None:
    assert not np.array_equal(demo_rows(small_run(seed=2))[:500], demo_rows(small_run())[:500])


def test_a_longer_run_begins_with_the_packets_of_a_shorter_one() -> None:
    short, long = demo_rows(small_run()), demo_rows(small_run(duration_s=3.0))
    is_pps = (short["packet_type"] == PacketType.SYNC) & (short["trigger_type"] == SyncKind.PPS)
    last_pps = np.flatnonzero(is_pps)[-4]  # one for each io_group
    assert last_pps > 10_000
    assert np.array_equal(short[:last_pps], long[:last_pps])


def test_a_second_can_be_made_without_those_before_it() -> None:
    run = small_run(duration_s=3.0)
    later = next(iter(slices(run, start_s=2)))
    whole = next(piece for piece in slices(run) if piece.second == 2)
    assert len(later.payloads) == len(whole.payloads) == 200
    # only the PPS words and the hits that were late for the second before are missing
    missing = [len(a) - len(b) for a, b in zip(whole.payloads, later.payloads, strict=True)]
    assert all(missing[:4])
    assert not any(missing[4:])


def test_packets_come_second_by_second_however_long_the_run_is() -> None:
    first = list(islice(slices(small_run(duration_s=1e9)), 2))
    assert [piece.second for piece in first] == [0, 1]
    assert all(piece.rows < 20_000 for piece in first)


def test_default_rates_give_about_the_promised_packets_per_second() -> None:
    rows = sum(piece.rows for piece in slices(DemoRun(duration_s=6.0)))
    assert rows == pytest.approx(6 * PACKETS_PER_SECOND, rel=0.05)


@pytest.mark.parametrize("n", [20_000, 100_000])
def test_of_packets_gives_the_wanted_number_of_rows(n: int) -> None:
    rows = rows_of(slices(DemoRun.of_packets(n)))
    assert n * 0.98 < len(rows) <= n


def test_of_packets_within_a_time_is_as_much_busier() -> None:
    run = DemoRun.of_packets(150_000, duration_s=2.0)
    assert run.ar39_hz == pytest.approx(DemoRun().ar39_hz * 2.5)
    pieces = list(slices(run))
    assert sum(piece.rows for piece in pieces) == pytest.approx(150_000, rel=0.02)
    assert pieces[-1].end_s[-1] == pytest.approx(2.0, rel=0.2)


def test_a_cut_run_ends_with_a_whole_message() -> None:
    pieces = list(slices(small_run(packets=5000)))
    whole = list(slices(small_run()))
    assert sum(piece.rows for piece in pieces) <= 5000
    n = len(pieces[-1].payloads)
    assert all(map(np.array_equal, pieces[-1].payloads, whole[len(pieces) - 1].payloads[:n]))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"duration_s": 0}, "duration_s is 0"),
        ({"duration_s": math.nan}, "duration_s is nan"),
        ({"duration_s": math.inf}, "never end"),
        ({"message_s": 0.03}, "message_s is 0.03"),
        ({"message_s": 0.0}, r"message_s is 0\.0"),
        ({"seed": -1}, "seed is -1"),
        ({"packets": 0}, "packets is 0"),
        ({"spill_period_s": 0.0}, "spill_period_s"),
    ],
)
def test_parameters_that_make_no_run_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DemoRun(**changes)
